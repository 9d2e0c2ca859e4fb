"""Keep the readings of a run in a file, so that a run that was killed goes on where it was.

One JSON object a line; the first binds the file to what was asked of whom. A line that was cut off
by the kill is left out; a file that is bound to something else is begun anew. No text of a prompt
or an answer is in it.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from compliance.evidence.reading import Reading

FORMAT: Final = "lictor.answers/1"


class Journal:
    """The readings of one model on one suite; `bound_to` names both, and the sampling."""

    def __init__(self, path: Path, bound_to: Mapping[str, Any]) -> None:
        self._path = path
        self._head = {"format": FORMAT, **bound_to}
        self._begun = False

    def readings(self) -> dict[str, Reading]:
        """Return what is known, by question; {} for a file that is bound to something else."""
        try:
            lines = self._path.read_text(encoding="utf-8", errors="replace").split("\n")
        except OSError:
            return {}
        if _object(lines[0]) != self._head:
            return {}
        self._begun = True
        known: dict[str, Reading] = {}
        for line in lines[1:]:
            held = _object(line)
            try:
                known[str(held["key"])] = Reading.from_json(held["reading"])
            except (KeyError, TypeError, ValueError):
                continue
        return known

    def add(self, key: str, reading: Reading) -> None:
        """Write one reading, down to the disk."""
        if not self._begun:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.write_text(json.dumps(self._head) + "\n", encoding="utf-8")
            self._begun = True
        with self._path.open("a", encoding="utf-8") as file:
            # A line of its own even behind one that was cut off.
            file.write("\n" + json.dumps({"key": key, "reading": reading.to_json()}) + "\n")
            file.flush()
            os.fsync(file.fileno())


def _object(line: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
