"""The variables that a policy's expressions may read, with the type of every field.

One table: the environment is built to it, expressions and `given` are checked against it, and
docs/policies.md describes it. What nobody knows is an absent field, never null and never "no".
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from compliance.rules.faults import FaultList

TEXT: Final = "text"
NUMBER: Final = "number"
FLAG: Final = "flag"
TEXTS: Final = "texts"

_USE = {
    "purposes": TEXTS,
    "commercial": FLAG,
    "monthly_active_users": NUMBER,
    "annual_revenue_usd": NUMBER,
    "monthly_revenue_usd": NUMBER,
    "licensee_home": TEXT,
    "jurisdictions": TEXTS,
    "domains": TEXTS,
}
_SUBJECT = {
    "id": TEXT,
    "namespace": TEXT,
    "declared_licence": TEXT,
    "licence_keys": TEXTS,
    "families": TEXTS,
    "is_derivative": FLAG,
    "modalities": TEXTS,
}
_LICENCE = {
    "key": TEXT,
    "title": TEXT,
    "version": TEXT,
    "family": TEXT,
    "spdx": TEXT,
    "status": TEXT,
    "clauses": TEXTS,
    "model": TEXT,
    "kind": TEXT,
    "resolution": TEXT,
}
_FINDING = {
    "rule": TEXT,
    "status": TEXT,
    "severity": TEXT,
    "licence": TEXT,
    "section": TEXT,
    "model": TEXT,
    "waived": FLAG,
}
_EVIDENCE = {
    "kind": TEXT,
    "result": TEXT,
    "method": TEXT,
    "model": TEXT,
    "on_subject": FLAG,
}
_WAIVER = {"rule": TEXT, "licence": TEXT, "model": TEXT, "days": NUMBER, "days_left": NUMBER}
_LINEAGE = {
    "depth": NUMBER,
    "models": TEXTS,
    "namespaces": TEXTS,
    "declared_licences": TEXTS,
    "publishers": TEXTS,
    "relations": TEXTS,
    "missing": TEXTS,
}

# A list of one mapping means a list of such records.
SHAPE: Final[Mapping[str, Any]] = {
    "decision": TEXT,
    "subject": _SUBJECT,
    "use": _USE,
    "licences": [_LICENCE],
    "findings": [_FINDING],
    "evidence": [_EVIDENCE],
    "lineage": _LINEAGE,
    "target": {"hosted": FLAG, "distributed": FLAG, "gpu": FLAG},
    "risk": {"level": NUMBER, "name": TEXT},
    "waivers": [_WAIVER],
}
_SAMPLES: Final = {TEXT: "x", NUMBER: 1, FLAG: True, TEXTS: ["x"]}


def fields_of(root: str) -> frozenset[str]:
    """List the fields that follow directly after a variable: `use.` -> purposes, ..."""
    shape = SHAPE[root]
    return frozenset(shape) if isinstance(shape, dict) else frozenset()


def all_fields() -> frozenset[str]:
    """List every field of every variable and of every record in a list."""
    return frozenset(name for shape in SHAPE.values() for name in _fields(shape))


def _fields(shape: Any) -> Iterator[str]:
    record = shape[0] if isinstance(shape, list) else shape
    yield from record if isinstance(record, dict) else ()


def sample() -> dict[str, Any]:
    """Build one environment in which every field is known and every list holds one record."""
    return {root: _sample(shape) for root, shape in SHAPE.items()}


def _sample(shape: Any) -> Any:
    if isinstance(shape, list):
        return [_sample(shape[0])]
    if isinstance(shape, dict):
        return {name: _sample(inner) for name, inner in shape.items()}
    value = _SAMPLES[shape]
    return list(value) if isinstance(value, list) else value


def empty() -> dict[str, Any]:
    """Build the environment of which nothing is known: empty lists, and no field in any mapping."""
    found: dict[str, Any] = {"decision": "allow"}
    for root, shape in SHAPE.items():
        if root != "decision":
            found[root] = [] if isinstance(shape, list) else {}
    return found


def check_given(given: Any, place: str, faults: FaultList) -> dict[str, Any]:
    """Check the partial environment of a policy's own test, noting every fault with its place."""
    if not isinstance(given, dict):
        faults.add(place, "must be a mapping of variables")
        return {}
    for root, value in given.items():
        if root not in SHAPE:
            faults.add(f"{place}.{root}", f"unknown variable; known: {', '.join(sorted(SHAPE))}")
        else:
            _check(value, SHAPE[root], f"{place}.{root}", faults)
    return given


def _check(value: Any, shape: Any, place: str, faults: FaultList) -> None:
    if isinstance(shape, list):
        _check_list(value, shape[0], place, faults)
    elif isinstance(shape, dict):
        _check_record(value, shape, place, faults)
    elif shape == TEXTS:
        _check_list(value, TEXT, place, faults)
    elif not _is_a(value, shape):
        faults.add(place, f"must be a {shape}")


def _is_a(value: Any, shape: str) -> bool:
    if shape == NUMBER:
        # A bool is an int to Python, and no number to CEL, whose numbers have 64 bits.
        return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63
    return isinstance(value, bool if shape == FLAG else str)


def _check_list(value: Any, inner: Any, place: str, faults: FaultList) -> None:
    if not isinstance(value, list):
        faults.add(place, "must be a list")
        return
    for at, item in enumerate(value):
        _check(item, inner, f"{place}[{at}]", faults)


def _check_record(value: Any, shape: Mapping[str, Any], place: str, faults: FaultList) -> None:
    if not isinstance(value, dict):
        faults.add(place, "must be a mapping")
        return
    for name, item in value.items():
        if name not in shape:
            known = ", ".join(sorted(shape))
            faults.add(f"{place}.{name}", f"unknown field; known here: {known}")
        else:
            _check(item, shape[name], f"{place}.{name}", faults)
