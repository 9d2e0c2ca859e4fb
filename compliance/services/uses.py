"""Read an intended use from plain data into one canonical form with one digest.

Two spellings of the same use (order, repeats) have the same digest, so one review covers both.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from compliance.rules.facts import PURPOSES, Use, canonical_json
from registry.errors import BadInput, Fault

# What a checkpoint is judged for when it is registered and nobody has said more: the company
# serves it to customers for money. The strictest common case; what it needs to know and is not
# told (users, revenue) stays unknown and asks for review where a licence depends on it.
DEFAULT_USE: dict[str, Any] = {"purposes": ["hosted_service"], "commercial": True}

_LISTS = ("purposes", "jurisdictions", "domains")
_COUNTS = ("monthly_active_users", "annual_revenue_usd", "monthly_revenue_usd")
_PAST = "past_monthly_active_users"
_HOME = "licensee_home"
_FIELDS = (*_LISTS, "commercial", *_COUNTS, _PAST, _HOME)
_MONTH = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])")
_COUNTRY = re.compile(r"[A-Z]{2}")
_DOMAIN = re.compile(r"[a-z0-9][a-z0-9_\-]{0,59}")
_MAX_ITEMS = 50


@dataclass(frozen=True, slots=True)
class IntendedUse:
    """Hold a checked use: for the rules, as canonical plain data, and its digest."""

    use: Use
    document: dict[str, Any]
    digest: str


def read_use(data: object) -> IntendedUse:
    """Check and normalise a use as in a scenario file.

    Law: `read_use(read_use(x).document) == read_use(x)`.
    Raises: BadInput (code use_invalid) listing every fault.
    """
    if not isinstance(data, Mapping):
        raise BadInput("The use must be an object.", code="use_invalid", place="use")
    faults = [
        Fault(f"use.{name}", "use_invalid", "Unknown member.", f"Known: {', '.join(_FIELDS)}.")
        for name in sorted(str(key) for key in data)
        if name not in _FIELDS
    ]
    faults += [fault for name in _LISTS for fault in _list_faults(name, data.get(name))]
    faults += _scalar_faults(data)
    if not data.get("purposes"):
        faults.append(_fault("purposes", "Say at least one purpose."))
    if faults:
        raise BadInput.listing(faults, code="use_invalid")
    return _build(data)


def _build(data: Mapping[str, Any]) -> IntendedUse:
    given: dict[str, Any] = {name: tuple(sorted(set(data.get(name) or ()))) for name in _LISTS}
    given |= {name: data.get(name) for name in _COUNTS}
    use = Use(
        **given,
        commercial=data.get("commercial"),
        past_monthly_active_users=tuple(sorted((data.get(_PAST) or {}).items())),
        licensee_home=data.get(_HOME),
    )
    document = {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(use).items()}
    document[_PAST] = dict(use.past_monthly_active_users)
    digest = "sha256:" + hashlib.sha256(canonical_json(document)).hexdigest()
    return IntendedUse(use, document, digest)


def _fault(name: str, message: str) -> Fault:
    return Fault(f"use.{name}", "use_invalid", message)


def _list_faults(name: str, value: object) -> list[Fault]:
    if value is None:
        return []
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        return [_fault(name, "Must be a list of strings.")]
    if len(value) > _MAX_ITEMS:
        return [_fault(name, f"At most {_MAX_ITEMS} items.")]
    return [_fault(name, message) for item in value if (message := _item_fault(name, item))]


def _item_fault(name: str, item: str) -> str:
    if name == "purposes" and item not in PURPOSES:
        return f"{item!r} is no purpose; known: {', '.join(sorted(PURPOSES))}."
    if name == "jurisdictions" and not _COUNTRY.fullmatch(item):
        return f"{item!r} is no ISO 3166 two-letter country code, such as DE."
    if name == "domains" and not _DOMAIN.fullmatch(item):
        return f"{item!r} must be lower-case letters, digits, '_' and '-', at most 60."
    return ""


def _scalar_faults(data: Mapping[str, Any]) -> list[Fault]:
    faults = []
    if not isinstance(data.get("commercial"), bool | None):
        faults.append(_fault("commercial", "Must be true, false or left out."))
    for name in _COUNTS:
        value = data.get(name)
        if value is not None and not _is_count(value):
            faults.append(_fault(name, "Must be a whole number, 0 or more."))
    home = data.get(_HOME)
    if home is not None and not (isinstance(home, str) and _COUNTRY.fullmatch(home)):
        faults.append(_fault(_HOME, "Must be an ISO 3166 two-letter country code, such as DE."))
    return [*faults, *_past_faults(data.get(_PAST))]


def _past_faults(value: object) -> list[Fault]:
    if value is None:
        return []
    if not isinstance(value, Mapping):
        return [_fault(_PAST, 'Must map months to users, such as {"2024-06": 5000000}.')]
    if len(value) > _MAX_ITEMS:
        return [_fault(_PAST, f"At most {_MAX_ITEMS} months.")]
    faults = []
    for month, users in value.items():
        if not (isinstance(month, str) and _MONTH.fullmatch(month)):
            faults.append(_fault(_PAST, f"{month!r} is no month; write YYYY-MM."))
        elif not _is_count(users):
            faults.append(_fault(_PAST, f"{month}: must be a whole number, 0 or more."))
    return faults


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
