"""Define the ledger's bytes: entries, the hash chain, Merkle roots and their signatures.

One chain for each organisation. An entry's bytes are RFC 8785 canonical JSON, its hash is SHA-256
over them, and each entry holds the hash of the one before. A Merkle root over all entries
(RFC 6962 section 2.1) is signed with Ed25519, so that cutting the tail or rebuilding the whole
chain shows too. Knows nothing about the database or the clock.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import rfc8785
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_public_key,
)

from registry.errors import BadInput

GENESIS: Final = "0" * 64
ROOT_SCHEMA: Final = "lictor.root/1"
MAX_NUMBER: Final = 2**53 - 1
MAX_ENTRY_BYTES: Final = 4 << 20
MAX_PAYLOAD_DEPTH: Final = 32
_HASH: Final = re.compile(r"[0-9a-f]{64}")
_SIGNATURE: Final = re.compile(r"[0-9a-f]{128}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """Hold one link: `seq` counts from 1 in each organisation, `prev` is the last entry's hash.

    `at` is an ISO 8601 instant as text. `payload` holds JSON values; numbers beyond 2**53 - 1 and
    binary data go in as text.

    Raises: BadInput (code ledger_entry_invalid) for what canonical JSON cannot hold exactly.
    """

    org: str
    seq: int
    prev: str
    at: str
    actor: str
    action: str
    subject: str
    payload: Mapping[str, Any]

    def __post_init__(self) -> None:
        if type(self.seq) is not int or not 1 <= self.seq <= MAX_NUMBER:
            raise _invalid(f"seq must be a whole number from 1, not {self.seq!r}.")
        if not isinstance(self.prev, str) or not _HASH.fullmatch(self.prev):
            raise _invalid("prev must be 64 lower-case hex digits.")
        for name in ("org", "at", "actor", "action", "subject"):
            if not isinstance(getattr(self, name), str):
                raise _invalid(f"{name} must be text.")
        if not isinstance(self.payload, Mapping):
            raise _invalid("payload must be an object.")
        _check_value(self.payload, MAX_PAYLOAD_DEPTH)

    @property
    def hash(self) -> str:
        return hashlib.sha256(self.canonical_bytes()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """Give the plain form whose canonical bytes are hashed."""
        return {
            "org": self.org,
            "seq": self.seq,
            "prev": self.prev,
            "at": self.at,
            "actor": self.actor,
            "action": self.action,
            "subject": self.subject,
            "payload": dict(self.payload),
        }

    def canonical_bytes(self) -> bytes:
        """Write the canonical JSON. Raises: BadInput above MAX_ENTRY_BYTES."""
        data = canonical(self.to_json())
        if len(data) > MAX_ENTRY_BYTES:
            raise _invalid(f"the entry is larger than {MAX_ENTRY_BYTES} bytes.")
        return data


class MerkleTree:
    """Build an RFC 6962 root from leaves in order, keeping one hash for each level.

    Law: the root depends on every leaf's bytes, their order and their number.
    """

    def __init__(self) -> None:
        self.size = 0
        self._peaks: list[tuple[int, bytes]] = []

    def add(self, leaf: bytes) -> None:
        """Append one leaf."""
        width, node = 1, hashlib.sha256(b"\x00" + leaf).digest()
        while self._peaks and self._peaks[-1][0] == width:
            node = _parent(self._peaks.pop()[1], node)
            width *= 2
        self._peaks.append((width, node))
        self.size += 1

    def root(self) -> str:
        """Return the hex root over the leaves so far; of no leaves, the hash of nothing."""
        if not self._peaks:
            return hashlib.sha256(b"").hexdigest()
        node = self._peaks[-1][1]
        for _, left in reversed(self._peaks[:-1]):
            node = _parent(left, node)
        return node.hex()


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedRoot:
    """State that an organisation's first `size` entries have this root and end in `head`.

    `signature` is hex; `kid` names the key; `at` is an ISO 8601 instant as text. The signature
    covers every other member.
    """

    org: str
    size: int
    root: str
    head: str
    at: str
    kid: str
    signature: str

    def signed_bytes(self) -> bytes:
        """Write the canonical JSON that the signature is over."""
        members = asdict(self)
        del members["signature"]
        return canonical({"schema": ROOT_SCHEMA, **members})


def merkle_root(entries: Iterable[Entry]) -> str:
    """Return the hex Merkle root over entries in order."""
    tree = MerkleTree()
    for entry in entries:
        tree.add(entry.canonical_bytes())
    return tree.root()


def sign_root(
    private_key: Ed25519PrivateKey, *, org: str, size: int, root: str, head: str, at: str
) -> SignedRoot:
    """Sign a root. Law: `verify_root(sign_root(key, ...), key.public_key())`."""
    kid = key_id(private_key.public_key())
    unsigned = SignedRoot(org=org, size=size, root=root, head=head, at=at, kid=kid, signature="")
    signature = private_key.sign(unsigned.signed_bytes()).hex()
    return SignedRoot(org=org, size=size, root=root, head=head, at=at, kid=kid, signature=signature)


def verify_root(signed: SignedRoot, public_key: Ed25519PublicKey) -> bool:
    """Tell whether the signature and the key's name hold for this very root."""
    if signed.kid != key_id(public_key) or not _SIGNATURE.fullmatch(signed.signature):
        return False
    try:
        public_key.verify(bytes.fromhex(signed.signature), signed.signed_bytes())
    except (InvalidSignature, BadInput):
        return False
    return True


def key_id(public_key: Ed25519PublicKey) -> str:
    """Name a key by the first 16 hex digits of the SHA-256 of its 32 bytes."""
    return hashlib.sha256(public_key.public_bytes_raw()).hexdigest()[:16]


def public_key_pem(public_key: Ed25519PublicKey) -> str:
    """Write a public key as PEM text."""
    pem = public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return pem.decode("ascii")


def load_public_key(pem: bytes) -> Ed25519PublicKey:
    """Read an Ed25519 public key from PEM. Raises: BadInput (code key_invalid)."""
    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise BadInput("The public key is not PEM.", code="key_invalid") from error
    if not isinstance(key, Ed25519PublicKey):
        raise BadInput("The public key is not an Ed25519 key.", code="key_invalid")
    return key


def canonical(value: object) -> bytes:
    """Write RFC 8785 canonical JSON. Raises: BadInput for what it cannot hold."""
    try:
        return bytes(rfc8785.dumps(value))  # type: ignore[arg-type]  # judged by rfc8785 itself
    except (rfc8785.CanonicalizationError, UnicodeError, RecursionError) as error:
        raise _invalid(f"cannot be written as canonical JSON: {error}") from error


def _parent(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def _check_value(value: object, depth: int) -> None:
    """Refuse what would read back from JSON as something else."""
    if depth < 0:
        raise _invalid(f"payload is nested deeper than {MAX_PAYLOAD_DEPTH} levels.")
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise _invalid("payload keys must be text.")
        for item in value.values():
            _check_value(item, depth - 1)
    elif isinstance(value, list | tuple):
        for item in value:
            _check_value(item, depth - 1)
    elif isinstance(value, int | float):
        if not abs(value) <= MAX_NUMBER:
            raise _invalid(f"payload numbers must be within 2**53 - 1; write {value} as text.")
    elif value is not None and not isinstance(value, str):
        raise _invalid(f"payload cannot hold a {type(value).__name__}; write it as text.")


def _invalid(message: str) -> BadInput:
    return BadInput(f"Ledger entry: {message}", code="ledger_entry_invalid", place="ledger")
