"""Split an expression of the Common Expression Language into tokens with their places.

Owns the spelling only, and only of the part of the language that policies may use. Whatever is
not recognised is refused, so that no later check can be talked past in a corner of the grammar.
"""

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

_TOKEN: Final = re.compile(
    r"""(?P<space>[ \t\r\n]+)
    |(?P<text>"(?:[^"\\\r\n]|\\.)*"|'(?:[^'\\\r\n]|\\.)*')
    |(?P<number>[0-9]+(?:\.[0-9]+)?)(?![A-Za-z0-9_.])
    |(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?!["'])
    |(?P<sign>&&|\|\||==|!=|<=|>=|/(?!/)|[-+*%<>!?:.,()\[\]])""",
    re.VERBOSE,
)
OPENING: Final = {"(": ")", "[": "]"}
WORDS: Final = frozenset({"true", "false", "in"})


class ExpressionError(ValueError):
    """Refuse an expression; `column` counts characters from 1, 0 where the whole is meant."""

    def __init__(self, message: str, column: int = 0) -> None:
        self.column = column
        super().__init__(f"column {column}: {message}" if column else message)


@dataclass(frozen=True, slots=True)
class Token:
    """Hold one token: `kind` is text, number, name or sign; `column` counts from 1."""

    kind: str
    text: str
    column: int


def split(source: str) -> list[Token]:
    """Split the whole source.

    Raises:
        ExpressionError: for what is no token, and for brackets that do not match.
    """
    found: list[Token] = []
    at = 0
    while at < len(source):
        match = _TOKEN.match(source, at)
        if match is None:
            raise ExpressionError(f"{source[at : at + 12]!r} cannot be read here", at + 1)
        if match.lastgroup != "space":
            found.append(Token(str(match.lastgroup), match.group(), at + 1))
        at = match.end()
    if not found:
        raise ExpressionError("the expression is empty")
    _check_brackets(found)
    for left, right in pairwise(found):
        # Three quotes in a row would start another kind of text for the engine.
        if left.kind == right.kind == "text":
            raise ExpressionError("two texts stand side by side", right.column)
    return found


def _check_brackets(tokens: list[Token]) -> None:
    waiting: list[Token] = []
    for token in tokens:
        if token.text in OPENING:
            waiting.append(token)
        elif token.text in OPENING.values() and (
            not waiting or OPENING[waiting.pop().text] != token.text
        ):
            raise ExpressionError(f"'{token.text}' closes nothing", token.column)
    if waiting:
        raise ExpressionError(f"'{waiting[-1].text}' is never closed", waiting[-1].column)
