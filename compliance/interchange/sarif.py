"""Write findings as SARIF 2.1.0, so that a code host shows them beside the change.

One rule for each clause of a licence (`licence/clause`), one result for each finding that asks for
something; a waived one is there and suppressed. A fingerprint names clause, licensed model, path
and section, and neither line, day nor wording, so that a finding stays the same when those move.
Source: OASIS SARIF 2.1.0, sections 3.19 (rules), 3.27 (results), 3.35 (suppressions).
"""

import hashlib
import re
from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import quote

from compliance.interchange.naming import clause_of
from compliance.interchange.places import Judged
from compliance.rules.assessment import DISCLAIMER, Finding
from compliance.rules.catalogue import Library

SCHEMA: Final = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)
SHOWN: Final = ("violated", "needs_review", "unmet")
_BY_SEVERITY: Final = {"critical": "error", "high": "error", "medium": "warning"}
_WORKFLOW: Final = {"error": "error", "warning": "warning", "note": "notice"}
_LINK = re.compile(r"https://[A-Za-z0-9.-]+(?:/[A-Za-z0-9._~/%-]*)?")


def level_of(finding: Finding) -> str:
    """Level a finding by its severity; what is violated is always an error."""
    if finding.status == "violated":
        return "error"
    return _BY_SEVERITY.get(finding.severity, "note")


def sarif_log(judged: Iterable[Judged], library: Library, *, version: str) -> dict[str, Any]:
    """Write one log with one run of all judgements, in the order of their paths."""
    found = [
        (one, finding)
        for one in sorted(judged, key=lambda item: item.path)
        for finding in one.assessment.findings
        if finding.status in SHOWN
    ]
    rules = {clause_of(finding, library): _rule(finding, library) for _, finding in reversed(found)}
    order = {rule: at for at, rule in enumerate(sorted(rules))}
    driver = {
        "name": "lictor",
        "version": version,
        "shortDescription": {"text": "Licences of open-weight models, judged for a use"},
        "fullDescription": {"text": DISCLAIMER},
        "rules": [rules[rule] for rule in order],
    }
    results = [_result(one, finding, library, order) for one, finding in found]
    run = {"tool": {"driver": driver}, "results": results, "columnKind": "unicodeCodePoints"}
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(finding: Finding, library: Library) -> dict[str, Any]:
    licence = library.get(finding.licence) if finding.licence else None
    words = finding.rule.replace("_", " ").replace(".", ": ")
    told: dict[str, Any] = {
        "id": clause_of(finding, library),
        "shortDescription": {"text": f"Licence duty: {words}."},
        "properties": {"rule": finding.rule},
    }
    if licence is None:
        return told
    title = f"{licence.title}, {licence.version}" if licence.version else licence.title
    section = f", section {finding.section}" if finding.section else ""
    words = f": “{finding.quote}”" if finding.quote else ""
    told["fullDescription"] = {"text": f"{title}{section}{words}"}
    told["help"] = {"text": f"Source of the licence record: {licence.source}"}
    links = (f"https://{one}" for one in licence.links)
    if address := next((one for one in links if _LINK.fullmatch(one)), None):
        told["helpUri"] = address
    return told


def _result(
    one: Judged, finding: Finding, library: Library, order: dict[str, int]
) -> dict[str, Any]:
    rule, place = clause_of(finding, library), one.place_of(finding)
    result: dict[str, Any] = {
        "ruleId": rule,
        "ruleIndex": order[rule],
        "level": level_of(finding),
        "message": {"text": _said(finding)},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": quote(place.path)},
                    "region": {"startLine": place.line},
                },
                "logicalLocations": [{"fullyQualifiedName": finding.model, "kind": "module"}],
            }
        ],
        "partialFingerprints": {"lictor/v1": _fingerprint(one, finding, rule)},
        "properties": {
            "status": finding.status,
            "severity": finding.severity,
            "path": list(finding.path),
            "subject": one.assessment.subject,
            "decision": one.assessment.decision,
        },
    }
    if finding.waived_by:
        reason = f"waiver {finding.waived_by}"
        result["suppressions"] = [{"kind": "external", "justification": reason}]
    return result


def _said(finding: Finding) -> str:
    said = [finding.because]
    if finding.quote:
        said.append(f"{finding.licence} section {finding.section}: “{finding.quote}”")
    if finding.remedy:
        said.append(finding.remedy)
    return " ".join(said)


def _fingerprint(one: Judged, finding: Finding, rule: str) -> str:
    parts = (one.assessment.subject, rule, finding.rule, finding.section or "", *finding.path)
    told = "\n".join((*parts, finding.model))
    return hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def annotations(judged: Iterable[Judged], library: Library) -> list[str]:
    """Write findings as workflow commands, which a code host turns into annotations."""
    lines = []
    for one in sorted(judged, key=lambda item: item.path):
        for finding in one.assessment.findings:
            if finding.status in SHOWN and finding.waived_by is None:
                place, rule = one.place_of(finding), clause_of(finding, library)
                kind = _WORKFLOW[level_of(finding)]
                lines.append(annotation(kind, place.path, place.line, rule, _said(finding)))
    return lines


def annotation(kind: str, path: str, line: int, title: str, text: str) -> str:
    """Write one workflow command; nothing in its parts can begin another."""
    where = f"file={_property(path)},line={line},title={_property(title)}"
    return f"::{kind} {where}::{_message(text)}"


def _message(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _message(text).replace(":", "%3A").replace(",", "%2C")
