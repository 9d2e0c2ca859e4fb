"""Walk and hash the files of a folder without following anything out of it.

Links, devices, pipes, hostile names, pickles and archives are refused, all faults at once. A
file that changes while it is read is refused too: its hash would describe neither state.
"""

import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from registry.artifact.formats import HEAD_BYTES, format_fault
from registry.artifact.paths import MAX_DEPTH, path_faults
from registry.errors import BadInput, Fault

Progress = Callable[[int, int], None]

MAX_FILES: Final = 2000
CHUNK_BYTES: Final = 1 << 20
# What git and the Hub's client leave beside the files; never part of a checkpoint.
NOT_PART: Final = frozenset({".git", ".cache"})


@dataclass(frozen=True, slots=True, order=True)
class Listed:
    """Name one regular file below a folder and its size in bytes when listed."""

    path: str
    size: int


def list_folder(folder: Path) -> list[Listed]:
    """List the regular files below a folder, sorted by path.

    Raises: BadInput for a missing folder, or listing every refused entry.
    """
    if not folder.is_dir():
        raise BadInput(
            f"{folder} is not a folder.",
            code="folder_missing",
            place=str(folder),
            remedy="Give the folder that holds config.json and the weights.",
        )
    listed: list[Listed] = []
    faults: list[Fault] = []
    for item in _walk(folder):
        if isinstance(item, Fault):
            faults.append(item)
        else:
            listed.append(item)
        if len(listed) + len(faults) > MAX_FILES:
            faults.append(Fault(str(folder), "too_many_files", f"has over {MAX_FILES} files."))
            break
    faults.extend(path_faults(item.path for item in listed))
    if faults:
        raise BadInput.listing(faults)
    return sorted(listed)


def hash_files(
    folder: Path, listed: Iterable[Listed], progress: Progress | None = None
) -> Iterator[tuple[str, int, str]]:
    """Yield (path, size, sha256 hex) of each file, streamed in chunks of CHUNK_BYTES.

    Raises: BadInput at the first file that is refused by its first bytes or changes meanwhile.
    """
    items = list(listed)
    _check_formats(folder, items)
    total, done = sum(item.size for item in items), 0
    for item in items:
        hasher, size = hashlib.sha256(), 0
        for chunk in read_chunks(folder, item):
            hasher.update(chunk)
            size += len(chunk)
            if progress is not None:
                progress(done + size, total)
        done += size
        yield item.path, size, hasher.hexdigest()


def read_chunks(folder: Path, item: Listed) -> Iterator[bytes]:
    """Yield a listed file's bytes, checking that it is the file that was listed.

    Raises: BadInput (code file_changed).
    """
    # NOFOLLOW and NONBLOCK: a link or a pipe put here since the listing must neither lead
    # elsewhere nor hang.
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        descriptor = os.open(folder / item.path, flags)
    except OSError as error:
        raise _changed(item, error.strerror or "cannot be read") from error
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        before = os.fstat(descriptor)
        if not stat.S_ISREG(before.st_mode) or before.st_size != item.size:
            raise _changed(item, "is no longer the file that was listed")
        while chunk := file.read(CHUNK_BYTES):
            yield chunk
        after = os.fstat(descriptor)
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            raise _changed(item, "changed while it was read")


def _check_formats(folder: Path, items: Iterable[Listed]) -> None:
    faults = []
    for item in items:
        head = next(read_chunks(folder, item), b"")[:HEAD_BYTES]
        if fault := format_fault(item.path, head):
            faults.append(fault)
    if faults:
        raise BadInput.listing(faults)


def _walk(root: Path) -> Iterator[Listed | Fault]:
    pending = [(root, "", 1)]
    while pending:
        folder, prefix, depth = pending.pop()
        with os.scandir(folder) as entries:
            for entry in entries:
                path = prefix + entry.name
                if not prefix and entry.name in NOT_PART:
                    continue
                if entry.is_dir(follow_symlinks=False):
                    if depth < MAX_DEPTH:
                        pending.append((folder / entry.name, path + "/", depth + 1))
                    else:
                        yield Fault(path, "path_refused", f"lies deeper than {MAX_DEPTH} levels.")
                else:
                    yield _judge(entry, path)


def _judge(entry: os.DirEntry[str], path: str) -> Listed | Fault:
    if entry.is_symlink():
        return Fault(
            path, "link_refused", "is a link.", "Copy the folder with its links resolved: cp -rL."
        )
    status = entry.stat(follow_symlinks=False)
    if not stat.S_ISREG(status.st_mode):
        return Fault(path, "device_refused", "is not a regular file.", "Remove it.")
    return Listed(path, status.st_size)


def _changed(item: Listed, reason: str) -> BadInput:
    return BadInput(
        f"{item.path}: {reason}.",
        code="file_changed",
        place=item.path,
        remedy="Run again when nothing writes to the folder.",
    )
