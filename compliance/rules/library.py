"""Load the licence catalogue from YAML, check all of it, and digest it.

A library cannot exist unless every file in it is sound; all faults of all files come at once.
"""

import hashlib
from collections.abc import Mapping
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

from compliance.rules.catalogue import (
    CHOICES,
    CLAUSE_KINDS,
    RIGHTS,
    ROLES,
    STATUSES,
    Clause,
    Library,
    LicenceVersion,
    normalise_link,
)
from compliance.rules.facts import canonical_json
from compliance.rules.faults import FaultList, InputFaults
from compliance.rules.safe_yaml import read_yaml
from compliance.rules.text import unpack_sketch

CATALOGUE_FOLDER = Path(__file__).resolve().parent.parent / "licences"
REQUIRED = frozenset(
    {"key", "title", "family", "licensor", "status", "source", "date_read", "clauses"}
)
OPTIONAL = frozenset(
    {"version", "date", "spdx", "declares", "text_sha256", "text_sketch", "reviewed_by", "note"}
    | {"role", "incorporates", "publishers", "prose", "advice"}
)
DECLARES = frozenset({"license", "license_name", "links", "unversioned_links"})
CLAUSE_REQUIRED = frozenset(
    {"id", "kind", "section", "quote", "trigger", "actor", "scope", "effect"}
)
CLAUSE_OPTIONAL = frozenset({"qualifier", "cure", "evidence_needed", "params"})


@cache
def bundled_library() -> Library:
    """Load the catalogue that ships with the service, once per process."""
    return load_library(CATALOGUE_FOLDER)


def load_library(folder: Path) -> Library:
    """Load every `*.yaml` in a folder.

    Raises:
        InputFaults: code "catalogue_invalid", listing every fault of every file.
    """
    paths = sorted(folder.glob("*.yaml"))
    return build_library({path.name: path.read_bytes() for path in paths}, source=str(folder.name))


def build_library(files: Mapping[str, bytes], *, source: str = "catalogue") -> Library:
    """Check catalogue files given as name -> bytes and build the library.

    Law: the order of the files changes nothing.

    Raises:
        InputFaults: code "catalogue_invalid".
    """
    faults = FaultList()
    if not files:
        faults.add(source, "holds no licence; an empty catalogue would know nothing")
    licences: dict[str, LicenceVersion] = {}
    documents: dict[str, Any] = {}
    for name in sorted(files):
        document = _read_file(name, files[name], faults)
        licence = None if document is None else _licence(name, document, faults)
        if licence is None:
            continue
        licences[licence.key] = licence
        documents[licence.key] = document
    _check_unique_texts(licences, faults)
    _check_incorporated(licences, faults)
    faults.raise_if_any("catalogue_invalid", source)
    digest = "sha256:" + hashlib.sha256(canonical_json(documents)).hexdigest()
    return Library(dict(sorted(licences.items())), digest)


def _read_file(name: str, raw: bytes, faults: FaultList) -> dict[str, Any] | None:
    try:
        document = read_yaml(raw, source=name, code="catalogue_invalid")
    except InputFaults as error:
        for fault in error.faults:
            faults.add(name, fault.message)
        return None
    if not isinstance(document, dict):
        faults.add(name, "must be a mapping; see docs/writing-a-licence.md")
        return None
    return document


def _check_keys(
    place: str,
    document: Mapping[str, Any],
    required: frozenset[str],
    optional: frozenset[str],
    faults: FaultList,
) -> bool:
    unknown = sorted(str(key) for key in document if key not in required | optional)
    missing = sorted(key for key in required if document.get(key) in (None, ""))
    for key in unknown:
        faults.add(f"{place}.{key}", "unknown key; remove it or correct its spelling")
    for key in missing:
        faults.add(f"{place}.{key}", "is required")
    return not missing


