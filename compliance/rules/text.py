"""Normalise licence texts, digest them, and estimate how alike two of them are.

Knows words, not licences. Layout, quotes and markdown vanish; every word counts, so one edited
word changes the digest.
"""

import base64
import binascii
import hashlib
import re
import sys
import unicodedata
from collections.abc import Iterable

SHINGLE_WORDS = 5
SKETCH_SIZE = 256
_DIGEST_BYTES = 6
# Marks that turn or hide what a reader sees count as words of their own, so that a text which
# carries one never equals a known text: bidirectional controls and the invisible tag letters.
DISGUISE = "\u202a-\u202e\u2066-\u2069\U000e0000-\U000e007f"
_WORD = re.compile(f"[^\\W_]+|[{DISGUISE}]")
# Soft hyphens, joiners and byte order marks change nothing that is read; they go before splitting.
_UNSEEN = re.compile("[\u00ad\u034f\u180e\u200b-\u200f\u2060-\u2064\ufe00-\ufe0f\ufeff]")
_QUOTES = re.compile("[\u2018\u2019\u201a\u201b'\u201c\u201d\u201e\u201f\"`\u00b4]")
# A holder's line differs in every copy and grants nothing. Lines that could carry a term stay.
_HOLDER = re.compile(r"^\W*copyright\s*(\(c\)|©|\d{4}|\[yyyy\])", re.IGNORECASE)
_TERMS = """not no only except unless must shall may commercial noncommercial prohibited license
licence licensed permission use granted subject terms without solely purpose purposes forbidden
allowed evaluation nonproduction noncommercially"""
_TERM_WORDS = frozenset(_TERMS.split())
_HOLDER_WORDS_MAX = 16


def words(text: str) -> list[str]:
    """Split into normalised words: NFKC, casefolded, quotes and markup removed.

    Words that a reader sees alike are alike (invisible joiners vanish), but letters of another
    script that only look alike are not: "t\u0435rminate" with a Cyrillic e is another word.
    """
    # Plain ASCII has nothing to unify, and most licences are plain.
    folded = text if text.isascii() else unicodedata.normalize("NFKC", _UNSEEN.sub("", text))
    folded = folded.casefold()
    return _WORD.findall(_QUOTES.sub("", folded))


def is_holder_line(line: str) -> bool:
    """Say whether a line only names who holds the copyright."""
    if "copyright" not in line.casefold() or not _HOLDER.match(line):
        return False
    found = words(line)
    return len(found) <= _HOLDER_WORDS_MAX and not _TERM_WORDS.intersection(found)


def licence_words(text: str) -> list[str]:
    """Split a whole licence text into words, leaving out the lines that only name a holder."""
    return words("\n".join(line for line in text.splitlines() if not is_holder_line(line)))


def text_digest(text: str) -> str:
    """Digest a licence text as sha256 hex over its normalised words."""
    return hashlib.sha256(" ".join(licence_words(text)).encode()).hexdigest()


def clause_digest(quote: str) -> str:
    """Digest one clause as sha256 hex over its normalised words."""
    return hashlib.sha256(" ".join(words(quote)).encode()).hexdigest()


def contains_quote(text: str, quote: str) -> bool:
    """Say whether the quote's words stand in the text, in order and without a gap."""
    return contains_words(words(text), words(quote))


def contains_words(found: list[str], wanted: list[str]) -> bool:
    """Say whether the wanted words stand among the found ones, in order and without a gap."""
    return f" {' '.join(wanted)} " in f" {' '.join(found)} "


def shingles(found: list[str]) -> list[bytes]:
    """Digest each run of SHINGLE_WORDS words, in order; a shorter text is one run."""
    runs = range(max(1, len(found) - SHINGLE_WORDS + 1)) if found else ()
    return [
        hashlib.sha256(" ".join(found[at : at + SHINGLE_WORDS]).encode()).digest()[:_DIGEST_BYTES]
        for at in runs
    ]


def sketch(text: str) -> tuple[bytes, ...]:
    """Keep the SKETCH_SIZE smallest digests of the text's five-word runs, sorted.

    Source: Broder 1997, bottom-k sketches; lets a catalogue recognise a text it does not ship.
    """
    return sketch_of(shingles(licence_words(text)))


def sketch_of(found: Iterable[bytes]) -> tuple[bytes, ...]:
    """Keep the SKETCH_SIZE smallest digests, sorted."""
    return tuple(sorted(set(found))[:SKETCH_SIZE])


def similarity(left: tuple[bytes, ...], right: tuple[bytes, ...]) -> float:
    """Estimate the Jaccard similarity (0 to 1) of two texts from their sketches.

    Laws: symmetric; 1.0 for equal sketches; 0.0 when either is empty.
    """
    if not left or not right:
        return 0.0
    union = sorted(set(left) | set(right))[:SKETCH_SIZE]
    shared = set(left) & set(right)
    return sum(item in shared for item in union) / len(union)


def pack_sketch(items: tuple[bytes, ...]) -> str:
    """Write a sketch as base64 for a catalogue file."""
    return base64.b64encode(b"".join(items)).decode()


def unpack_sketch(packed: str) -> tuple[bytes, ...]:
    """Read a sketch back.

    Raises:
        ValueError: when the text is not base64 of whole digests.
    """
    try:
        raw = base64.b64decode("".join(packed.split()), validate=True)
    except binascii.Error as error:
        raise ValueError(f"not base64: {error}") from error
    if len(raw) % _DIGEST_BYTES:
        raise ValueError(f"{len(raw)} bytes is no multiple of {_DIGEST_BYTES}")
    return tuple(raw[at : at + _DIGEST_BYTES] for at in range(0, len(raw), _DIGEST_BYTES))


def main() -> None:
    """Print digest and sketch of the text on standard input, ready for a catalogue file."""
    text = sys.stdin.read()
    packed = pack_sketch(sketch(text))
    lines = "\n".join(f"  {packed[at : at + 92]}" for at in range(0, len(packed), 92))
    sys.stdout.write(f"text_sha256:\n  - {text_digest(text)}\ntext_sketch: |\n{lines}\n")


if __name__ == "__main__":
    main()
