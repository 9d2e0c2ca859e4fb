"""Find the known licences in one text: word for word, altered, several in a row, or none.

Works from digests and sketches alone, so a catalogue need not ship the texts. A part is exact only
if the sha256 of its words is one the catalogue knows.
"""

import hashlib
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from compliance.rules.text import SHINGLE_WORDS, shingles, similarity, sketch_of
from compliance.rules.text_index import Fingerprint, TextIndex

NEAR = 0.6
"""Smallest similarity that still names a relative. Measured: the closest other version of one
family stands at 0.76, a version of another year at 0.61, a counterfeit at 0.02."""

MIN_PART_WORDS = 8
_MAX_PARTS = 16
_MAX_RIVALS = 12
_MIN_SHARE = 0.3
# A longer licence of which nearly all runs stand here explains the words better than a shorter
# exact one inside it, as in a permissive text that somebody extended.
_EXTENDS_SHARE = 0.85
_EXTENDS_BESIDE = 0.1
_WHOLE_ENOUGH = 0.97
_MAX_ENDS = 200
_MAX_TRIES = 8
# A run that a text has twice can hide its first or last one from the count.
_SLACK_HITS = 4
# No run of a sketch for this many mean spacings: less than once in ten thousand by chance.
_STRANGE_SPACINGS = 10

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Part:
    """Say that the words from `start` to before `end` are a licence, exactly or nearly."""

    key: str
    start: int
    end: int
    exact: bool
    likeness: float


@dataclass(frozen=True, slots=True)
class Parts:
    """Hold the licences found, in the order of the text, and the stretches that none explains.

    `nearest` and `likeness` tell the closest licence, however far.
    """

    found: tuple[Part, ...]
    rest: tuple[Span, ...]
    nearest: str
    likeness: float


def find_parts(found: list[str], index: TextIndex) -> Parts:
    """Explain a text's words by known licences: exact ones first, then altered ones."""
    text = _Text(found, index)
    whole = (0, len(found))
    exact = _take(text.longest_exact, [whole])
    parts = [*exact, *_take(text.best_near, _gaps(whole, exact))]
    extended = text.extending(whole, exact)
    if extended is not None:
        parts = [extended, *_take(text.best_near, _gaps(whole, [extended]))]
    nearest, likeness = text.nearest()
    ordered = sorted(parts, key=lambda one: one.start)
    return Parts(tuple(ordered), tuple(_gaps(whole, ordered)), nearest, likeness)


def _take(choose: Callable[[Span], Part | None], spans: list[Span]) -> list[Part]:
    """Choose a part of each stretch, then of what is left on both sides of it."""
    parts: list[Part] = []
    waiting = list(spans)
    while waiting and len(parts) < _MAX_PARTS:
        span = waiting.pop()
        part = choose(span) if span[1] - span[0] >= MIN_PART_WORDS else None
        if part is not None:
            parts.append(part)
            waiting += [(span[0], part.start), (part.end, span[1])]
    return parts


def _gaps(span: Span, parts: list[Part]) -> list[Span]:
    """List the stretches that no part covers."""
    found, at = [], span[0]
    for part in sorted(parts, key=lambda one: one.start):
        found.append((at, part.start))
        at = max(at, part.end)
    return [(start, end) for start, end in [*found, (at, span[1])] if start < end]


def strange_spans(found: list[str], part: Part, index: TextIndex) -> tuple[Span, ...]:
    """List long stretches of an altered part where the known text has no run at all.

    These were added or rewritten; with a sparse sketch, short ones stay unseen.
    """
    mark = index.prints[part.key]
    longest = SHINGLE_WORDS + 3
    if mark.spacing > 1:
        longest += int(_STRANGE_SPACINGS * mark.spacing)
    runs = shingles(found[part.start : part.end])
    hits = [part.start + at for at, run in enumerate(runs) if run in mark.runs]
    edges = [part.start - SHINGLE_WORDS, *hits, part.end]
    return tuple(
        (before + SHINGLE_WORDS, after)
        for before, after in pairwise(edges)
        if after - before > longest
    )


def _covers(part: Part, others: list[Part]) -> bool:
    return all(part.start <= one.start and one.end <= part.end for one in others)


