"""Look texts up in a whole catalogue at once: digests, and which licence owns a run of words.

Owns nothing but derived data; it is built once for a catalogue and kept by its digest.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from compliance.rules.catalogue import Library, LicenceVersion
from compliance.rules.text import SKETCH_SIZE, words

_DIGEST_RANGE = 2**48
_KEPT_INDEXES = 64


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Hold what is known of a licence's words without its text.

    `limit` is the largest run digest that the sketch speaks about: a run below it belongs to the
    text exactly when it is in the sketch. `spacing` is the mean number of words from one run of
    the sketch to the next.
    """

    key: str
    sketch: tuple[bytes, ...]
    runs: frozenset[bytes]
    limit: bytes
    spacing: float
    digests: frozenset[str]


@dataclass(frozen=True, slots=True)
class TextIndex:
    """Find licences by whole-text digest and by runs of words."""

    licences: Mapping[str, LicenceVersion]
    by_digest: Mapping[str, str]
    owners: Mapping[bytes, tuple[str, ...]]
    prints: Mapping[str, Fingerprint]
    headings: Mapping[str, frozenset[str]]


_kept: dict[str, TextIndex] = {}


def index_of(library: Library) -> TextIndex:
    """Build the index of a catalogue, or give the one built before."""
    held = _kept.get(library.digest)
    if held is not None and held.licences == library.licences:
        return held
    if len(_kept) >= _KEPT_INDEXES:
        _kept.pop(next(iter(_kept)))
    made = build_index(library)
    _kept[library.digest] = made
    return made


def build_index(library: Library) -> TextIndex:
    """Turn every licence's digests and sketch around into look-ups."""
    owners: dict[bytes, list[str]] = {}
    by_digest: dict[str, str] = {}
    prints: dict[str, Fingerprint] = {}
    for key, licence in library.licences.items():
        by_digest.update(dict.fromkeys(licence.text_sha256, key))
        if licence.text_sketch:
            prints[key] = _fingerprint(licence)
        for run in licence.text_sketch:
            owners.setdefault(run, []).append(key)
    return TextIndex(
        licences=library.licences,
        by_digest=by_digest,
        owners={run: tuple(keys) for run, keys in owners.items()},
        prints=prints,
        headings={key: _heading(one) for key, one in library.licences.items()},
    )


def _fingerprint(licence: LicenceVersion) -> Fingerprint:
    sketch = licence.text_sketch
    whole = len(sketch) < SKETCH_SIZE
    limit = b"\xff" * len(sketch[0]) if whole else sketch[-1]
    # The k-th smallest of n even draws stands near k/n, which tells n.
    share = 1.0 if whole else max(1, int.from_bytes(limit, "big")) / _DIGEST_RANGE
    return Fingerprint(
        key=licence.key,
        sketch=sketch,
        runs=frozenset(sketch),
        limit=limit,
        spacing=1 / share,
        digests=frozenset(licence.text_sha256),
    )


def _heading(licence: LicenceVersion) -> frozenset[str]:
    """Gather the words of a licence's names, of which headings over its text are made."""
    names = (licence.title, licence.version or "", licence.spdx or "", *licence.licence_names)
    return frozenset(word for name in names for word in words(name))
