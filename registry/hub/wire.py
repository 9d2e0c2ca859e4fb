"""Check what a client says it saw of a Hub, before any of it is stored.

The client is the submitter's machine: what it says counts as much as the folder of a
`lictor register` does, and no more. Shapes and sizes are this module's business.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from registry.artifact.card import MAX_CONFIG_BYTES
from registry.artifact.strict_json import parse_json_object
from registry.errors import BadInput, Fault
from registry.hub import facts
from registry.hub.lineage import CIRCULAR
from registry.storable import unstorable

MAX_SEEN_BYTES: Final = 1 << 20
_TEXT: Final = (str,)
_REMOTE_CODE: Final = frozenset({"auto_map", "trust_remote_code", "custom_pipelines"})
_SHAPE: Final[dict[str, tuple[type, ...]]] = {
    "endpoint": _TEXT,
    "source": _TEXT,
    "revision": _TEXT,
    "named": _TEXT,
    "unknown": (list,),
    "gated": (str, bool, type(None)),
    "private": (bool, type(None)),
    "disabled": (bool, type(None)),
    "last_modified": (str, type(None)),
    "safetensors": (dict, type(None)),
    "security": (dict, type(None)),
    "card": (dict,),
    "gates": (list,),
    "parents": (list,),
    "left_out": (list,),
    "datasets": (list,),
}
_ROWS: Final = {
    "parents": {"id", "relation", "said_by", "named", "state"},
    "left_out": {"path", "reason"},
    "datasets": {"id", "license", "state"},
}
_CARD: Final = {
    "license": (str, type(None)),
    "license_name": (str, type(None)),
    "license_link": (str, type(None)),
    "base_model_relation": (str, type(None)),
    "base_model": (list,),
    "datasets": (list,),
}


def checked_seen(value: object) -> dict[str, Any]:
    """Return what was seen if it has exactly the known shape.

    Raises: BadInput (code seen_invalid) listing every fault.
    """
    if not isinstance(value, Mapping) or set(value) != set(_SHAPE):
        raise BadInput(
            f"seen must be an object with exactly the members {', '.join(sorted(_SHAPE))}.",
            code="seen_invalid",
            place="seen",
        )
    if len(json.dumps(value)) > MAX_SEEN_BYTES:
        raise BadInput(f"seen is larger than {MAX_SEEN_BYTES} bytes.", code="seen_invalid")
    faults = [*_faults(value), *unstorable(value, place="seen")]
    if faults:
        raise BadInput.listing(faults, code="seen_invalid")
    return dict(value)


def _faults(seen: Mapping[str, Any]) -> Iterator[Fault]:
    for name, kinds in _SHAPE.items():
        if not isinstance(seen[name], kinds):
            yield _fault(f"seen.{name}", "has the wrong type.")
    card = seen["card"] if isinstance(seen["card"], Mapping) else {}
    if set(card) != set(_CARD) or not all(isinstance(card[k], t) for k, t in _CARD.items()):
        yield _fault("seen.card", f"must have exactly {', '.join(_CARD)}.")
    for name, members in _ROWS.items():
        rows = seen[name] if isinstance(seen[name], list) else []
        for number, row in enumerate(rows):
            yield from _row_faults(f"seen.{name}[{number}]", row, members)
    for name in ("gates", "unknown"):
        if isinstance(seen[name], list) and not all(isinstance(one, str) for one in seen[name]):
            yield _fault(f"seen.{name}", "must be a list of texts.")


def _row_faults(place: str, row: object, members: set[str]) -> Iterator[Fault]:
    if not isinstance(row, Mapping) or set(row) != members:
        yield _fault(place, f"must have exactly {', '.join(sorted(members))}.")
    elif not all(isinstance(one, str) for one in row.values()):
        yield _fault(place, "must hold texts only.")
    elif len(row.get("id", "")) > 180 or len(row.get("license", "")) > 100:
        yield _fault(place, "has a name or a licence that is too long.")
    elif "relation" in row and row["relation"] not in facts.RELATIONS:
        yield _fault(place, f"{row['relation']!r} is not a relation that a Hub names.")


def _fault(place: str, message: str) -> Fault:
    return Fault(place, "seen_invalid", message, "Import it again with this version of lictor.")


def edge_name(parent: Mapping[str, str]) -> str:
    """Name the parent of an edge; one that goes round in a circle has a name nobody can register.

    Two cards that name each other cannot both be right, so what they name stays unknown.
    """
    name = parent["id"]
    return f"{name}@{CIRCULAR}" if parent["state"] == CIRCULAR else name


def without_remote_code(data: bytes, *, place: str) -> bytes:
    """Write a configuration without the members by which it asks for its own code to be run.

    Law: the same bytes in, the same bytes out, on the client and on the server.
    Raises: BadInput for what is no JSON object.
    """
    parse_json_object(data, place=place, max_bytes=MAX_CONFIG_BYTES)
    # Read again, plainly: the strict reader spells infinities, which configurations hold, as text.
    document = _stripped(json.loads(data))
    return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()


def _stripped(value: Any) -> Any:
    if isinstance(value, list):
        return [_stripped(one) for one in value]
    if isinstance(value, dict):
        return {key: _stripped(v) for key, v in value.items() if key not in _REMOTE_CODE}
    return value
