"""Judge a scenario file for the command line, and write an assessment out for people."""

from collections.abc import Iterable
from datetime import date
from pathlib import Path

from compliance.rules.assessment import (
    DISCLAIMER,
    Assessment,
    BindingLicence,
    Finding,
    Termination,
)
from compliance.rules.catalogue import Library
from compliance.rules.evaluate import evaluate
from compliance.rules.library import bundled_library
from compliance.rules.scenario import load_scenario

EXIT_CODES = {"allow": 0, "allow_with_conditions": 3, "needs_review": 4, "deny": 5}
EXIT_BAD_INPUT = 2
HEADINGS = {
    "allow": "ALLOW: nothing stands against this use.",
    "allow_with_conditions": "ALLOW WITH CONDITIONS: the duties below come first.",
    "needs_review": "NEEDS REVIEW: a person has to settle the points below.",
    "deny": "DENY: this use is not permitted.",
}
SHOWN = ("violated", "needs_review", "unmet")


def evaluate_file(
    path: Path, as_of: date, library: Library | None = None
) -> tuple[Assessment, int]:
    """Judge a scenario file; `as_of` counts when the file names no day.

    Gives the assessment and the exit code: 0 allow, 3 conditions, 4 needs review, 5 deny.

    Raises:
        InputFaults: when the file is no sound scenario; the command exits with 2.
    """
    facts = load_scenario(path, as_of=as_of)
    assessment = evaluate(facts, library or bundled_library())
    return assessment, EXIT_CODES[assessment.decision]


def render_text(assessment: Assessment, *, verbose: bool = False) -> str:
    """Write an assessment as plain text; `verbose` adds the rules that were met."""
    lines = [
        f"{assessment.subject} on {assessment.as_of.isoformat()}",
        HEADINGS[assessment.decision],
        "",
        *_licences(assessment.binding_licences),
        *_ended(assessment.terminated),
        *_findings(assessment.findings, verbose),
        DISCLAIMER,
    ]
    return "\n".join(lines) + "\n"


def _licences(items: Iterable[BindingLicence]) -> list[str]:
    lines = ["Licences that bind it:"]
    for item in items:
        version = f", {item.version}" if item.version else ""
        lines.append(f"  {item.licence} ({item.title}{version}) [{item.resolution}]")
        lines.append(f"    through {' <- '.join(item.path)}")
    if len(lines) == 1:
        lines.append("  none could be identified")
    return [*lines, ""]


def _ended(items: Iterable[Termination]) -> list[str]:
    lines = []
    for item in items:
        cause = f"matter {item.matter}" if item.matter else f"breach: {item.breach}"
        since = item.effective.isoformat() if item.effective else "no day named"
        what = "patent licence" if item.scope == "patent_only" else "licence"
        lines.append(f"  {what} {item.licence} section {item.section} for {item.model}")
        lines.append(f"    since {since}, {cause}")
    return ["Rights that ended:", *lines, ""] if lines else []


def _findings(items: Iterable[Finding], verbose: bool) -> list[str]:
    lines = []
    for item in items:
        if verbose or (item.status in SHOWN and item.waived_by is None):
            lines.extend(_finding(item))
    return ["Findings:", *lines] if lines else []


def _finding(item: Finding) -> list[str]:
    where = f", {item.licence}" if item.licence else ""
    section = f" section {item.section}" if item.section else ""
    lines = [f"  [{item.status}] {item.rule} ({item.severity}) {item.model}{where}{section}"]
    lines.append(f"    {item.because}")
    if item.quote:
        lines.append(f"    text: “{item.quote}”")
    if item.remedy:
        lines.append(f"    do: {item.remedy}")
    if item.waived_by:
        lines.append(f"    waived by {item.waived_by}")
    return [*lines, ""]
