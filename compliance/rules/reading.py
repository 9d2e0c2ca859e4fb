"""Read plain data field by field, noting every fault with its place instead of stopping.

Each reader returns a usable default after a fault; the caller raises at the end, so the default
is never judged.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import date, datetime
from typing import Any, TypeVar

from compliance.rules.faults import FaultList

T = TypeVar("T")
TEXT_MAX = 4000
TEXT_RULE = "must be printable, non-empty text of at most 4000 characters"
COUNT_MAX = 10**15


class Reader:
    """Read one mapping of a document; `place` says where it stands."""

    def __init__(self, place: str, value: Any, faults: FaultList) -> None:
        self.place = place
        self.faults = faults
        self.data: Mapping[Any, Any] = value if isinstance(value, dict) else {}
        if not isinstance(value, dict):
            faults.add(place or "(document)", f"must be a mapping, not {_name(value)}")

    def at(self, key: str) -> str:
        """Name the place of a key."""
        return f"{self.place}.{key}" if self.place else key

    def only(self, known: Collection[str]) -> None:
        """Refuse keys that nobody knows: a misspelt key would otherwise be ignored."""
        for key in self.data:
            if key not in known:
                hint = ", ".join(sorted(known))
                self.faults.add(self.at(str(key)), f"unknown key; known here: {hint}")

    def text(self, key: str, default: str | None = None) -> str:
        """Read a required string, or one with a default."""
        value = self.data.get(key, default)
        if _is_text(value):
            return str(value)
        if value is None:
            self.faults.add(self.at(key), "is required")
        else:
            self.faults.add(self.at(key), f"{TEXT_RULE}, not {_name(value)}")
        return ""

    def optional_text(self, key: str) -> str | None:
        """Read a string that may be missing or null."""
        return None if self.data.get(key) is None else self.text(key)

    def choice(self, key: str, known: Collection[str], default: str | None = None) -> str:
        """Read one word of a vocabulary."""
        before = len(self.faults.faults)
        value = self.text(key, default)
        if value not in known and len(self.faults.faults) == before:
            words = ", ".join(sorted(known))
            self.faults.add(self.at(key), f"'{value}' is unknown; use one of {words}")
        return value

    def flag(self, key: str) -> bool | None:
        """Read true, false, or nothing said."""
        value = self.data.get(key)
        if value is None or isinstance(value, bool):
            return value
        self.faults.add(self.at(key), f"must be true or false, not {_name(value)}")
        return None

    def count(self, key: str) -> int | None:
        """Read a whole number of at least 0, or nothing said."""
        value = self.data.get(key)
        if value is None or (type(value) is int and 0 <= value <= COUNT_MAX):
            return value
        self.faults.add(self.at(key), f"must be a whole number from 0 to {COUNT_MAX}")
        return None

    def day(self, key: str) -> date | None:
        """Read a date, or nothing said."""
        value = self.data.get(key)
        if value is None or (isinstance(value, date) and not isinstance(value, datetime)):
            return value
        try:
            return date.fromisoformat(str(value))
        except ValueError:
            self.faults.add(self.at(key), f"'{value}' is no date; write YYYY-MM-DD")
            return None

    def texts(self, key: str, known: Collection[str] | None = None) -> tuple[str, ...]:
        """Read a list of strings, each of a vocabulary if one is given."""
        found = []
        for at, value in enumerate(self._items(key)):
            place = f"{self.at(key)}[{at}]"
            if not _is_text(value):
                self.faults.add(place, f"{TEXT_RULE}, not {_name(value)}")
            elif known is not None and value not in known:
                words = ", ".join(sorted(known))
                self.faults.add(place, f"'{value}' is unknown; use one of {words}")
            else:
                found.append(value)
        return tuple(found)

    def each(self, key: str, read: Callable[["Reader"], T]) -> tuple[T, ...]:
        """Read a list of mappings with one function."""
        return tuple(
            read(Reader(f"{self.at(key)}[{at}]", value, self.faults))
            for at, value in enumerate(self._items(key))
        )

    def _items(self, key: str) -> Iterable[Any]:
        value = self.data.get(key)
        if value is None:
            return ()
        if isinstance(value, list):
            return value
        self.faults.add(self.at(key), f"must be a list, not {_name(value)}")
        return ()


def _is_text(value: Any) -> bool:
    """Say whether a value is text that can be shown and written as UTF-8."""
    if not isinstance(value, str) or not value.strip() or len(value) > TEXT_MAX:
        return False
    return value.replace("\n", " ").replace("\t", " ").isprintable()


def _name(value: Any) -> str:
    return "nothing" if value is None else type(value).__name__
