"""Turn findings into work: what somebody has to do, by when, and how one can see that it is done.

Pure. A duty is known by the clause it comes from and the checkpoint it is about, so judging again
finds the same duty. What a machine can see (a file, words on a page) it checks; the rest a person
proves with evidence of the kind the rule reads.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from compliance.rules.assessment import Finding
from compliance.rules.catalogue import Clause, Library
from compliance.rules.text import contains_quote

Check = Literal["files", "page", "person"]
YEAR = 365
QUARTER = 90
DUE_DAYS = 14

_DUTIES: dict[str, tuple[str, Check, str | None]] = {
    # rule -> what is to be done, who can see it, the evidence that proves it
    "licence_copy": ("Ship a copy of the licence", "files", None),
    "notice_file": ("Ship the notice", "files", None),
    "retain_notices": ("Keep the notices of origin", "files", None),
    "changed_files": ("Say in changed files that they were changed", "person", "changes_stated"),
    "badge": ("Show the words to users", "page", "badge_shown"),
    "model_name": ("Offer it under a name that begins as asked", "person", None),
    "acceptable_use": ("Hold the use against the policy", "person", "acceptable_use"),
    "pass_through": ("Bind recipients to the terms", "person", "terms_passed_on"),
    "share_alike": ("Offer it under the same terms", "person", "source_offered"),
    "registration": ("Register with the licensor", "person", "registered"),
    "citation": ("Name it in publications", "person", "cited"),
    "documentation": ("Keep the documentation up to date", "person", "documentation_kept"),
    "user_threshold": ("Count monthly active users again", "person", None),
    "revenue_threshold": ("Look at the revenue again", "person", None),
    "unilateral_update": ("Look for a new version of the terms", "person", None),
    "latest_version": ("Look for a new version of the model", "person", None),
}
RECURS: dict[str, int] = {
    "user_threshold": YEAR,
    "revenue_threshold": YEAR,
    "acceptable_use": YEAR,
    "badge": QUARTER,
    "unilateral_update": QUARTER,
    "latest_version": QUARTER,
}
"""Days after which a duty that was done falls due again: numbers change, pages lose their words."""
_WATCHES = frozenset({"unilateral_update", "latest_version"})
_THRESHOLDS = frozenset({"user_threshold", "revenue_threshold"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Duty:
    """Hold one thing to do. `words` are exact strings to be found; any one of them is enough.

    `done` says that the judgement already sees it done; `due_days` counts from today.
    """

    key: str
    rule: str
    licence: str
    section: str
    quote: str
    model: str
    what: str
    because: str
    remedy: str | None
    check: Check
    proof: str | None
    words: tuple[str, ...]
    recurs_days: int | None
    due_days: int
    done: bool


@dataclass(frozen=True, slots=True)
class Seen:
    """Say what a machine saw: `kept` is None when it could not tell."""

    kept: bool | None
    because: str


def duties_of(findings: Iterable[Finding], library: Library, *, subject: str) -> tuple[Duty, ...]:
    """List the duties of one judgement, by licence and rule; each clause gives at most one."""
    found: dict[str, Duty] = {}
    for finding in findings:
        duty = _duty(finding, subject, library)
        if duty is not None:
            held = found.setdefault(duty.key, duty)
            # The same clause may speak through several models; one that is open keeps it open.
            if held.done and not duty.done:
                found[duty.key] = duty
    return tuple(sorted(found.values(), key=lambda one: (one.done, one.licence, one.rule, one.key)))


def _duty(finding: Finding, subject: str, library: Library) -> Duty | None:
    known = _DUTIES.get(finding.rule)
    if known is None or finding.licence is None or not _asks(finding):
        return None
    what, check, proof = known
    clause = _clause(finding, library)
    recurs = RECURS.get(finding.rule)
    done = finding.status == "met" or finding.waived_by is not None
    return Duty(
        key=_key(finding, subject),
        rule=finding.rule,
        licence=finding.licence,
        section=finding.section or "",
        quote=finding.quote or "",
        model=finding.model,
        what=what,
        because=finding.because,
        remedy=finding.remedy,
        check=check,
        proof=proof,
        words=_words(finding.rule, clause.params if clause else {}),
        recurs_days=recurs,
        due_days=recurs if done and recurs else DUE_DAYS,
        done=done,
    )


def _asks(finding: Finding) -> bool:
    """Say whether anything is, or was, to be done; watches are never met and always run."""
    if finding.rule in _WATCHES:
        return True
    if finding.rule in _THRESHOLDS:
        return finding.status in ("met", "unmet", "needs_review")
    return finding.status in ("met", "unmet")


def _clause(finding: Finding, library: Library) -> Clause | None:
    licence = library.get(finding.licence or "")
    clauses = licence.clauses_of(finding.rule) if licence else ()
    return next((one for one in clauses if one.quote == finding.quote), None)


def _key(finding: Finding, subject: str) -> str:
    told = "\n".join((subject, finding.licence or "", finding.rule, finding.quote or ""))
    return hashlib.sha256(told.encode()).hexdigest()[:32]


def _words(rule: str, params: Mapping[str, Any]) -> tuple[str, ...]:
    if rule == "notice_file":
        return (str(params["text"]),) if "text" in params else ()
    if rule == "badge":
        return tuple(str(one) for one in params.get("any_of", ()))
    return (str(params["badge"]),) if "badge" in params else ()


_PREFIXES = {
    "licence_copy": ("licen", "copying"),
    "notice_file": ("notice",),
    "retain_notices": ("notice", "copyright", "authors"),
}


@dataclass(frozen=True, slots=True)
class Look:
    """Say what a machine looks for: the words, and in files of which sort."""

    rule: str
    words: tuple[str, ...]


def see_files(duty: "Duty | Look", files: Mapping[str, str | None]) -> Seen:
    """Look for what a duty asks for in the files that go out; None is a file that is no text."""
    named = [
        name
        for name in sorted(files)
        if name.rsplit("/", 1)[-1].casefold().startswith(_PREFIXES.get(duty.rule, ("\0",)))
    ]
    if not named:
        return Seen(False, "No such file goes out.")
    if not duty.words:
        empty = [name for name in named if not (files[name] or "").strip()]
        if len(empty) == len(named):
            return Seen(False, f"{', '.join(empty)} holds no text.")
        return Seen(True, f"{', '.join(named)} goes out.")
    for name in named:
        if any(contains_quote(files[name] or "", words) for words in duty.words):
            return Seen(True, f"{name} says it.")
    return Seen(False, f"{', '.join(named)} does not say “{duty.words[0]}”.")


def see_page(duty: "Duty | Look", text: str) -> Seen:
    """Look for a duty's words in the readable text of a page."""
    if not duty.words:
        return Seen(None, "The licence names no exact words; a person has to look.")
    for words in duty.words:
        if contains_quote(text, words):
            return Seen(True, f"The page says “{words}”.")
    return Seen(False, f"The page does not say “{duty.words[0]}”.")


def open_duties(duties: Iterable[Duty]) -> tuple[Duty, ...]:
    """Keep what is still to be done."""
    return tuple(one for one in duties if not one.done)
