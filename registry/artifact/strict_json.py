"""Read JSON from strangers: bounded in bytes and depth, no repeated keys."""

import json
from pathlib import Path
from typing import Any, Final

from registry.errors import BadInput

MAX_DEPTH: Final = 64


def read_json_object(path: Path, *, max_bytes: int) -> dict[str, Any]:
    """Read a JSON object from a file.

    Raises: BadInput (code json_invalid), also when the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            data = file.read(max_bytes + 1)
    except OSError as error:
        raise _invalid(path.name, f"cannot be read: {error.strerror}.") from error
    return parse_json_object(data, place=path.name, max_bytes=max_bytes)


def parse_json_object(data: bytes, *, place: str, max_bytes: int) -> dict[str, Any]:
    """Parse a JSON object; Infinity and NaN, which model configs do hold, become strings.

    Raises: BadInput (code json_invalid).
    """
    if len(data) > max_bytes:
        raise _invalid(place, f"is larger than {max_bytes} bytes.")
    try:
        # Strings, because no database column and no canonical JSON can hold an infinite number.
        value = json.loads(data, object_pairs_hook=_unique, parse_constant=str)
    except RecursionError as error:
        raise _invalid(place, f"is nested deeper than {MAX_DEPTH} levels.") from error
    except ValueError as error:
        raise _invalid(place, f"is not valid JSON: {error}.") from error
    if not isinstance(value, dict):
        raise _invalid(place, "must hold a JSON object.")
    if _depth_exceeds(value, MAX_DEPTH):
        raise _invalid(place, f"is nested deeper than {MAX_DEPTH} levels.")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key[:100]!r} is repeated")
        found[key] = value
    return found


def _depth_exceeds(value: object, limit: int) -> bool:
    level = [value]
    for _ in range(limit + 1):
        below: list[object] = []
        for item in level:
            if isinstance(item, dict):
                below.extend(item.values())
            elif isinstance(item, list):
                below.extend(item)
        if not below:
            return False
        level = below
    return any(isinstance(item, dict | list) for item in level)


def _invalid(place: str, message: str) -> BadInput:
    return BadInput(
        f"{place} {message}", code="json_invalid", place=place, remedy="Correct the file."
    )