class _Text:
    """Hold a text's runs of words and where those of each licence stand."""

    def __init__(self, found: list[str], index: TextIndex) -> None:
        self.words = found
        self.index = index
        self.runs = shingles(found)
        self._sketches: dict[Span, tuple[bytes, ...]] = {}
        self.hits: dict[str, list[int]] = {}
        for at, run in enumerate(self.runs):
            for key in index.owners.get(run, ()):
                self.hits.setdefault(key, []).append(at)

    def nearest(self) -> tuple[str, float]:
        """Name the closest licence to the whole text."""
        mine = self._sketch((0, len(self.words)))
        likely = sorted(self.hits, key=lambda key: (-len(self.hits[key]), key))[:_MAX_RIVALS]
        likeness, key = max(
            ((similarity(mine, self.index.prints[key].sketch), key) for key in likely),
            default=(0.0, ""),
        )
        return key, likeness

    def longest_exact(self, span: Span) -> Part | None:
        """Choose the longest licence that stands in a stretch word for word."""
        found = [self._exact(key, span) for key, share in self._rivals(span) if share == 1]
        exact = [part for part in found if part is not None]
        return max(exact, key=lambda one: (one.end - one.start, one.key), default=None)

    def best_near(self, span: Span) -> Part | None:
        """Choose the licence that a stretch resembles most."""
        found = [self._near(key, span) for key, _ in self._rivals(span)]
        near = [part for part in found if part is not None]
        return max(near, key=lambda one: (one.likeness, one.key), default=None)

    def extending(self, span: Span, exact: list[Part]) -> Part | None:
        """Find an altered licence that explains what stands beside the exact ones, and those too.

        An extended permissive text holds the permissive one word for word; with one word of the
        extension changed it is still that text altered, and no plain permissive one.
        """
        gaps = _gaps(span, exact) if exact else []
        if not gaps:
            return None
        inside = [at for part in exact for at in range(part.start, part.end)]
        found = []
        for key, share in self._rivals(span):
            mark = self.index.prints[key]
            beside = {self.runs[at] for gap in gaps for at in self._within(key, gap)}
            beside.difference_update(self.runs[at] for at in inside if at < len(self.runs))
            if share >= _EXTENDS_SHARE and len(beside) >= _EXTENDS_BESIDE * len(mark.sketch):
                found.append(self._near(key, span))
        near = [part for part in found if part is not None and _covers(part, exact)]
        return max(near, key=lambda one: (one.likeness, one.key), default=None)

    def _within(self, key: str, span: Span) -> list[int]:
        hits = self.hits[key]
        first = bisect_left(hits, span[0])
        return hits[first : bisect_left(hits, max(span[0] + 1, span[1] - SHINGLE_WORDS + 1))]

    def _rivals(self, span: Span) -> list[tuple[str, float]]:
        """List the licences with many runs in the stretch, with the share of their sketch."""
        found = []
        for key in self.hits:
            mine = {self.runs[at] for at in self._within(key, span)}
            share = len(mine) / len(self.index.prints[key].sketch)
            if share >= _MIN_SHARE:
                found.append((share, key))
        return [(key, share) for share, key in sorted(found, reverse=True)[:_MAX_RIVALS]]

    def _exact(self, key: str, span: Span) -> Part | None:
        """Find the words of a licence standing whole inside the stretch.

        Inside the true text every run up to the sketch's limit is in the sketch; so the text lies
        between two foreign ones, and its ends need few tries.
        """
        mark = self.index.prints[key]
        for starts, last_runs in self._enclosures(mark, span):
            place = self._proven(mark, starts, last_runs, span[1])
            if place is not None:
                return Part(key, *place, exact=True, likeness=1.0)
        return None

    def _enclosures(self, mark: Fingerprint, span: Span) -> Iterator[tuple[range, range]]:
        last = span[0] + len(self._runs_of(span))
        inside: list[int] = []
        before = span[0] - 1
        for at in range(span[0], last + 1):
            foreign = at == last or (self.runs[at] <= mark.limit and self.runs[at] not in mark.runs)
            if foreign:
                yield from self._copies(mark, inside, before, at)
                inside, before = [], at
            elif self.runs[at] in mark.runs:
                inside.append(at)

    def _copies(
        self, mark: Fingerprint, inside: list[int], before: int, after: int
    ) -> Iterator[tuple[range, range]]:
        """Bound the text among runs that all belong to it, some perhaps to a second copy.

        A sibling's shared words may stand before it or after it, so the shortest stretches that
        hold every run of the sketch are tried too.
        """
        edges = [before, *inside, after]
        for first, last in self._complete(mark, inside):
            begin, stop = max(0, first - _SLACK_HITS), min(last + 2 + _SLACK_HITS, len(inside) + 1)
            starts = range(edges[begin] + 1, edges[first + 1] + 1)[-_MAX_ENDS:]
            yield starts, range(edges[last + 1], edges[stop])[:_MAX_ENDS]

    def _complete(self, mark: Fingerprint, inside: list[int]) -> Iterator[Span]:
        """Give (first, last) places that hold every run.

        All of them; those of a copy that comes first, or last; then the shortest stretches.
        """
        end = self._completed(mark, inside)
        if end is None:
            return
        yield 0, len(inside) - 1
        yield 0, end
        begin = self._completed(mark, inside[::-1])
        yield len(inside) - 1 - (begin or 0), len(inside) - 1
        counts: Counter[bytes] = Counter()
        first = 0
        for last, at in enumerate(inside[: end + _MAX_TRIES]):
            counts[self.runs[at]] += 1
            while counts[self.runs[inside[first]]] > 1:
                counts[self.runs[inside[first]]] -= 1
                first += 1
            if last >= end:
                yield first, last

    def _completed(self, mark: Fingerprint, places: list[int]) -> int | None:
        """Say at which of the places the last missing run of the sketch is met."""
        missing = set(mark.runs)
        for number, at in enumerate(places):
            missing.discard(self.runs[at])
            if not missing:
                return number
        return None

    def _proven(self, mark: Fingerprint, starts: range, last_runs: range, stop: int) -> Span | None:
        """Try the few possible ends against the known digests, the longest text first."""
        ends = [min(at + SHINGLE_WORDS, stop) for at in last_runs]
        for start in starts:
            tried = hashlib.sha256(" ".join(self.words[start : ends[0]]).encode())
            proven = ends[0] if tried.hexdigest() in mark.digests else 0
            for end in ends[1:]:
                tried.update(f" {self.words[end - 1]}".encode())
                if tried.hexdigest() in mark.digests:
                    proven = end
            if proven:
                return start, proven
        return None

    def _near(self, key: str, span: Span) -> Part | None:
        mark = self.index.prints[key]
        start, end = self._densest(mark, span)
        whole = similarity(self._sketch(span), mark.sketch)
        inner = similarity(self._sketch((start, end)), mark.sketch)
        if max(whole, inner) < NEAR:
            return None
        if whole >= _WHOLE_ENOUGH * inner:
            return Part(key, *span, exact=False, likeness=whole)
        slack = int(2 * mark.spacing)
        start = max(span[0], start - slack) if start - span[0] > 2 * slack else span[0]
        end = min(span[1], end + slack) if span[1] - end > 2 * slack else span[1]
        return Part(key, start, end, exact=False, likeness=inner)

    def _sketch(self, span: Span) -> tuple[bytes, ...]:
        if span not in self._sketches:
            self._sketches[span] = sketch_of(self._runs_of(span))
        return self._sketches[span]

    def _runs_of(self, span: Span) -> list[bytes]:
        return self.runs[span[0] : max(span[0] + 1, span[1] - SHINGLE_WORDS + 1)]

    def _densest(self, mark: Fingerprint, span: Span) -> Span:
        """Find the stretch where the licence's runs stand as close as in the licence itself."""
        best = (0.0, span[0], span[0])
        score, start, last = 0.0, span[0], span[0]
        for at in self._within(mark.key, span):
            score -= (at - last) / mark.spacing / 2
            if score <= 0:
                score, start = 0.0, at
            score, last = score + 1, at
            best = max(best, (score, start, at + SHINGLE_WORDS))
        return best[1], min(best[2], span[1])
