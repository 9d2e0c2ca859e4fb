"""Keep checkpoint files by the SHA-256 of their bytes, each once, whoever sent them.

Knows bytes and digests only. A file's path comes from its digest, never from a name that a caller
chose. An organisation sees only the blobs that it sent itself (`Blob` rows).
"""

import contextlib
import hashlib
import os
import re
import shutil
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, Protocol

from django.conf import settings
from django.db import transaction

from registry.errors import BadInput, TooLarge, Unavailable
from registry.models import Blob, Checkpoint, Organisation

_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_CHUNK: Final = 1 << 20
MAX_BLOB_BYTES: Final = 256 << 30
# Left free on the store's disk, which the database may share.
RESERVE_BYTES: Final = 256 << 20
_READ_ONLY: Final = 0o444


class Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


def blob_path(sha256: str) -> Path:
    """Return where the bytes with this digest lie. Raises: BadInput for what is no digest."""
    if not _SHA256.fullmatch(sha256):
        raise BadInput(f"{sha256[:80]!r} is not 64 lower-case hex digits.", code="bad_digest")
    return Path(settings.LICTOR_BLOBS) / sha256[:2] / sha256


def missing(organisation: Organisation, digests: Iterable[str]) -> list[str]:
    """List which of these digests this organisation has not sent yet, sorted."""
    wanted = set(digests)
    held = Blob.objects.for_org(organisation).filter(sha256__in=wanted)
    return sorted(wanted - set(held.values_list("sha256", flat=True)))


def store(organisation: Organisation, stream: Readable, *, sha256: str) -> tuple[Blob, bool]:
    """Write a stream under its digest and say so for this organisation: (row, is new).

    The bytes are hashed while they are written and become visible only whole, by a rename.

    Raises: BadInput (code blob_mismatch) when the bytes have another digest, TooLarge,
    Unavailable (code store_failed, store_full); nothing is kept then.
    """
    final = blob_path(sha256)
    partial = final.with_name(f".{final.name}.{uuid.uuid4().hex}")
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        size = _write(stream, partial, sha256)
        partial.chmod(_READ_ONLY)
        os.replace(partial, final)
    except OSError as error:
        raise Unavailable(f"The store cannot be written: {error}", code="store_failed") from error
    finally:
        # A store that cannot be written must say so, not that nothing could be cleared away.
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
    with transaction.atomic():
        return Blob.objects.get_or_create(
            organisation=organisation, sha256=sha256, defaults={"size": size}
        )


def _write(stream: Readable, to: Path, sha256: str) -> int:
    seen, size = hashlib.sha256(), 0
    with to.open("xb") as file:
        while chunk := stream.read(_CHUNK):
            size += len(chunk)
            _check_room(to, size, len(chunk))
            seen.update(chunk)
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    if seen.hexdigest() != sha256:
        raise BadInput(
            f"The bytes sent have SHA-256 {seen.hexdigest()}, not {sha256}.",
            code="blob_mismatch",
            remedy="Hash the file again and send it under its own digest.",
        )
    return size


def _check_room(to: Path, size: int, coming: int) -> None:
    if size > MAX_BLOB_BYTES:
        raise TooLarge(f"A file has at most {MAX_BLOB_BYTES} bytes.", remedy="Shard the weights.")
    if shutil.disk_usage(to.parent).free - coming < RESERVE_BYTES:
        raise Unavailable("The store's disk is full.", code="store_full")


def read_bytes(checkpoint: Checkpoint, path: str, *, limit: int = 16 << 20) -> bytes | None:
    """Return one file of a checkpoint, at most `limit` bytes; None when it has no such file.

    Raises: Unavailable (code blob_lost) when the store lacks it.
    """
    for entry in _files(checkpoint):
        if entry["path"] == path:
            try:
                with blob_path(entry["sha256"]).open("rb") as file:
                    return file.read(limit)
            except FileNotFoundError as error:
                raise _lost(checkpoint, path) from error
    return None


def materialise(checkpoint: Checkpoint, folder: Path) -> None:
    """Lay a checkpoint's files out in a new folder, read-only, by hard link where possible.

    Raises: Unavailable (code blob_lost) when the store lacks a file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for entry in _files(checkpoint):
        source, target = blob_path(entry["sha256"]), folder / entry["path"]
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        try:
            os.link(source, target)
        except FileNotFoundError as error:
            raise _lost(checkpoint, entry["path"]) from error
        except OSError:
            shutil.copyfile(source, target)
            target.chmod(_READ_ONLY)


def _lost(checkpoint: Checkpoint, path: str) -> Unavailable:
    return Unavailable(f"The store has lost {path} of {checkpoint.digest}.", code="blob_lost")


def _files(checkpoint: Checkpoint) -> Iterator[dict[str, Any]]:
    yield from checkpoint.manifest["files"]
