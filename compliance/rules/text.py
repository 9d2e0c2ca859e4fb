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

SHINGLE_WORDS = 5
SKETCH_SIZE = 256
_DIGEST_BYTES = 6
_WORD = re.compile(r"[^\W_]+")
_QUOTES = re.compile("[\u2018\u2019\u201a\u201b'\u201c\u201d\u201e\u201f\"`\u00b4]")
# A holder's line differs in every copy and grants nothing. Lines that could carry a term stay.
_HOLDER = re.compile(r"^\W*copyright\s*(\(c\)|©|\d{4}|\[yyyy\])", re.IGNORECASE)
_TERMS = """not no only except unless must shall may commercial noncommercial prohibited license
licence licensed permission use granted subject terms without"""
_TERM_WORDS = frozenset(_TERMS.split())
_HOLDER_WORDS_MAX = 16


def words(text: str) -> list[str]:
    """Split into normalised words: NFKC, casefolded, quotes and markup removed."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return _WORD.findall(_QUOTES.sub("", folded))


def _is_holder_line(line: str) -> bool:
    if not _HOLDER.match(line):
        return False
    found = words(line)
    return len(found) <= _HOLDER_WORDS_MAX and not _TERM_WORDS.intersection(found)


def licence_words(text: str) -> list[str]:
    """Split a whole licence text into words, leaving out the lines that only name a holder."""
    return words("\n".join(line for line in text.splitlines() if not _is_holder_line(line)))


def text_digest(text: str) -> str:
    """Digest a licence text as sha256 hex over its normalised words."""
    return hashlib.sha256(" ".join(licence_words(text)).encode()).hexdigest()


def contains_quote(text: str, quote: str) -> bool:
    """Say whether the quote's words stand in the text, in order and without a gap."""
    return f" {' '.join(words(quote))} " in f" {' '.join(words(text))} "


def _shingle_digests(text: str) -> set[bytes]:
    found = licence_words(text)
    runs = range(max(1, len(found) - SHINGLE_WORDS + 1))
    return {
        hashlib.sha256(" ".join(found[at : at + SHINGLE_WORDS]).encode()).digest()[:_DIGEST_BYTES]
        for at in runs
        if found
    }


def sketch(text: str) -> tuple[bytes, ...]:
    """Keep the SKETCH_SIZE smallest digests of the text's five-word runs, sorted.

    Source: Broder 1997, bottom-k sketches; lets a catalogue recognise a text it does not ship.
    """
    return tuple(sorted(_shingle_digests(text))[:SKETCH_SIZE])


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