def _licence(name: str, document: dict[str, Any], faults: FaultList) -> LicenceVersion | None:
    before = len(faults.faults)
    if not _check_keys(name, document, REQUIRED, OPTIONAL, faults):
        return None
    key = str(document["key"])
    if name.removesuffix(".yaml") != key:
        # One name per file is what makes a key unique.
        faults.add(f"{name}.key", f"'{key}' must equal the file's name")
    if not isinstance(document["status"], str) or document["status"] not in STATUSES:
        faults.add(f"{name}.status", f"must be one of {', '.join(sorted(STATUSES))}")
    role = document.get("role", "licence")
    if not isinstance(role, str) or role not in ROLES:
        faults.add(f"{name}.role", f"must be one of {', '.join(sorted(ROLES))}")
    lists = {field: _texts(f"{name}.{field}", document.get(field), faults) for field in _LISTS}
    declares = _declares(name, document.get("declares") or {}, faults)
    clauses = _clauses(name, key, document["clauses"], faults)
    dates = {field: _date(f"{name}.{field}", document.get(field), faults) for field in _DATES}
    sketch = _sketch(name, document.get("text_sketch"), faults)
    digests = _digests(name, document.get("text_sha256"), faults)
    if len(faults.faults) > before:
        return None
    return LicenceVersion(
        key=key,
        title=str(document["title"]),
        version=_text(document.get("version")),
        date=dates["date"],
        family=str(document["family"]),
        licensor=str(document["licensor"]),
        spdx=_text(document.get("spdx")),
        licence_ids=declares["license"],
        licence_names=declares["license_name"],
        links=declares["links"],
        unversioned_links=declares["unversioned_links"],
        text_sha256=digests,
        text_sketch=sketch,
        role=str(document.get("role", "licence")),
        incorporates=lists["incorporates"],
        publishers=tuple(one.casefold() for one in lists["publishers"]),
        prose=lists["prose"],
        advice=lists["advice"],
        status=str(document["status"]),
        source=str(document["source"]),
        date_read=dates["date_read"] or date.min,
        reviewed_by=_text(document.get("reviewed_by")),
        note=_text(document.get("note")),
        clauses=clauses,
    )


_DATES = ("date", "date_read")
_LISTS = ("incorporates", "publishers", "prose", "advice")


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _texts(place: str, value: Any, faults: FaultList) -> tuple[str, ...]:
    items = [] if value is None else value
    if not isinstance(items, list) or not all(isinstance(one, str) and one for one in items):
        faults.add(place, "must be a list of texts")
        return ()
    return tuple(" ".join(one.split()) for one in items)


def _date(place: str, value: Any, faults: FaultList) -> date | None:
    if value is None or (isinstance(value, date) and type(value) is date):
        return value
    faults.add(place, f"'{value}' is no date; write YYYY-MM-DD")
    return None


def _declares(name: str, value: Any, faults: FaultList) -> dict[str, tuple[str, ...]]:
    if not isinstance(value, dict):
        faults.add(f"{name}.declares", "must be a mapping")
        value = {}
    _check_keys(f"{name}.declares", value, frozenset(), DECLARES, faults)
    found: dict[str, tuple[str, ...]] = {}
    for field in sorted(DECLARES):
        items = value.get(field) or []
        if not isinstance(items, list):
            faults.add(f"{name}.declares.{field}", "must be a list")
            items = []
        change = normalise_link if "links" in field else str.casefold
        found[field] = tuple(change(str(item)) for item in items)
    return found


def _digests(name: str, value: Any, faults: FaultList) -> tuple[str, ...]:
    items = value if isinstance(value, list) else [] if value is None else [value]
    for item in items:
        if not (isinstance(item, str) and len(item) == 64 and set(item) <= set("0123456789abcdef")):
            faults.add(f"{name}.text_sha256", f"'{item}' is no sha256 in lower-case hex")
    return tuple(str(item) for item in items)


