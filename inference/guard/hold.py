"""Hold back the end of a stream until the guard has read beyond it. Pure.

Laws, with `window` the number of characters held back:
- an event's text goes out only when the guard has read, and let pass, everything up to at least
  `window` characters after it; so a forbidden text of up to `window` characters is found before
  its first character is out;
- an event that settles an item or the answer goes out only when everything before it was read;
- calls of tools go out whole, as half of one is of no use and their escapes can hide a text;
- events go out in their order, unchanged.

Characters that a reader does not see (format and combining marks) do not count, so that a stream
cannot be stretched with them.
"""

import unicodedata
from collections import deque
from dataclasses import dataclass
from typing import Final

from inference.contract import GuardFailed
from inference.guard.events import Event, Kind, Part
from inference.guard.texts import decoded

MAX_TEXT_CHARACTERS: Final = 4_000_000
_UNSEEN: Final = frozenset({"Cf", "Mn", "Me"})


@dataclass(slots=True)
class _Held:
    data: bytes
    end: int
    has_text: bool
    is_call: bool
    settles: bool


class Hold:
    """What was said so far, and what of it is not out yet."""

    def __init__(self, window: int) -> None:
        self.window = window
        self.has_shown_text = False
        self._pieces: list[str] = []
        self._said = ""
        self._calls: list[str] = []
        self._kind: Kind | None = None
        self._seen = 0
        self._read_to = 0
        self._queue: deque[_Held] = deque()
        self._free = 0

    def add(self, data: bytes, event: Event) -> None:
        """Take one event in.

        Raises: GuardFailed when it repeats what was never said.
        """
        for part in event.parts:
            self._say(part)
        if event.repeats and not all(text in self._whole() for text in event.repeats):
            raise GuardFailed("the replica's stream ends with what it did not say before")
        is_call = any(kind in ("call", "arguments") for kind, _ in event.parts)
        self._queue.append(
            _Held(data, self._seen, bool(event.parts), is_call, settles=event.settles)
        )

    @property
    def is_due(self) -> bool:
        """Whether the guard must read on before more can go out."""
        return self._seen - self._read_to >= self.window or self._settling() > 0

    @property
    def is_empty(self) -> bool:
        """Whether everything taken in has gone out."""
        return not self._queue

    @property
    def text(self) -> str:
        """All that was said, and what is inside the arguments of calls."""
        inside = [text for call in self._calls for text in decoded(call)]
        return "\n".join([self._whole(), *inside])

    def passed(self) -> None:
        """Note that the guard has read `text` as it is now, and let it pass."""
        self._read_to = self._seen
        self._free = max(self._free, self._settling())

    def ready(self) -> bytes:
        """Return the events that may go out now, and forget them."""
        out: list[bytes] = []
        while self._queue and self._may_go(self._queue[0]):
            held = self._queue.popleft()
            self._free = max(0, self._free - 1)
            self.has_shown_text = self.has_shown_text or held.has_text
            out.append(held.data)
        return b"".join(out)

    def _may_go(self, held: _Held) -> bool:
        if self._free:
            return True
        if held.settles or held.is_call:
            return False
        return not held.has_text or held.end <= self._read_to - self.window

    def _settling(self) -> int:
        """Return how many of the held events end with one that settles."""
        count = 0
        for at, held in enumerate(self._queue, start=1):
            if held.settles:
                count = at
        return count

    def _whole(self) -> str:
        if self._pieces:
            self._said += "".join(self._pieces)
            self._pieces.clear()
        return self._said

    def _say(self, part: Part) -> None:
        kind, text = part
        if kind == "call":
            self._calls.append("")
        elif kind == "arguments":
            self._calls = self._calls or [""]
            self._calls[-1] += text
        # Arguments follow the name of their call; everything else begins a line of its own.
        if self._kind not in (None, kind) or kind == "call":
            self._pieces.append("\n")
        self._kind = kind
        self._pieces.append(text)
        self._seen += visible(text)
        if self._seen > MAX_TEXT_CHARACTERS:
            raise GuardFailed("the answer is longer than the guard can read")


def visible(text: str) -> int:
    """Count the characters that a reader sees."""
    if text.isascii():
        return len(text)
    return sum(unicodedata.category(char) not in _UNSEEN for char in text)
