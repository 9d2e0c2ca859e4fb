"""Turn a SCENARIO.yaml into facts, or refuse it with every fault and its place.

Reads nothing outside the scenario's own folder, and asks no clock: the day is given.
"""

import hashlib
import re
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

from compliance.rules.decoding import decode_text
from compliance.rules.facts import (
    BROUGHT_BY,
    DATASET_USES,
    EVIDENCE_METHODS,
    EVIDENCE_RESULTS,
    MATTER_KINDS,
    MATTER_STATUSES,
    PURPOSES,
    RELATIONS,
    STATEMENT_SOURCES,
    DatasetFact,
    EvidenceFact,
    Facts,
    LicenceText,
    Matter,
    ModelFacts,
    ParentLink,
    Statement,
    Use,
    Waiver,
)
from compliance.rules.faults import FaultList, InputFaults
from compliance.rules.reading import Reader
from compliance.rules.safe_yaml import read_yaml

CODE = "scenario_invalid"
LICENCE_TEXT_MAX_BYTES = 1024 * 1024
TOP_KEYS = frozenset({"models", "use", "matters", "waivers", "subject", "as_of"})
MODEL_KEYS = frozenset(
    {"id", "license", "license_name", "license_link", "license_pin", "license_text", "parents"}
    | {
        "license_texts",
        "statements",
        "modalities",
        "datasets",
        "distributed_files",
        "notices",
        "evidence",
        "publisher",
    }
)
USE_KEYS = frozenset(
    {"purposes", "commercial", "monthly_active_users", "annual_revenue_usd", "jurisdictions"}
    | {"domains", "monthly_revenue_usd", "past_monthly_active_users", "licensee_home"}
)
MATTER_KEYS = frozenset(
    {"id", "kind", "status", "filed_on", "withdrawn_on", "in_response"}
    | {"alleges_model_infringes", "alleges_output_infringes", "brought_by", "defendants"}
)
WAIVER_KEYS = frozenset({"id", "rule", "licence", "model", "reason", "granted_by", "expires_on"})

_MONTH = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])")
ReadBytes = Callable[[str], bytes]


def load_scenario(path: Path, *, as_of: date) -> Facts:
    """Read a scenario file; `as_of` counts when the file names no day.

    Raises:
        InputFaults: code "scenario_invalid", listing every fault.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        faults = FaultList()
        faults.add("(document)", f"cannot be read: {error.strerror}")
        raise InputFaults(CODE, path.name, faults.faults) from error
    document = read_yaml(raw, source=path.name, code=CODE)
    folder = path.resolve().parent
    return parse_scenario(
        document, as_of=as_of, source=path.name, read_bytes=lambda name: _read_in(folder, name)
    )


def _read_in(folder: Path, name: str) -> bytes:
    """Read a file of the scenario's folder; links that lead out of it are refused too."""
    target = (folder / name).resolve()
    if not target.is_relative_to(folder):
        raise ValueError("leads out of the scenario's folder; copy the file beside it")
    if not target.is_file():
        raise ValueError("names no file beside the scenario")
    if target.stat().st_size > LICENCE_TEXT_MAX_BYTES:
        raise ValueError(f"is larger than {LICENCE_TEXT_MAX_BYTES} bytes; no licence is")
    return target.read_bytes()


def parse_scenario(document: Any, *, as_of: date, source: str, read_bytes: ReadBytes) -> Facts:
    """Turn plain data into facts.

    Raises:
        InputFaults: code "scenario_invalid", listing every fault.
    """
    faults = FaultList()
    top = Reader("", document, faults)
    top.only(TOP_KEYS)
    models = top.each("models", lambda item: _model(item, read_bytes))
    subject = top.text("subject")
    use = _use(Reader("use", top.data["use"], faults)) if "use" in top.data else Use()
    facts = Facts(
        models=models,
        subject=subject,
        as_of=top.day("as_of") or as_of,
        use=use,
        matters=top.each("matters", _matter),
        waivers=top.each("waivers", _waiver),
    )
    _check_whole(facts, faults)
    faults.raise_if_any(CODE, source)
    return facts


def _check_whole(facts: Facts, faults: FaultList) -> None:
    known = {model.id for model in facts.models}
    if not facts.models:
        faults.add("models", "is required and must describe at least the subject")
    elif facts.subject and facts.subject not in known:
        faults.add("subject", f"'{facts.subject}' is not among the models; describe it there")
    for name, ids in (
        ("models", [item.id for item in facts.models]),
        ("matters", [item.id for item in facts.matters]),
        ("waivers", [item.id for item in facts.waivers]),
    ):
        _check_unique(name, ids, faults)


def _check_unique(name: str, ids: list[str], faults: FaultList) -> None:
    seen: set[str] = set()
    for at, item in enumerate(ids):
        if item and item in seen:
            faults.add(f"{name}[{at}].id", f"'{item}' is defined twice; ids are unique")
        seen.add(item)