def _sketch(name: str, value: Any, faults: FaultList) -> tuple[bytes, ...]:
    try:
        return unpack_sketch(str(value or ""))
    except ValueError as error:
        faults.add(f"{name}.text_sketch", f"{error}; make it with python -m compliance.rules.text")
        return ()


def _clauses(name: str, key: str, value: Any, faults: FaultList) -> tuple[Clause, ...]:
    if not isinstance(value, list):
        faults.add(f"{name}.clauses", "must be a list")
        return ()
    found: dict[str, Clause] = {}
    for at, item in enumerate(value):
        clause = _clause(f"{name}.clauses[{at}]", key, item, faults)
        if clause is None:
            continue
        if clause.id in found:
            faults.add(f"{name}.clauses[{at}].id", f"'{clause.id}' is given twice")
        found[clause.id] = clause
    return tuple(found.values())


def _clause(place: str, key: str, item: Any, faults: FaultList) -> Clause | None:
    if not isinstance(item, dict):
        faults.add(place, "must be a mapping")
        return None
    if not _check_keys(place, item, CLAUSE_REQUIRED, CLAUSE_OPTIONAL, faults):
        return None
    kind = str(item["kind"])
    if kind not in CLAUSE_KINDS:
        faults.add(f"{place}.kind", f"'{kind}' is unknown; known: {', '.join(CLAUSE_KINDS)}")
        return None
    params = item.get("params") or {}
    _check_params(f"{place}.params", kind, params, faults)
    return Clause(
        licence=key,
        id=str(item["id"]),
        kind=kind,
        section=str(item["section"]),
        quote=" ".join(str(item["quote"]).split()),
        trigger=str(item["trigger"]),
        actor=str(item["actor"]),
        scope=str(item["scope"]),
        effect=str(item["effect"]),
        qualifier=_text(item.get("qualifier")),
        cure=_text(item.get("cure")),
        evidence_needed=tuple(str(one) for one in item.get("evidence_needed") or ()),
        params=params if isinstance(params, dict) else {},
    )


def _check_params(place: str, kind: str, params: Any, faults: FaultList) -> None:
    if not isinstance(params, dict):
        faults.add(place, "must be a mapping")
        return
    known = {name.removesuffix("?"): (name, types) for name, types in CLAUSE_KINDS[kind].items()}
    for name in sorted(set(params) - set(known)):
        faults.add(f"{place}.{name}", f"unknown for kind '{kind}'")
    for name, (spelled, types) in known.items():
        if name not in params:
            if not spelled.endswith("?"):
                faults.add(f"{place}.{name}", f"is required for kind '{kind}'")
            continue
        _check_param(f"{place}.{name}", f"{kind}.{name}", params[name], types, faults)


def _check_param(
    place: str, name: str, value: Any, types: tuple[type, ...], faults: FaultList
) -> None:
    if type(value) not in types:
        wanted = " or ".join(one.__name__ for one in types)
        faults.add(place, f"must be {wanted}, not {type(value).__name__}")
    elif name in CHOICES and value not in CHOICES[name]:
        faults.add(place, f"must be one of {', '.join(sorted(CHOICES[name]))}")
    elif name == "litigation.rights" and (not value or not set(value) <= RIGHTS):
        faults.add(place, f"must list some of {', '.join(sorted(RIGHTS))}")


def _check_unique_texts(licences: Mapping[str, LicenceVersion], faults: FaultList) -> None:
    owners: dict[str, str] = {}
    for key, licence in licences.items():
        for digest in licence.text_sha256:
            if owners.setdefault(digest, key) != key:
                faults.add(f"{key}.text_sha256", f"is the text of '{owners[digest]}' too")


def _check_incorporated(licences: Mapping[str, LicenceVersion], faults: FaultList) -> None:
    for key, licence in licences.items():
        for other in licence.incorporates:
            if other not in licences:
                faults.add(f"{key}.incorporates", f"'{other}' is not in the catalogue")
            elif licences[other].incorporates:
                faults.add(f"{key}.incorporates", f"'{other}' incorporates papers of its own")
