"""Fetch the files of one commit and verify each against the Hub's hash while it streams in.

A file has its name only when it is whole and its hash is right. What is on the way lies in a
folder of its own, under the hash it must have; it is hashed again from its first byte before it is
continued, so a part that was altered meanwhile is found out like any wrong file.
"""

import errno
import hashlib
import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import httpx2

from registry.artifact.formats import HEAD_BYTES, format_fault
from registry.artifact.manifest import FileEntry
from registry.artifact.paths import path_faults
from registry.hub import facts
from registry.hub.answers import refusing
from registry.hub.facts import Commit, HubFile
from registry.hub.intake import Hub
from registry.hub.refusals import HubRefusal

PARTS: Final = ".parts"
RESERVE_BYTES: Final = 64 << 20
_CHUNK: Final = 1 << 20
_TRIES_WITHOUT_PROGRESS: Final = 4
_RANGE_REFUSED: Final = 416
_PARTIAL: Final = 206
_SUFFIXES: Final = (
    ".json", ".jsonl", ".md", ".txt", ".rst", ".jinja", ".yaml", ".yml", ".toml", ".csv", ".tsv",
    ".html", ".tiktoken", ".model", ".spm", ".png", ".jpg", ".jpeg", ".gif", ".webp", ".svg",
    ".pdf", ".gitattributes", ".gitignore",
)  # fmt: skip
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True)
class Choice:
    """Say which files of a commit are taken, and of each of the others why not."""

    taken: tuple[HubFile, ...]
    left_out: tuple[dict[str, str], ...]

    @property
    def total_bytes(self) -> int:
        return sum(one.size or 0 for one in self.taken)


def choose(commit: Commit) -> Choice:
    """Choose what can be registered: safetensors, texts and pictures, each with a claimed hash.

    Raises: HubRefusal when weights are among what cannot be taken, or there are none.
    """
    taken, left_out = [], []
    for file in commit.files:
        if reason := _reason(file):
            left_out.append({"path": file.path[:300], "reason": reason})
        else:
            taken.append(file)
    bad = [one for one in left_out if one["path"].lower().endswith(".safetensors")]
    if bad:
        listed = "; ".join(f"{one['path']!a}: {one['reason']}" for one in bad)
        raise HubRefusal("bad_answer", f"The weights cannot be taken whole: {listed}.")
    if not any(one.path.endswith(".safetensors") for one in taken):
        raise HubRefusal(
            "no_file", f"{commit.repo} has no safetensors weights; import it without --weights."
        )
    if clashes := list(path_faults(one.path for one in taken)):
        raise HubRefusal("bad_answer", f"{commit.repo}: {' '.join(map(str, clashes))}")
    return Choice(tuple(taken), tuple(left_out))


def _reason(file: HubFile) -> str:
    if fault := facts.name_fault(file.path):
        return f"its name: {fault}"
    if file.claim is None or file.size is None:
        return "the Hub gives no hash or no size for it"
    name = file.path.rsplit("/", 1)[-1].lower()
    suffix = "." + name.rsplit(".", 1)[1] if "." in name else ""
    if suffix in {"", ".safetensors", *_SUFFIXES} or facts.is_licence(file.path):
        return ""
    fault_found = format_fault(file.path, b"")
    return fault_found.message if fault_found else "not a format that is registered"


def download(
    hub: Hub,
    commit: Commit,
    wanted: Iterable[HubFile],
    folder: Path,
    *,
    progress: Progress = lambda _done, _total, _path: None,
) -> list[FileEntry]:
    """Fetch files into a folder, each verified; files that are there and right are kept.

    Raises: HubRefusal, also when the disk is full or a file has another hash than the Hub says;
    what was verified before stays, what was not is not there under its name.
    """
    files = list(wanted)
    counting = _Counting(progress, sum(one.size or 0 for one in files))
    with _disk(folder):
        _check_room(folder, files)
        entries = [_one(hub, commit, file, folder, counting) for file in files]
        shutil.rmtree(_parts(folder), ignore_errors=True)
    return entries


def _one(hub: Hub, commit: Commit, file: HubFile, folder: Path, counting: "_Counting") -> FileEntry:
    final = folder / file.path
    counting.start(file.path)
    if final.is_file() and final.stat().st_size == file.size:
        hashed = _Hashed.of(final, file)
        if hashed.is_right:
            counting.add(hashed.size)
            return hashed.entry
        final.unlink()
    part = _parts(folder) / str(file.claim)
    part.parent.mkdir(parents=True, exist_ok=True)
    hashed = _fetch(hub, commit, file, part, counting)
    with part.open("rb") as stream:
        fault = format_fault(file.path, stream.read(HEAD_BYTES))
    if not hashed.is_right or fault is not None:
        part.unlink(missing_ok=True)
        why = fault.message if fault else f"its SHA-256 is {hashed.entry.sha256}, not as listed."
        raise HubRefusal("bad_answer", f"{file.path} was not kept: {why}")
    final.parent.mkdir(parents=True, exist_ok=True)
    os.replace(part, final)
    return hashed.entry


