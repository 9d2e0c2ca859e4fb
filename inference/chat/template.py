"""Render the checkpoint's own chat template with the callers' text kept out of its sight.

The template gets a placeholder for each text, so nothing a caller writes can steer it: not its
toggle words, not its control tokens, not its branches. Owns the probing of what a template can
do about reasoning, and the check that the rendered tail is what was wanted. Knows nothing
about token ids.
"""

import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from inference.chat.sandbox import BoundedTemplate
from inference.contract import Mode, RenderingFailed, RequestRefused, ServingError
from inference.reasoning import TOGGLE_WORD, Profile

OPENER: Final = "<think>"
CLOSER: Final = "</think>"
WORDS: Final[Mapping[Mode, str]] = {"on": "/think", "off": "/no_think"}
PROBE: Final = "Lorem"


@dataclass(frozen=True, slots=True)
class Turn:
    """One message whose text is final: toggle words and thoughts are already out."""

    role: str
    text: str


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of the prompt: written by the template, or `said` by a caller."""

    text: str
    said: bool


@dataclass(frozen=True, slots=True)
class Rendered:
    """A prompt in pieces, and whether the model starts inside a thought."""

    pieces: tuple[Piece, ...]
    starts_in_thought: bool

    @property
    def text(self) -> str:
        return "".join(piece.text for piece in self.pieces)


class ChatTemplate:
    """A checkpoint's template, and what probing it showed.

    Law: for a fixed template, the same turns and mode give the same text; the text of a turn
    appears in it unchanged, but for outer whitespace where the template itself trims that.
    """

    def __init__(
        self, source: str, *, specials: Mapping[str, str] | None = None, context_tokens: int
    ) -> None:
        self._template = BoundedTemplate(source)
        self._specials = dict(specials or {})
        self.profile = self._probe_profile(context_tokens)
        self._trims = {role: self._probe_trim(role) for role in ("system", "user", "assistant")}

    def render(self, turns: Sequence[Turn], mode: Mode) -> Rendered:
        """Render the turns so that reasoning is `mode`, and prove that it is.

        Raises: RequestRefused if the template drops a message; RenderingFailed if the tail
        is not what was wanted.
        """
        nonce = secrets.token_hex(12)
        marks = [f"x{nonce}n{index}x" if turn.text else "" for index, turn in enumerate(turns)]
        rendered = self._fill(turns, marks, mode)
        for index, mark in enumerate(marks):
            if mark and mark not in rendered:
                raise RequestRefused(
                    f"messages[{index}]: this model's template leaves out a "
                    f"{turns[index].role} message at this place",
                    param=f"messages[{index}]",
                )
        parts = re.split(f"x{nonce}n([0-9]+)x", rendered)
        pieces = tuple(self._pieces(parts, turns))
        return Rendered(pieces, self._checked_tail(parts, mode))

    def _fill(self, turns: Sequence[Turn], marks: Sequence[str], mode: Mode) -> str:
        messages = [
            {"role": turn.role, "content": mark} for turn, mark in zip(turns, marks, strict=True)
        ]
        if self.profile.name == "qwen3":
            return self._write(messages, enable_thinking=mode == "on")
        if self.profile.name == "nemotron-nano-v2":
            # The template obeys the last signal among system and user texts: this is the last.
            last = max(i for i, turn in enumerate(turns) if turn.role in ("system", "user"))
            messages[last]["content"] += WORDS[mode]
        return self._write(messages)

    def _pieces(self, parts: Sequence[str], turns: Sequence[Turn]) -> list[Piece]:
        """Put the texts back; odd entries of `parts` are the numbers of the turns."""
        pieces = [
            Piece(self._trimmed(turns[int(part)]) if index % 2 else part, said=bool(index % 2))
            for index, part in enumerate(parts)
        ]
        return [piece for piece in pieces if piece.text]

    def _trimmed(self, turn: Turn) -> str:
        left, right = self._trims.get(turn.role, (False, False))
        text = turn.text.lstrip() if left else turn.text
        return text.rstrip() if right else text

    def _checked_tail(self, parts: Sequence[str], mode: Mode) -> bool:
        tail = parts[-1].rstrip()
        if self.profile.has_toggle:
            if (mode == "off") != tail.endswith(CLOSER):
                raise RenderingFailed(
                    f"reasoning should be {mode}, but the prompt ends with {tail[-40:]!r}"
                )
            left_over = [word for part in parts[::2] if (word := TOGGLE_WORD.search(part))]
            if left_over:
                raise RenderingFailed(f"the template leaves {left_over[0].group()} in the prompt")
        return tail.endswith(OPENER)

    def _write(self, messages: Sequence[Mapping[str, Any]], **names: object) -> str:
        return self._template.render(
            messages=messages, add_generation_prompt=True, **self._specials, **names
        )

    def _probe_profile(self, context_tokens: int) -> Profile:
        """See what the template does, rather than guess from what it says."""

        def closed(word: str = "", **names: object) -> bool:
            text = self._write([{"role": "user", "content": PROBE + word}], **names)
            return text.rstrip().endswith(CLOSER)

        default: Mode = "off" if closed() else "on"
        if closed(enable_thinking=False) and not closed(enable_thinking=True):
            return Profile("qwen3", default, "last", context_tokens)
        if closed(WORDS["off"]) and not closed(WORDS["on"]):
            return Profile("nemotron-nano-v2", default, "think", context_tokens)
        always = self._write([{"role": "user", "content": PROBE}]).rstrip().endswith(OPENER)
        return Profile("none", "on" if always else "off", context_tokens=context_tokens)

    def _probe_trim(self, role: str) -> tuple[bool, bool]:
        messages = {
            "system": [
                {"role": "system", "content": f" {PROBE} "},
                {"role": "user", "content": "a"},
            ],
            "user": [{"role": "user", "content": f" {PROBE} "}],
            "assistant": [
                {"role": "user", "content": "a"},
                {"role": "assistant", "content": f" {PROBE} "},
                {"role": "user", "content": "a"},
            ],
        }[role]
        try:
            before, found, after = self._write(messages).partition(PROBE)
        except ServingError:
            return False, False
        return bool(found) and not before.endswith(" "), bool(found) and not after.startswith(" ")
