"""Write a ledger to a file and verify such a file without trusting who wrote it.

One canonical JSON object a line: a header with the signed root and its key, then the entries in
order, each with its hash. Every byte counts: a line that is not exactly canonical is a fault,
even where its meaning is unchanged. Verification streams; memory does not grow with the ledger.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from registry.errors import BadInput
from registry.ledger.chain import (
    GENESIS,
    MAX_ENTRY_BYTES,
    Entry,
    MerkleTree,
    SignedRoot,
    canonical,
    load_public_key,
    public_key_pem,
    verify_root,
)

SCHEMA: Final = "lictor.ledger/1"
MAX_LINE_BYTES: Final = MAX_ENTRY_BYTES + 1024
_HEADER_TEXTS: Final = (
    "schema",
    "org",
    "head",
    "root",
    "signature",
    "kid",
    "public_key_pem",
    "created_at",
)
_HEADER_MEMBERS: Final = frozenset({*_HEADER_TEXTS, "count"})
_ENTRY_MEMBERS: Final = frozenset(
    {"org", "seq", "prev", "at", "actor", "action", "subject", "payload", "hash"}
)


@dataclass(frozen=True, slots=True)
class Problem:
    """State one thing wrong; `seq` names the entry, or is None for the header or whole file."""

    seq: int | None
    line: int
    what: str

    def __str__(self) -> str:
        where = "header" if self.line == 1 else f"entry {self.seq}" if self.seq else "file"
        return f"{where} (line {self.line}): {self.what}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Hold the outcome; `key_trusted` is False when only the file vouches for its own key."""

    org: str
    count: int
    head: str
    root: str
    signed_at: str
    kid: str
    key_trusted: bool
    problems: tuple[Problem, ...]

    @property
    def is_intact(self) -> bool:
        return not self.problems

    def to_json(self) -> dict[str, Any]:
        """Give the plain form that `lictor ledger verify --json` prints."""
        return {
            "intact": self.is_intact,
            "org": self.org,
            "count": self.count,
            "head": self.head,
            "root": self.root,
            "signed_at": self.signed_at,
            "kid": self.kid,
            "key_trusted": self.key_trusted,
            "problems": [
                {"seq": item.seq, "line": item.line, "what": item.what} for item in self.problems
            ],
        }


def export_lines(
    entries: Iterable[Entry], signed: SignedRoot, public_key: Ed25519PublicKey
) -> Iterator[bytes]:
    """Yield the lines of an export; the entries must be exactly those under the signed root."""
    header = {
        "schema": SCHEMA,
        "org": signed.org,
        "count": signed.size,
        "head": signed.head,
        "root": signed.root,
        "signature": signed.signature,
        "kid": signed.kid,
        "public_key_pem": public_key_pem(public_key),
        "created_at": signed.at,
    }
    yield canonical(header) + b"\n"
    for entry in entries:
        yield canonical({**entry.to_json(), "hash": entry.hash}) + b"\n"


def verify_export(source: Path | BinaryIO, public_key: Ed25519PublicKey | None = None) -> Report:
    """Check a whole export and list every bad entry.

    Without `public_key`, the file's own key is used: that finds damage, but not a forger who
    signed everything anew.

    Raises: BadInput when the source is not an export at all.
    """
    with source.open("rb") if isinstance(source, Path) else nullcontext(source) as stream:
        return _Verifier(stream, public_key).run()


