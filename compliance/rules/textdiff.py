"""Tell word by word how one text differs from another, in the spelling of the originals.

Knows words, not licences. Compares what `text.words` sees, so layout is never a difference.
"""

import re
from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass
from difflib import SequenceMatcher

from compliance.rules.text import DISGUISE, is_holder_line, words

CONTEXT_WORDS = 4
ANCHOR_WORDS = 5
_RUN_WORDS = 3
_PAD_WORDS = 8
_PAIRS_MAX = 1_000_000
# A run that stands in more places than this tells no place from another.
_PLACES_MAX = 100
FOUND_SHARE = 0.5
"""Share of a clause's words that must stand in order before a passage counts as that clause."""

_LATIN = re.compile("[a-z]")
_LOOKALIKE = re.compile("[\u0370-\u03ff\u0400-\u052f\u0530-\u058f\u13a0-\u13ff\ua4d0-\ua4ff]")
_DISGUISE = re.compile(f"[{DISGUISE}]")

Block = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Spelling:
    """Hold a text's words beside the pieces of the original that they stand in."""

    words: list[str]
    pieces: list[str]
    piece_of: list[int]

    def show(self, start: int, end: int) -> str:
        """Give the original spelling of the words from `start` to before `end`."""
        if start >= end:
            return ""
        return " ".join(self.pieces[self.piece_of[start] : self.piece_of[end - 1] + 1])


def spell(text: str) -> Spelling:
    """Split a text into words and remember their spelling; holder lines are left out."""
    found: list[str] = []
    pieces: list[str] = []
    piece_of: list[int] = []
    for line in text.splitlines():
        if is_holder_line(line):
            continue
        for piece in line.split():
            mine = words(piece)
            if mine:
                piece_of.extend([len(pieces)] * len(mine))
                pieces.append(_visible(piece))
                found.extend(mine)
    return Spelling(found, pieces, piece_of)


def _visible(piece: str) -> str:
    """Spell out marks and foreign letters that a reader could not tell from plain ones."""
    if piece.isascii():
        return piece
    shown = _DISGUISE.sub(lambda mark: f"\\u{ord(mark[0]):04x}", piece)
    if _LATIN.search(shown.casefold()) and _LOOKALIKE.search(shown):
        shown = _LOOKALIKE.sub(lambda mark: f"\\u{ord(mark[0]):04x}", shown)
    return shown


def disguised_words(text: str) -> tuple[str, ...]:
    """List the words that hide marks, or mix look-alike letters of another script with Latin."""
    if text.isascii():
        return ()
    shown = {piece: _visible(piece) for piece in text.split() if not piece.isascii()}
    return tuple(sorted(after for before, after in shown.items() if after != before))


@dataclass(frozen=True, slots=True)
class WordChange:
    """Hold one difference: words of the known text, words found instead, and what surrounds.

    `old` is empty for added words, `new` for dropped ones.
    """

    old: str
    new: str
    before: str
    after: str

    @property
    def kind(self) -> str:
        """Say "added", "dropped" or "replaced"."""
        return "added" if not self.old else "replaced" if self.new else "dropped"

    def __str__(self) -> str:
        middle = f"[-{self.old}-]" if self.old else ""
        middle += f"{{+{self.new}+}}" if self.new else ""
        return " ".join(filter(None, (self.before, middle, self.after)))


def diff_texts(old: str, new: str) -> tuple[WordChange, ...]:
    """List the differences between a known text and another, in order.

    Laws: empty exactly when the words are the same; putting them in turns old into new.
    """
    left, right = spell(old), spell(new)
    blocks = matching_blocks(left.words, right.words)
    found = []
    at_old = at_new = 0
    for start_old, start_new, size in [*blocks, (len(left.words), len(right.words), 0)]:
        if start_old > at_old or start_new > at_new:
            found.append(_change(left, right, (at_old, start_old), (at_new, start_new)))
        at_old, at_new = start_old + size, start_new + size
    return tuple(found)


def _change(
    left: Spelling, right: Spelling, old: tuple[int, int], new: tuple[int, int]
) -> WordChange:
    return WordChange(
        old=left.show(*old),
        new=right.show(*new),
        before=right.show(max(0, new[0] - CONTEXT_WORDS), new[0]),
        after=right.show(new[1], min(len(right.words), new[1] + CONTEXT_WORDS)),
    )


