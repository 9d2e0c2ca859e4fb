"""Keep each tensor's result in a JSON-lines file, so that a run that was killed goes on.

A line counts only for the very files it was made of: its key digests headers, sizes and times of
change of both sides, and the version of the method. A last line cut off by the end of the process
is dropped.
"""

import hashlib
import json
from pathlib import Path
from types import TracebackType
from typing import Any, Final, TextIO

from registry.artifact.forensics.record import Record

METHOD: Final = 1


def key_of(base_state: str, derived_state: str) -> str:
    """Make the key that binds a result to both sets of files and to the method."""
    text = f"{METHOD}\0{base_state}\0{derived_state}"
    return hashlib.sha256(text.encode()).hexdigest()


class Journal:
    """Remember results by tensor name; a context manager. Without a path it keeps nothing."""

    def __init__(self, path: Path | None, key: str) -> None:
        self._path, self._key = path, key
        self._found: dict[str, Record] = {}
        self._file: TextIO | None = None

    def __enter__(self) -> "Journal":
        if self._path is not None:
            if self._path.exists():
                self._read(self._path)
            self._file = self._path.open("a", encoding="utf-8")
            # After a cut-off line, what follows must begin on a line of its own.
            if self._file.tell():
                self._file.write("\n")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.close()

    def get(self, name: str) -> Record | None:
        """Find the result of an earlier run."""
        return self._found.get(name)

    def add(self, record: Record) -> None:
        """Write one result; it is on its way to the disk when this returns."""
        if self._file is not None:
            line = json.dumps({"key": self._key, "record": record.to_json()}, sort_keys=True)
            self._file.write(line + "\n")
            self._file.flush()

    def _read(self, path: Path) -> None:
        with path.open(encoding="utf-8", errors="replace") as file:
            for line in file:
                record = self._parse(line)
                if record is not None:
                    self._found[record.name] = record

    def _parse(self, line: str) -> Record | None:
        try:
            entry: Any = json.loads(line)
            if not isinstance(entry, dict) or entry.get("key") != self._key:
                return None
            return Record.from_json(entry["record"])
        except (ValueError, TypeError, KeyError):
            return None
