"""Check and run one expression of a policy: what it may name, what it may cost, what it gives.

The engine has no type checker, no cost model and no time limit, so all three are here. Everything
refused names its column. At run time every failure is an `ExpressionError`, which callers turn
into a question for a person; nothing that fails is ever taken for "no".
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import cel

from compliance.policy.shape import SHAPE, all_fields, fields_of, sample
from compliance.policy.tokens import OPENING, WORDS, ExpressionError, Token, split

MAX_CHARACTERS: Final = 1_000
MAX_NESTING: Final = 12
MAX_STEPS: Final = 2_000_000
"""Most token visits of one run: an upper bound of its work, at about 40 ns each on one core."""
MAX_POLICY_STEPS: Final = 20_000_000
"""Most token visits of all rules of a policy together, in one judgement."""
EXPECTED_ITEMS: Final = 100
"""List length for which an expression must be affordable when it is saved."""
MAX_TEXT: Final = 2_000

# What a loop multiplies the work by, as a power of the list's length. The engine copies the list
# that `filter` builds for every item it adds, so that one is a loop in a loop.
MACROS: Final = {"all": 1, "exists": 1, "exists_one": 1, "filter": 2}
METHODS: Final = frozenset(MACROS) | {"contains", "startsWith", "endsWith", "size"}
# No `matches`: a pattern can take long to compile, once for every item. No `map` and no literals
# of maps: nothing a policy computes can then be larger than what it was given.
FUNCTIONS: Final = frozenset({"has", "size", "string"})
_PLAINER: Final = {
    "No such overload": "an operation between values whose types do not go together",
    "Undefined variable or function": "a function on a value of another type than it takes",
}
_START: Final = ("!", "(")
_ENDING: Final = frozenset({",", "?", ":", ")", "]"})
_PLACE: Final = re.compile(r"<input>:[0-9]+:(?P<column>[0-9]+): (?P<said>[^\n]{1,200})")
_FAILURES = (ValueError, TypeError, RuntimeError, LookupError, ArithmeticError)


@dataclass(frozen=True, slots=True)
class Variables:
    """Hold an environment as the engine reads it, made once for all rules; `longest` list in it."""

    context: "cel.Context"
    longest: int


def variables_of(environment: Mapping[str, Any]) -> Variables:
    """Hand an environment to the engine."""
    return Variables(cel.Context(variables=dict(environment)), longest_list(environment))


@dataclass(frozen=True, slots=True)
class Expression:
    """Hold one checked expression; `depth` is how deep its loops nest."""

    source: str
    program: "cel.Program"
    tokens: int
    depth: int

    def steps(self, longest_list: int) -> int:
        """Bound the work of one run over lists of at most this length."""
        passes: int = max(longest_list, 1) ** max(self.depth, 1)
        return self.tokens * passes

    def holds(self, variables: "Variables") -> bool:
        """Run the expression.

        Raises:
            ExpressionError: when it reads what is not known, fails, costs too much or gives
                something else than true or false.
        """
        _check_cost(self, variables.longest)
        answer = _run(self.program, variables)
        if not isinstance(answer, bool):
            raise ExpressionError(f"gives {type(answer).__name__}, not true or false")
        return answer


def longest_list(value: Any) -> int:
    """Find the length of the longest list anywhere in plain data."""
    if isinstance(value, Mapping):
        return max((longest_list(item) for item in value.values()), default=0)
    if isinstance(value, list):
        return max([len(value), *(longest_list(item) for item in value)])
    return 0


@lru_cache(maxsize=2_000)
def compile_expression(source: str) -> Expression:
    """Check an expression as far as that is possible without facts, and compile it.

    Raises:
        ExpressionError: naming the first thing that is wrong and its column.
    """
    if len(source) > MAX_CHARACTERS:
        raise ExpressionError(f"{len(source)} characters; at most {MAX_CHARACTERS}")
    tokens = split(source)
    _check_names(tokens)
    depth = _loop_depth(tokens)
    found = Expression(source, _compile(source), len(tokens), depth)
    _check_references(found, tokens)
    _check_cost(found, EXPECTED_ITEMS)
    _probe(found, tokens)
    return found


def _compile(source: str) -> "cel.Program":
    try:
        return cel.compile(source)
    except _FAILURES as error:
        if said := _PLACE.search(str(error)):
            raise ExpressionError(said["said"], int(said["column"])) from error
        raise ExpressionError("is no expression of this language") from error


def _check_references(expression: Expression, tokens: list[Token]) -> None:
    """Hold what the engine read against what the tokens say: two readers, one language."""
    names = {token.text for token in tokens if token.kind == "name"}
    called = {name for name in expression.program.functions() if name.isidentifier()}
    if not set(expression.program.variables()) <= names or not called <= FUNCTIONS | METHODS:
        raise ExpressionError("is read differently by the engine; write it more plainly")


def _run(program: "cel.Program", variables: Variables) -> Any:
    try:
        return program.execute(variables.context)
    except LookupError as error:
        if isinstance(error, KeyError):
            name = str(error).strip("'\"")
            raise ExpressionError(f"'{name}' is not known here; ask has(...) first") from error
        raise ExpressionError("asks for an item that a list does not have") from error
    except _FAILURES as error:
        said = str(error).partition(":")[0].partition(". ")[0].strip("'\"")
        raise ExpressionError(_PLAINER.get(said, said[:200]) or type(error).__name__) from error


def _check_cost(expression: Expression, items: int) -> None:
    steps = expression.steps(items)
    if steps > MAX_STEPS:
        raise ExpressionError(
            f"costs up to {steps} steps over lists of {items}; at most {MAX_STEPS}. Nest fewer "
            "loops, or split the rule"
        )


def _check_names(tokens: list[Token]) -> None:
    bound: set[str] = set()
    for at, token in enumerate(tokens):
        before = tokens[at - 1].text if at else ""
        after = tokens[at + 1].text if at + 1 < len(tokens) else ""
        if token.kind == "name" and token.text not in WORDS:
            if after == "(":
                _check_call(token, before, bound, tokens, at)
            elif before == ".":
                _check_field(token, tokens, at)
            elif token.text not in SHAPE and token.text not in bound:
                known = ", ".join(sorted(SHAPE))
                raise ExpressionError(
                    f"unknown variable '{token.text}'; known: {known}", token.column
                )
        elif token.text == "." and not _ends_value(tokens, at):
            raise ExpressionError("a dot needs a value before it", token.column)
        elif token.kind == "text" and before == "[" and _ends_value(tokens, at - 1):
            raise ExpressionError(f"write .{token.text[1:-1]} for a field", token.column)


def _ends_value(tokens: list[Token], at: int) -> bool:
    """Say whether the token before this place ends a value that a dot or bracket may follow."""
    if at == 0:
        return False
    before = tokens[at - 1]
    return before.text in (")", "]") or (before.kind == "name" and before.text not in WORDS)


def _check_call(token: Token, before: str, bound: set[str], tokens: list[Token], at: int) -> None:
    known = METHODS if before == "." else FUNCTIONS
    if token.text not in known:
        raise ExpressionError(
            f"unknown function '{token.text}'; known here: {', '.join(sorted(known))}",
            token.column,
        )
    if token.text not in MACROS:
        return
    variable = tokens[at + 2]
    if variable.kind != "name" or variable.text in WORDS:
        raise ExpressionError(f"{token.text}() needs a name for each item", variable.column)
    if variable.text in SHAPE or variable.text in FUNCTIONS:
        raise ExpressionError(f"'{variable.text}' is taken; name the item otherwise", token.column)
    bound.add(variable.text)


def _check_field(token: Token, tokens: list[Token], at: int) -> None:
    root = tokens[at - 2].text if at >= 2 else ""
    direct = root in SHAPE and (at < 3 or tokens[at - 3].text != ".")
    known = fields_of(root) if direct else all_fields()
    if token.text not in known:
        where = f"{root} has" if direct else "known fields:"
        listed = ", ".join(sorted(known)) or "no fields; it is a list or a text"
        raise ExpressionError(f"unknown field '{token.text}'; {where} {listed}", token.column)


def _loop_depth(tokens: list[Token]) -> int:
    """Count how deep loops nest, and refuse brackets nested too deep for the parser."""
    stack: list[int] = []
    deepest = 0
    for at, token in enumerate(tokens):
        if token.kind != "sign":
            continue
        if token.text in OPENING:
            name = tokens[at - 1].text if at >= 2 and tokens[at - 2].text == "." else ""
            stack.append(MACROS.get(name, 0))
            deepest = max(deepest, sum(stack))
            if len(stack) > MAX_NESTING:
                raise ExpressionError(f"nested deeper than {MAX_NESTING} brackets", token.column)
        elif token.text in OPENING.values():
            stack.pop()
    return deepest


def _probe(expression: Expression, tokens: list[Token]) -> None:
    """Find wrong types by running over an environment in which everything is known.

    `&&` and `||` hide the side that they do not need, and `==` compares anything with anything
    and says no. So a stricter spelling is run besides, in which both sides count and both have to
    be of one type.
    """
    known = variables_of(sample())
    try:
        expression.holds(known)
        _run(_compile(" ".join(_strict(tokens))), known)
    except ExpressionError as error:
        raise ExpressionError(
            f"does not fit the types of the variables: {error}. Compare like with like, texts of a "
            "list with in, exists or all, and join only what is true or false with && and ||"
        ) from error


def _strict(tokens: list[Token]) -> Iterator[str]:
    """Spell `a && b` and `a || b` as `!(a) == !(b)`, and `a == b` as `a >= b`."""
    segments = _segments(tokens)
    logical = {segments[at] for at, token in enumerate(tokens) if token.text in ("&&", "||")}
    yield from _START if -1 in logical else ()
    for at, token in enumerate(tokens):
        sign = token.text if token.kind == "sign" else ""
        if sign in ("&&", "||"):
            yield from (")", "==", *_START)
        elif sign in _ENDING or sign in OPENING:
            if sign in _ENDING and segments[at] in logical:
                yield ")"
            yield sign
            yield from _START if at in logical else ()
        else:
            yield ">=" if sign in ("==", "!=") else token.text
    yield from (")",) if _last_segment(tokens, segments) in logical else ()


def _segments(tokens: list[Token]) -> list[int]:
    """Name for each token the stretch it lies in, by the place of the sign that starts it.

    Brackets, commas, `?` and `:` start one; a sign itself still lies in the one that it ends.
    """
    stack, found = [-1], []
    for at, token in enumerate(tokens):
        sign = token.text if token.kind == "sign" else ""
        found.append(stack[-1])
        if sign in OPENING:
            stack.append(at)
        elif sign in OPENING.values():
            stack.pop()
        elif sign in _ENDING:
            stack[-1] = at
    return found


def _last_segment(tokens: list[Token], segments: list[int]) -> int:
    """Name the stretch that the end of the expression closes."""
    starts = [at for at, token in enumerate(tokens) if token.text in ("?", ":", ",")]
    outer = [at for at in starts if _depth_at(tokens, at) == 0]
    return outer[-1] if outer else -1


def _depth_at(tokens: list[Token], place: int) -> int:
    before = [token.text for token in tokens[:place] if token.kind == "sign"]
    return sum(text in OPENING for text in before) - sum(
        text in OPENING.values() for text in before
    )