def _fetch(hub: Hub, commit: Commit, file: HubFile, part: Path, counting: "_Counting") -> "_Hashed":
    """Bring a part to its full size, going on after each cut for as long as bytes still come."""
    hashed = _Hashed.of(part, file)
    counting.add(hashed.size)
    tries = 0
    while hashed.size < (file.size or 0) or not part.exists():
        before = hashed.size
        cut: HubRefusal | None = None
        try:
            hub.retrying(file.path, partial(_take, hub, commit, hashed, part, counting))
        except HubRefusal as error:
            if not error.is_transient:
                raise
            cut = error
        tries = 0 if hashed.size > before else tries + 1
        if tries >= _TRIES_WITHOUT_PROGRESS:
            raise cut or HubRefusal("unreachable", f"{file.path}: the Hub sends no more bytes.")
    return hashed


def _take(hub: Hub, commit: Commit, hashed: "_Hashed", part: Path, counting: "_Counting") -> None:
    """Append what one answer brings to the part."""
    file = hashed.file
    with refusing(commit.repo), hub.stream(commit, file.path, start=hashed.size) as response:
        if hashed.size and not _continues(response, hashed.size):
            # This server starts from the beginning; so does the part.
            counting.add(-hashed.size)
            hashed.restart()
            part.unlink(missing_ok=True)
        with part.open("ab") as out:
            # As it comes: a chunk size would hold back, and lose, what came before a cut.
            for chunk in response.iter_raw():
                if hashed.size + len(chunk) > (file.size or 0):
                    raise HubRefusal("bad_answer", f"{file.path} is longer than the Hub says.")
                out.write(chunk)
                hashed.update(chunk)
                counting.add(len(chunk))


def _continues(response: httpx2.Response, start: int) -> bool:
    told = response.headers.get("Content-Range", "")
    return response.status_code == _PARTIAL and told.startswith(f"bytes {start}-")


class _Hashed:
    """Hash one file as it grows, in both ways in which the Hub names files."""

    def __init__(self, file: HubFile) -> None:
        self.file = file
        self.restart()

    @classmethod
    def of(cls, path: Path, file: HubFile) -> "_Hashed":
        """Hash what is there; nothing is."""
        made = cls(file)
        if path.is_file() and path.stat().st_size <= (file.size or 0):
            with path.open("rb") as stream:
                for chunk in iter(lambda: stream.read(_CHUNK), b""):
                    made.update(chunk)
        else:
            path.unlink(missing_ok=True)
        return made

    def restart(self) -> None:
        self.size = 0
        self._sha256 = hashlib.sha256()
        self._blob = hashlib.sha1(f"blob {self.file.size}\0".encode(), usedforsecurity=False)

    def update(self, chunk: bytes) -> None:
        self.size += len(chunk)
        self._sha256.update(chunk)
        self._blob.update(chunk)

    @property
    def entry(self) -> FileEntry:
        return FileEntry(self.file.path, self.size, self._sha256.hexdigest())

    @property
    def is_right(self) -> bool:
        return self.size == self.file.size and facts.matches(
            self.file, sha256=self._sha256.hexdigest(), blob_id=self._blob.hexdigest()
        )


class _Counting:
    def __init__(self, progress: Progress, total: int) -> None:
        self._progress, self._total = progress, total
        self._done, self._path = 0, ""

    def start(self, path: str) -> None:
        self._path = path

    def add(self, count: int) -> None:
        self._done += count
        self._progress(self._done, self._total, self._path)


def _parts(folder: Path) -> Path:
    """Return the folder beside this one for what is on the way: it is no part of a checkpoint."""
    return folder.with_name(folder.name + PARTS)


def _check_room(folder: Path, files: list[HubFile]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    held = sum(_held(folder, one) for one in files)
    needed = sum(one.size or 0 for one in files) - held + RESERVE_BYTES
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise HubRefusal("disk", f"{folder} needs {needed:,} bytes and has {free:,}.")


def _held(folder: Path, file: HubFile) -> int:
    for path in (folder / file.path, _parts(folder) / str(file.claim)):
        if path.is_file():
            return min(path.stat().st_size, file.size or 0)
    return 0


class _disk:  # noqa: N801 - read as a word: with _disk(folder)
    """Turn what the file system refuses into a HubRefusal; parts stay to be continued."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: Any) -> None:
        if not isinstance(error, OSError) or isinstance(error, httpx2.HTTPError):
            return
        if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            raise HubRefusal("disk", f"{self.folder}: the disk is full.") from error
