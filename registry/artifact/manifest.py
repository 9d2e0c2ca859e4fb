"""Turn a checkpoint folder into a manifest; its digest is the checkpoint's identity.

A manifest lists (path, size, sha256) of every file. Files are streamed, never loaded, and
nothing is unpickled. Knows nothing about models, licences or where the bytes are kept.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import rfc8785

from registry.artifact.folder import MAX_FILES, Progress, hash_files, list_folder
from registry.artifact.paths import path_faults
from registry.errors import BadInput, Fault

SCHEMA: Final = "lictor.manifest/1"
MAX_FILE_BYTES: Final = 2**53 - 1
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, order=True)
class FileEntry:
    """Name one file, its size in bytes and the hex SHA-256 of its bytes."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """Hold the files of one checkpoint, sorted by path.

    Laws: `Manifest.from_json(m.to_json()) == m`; equal files in any order make equal manifests
    with equal digests; one that exists is valid.

    Raises: BadInput listing every bad path, size, hash, repeat and clash of case.
    """

    files: tuple[FileEntry, ...]

    def __post_init__(self) -> None:
        if faults := list(_faults(self.files)):
            raise BadInput.listing(faults, code="manifest_invalid")
        object.__setattr__(self, "files", tuple(sorted(self.files)))

    @property
    def digest(self) -> str:
        """Digest the canonical bytes as "sha256:<hex>"."""
        return "sha256:" + hashlib.sha256(self.canonical_bytes()).hexdigest()

    @property
    def total_bytes(self) -> int:
        return sum(entry.size for entry in self.files)

    def entry(self, path: str) -> FileEntry | None:
        """Find one file by its path, or None."""
        return next((entry for entry in self.files if entry.path == path), None)

    def canonical_bytes(self) -> bytes:
        """Write the RFC 8785 canonical JSON that the digest is over."""
        return bytes(rfc8785.dumps(self.to_json()))

    def to_json(self) -> dict[str, Any]:
        """Give the plain form: {"schema", "files": [{"path", "size", "sha256"}, ...]}."""
        files = [{"path": e.path, "size": e.size, "sha256": e.sha256} for e in self.files]
        return {"schema": SCHEMA, "files": files}

    @classmethod
    def from_json(cls, value: object) -> "Manifest":
        """Read the plain form; unknown and missing members are refused.

        Raises: BadInput (code manifest_invalid) listing every fault.
        """
        if not isinstance(value, Mapping) or set(value) != {"schema", "files"}:
            raise _invalid("", "must be an object with exactly the members schema and files.")
        if value["schema"] != SCHEMA:
            raise _invalid("schema", f"must be {SCHEMA!r}.")
        if not isinstance(value["files"], list) or len(value["files"]) > MAX_FILES:
            raise _invalid("files", f"must be a list of at most {MAX_FILES} files.")
        return cls(tuple(_entry(index, item) for index, item in enumerate(value["files"])))

    @classmethod
    def from_bytes(cls, data: bytes) -> "Manifest":
        """Read the JSON text of a manifest, in any spacing and order.

        Raises: BadInput (code manifest_invalid).
        """
        try:
            value = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise _invalid("", "is not JSON.") from error
        return cls.from_json(value)


@dataclass(frozen=True, slots=True)
class Difference:
    """List what differs between a folder and a manifest; every list is sorted."""

    extra: tuple[str, ...]
    missing: tuple[str, ...]
    changed: tuple[str, ...]

    @property
    def is_empty(self) -> bool:
        return not (self.extra or self.missing or self.changed)

    def __str__(self) -> str:
        parts = [
            f"{label}: {', '.join(names)}"
            for label, names in (
                ("changed", self.changed),
                ("missing", self.missing),
                ("extra", self.extra),
            )
            if names
        ]
        return "; ".join(parts) or "no difference"


def manifest_of(folder: Path, *, progress: Progress | None = None) -> Manifest:
    """Hash every file below a folder; `progress` gets (bytes done, bytes in all).

    Raises: BadInput listing every refused name, link, device, format, or file that changed
    while it was read.
    """
    listed = list_folder(folder)
    if not listed:
        raise BadInput(
            f"{folder} has no files in it.",
            code="folder_empty",
            place=str(folder),
            remedy="Give the folder that holds config.json and the weights.",
        )
    return Manifest(tuple(FileEntry(*row) for row in hash_files(folder, listed, progress)))


def verify(folder: Path, manifest: Manifest, *, progress: Progress | None = None) -> Difference:
    """Hash a folder again and list what is extra, missing or changed.

    Files whose size already differs are not read: they have changed.

    Raises: BadInput where the folder holds something that no checkpoint may hold.
    """
    wanted = {entry.path: entry for entry in manifest.files}
    listed = list_folder(folder)
    found = {item.path: item for item in listed}
    both = [item for item in listed if item.path in wanted]
    same_size = [item for item in both if item.size == wanted[item.path].size]
    same = {
        path
        for path, size, sha256 in hash_files(folder, same_size, progress)
        if FileEntry(path, size, sha256) == wanted[path]
    }
    return Difference(
        extra=tuple(sorted(found.keys() - wanted.keys())),
        missing=tuple(sorted(wanted.keys() - found.keys())),
        changed=tuple(sorted({item.path for item in both} - same)),
    )


def is_digest(text: str) -> bool:
    """Tell whether a text has the form of a manifest digest."""
    return _DIGEST.fullmatch(text) is not None


def _faults(files: tuple[FileEntry, ...]) -> Iterator[Fault]:
    if not files:
        yield Fault("files", "manifest_invalid", "a manifest needs at least one file.")
    if len(files) > MAX_FILES:
        yield Fault("files", "manifest_invalid", f"there are more than {MAX_FILES} files.")
        return
    yield from path_faults(entry.path for entry in files)
    for entry in files:
        if not 0 <= entry.size <= MAX_FILE_BYTES:
            yield Fault(entry.path, "manifest_invalid", "the size is out of range.")
        if not _SHA256.fullmatch(entry.sha256):
            yield Fault(entry.path, "manifest_invalid", "sha256 must be 64 lower-case hex digits.")


def _entry(index: int, item: object) -> FileEntry:
    place = f"files[{index}]"
    if not isinstance(item, Mapping) or set(item) != {"path", "size", "sha256"}:
        raise _invalid(place, "must have exactly the members path, size and sha256.")
    path, size, sha256 = item["path"], item["size"], item["sha256"]
    if not isinstance(path, str) or not isinstance(sha256, str):
        raise _invalid(place, "path and sha256 must be strings.")
    if isinstance(size, bool) or not isinstance(size, int):
        raise _invalid(place, "size must be a whole number of bytes.")
    return FileEntry(path, size, sha256)


def _invalid(place: str, message: str) -> BadInput:
    return BadInput(
        f"manifest {place} {message}".replace("  ", " "),
        code="manifest_invalid",
        place=place,
        remedy="Make the manifest with `lictor manifest DIR --json`.",
    )
