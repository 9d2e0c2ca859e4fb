"""Judge the file names of a checkpoint as data from a stranger.

A name that passes means the same file on POSIX and on Windows, stays below the folder it is put
in, and cannot collide with another on a file system that ignores case.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Final

from registry.errors import Fault

MAX_PATH_BYTES: Final = 255
MAX_DEPTH: Final = 8
_SEGMENT: Final = re.compile(r"[A-Za-z0-9._-]+")
_WINDOWS_DEVICE: Final = re.compile(r"(?i)(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?")


def path_fault(path: str) -> Fault | None:
    """Say what is wrong with one relative POSIX path, or None."""
    reason = _whole_path_reason(path) or next(filter(None, map(_segment_reason, _parts(path))), "")
    if not reason:
        return None
    return Fault(
        _printable(path), "path_refused", reason, "Rename the file or leave it out of the folder."
    )


def path_faults(paths: Iterable[str]) -> Iterator[Fault]:
    """Say everything wrong with a set of paths: each name, repeats, and clashes of case."""
    files: set[str] = set()
    spelling: dict[str, str] = {}
    for path in paths:
        if fault := path_fault(path):
            yield fault
        elif path in files:
            yield _clash(path, "is listed twice.")
        else:
            files.add(path)
            yield from _case_clashes(path, spelling)
    for path in sorted(files):
        if folder := next((name for name in _folders(path) if name in files), None):
            yield _clash(path, f"needs {folder!r} to be a folder, but that is a file.")


def _case_clashes(path: str, spelling: dict[str, str]) -> Iterator[Fault]:
    for name in (*_folders(path), path):
        first = spelling.setdefault(name.casefold(), name)
        if first != name:
            yield _clash(path, f"differs from {first!r} only by upper and lower case.")
            return


def _clash(path: str, message: str) -> Fault:
    return Fault(_printable(path), "path_clash", message, "Rename one of them.")


def _parts(path: str) -> list[str]:
    return path.split("/")


def _folders(path: str) -> list[str]:
    parts = _parts(path)
    return ["/".join(parts[:count]) for count in range(1, len(parts))]


def _whole_path_reason(path: str) -> str:
    if not path:
        return "the name is empty."
    if any(0xD800 <= ord(letter) <= 0xDFFF for letter in path):
        return "the name is not valid UTF-8."
    if len(path.encode("utf-8")) > MAX_PATH_BYTES:
        return f"the name is longer than {MAX_PATH_BYTES} bytes."
    if not unicodedata.is_normalized("NFC", path):
        return "the name is not in Unicode normal form C."
    if len(_parts(path)) > MAX_DEPTH:
        return f"the file lies deeper than {MAX_DEPTH} levels."
    return ""


def _segment_reason(segment: str) -> str:
    if segment in {"", ".", ".."}:
        return "empty, '.' and '..' segments could lead out of the folder."
    if not _SEGMENT.fullmatch(segment):
        return "only the letters A-Z a-z, digits, '.', '_' and '-' are allowed in names."
    if segment.endswith("."):
        return "a name cannot end in a dot: Windows drops it."
    if _WINDOWS_DEVICE.fullmatch(segment):
        return "the name is a device on Windows."
    return ""


def _printable(path: str) -> str:
    return path[:MAX_PATH_BYTES].encode("unicode_escape").decode("ascii")
