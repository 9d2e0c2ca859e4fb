"""Read a checkpoint's small files for the inventory: bounded, inside the folder, never followed.

A file that cannot be read is listed with its reason and stops nothing.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml

MAX_BYTES: Final = 64 << 20
MAX_FILES: Final = 20_000
MAX_YAML_BYTES: Final = 1 << 20


class Files:
    """The files of one folder, by their path in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.unreadable: dict[str, str] = {}
        self.paths = tuple(self._paths())

    def named(self, *names: str) -> list[str]:
        """List the paths with one of these file names, those nearest the top first."""
        found = [path for path in self.paths if path.rpartition("/")[2] in names]
        return sorted(found, key=lambda path: (path.count("/"), path))

    def ending(self, *suffixes: str) -> list[str]:
        return [path for path in self.paths if path.lower().endswith(suffixes)]

    def data(self, path: str, *, most: int = MAX_BYTES) -> bytes | None:
        try:
            with (self.folder / path).open("rb") as file:
                data = file.read(most + 1)
        except OSError as error:
            self.fault(path, f"cannot be read: {error.strerror}")
            return None
        if len(data) > most:
            self.fault(path, f"is larger than {most} bytes")
            return None
        return data

    def text(self, path: str, *, most: int = 4 << 20) -> str | None:
        data = self.data(path, most=most)
        if data is None:
            return None
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError:
            self.fault(path, "is not UTF-8 text")
            return None

    def json(self, path: str) -> Any:
        """Return the JSON value; None where it cannot be read."""
        data = self.data(path)
        if data is None:
            return None
        try:
            return json.loads(data)
        except (ValueError, RecursionError) as error:
            self.fault(path, f"is not JSON: {error}")
            return None

    def yaml(self, path: str) -> Any:
        """Return plain YAML without aliases; None where it cannot be read."""
        text = self.text(path, most=MAX_YAML_BYTES)
        if text is None:
            return None
        try:
            if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text)):
                self.fault(path, "holds a YAML alias, which can stand for gigabytes")
                return None
            return yaml.safe_load(text)
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            self.fault(path, f"is not YAML: {str(error).splitlines()[0]}")
            return None

    def fault(self, path: str, why: str) -> None:
        self.unreadable[path] = why

    def _paths(self) -> Iterator[str]:
        """Walk without following links: one could lead out of the folder."""
        waiting, seen = [self.folder], 0
        while waiting:
            here = waiting.pop()
            for entry in sorted(here.iterdir()):
                seen += 1
                if seen > MAX_FILES:
                    self.fault(".", f"has more than {MAX_FILES} entries; the rest was not read")
                    return
                if entry.name.startswith(".git"):
                    continue
                if entry.is_symlink():
                    self.fault(entry.relative_to(self.folder).as_posix(), "is a link, not followed")
                    continue
                if entry.is_dir():
                    waiting.append(entry)
                elif entry.is_file():
                    yield entry.relative_to(self.folder).as_posix()
