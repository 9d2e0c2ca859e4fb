"""Turn generated token ids into text, and split it into thought and answer, as it streams.

Owns the holding back: of incomplete UTF-8, of what may become a stop string, a call of a tool or
the end of a thought, and of white space that may turn out to be the last. Knows nothing about
HTTP.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from tokenizers import Tokenizer

from inference.chat.calls import Call, CallReader
from inference.chat.scan import StopScanner
from inference.chat.turns import CLOSER, OPENER

REPLACEMENT: Final = "\ufffd"
MAX_HELD_TOKENS: Final = 16

Kind = Literal["reasoning", "content", "tool_call"]


@dataclass(frozen=True, slots=True)
class CallPart:
    """Say which call of one answer is meant; `id` and `name` stand in its first part only."""

    index: int
    id: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class Delta:
    """A stretch of new text; of a call first its name, without text, then its arguments."""

    kind: Kind
    text: str
    call: CallPart | None = None


class Detokenizer:
    """Decode ids one by one; give text out only when its last character is complete.

    Law: everything given out, and then `flush()`, joins to the decoding of all ids at once,
    as long as no run of `MAX_HELD_TOKENS` tokens stays undecodable.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._context: list[int] = []
        self._fresh: list[int] = []

    def push(self, token_id: int) -> str:
        self._fresh.append(token_id)
        text = self._new_text()
        if text.endswith(REPLACEMENT) and len(self._fresh) < MAX_HELD_TOKENS:
            return ""
        return self._give(text)

    def flush(self) -> str:
        """Give out what is held, with a replacement character for what stayed incomplete."""
        return self._give(self._new_text()) if self._fresh else ""

    def _new_text(self) -> str:
        # Decoded behind the tokens before them: some decoders drop a leading space otherwise.
        before = self._decode(self._context)
        return self._decode(self._context + self._fresh)[len(before) :]

    def _give(self, text: str) -> str:
        self._context, self._fresh = self._fresh, []
        return text

    def _decode(self, ids: Sequence[int]) -> str:
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=False)) if ids else ""


class Trimmer:
    """Pass text through without its outermost white space."""

    def __init__(self) -> None:
        self._started = False
        self._held = ""

    def push(self, text: str) -> str:
        if not self._started:
            text = text.lstrip()
            self._started = bool(text)
        text = self._held + text
        kept = text.rstrip()
        self._held = text[len(kept) :]
        return kept


class AnswerParser:
    """Split one choice's tokens into thought, answer and calls; texts come out trimmed.

    Stop strings end the answer, never the thought or the arguments of a call. `reasoning_tokens`
    counts the tokens of the thought without its markers. `calls` is there where the request
    offered tools: what it cannot read as a call is content.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        control_ids: Mapping[str, int],
        *,
        starts_in_thought: bool,
        stops: Sequence[str] = (),
        trim: bool = True,
        calls: CallReader | None = None,
    ) -> None:
        self._text = Detokenizer(tokenizer)
        self._control = frozenset(control_ids.values())
        self._opener = control_ids.get(OPENER)
        self._closer = control_ids.get(CLOSER)
        # A model may spell the end of its thought in several tokens: then it is found in text.
        self._closer_text = StopScanner([CLOSER] if self._closer is None else [])
        self._stop = StopScanner(stops)
        self._trim: dict[Kind, Trimmer] | None = (
            {"reasoning": Trimmer(), "content": Trimmer()} if trim else None
        )
        self._in_thought = starts_in_thought
        self._answer_begun = False
        self._calls = calls
        self._called = 0
        self.reasoning_tokens = 0

    @property
    def in_thought(self) -> bool:
        return self._in_thought

    @property
    def stop_found(self) -> str | None:
        return self._stop.found

    def push(self, token_id: int) -> list[Delta]:
        """Take one token; return the text that is certain now, in order."""
        if token_id in self._control:
            return self._mark(token_id)
        self.reasoning_tokens += self._in_thought
        return self._place(self._text.push(token_id))

    def finish(self) -> list[Delta]:
        """Return what was held back."""
        deltas = self._place(self._text.flush())
        if self._in_thought:
            return deltas + self._emit("reasoning", self._closer_text.flush())
        if self._calls is not None:
            deltas += self._answered(self._calls.finish())
        return deltas + self._emit("content", self._stop.flush())

    def _mark(self, token_id: int) -> list[Delta]:
        deltas = self._place(self._text.flush())
        if self._in_thought and token_id == self._closer:
            self._in_thought = False
        elif token_id == self._opener and not self._answer_begun:
            self._in_thought = True
        elif self._calls is not None and not self._in_thought:
            deltas += self._answered(self._calls.mark(token_id))
        return deltas

    def _place(self, text: str) -> list[Delta]:
        if not text:
            return []
        if not self._in_thought:
            return self._answer(text)
        known = text if self._closer is not None else self._closer_text.push(text)
        deltas = self._emit("reasoning", known)
        if self._closer_text.found is not None:
            self._in_thought = False
            deltas += self._answer(self._closer_text.rest)
        return deltas

    def _answer(self, text: str) -> list[Delta]:
        return self._answered([text] if self._calls is None else self._calls.push(text))

    def _answered(self, items: Sequence[str | Call]) -> list[Delta]:
        deltas: list[Delta] = []
        for item in items:
            deltas += self._content(item) if isinstance(item, str) else self._call(item)
        return deltas

    def _content(self, text: str) -> list[Delta]:
        if not self._answer_begun and self._trim is not None:
            # Before the stop scan: the blank line after a thought must not match stop="\n".
            text = text.lstrip()
        self._answer_begun = self._answer_begun or bool(text)
        return self._emit("content", self._stop.push(text)) if text else []

    def _call(self, call: Call) -> list[Delta]:
        if self._stop.found is not None:
            return []
        deltas = self._emit("content", self._stop.flush())
        index, self._called = self._called, self._called + 1
        self._answer_begun = True
        deltas.append(Delta("tool_call", "", CallPart(index, call.id, call.name)))
        return [*deltas, Delta("tool_call", call.arguments, CallPart(index))]

    def _emit(self, kind: Kind, text: str) -> list[Delta]:
        kept = self._trim[kind].push(text) if self._trim else text
        return [Delta(kind, kept)] if kept else []