@dataclass(slots=True)
class _Verifier:
    stream: BinaryIO
    public_key: Ed25519PublicKey | None
    problems: list[Problem] = field(default_factory=list)
    tree: MerkleTree = field(default_factory=MerkleTree)
    line: int = 1
    seen: int = 0
    next_seq: int = 1
    # Hashes that the next entry may point back to; empty when the last line was unreadable.
    back: frozenset[str] = frozenset({GENESIS})
    head: str = GENESIS

    def run(self) -> Report:
        header = self._header()
        for raw in self._lines():
            self.seen += 1
            self._entry(raw, header)
        self._totals(header)
        return Report(
            org=str(header["org"]),
            count=self.seen,
            head=self.head,
            root=self.tree.root(),
            signed_at=str(header["created_at"]),
            kid=str(header["kid"]),
            key_trusted=self.public_key is not None,
            problems=tuple(self.problems),
        )

    def _lines(self) -> Iterator[bytes]:
        while raw := self.stream.readline(MAX_LINE_BYTES):
            self.line += 1
            yield raw

    def _fault(self, what: str, seq: int | None = None) -> None:
        self.problems.append(Problem(seq, self.line, what))

    def _header(self) -> Mapping[str, Any]:
        raw = self.stream.readline(MAX_LINE_BYTES)
        header = _object(raw, _HEADER_MEMBERS)
        if header is None or header["schema"] != SCHEMA or not _has_header_types(header):
            raise BadInput(
                f"The file does not begin with a {SCHEMA} header.",
                code="ledger_export_invalid",
                place="line 1",
                remedy="Export the ledger again with `lictor ledger export`.",
            )
        if raw != _canonical_line(header):
            self._fault("the header is not exactly canonical JSON.")
        self._signature(header)
        return header

    def _signature(self, header: Mapping[str, Any]) -> None:
        signed = SignedRoot(
            org=header["org"],
            size=header["count"],
            root=header["root"],
            head=header["head"],
            at=header["created_at"],
            kid=header["kid"],
            signature=header["signature"],
        )
        try:
            own = load_public_key(header["public_key_pem"].encode("utf-8", "replace"))
        except BadInput as error:
            self._fault(f"{error.detail}")
            own = None
        # PEM has more than one spelling of a key, so compare the text too.
        if own is not None and public_key_pem(own) != header["public_key_pem"]:
            self._fault("the public key is not written in its one canonical form.")
        if own is not None and self.public_key is not None and own != self.public_key:
            self._fault("the file was signed with another key than the one you trust.")
        key = self.public_key or own
        if key is None or not verify_root(signed, key):
            self._fault("the signature does not match the header.")

    def _entry(self, raw: bytes, header: Mapping[str, Any]) -> None:
        members = _object(raw, _ENTRY_MEMBERS)
        entry = _entry_of(members) if members is not None else None
        if members is None or entry is None:
            self._fault("the line is not a ledger entry.", self.next_seq)
            self.back, self.head = frozenset(), ""
            self.tree.add(raw)
            self.next_seq += 1
            return
        is_sound, follows = members["hash"] == entry.hash, entry.prev in self.back
        # A damaged entry that still points back to the last one stands in its place, whatever
        # its number says.
        seq = self.next_seq if follows and not is_sound else entry.seq
        self._order(seq)
        if raw != _canonical_line(members):
            self._fault("the line is not exactly canonical JSON.", seq)
        if not is_sound:
            self._fault("the content does not match its hash: it was changed.", seq)
        if entry.org != header["org"]:
            self._fault(f"belongs to another organisation, {entry.org!r}.", seq)
        if self.back and not follows:
            self._fault("does not point back to the entry before it.", seq)
        # An entry already found bad is reached from the next one by either of its two hashes.
        self.back = frozenset({entry.hash, str(members["hash"])})
        self.head = entry.hash
        self.tree.add(entry.canonical_bytes())

    def _order(self, seq: int) -> None:
        if seq > self.next_seq:
            last = seq - 1
            span = f"{self.next_seq}" if last == self.next_seq else f"{self.next_seq} to {last}"
            self._fault(f"entries missing before it: {span}.", seq)
        elif seq < self.next_seq:
            self._fault(f"out of order or repeated: {self.next_seq} was due here.", seq)
        self.next_seq = seq + 1

    def _totals(self, header: Mapping[str, Any]) -> None:
        if self.seen != header["count"]:
            first = min(self.seen, header["count"]) + 1
            kind = "are missing" if self.seen < header["count"] else "were added"
            self._fault(
                f"{header['count']} entries were signed but {self.seen} are here: entries "
                f"{kind}, in all {abs(self.seen - header['count'])}.",
                first if not self.problems else None,
            )
        if self.head != header["head"]:
            self._fault("the last entry's hash is not the signed head.")
        if self.tree.root() != header["root"]:
            self._fault("the entries' Merkle root is not the signed root.")


def _object(raw: bytes, members: frozenset[str]) -> dict[str, Any] | None:
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) and set(value) == members else None


def _has_header_types(header: Mapping[str, Any]) -> bool:
    texts = all(isinstance(header[name], str) for name in _HEADER_TEXTS)
    return texts and type(header["count"]) is int and header["count"] >= 0


def _entry_of(members: Mapping[str, Any]) -> Entry | None:
    try:
        entry = Entry(**{name: value for name, value in members.items() if name != "hash"})
        entry.canonical_bytes()
    except BadInput:
        return None
    return entry


def _canonical_line(members: Mapping[str, Any]) -> bytes | None:
    """Write a line as it must be, or None where it has no canonical form, which equals no line."""
    try:
        return canonical(dict(members)) + b"\n"
    except BadInput:
        return None
