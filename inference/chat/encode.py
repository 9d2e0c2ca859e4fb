"""Turn a rendered prompt into token ids; text said by callers can never become a control token.

Control tokens are placed by id, and only where the template wrote them. Everything between two
of them is encoded in one run, as the tokenizer would, by a copy of the tokenizer that knows no
control tokens at all: `<SPECIAL_10>` in a user's message is thirteen letters and signs.
"""

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

from tokenizers import Tokenizer

from inference.chat.template import Piece
from inference.contract import RenderingFailed

CONTROL_PROBE: Final = "Lorem ipsum\ndolor 42."


class PromptEncoder:
    """A checkpoint's tokenizer in two copies: as it is, and without its control tokens.

    Law: for text without control tokens, `encode` of any split into pieces equals the ids
    the tokenizer gives for the whole text.
    """

    def __init__(self, tokenizer_json: str) -> None:
        body = json.loads(tokenizer_json)
        self.tokenizer = Tokenizer.from_str(tokenizer_json)
        self._plain = _without_control_tokens(body)
        self.control_ids: dict[str, int] = {
            str(token["content"]): int(token["id"]) for token in body.get("added_tokens", [])
        }
        names = sorted(self.control_ids, key=len, reverse=True)
        self._control = re.compile("|".join(map(re.escape, names))) if names else None
        self._check_joins()

    def encode(self, pieces: Iterable[Piece]) -> list[int]:
        """Return the ids of the whole prompt.

        Raises: RenderingFailed if said text would still come out as a control token.
        """
        forbidden = set(self.control_ids.values())
        ids: list[int] = []
        for run in self._runs(pieces):
            if isinstance(run, int):
                ids.append(run)
                continue
            encoded = self._plain.encode(run, add_special_tokens=False).ids
            if not forbidden.isdisjoint(encoded):
                raise RenderingFailed("a message encodes to a control token; it was not sent")
            ids.extend(encoded)
        return ids

    def encode_text(self, text: str) -> list[int]:
        """Return the ids of bare text, after what the tokenizer puts before every text."""
        prefix: list[int] = self.tokenizer.encode("", add_special_tokens=True).ids
        return prefix + self.encode([Piece(text, said=True)])

    def _runs(self, pieces: Iterable[Piece]) -> Iterator[str | int]:
        text = ""
        for piece in pieces:
            if piece.said or self._control is None:
                text += piece.text
                continue
            start = 0
            for match in self._control.finditer(piece.text):
                text += piece.text[start : match.start()]
                if text:
                    yield text
                yield self.control_ids[match.group()]
                text, start = "", match.end()
            text += piece.text[start:]
        if text:
            yield text

    def _check_joins(self) -> None:
        """Compare with the tokenizer's own reading once, on text that is surely harmless."""
        parts = [CONTROL_PROBE, *(f"{name}{CONTROL_PROBE}" for name in self.control_ids)]
        text = "".join(parts)
        theirs = self.tokenizer.encode(text, add_special_tokens=False).ids
        if theirs != self.encode([Piece(text, said=False)]):
            raise RenderingFailed(
                "this tokenizer reads text next to control tokens in a way that is not supported"
            )


def _without_control_tokens(body: dict[str, Any]) -> Tokenizer:
    """Copy the tokenizer without added tokens, and without what refers to them."""
    plain = {**body, "added_tokens": [], "post_processor": None, "truncation": None}
    return Tokenizer.from_str(json.dumps({**plain, "padding": None}))