def _model(item: Reader, read_bytes: ReadBytes) -> ModelFacts:
    item.only(MODEL_KEYS)
    return ModelFacts(
        id=item.text("id"),
        license=item.optional_text("license"),
        license_name=item.optional_text("license_name"),
        license_link=item.optional_text("license_link"),
        license_pin=item.optional_text("license_pin"),
        licence_texts=_licence_texts(item, read_bytes),
        statements=item.each("statements", _statement),
        modalities=item.texts("modalities"),
        publisher=item.optional_text("publisher"),
        parents=item.each("parents", _parent),
        datasets=item.each("datasets", _dataset),
        distributed_files=item.texts("distributed_files"),
        notices=item.texts("notices"),
        evidence=item.each("evidence", _evidence),
    )


def _licence_texts(item: Reader, read_bytes: ReadBytes) -> tuple[LicenceText, ...]:
    names = list(item.texts("license_texts"))
    if item.data.get("license_text") is not None:
        names.insert(0, item.text("license_text"))
    found = []
    for name in filter(None, names):
        try:
            found.append(licence_text(name, read_bytes(name)))
        except (ValueError, OSError) as error:
            item.faults.add(item.at("license_text"), f"'{name}' {error}")
    return tuple(found)


def licence_text(path: str, raw: bytes) -> LicenceText:
    """Make the fact of a stored licence file; bytes that are no text stay unreadable."""
    text = decode_text(raw)
    return LicenceText(path=path, text=text, sha256=hashlib.sha256(raw).hexdigest())


def _statement(item: Reader) -> Statement:
    item.only({"source", "text"})
    source = item.choice("source", STATEMENT_SOURCES, "card")
    return Statement(source=source, text=item.text("text"))


def _parent(item: Reader) -> ParentLink:
    item.only({"id", "relation"})
    return ParentLink(id=item.text("id"), relation=item.choice("relation", RELATIONS, "finetune"))


def _dataset(item: Reader) -> DatasetFact:
    item.only({"id", "license", "use"})
    return DatasetFact(
        id=item.text("id"),
        license=item.optional_text("license"),
        use=item.choice("use", DATASET_USES, "training"),
    )


def _evidence(item: Reader) -> EvidenceFact:
    item.only({"kind", "result", "method", "reference", "summary"})
    kind = item.choice("kind", EVIDENCE_RESULTS)
    every = frozenset().union(*EVIDENCE_RESULTS.values())
    return EvidenceFact(
        kind=kind,
        result=item.choice("result", EVIDENCE_RESULTS.get(kind, every)),
        method=item.choice("method", EVIDENCE_METHODS, "attested"),
        reference=item.optional_text("reference") or "",
        summary=item.optional_text("summary") or "",
    )


def _use(item: Reader) -> Use:
    item.only(USE_KEYS)
    return Use(
        purposes=item.texts("purposes", PURPOSES),
        commercial=item.flag("commercial"),
        monthly_active_users=item.count("monthly_active_users"),
        annual_revenue_usd=item.count("annual_revenue_usd"),
        monthly_revenue_usd=item.count("monthly_revenue_usd"),
        past_monthly_active_users=_past_users(item),
        licensee_home=item.optional_text("licensee_home"),
        jurisdictions=item.texts("jurisdictions"),
        domains=item.texts("domains"),
    )


def _past_users(item: Reader) -> tuple[tuple[str, int], ...]:
    """Read {"2024-08": 5000000}: a month and its users."""
    name = "past_monthly_active_users"
    if item.data.get(name) is None:
        return ()
    months = Reader(item.at(name), item.data[name], item.faults)
    found = []
    for month in sorted(map(str, months.data)):
        if not _MONTH.fullmatch(month):
            months.faults.add(months.at(month), "is no month; write YYYY-MM in quotes")
        users = months.count(month)
        if users is not None:
            found.append((month, users))
    return tuple(found)


def _matter(item: Reader) -> Matter:
    item.only(MATTER_KEYS)
    filed_on = item.day("filed_on")
    withdrawn_on = item.day("withdrawn_on")
    if filed_on and withdrawn_on and withdrawn_on < filed_on:
        item.faults.add(item.at("withdrawn_on"), f"{withdrawn_on} is before filed_on {filed_on}")
    return Matter(
        id=item.text("id"),
        kind=item.choice("kind", MATTER_KINDS),
        status=item.choice("status", MATTER_STATUSES),
        filed_on=filed_on,
        withdrawn_on=withdrawn_on,
        in_response=item.flag("in_response"),
        alleges_model_infringes=item.texts("alleges_model_infringes"),
        alleges_output_infringes=item.texts("alleges_output_infringes"),
        brought_by=item.choice("brought_by", BROUGHT_BY, "organisation"),
        defendants=item.texts("defendants"),
    )


def _waiver(item: Reader) -> Waiver:
    item.only(WAIVER_KEYS)
    return Waiver(
        id=item.text("id"),
        rule=item.text("rule"),
        licence=item.text("licence", "*"),
        model=item.text("model", "*"),
        reason=item.text("reason"),
        granted_by=item.text("granted_by"),
        expires_on=item.day("expires_on"),
    )
