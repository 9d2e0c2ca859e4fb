"""Find values that JSON texts can spell and no database column can hold."""

import math
from collections.abc import Iterator

from registry.errors import Fault


def unstorable(value: object, *, place: str) -> Iterator[Fault]:
    """Say what in a decoded JSON value cannot be stored: NUL, half a surrogate pair, infinity."""
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, dict):
            pending.extend(item.keys())
            pending.extend(item.values())
        elif isinstance(item, list | tuple):
            pending.extend(item)
        elif reason := _reason(item):
            yield Fault(place, "value_refused", reason, "Correct the file.")


def _reason(item: object) -> str:
    if isinstance(item, float) and not math.isfinite(item):
        return "holds a number that is too large."
    if isinstance(item, str) and "\x00" in item:
        return "holds a NUL character."
    if isinstance(item, str) and any("\ud800" <= letter <= "\udfff" for letter in item):
        return "holds half a surrogate pair, which is no character."
    return ""