def matching_blocks(left: list[str], right: list[str]) -> list[Block]:
    """List runs of equal words as (start in left, start in right, length), in order of both.

    Runs that occur once in each text anchor the rest, so that long texts stay quick.
    Source: Cohen's patience difference.
    """
    found: list[Block] = []
    at_left = at_right = 0
    for one, two in [*_anchors(left, right), (len(left), len(right))]:
        if one < at_left or two < at_right:
            continue
        found += _between(left, right, (at_left, one), (at_right, two))
        size = 0
        while (
            one + size < len(left)
            and two + size < len(right)
            and left[one + size] == right[two + size]
        ):
            size += 1
        if size:
            found.append((one, two, size))
        at_left, at_right = one + size, two + size
    return found


def _between(
    left: list[str], right: list[str], one: tuple[int, int], two: tuple[int, int]
) -> list[Block]:
    # Common words of long stretches would take minutes to pair; leaving them out stays correct.
    long = (one[1] - one[0]) * (two[1] - two[0]) > _PAIRS_MAX
    matcher = SequenceMatcher(None, left[slice(*one)], right[slice(*two)], autojunk=long)
    return [
        (one[0] + block.a, two[0] + block.b, block.size)
        for block in matcher.get_matching_blocks()
        if block.size
    ]


def _anchors(left: list[str], right: list[str]) -> list[tuple[int, int]]:
    """Pair the runs that occur once in both, and keep the longest series that rises in both."""
    there = _unique_runs(right)
    pairs = [(at, there[run]) for run, at in _unique_runs(left).items() if run in there]
    ends: list[int] = []
    rows: list[int] = []
    back: list[int] = []
    for row, (_, at) in enumerate(pairs):
        place = bisect_left(ends, at)
        back.append(rows[place - 1] if place else -1)
        if place == len(ends):
            ends.append(at)
            rows.append(row)
        else:
            ends[place], rows[place] = at, row
    chain = []
    row = rows[-1] if rows else -1
    while row >= 0:
        chain.append(pairs[row])
        row = back[row]
    return chain[::-1]


def _unique_runs(found: list[str]) -> dict[tuple[str, ...], int]:
    runs = [tuple(found[at : at + ANCHOR_WORDS]) for at in range(len(found) - ANCHOR_WORDS + 1)]
    counts = Counter(runs)
    return {run: at for at, run in enumerate(runs) if counts[run] == 1}


class Finder:
    """Find where a clause stands in a text although some of its words differ."""

    def __init__(self, text: Spelling) -> None:
        self.text = text
        self._runs: dict[tuple[str, ...], list[int]] = {}
        for at in range(len(text.words) - _RUN_WORDS + 1):
            self._runs.setdefault(tuple(text.words[at : at + _RUN_WORDS]), []).append(at)

    def changes(
        self, quote: Spelling, *, share: float = FOUND_SHARE
    ) -> tuple[WordChange, ...] | None:
        """List how the clause's words differ where it stands; None where it is not to be found.

        `share` is how many of its words (0 to 1) must stand there in order.
        """
        window = self._window(quote.words)
        if window is None:
            return None
        start, end = window
        blocks = _between(quote.words, self.text.words, (0, len(quote.words)), (start, end))
        kept = sum(size for _, _, size in blocks)
        if kept < share * len(quote.words):
            return None
        return tuple(self._steps(quote, blocks))

    def _window(self, quote: list[str]) -> tuple[int, int] | None:
        """Choose the stretch of text in which most runs of the quote stand at their place."""
        shifts = sorted(
            at - place
            for place in range(len(quote) - _RUN_WORDS + 1)
            for at in self._runs.get(tuple(quote[place : place + _RUN_WORDS]), ())[:_PLACES_MAX]
        )
        if not shifts:
            return None
        spread = len(quote) // 2 + _PAD_WORDS
        best, first = (0, 0, 0), 0
        for last, shift in enumerate(shifts):
            while shift - shifts[first] > spread:
                first += 1
            best = max(best, (last - first + 1, first, last))
        _, first, last = best
        start = max(0, shifts[first] - _PAD_WORDS)
        return start, min(len(self.text.words), shifts[last] + len(quote) + _PAD_WORDS)

    def _steps(self, quote: Spelling, blocks: list[Block]) -> list[WordChange]:
        found = []
        size = len(quote.words)
        at_old, at_new = 0, max(0, blocks[0][1] - blocks[0][0])
        tail = blocks[-1][1] + blocks[-1][2] + size - blocks[-1][0] - blocks[-1][2]
        ends = (size, min(tail, len(self.text.words)), 0)
        for start_old, start_new, length in [*blocks, ends]:
            if start_old > at_old or start_new > at_new:
                old, new = (at_old, start_old), (at_new, start_new)
                found.append(_change(quote, self.text, old, new))
            at_old, at_new = start_old + length, start_new + length
        return found
