"""Write a server's judgement: as text for people, as SARIF 2.1.0 for code scanning."""

from collections.abc import Iterator
from typing import Any

from registry.cli.failure import plain

EXIT_CODES = {"allow": 0, "allow_with_conditions": 3, "needs_review": 4, "deny": 5}
# A decision of a newer server is not taken for an allowance.
UNKNOWN_EXIT = 1
_HEADINGS = {
    "allow": "ALLOW: nothing stands against this use.",
    "allow_with_conditions": "ALLOW WITH CONDITIONS: the duties below come first.",
    "needs_review": "NEEDS REVIEW: a person has to settle the points below.",
    "deny": "DENY: this use is not permitted.",
}
_LEVELS = {"violated": "error", "needs_review": "warning", "unmet": "warning"}
_SARIF_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def exit_code_of(assessment: dict[str, Any]) -> int:
    return EXIT_CODES.get(assessment["decision"], UNKNOWN_EXIT)


def as_text(name: str, assessment: dict[str, Any]) -> str:
    """Write who, what was decided, by which licences, and what stands open."""
    return plain("\n".join(_lines(name, assessment)))


def _lines(name: str, assessment: dict[str, Any]) -> Iterator[str]:
    report = assessment["report"]
    yield f"{name} on {assessment['as_of']}"
    yield _HEADINGS.get(assessment["decision"], assessment["decision"])
    for item in report.get("binding_licences", []):
        yield f"  licence {item['licence']} [{item['resolution']}] of {item['model']}"
    for item in report.get("terminated", []):
        yield f"  ENDED {item['licence']} section {item['section']} for {item['model']}"
        yield f"    text: “{item['quote']}”"
    for finding in report["findings"]:
        if finding["status"] in _LEVELS:
            yield from _finding(finding)
    yield f"assessment {assessment['id']}"


def _finding(finding: dict[str, Any]) -> Iterator[str]:
    where = f" section {finding['section']}" if finding.get("section") else ""
    licence = f" {finding['licence']}" if finding.get("licence") else ""
    yield f"  [{finding['status']}] {finding['rule']} ({finding['severity']}){licence}{where}"
    yield f"    {finding['because']}"
    for label, member in (("text", "quote"), ("do", "remedy"), ("waived by", "waived_by")):
        if finding.get(member):
            yield f"    {label}: {finding[member]}"


def as_sarif(name: str, digest: str, assessment: dict[str, Any], version: str) -> dict[str, Any]:
    """Make one SARIF run; a result for each finding that is not met, waived ones suppressed."""
    found = [row for row in assessment["report"]["findings"] if row["status"] in _LEVELS]
    rules = sorted({row["rule"] for row in found})
    driver = {"name": "lictor", "version": version, "rules": [_rule(rule) for rule in rules]}
    run = {
        "tool": {"driver": driver},
        "invocations": [{"executionSuccessful": True, "exitCode": exit_code_of(assessment)}],
        "results": [_result(row, rules.index(row["rule"])) for row in found],
        "properties": {
            "model": name,
            "digest": digest,
            "decision": assessment["decision"],
            "assessment": assessment["id"],
        },
    }
    return {"$schema": _SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(rule: str) -> dict[str, Any]:
    words = rule.replace("_", " ").replace(".", ": ")
    return {"id": rule, "shortDescription": {"text": f"Licence duty: {words}."}}


def _result(finding: dict[str, Any], rule_index: int) -> dict[str, Any]:
    said = [finding["because"]]
    if finding.get("quote"):
        said.append(f"{finding['licence']} section {finding['section']}: “{finding['quote']}”")
    if finding.get("remedy"):
        said.append(finding["remedy"])
    result: dict[str, Any] = {
        "ruleId": finding["rule"],
        "ruleIndex": rule_index,
        "level": _LEVELS[finding["status"]],
        "message": {"text": " ".join(said)},
        "locations": [
            {"logicalLocations": [{"fullyQualifiedName": finding["model"], "kind": "module"}]}
        ],
        "properties": {"status": finding["status"], "severity": finding["severity"]},
    }
    if waiver := finding.get("waived_by"):
        result["suppressions"] = [{"kind": "external", "justification": f"waiver {waiver}"}]
    return result
