"""Judge what surrounds the clauses: identity of licences, lineage, relabelling, data, use.

These rules carry no licence quote: they say what is not known, or not said truly.
"""

from collections.abc import Iterable, Mapping

from compliance.rules.assessment import EvidenceRef, Finding, Severity, Status
from compliance.rules.binding import Carrier, restricting, strictest
from compliance.rules.catalogue import LicenceVersion
from compliance.rules.context import Case
from compliance.rules.facts import Facts
from compliance.rules.guardrail import read_model
from compliance.rules.lineage import Lineage
from compliance.rules.resolved import Advice, Resolved

UNREAD = {
    "second_hand": "was read in somebody else's quotation only",
    "unverified": "was not read",
}


def _finding(
    rule: str,
    lineage: Lineage,
    model: str,
    because: str,
    remedy: str,
    *,
    status: Status = "needs_review",
    severity: Severity = "high",
    licence: str | None = None,
    evidence: tuple[EvidenceRef, ...] = (),
) -> Finding:
    known = model in lineage.toward_subject or model == lineage.subject
    path = lineage.path(model) if known and model in lineage.models else (model,)
    return Finding(
        rule=rule,
        status=status,
        severity=severity,
        model=model,
        because=because,
        remedy=remedy,
        licence=licence,
        path=path,
        evidence=evidence,
    )


def judge_use(facts: Facts, lineage: Lineage) -> list[Finding]:
    """Ask for the purposes when nobody stated any."""
    if facts.use.purposes:
        return []
    because = "Nobody stated what the model is for; every duty is judged as if copies go out."
    return [_finding("use_unknown", lineage, facts.subject, because, "State the purposes.")]


def judge_lineage(lineage: Lineage) -> list[Finding]:
    """Report ancestors that nobody described, and models that are their own ancestors."""
    found = [
        _finding(
            "parent_unknown",
            lineage,
            children[0],
            f"{children[0]} was made from {parent}, and nothing is known about {parent}.",
            f"Describe {parent}: its licence, its text and its own parents.",
        )
        for parent, children in lineage.missing.items()
    ]
    if lineage.cycle:
        ring = lineage.cycle if len(lineage.cycle) <= 8 else (*lineage.cycle[:7], "...")
        because = f"The lineage runs in a ring: {' -> '.join(ring)}. No model is its own ancestor."
        remedy = "Correct the parents of one of these models."
        found.append(_finding("lineage_cycle", lineage, lineage.cycle[0], because, remedy))
    return found


def judge_identity(carriers: Iterable[Carrier], lineage: Lineage) -> list[Finding]:
    """Report every model of the closure whose licence is not settled."""
    found = []
    for item in carriers:
        found += [
            _finding(problem.code, lineage, item.model, problem.because, problem.remedy)
            for problem in item.resolved.problems
        ]
        found += [_advised(item, advice, lineage) for advice in item.resolved.advice]
        if item.candidate:
            found += _open_versions(item, lineage)
        for licence in strictest(item.resolved):
            if licence.status != "read":
                found.append(_unread(item, licence, lineage))
    return found


def _open_versions(item: Carrier, lineage: Lineage) -> list[Finding]:
    """Ask which text binds: of one family's versions, or of several makers' under one name."""
    families: dict[str, list[LicenceVersion]] = {}
    for one in item.resolved.licences:
        families.setdefault(one.family, []).append(one)
    several = [group for group in families.values() if len(group) > 1]
    if not several and not item.resolved.problems:
        # Where id, name and link name no common licence, that problem says so already.
        several = [list(item.resolved.licences)]
    return [_version_unresolved(item, group, lineage) for group in several]


def _version_unresolved(item: Carrier, group: list[LicenceVersion], lineage: Lineage) -> Finding:
    known = {one.key for one in strictest(item.resolved)}
    applied = next((one.key for one in group if one.key in known), group[0].key)
    because = (
        f"{item.model} names a licence whose versions differ, and no stored text tells which: "
        f"{', '.join(one.key for one in group)}. The strictest ('{applied}') is applied."
    )
    remedy = "Store the licence text that came with the model, or have legal pin a version."
    return _finding("version_unresolved", lineage, item.model, because, remedy, licence=applied)


def _advised(item: Carrier, advice: Advice, lineage: Lineage) -> Finding:
    because = f"The {advice.source} of {item.model} advises: “{advice.sentence}” That is no term."
    return _finding(
        "advice",
        lineage,
        item.model,
        because,
        "Follow it or not; no right depends on it.",
        status="not_applicable",
        severity="info",
        licence=advice.licence,
    )


def _unread(item: Carrier, licence: LicenceVersion, lineage: Lineage) -> Finding:
    because = f"The text of '{licence.key}' {UNREAD[licence.status]}; clauses may be missing."
    remedy = "Have a legal reviewer read the original and complete the catalogue."
    return _finding("licence_not_read", lineage, item.model, because, remedy, licence=licence.key)


def judge_relabelling(
    lineage: Lineage, resolved: Mapping[str, Resolved], carriers: Iterable[Carrier]
) -> list[Finding]:
    """Report a derivative that carries a looser label than what it was made from.

    The inherited licence binds all the same: nobody can give away rights they do not hold. One
    that its own licensor replaced further down binds no more, and its label harms nobody.
    """
    found = []
    binding = {(item.model, one.key) for item in carriers for one in item.resolved.licences}
    for child in lineage.order:
        mine = resolved[child].licences
        if not mine:
            continue
        families = {one.family for one in mine}
        for link in lineage.parents(child):
            for licence in restricting(resolved[link.id]):
                if licence.family in families:
                    continue
                if _is_licensor(lineage, child, link.id, licence):
                    found.append(_relicensed(lineage, child, mine[0], link.id, licence))
                elif (link.id, licence.key) in binding:
                    found.append(_relabelled(lineage, child, mine[0], link.id, licence))
    return found


def _is_licensor(lineage: Lineage, child: str, parent: str, licence: LicenceVersion) -> bool:
    """Say whether the licensor published both; it may give its own work other terms."""
    publishers = {lineage.models[name].published_by for name in (child, parent)}
    return publishers <= set(licence.publishers)


def _relicensed(
    lineage: Lineage, child: str, label: LicenceVersion, parent: str, licence: LicenceVersion
) -> Finding:
    because = (
        f"{licence.licensor} published {parent} under '{licence.key}' and {child}, made from it, "
        f"under '{label.key}'; a licensor may give its own work other terms."
    )
    return _finding(
        "relicensed",
        lineage,
        child,
        because,
        "Nothing to do, unless the publisher's name is in doubt.",
        status="not_applicable",
        severity="info",
        licence=licence.key,
    )


def _relabelled(
    lineage: Lineage, child: str, label: LicenceVersion, parent: str, licence: LicenceVersion
) -> Finding:
    because = (
        f"{child} is labelled '{label.key}' but was made from {parent} under '{licence.key}', "
        "which goes on binding it."
    )
    remedy = f"Treat {child} as under both licences, and say so wherever it is passed on."
    if child.split("/")[0] == parent.split("/")[0]:
        remedy += " The publisher is the same; it may confirm that it relicensed its own work."
    return _finding(
        "relabelled",
        lineage,
        child,
        because,
        remedy,
        status="unmet",
        severity="medium",
        licence=licence.key,
    )


def judge_missing_guardrail_clause(carriers: Iterable[Carrier], case: Case) -> list[Finding]:
    """Say that a loss of guardrails breaks no licence whose text has no such clause."""
    reading = read_model(case.subject)
    if reading.reading in ("none", "retained", "claimed", "unknown"):
        return []
    found: dict[str, Finding] = {}
    for item in carriers:
        for licence in strictest(item.resolved):
            if licence.key in found or licence.clauses_of("guardrail"):
                continue
            because = (
                f"The guardrails of {case.subject.id} were changed ({reading.reading}); the text "
                f"of '{licence.key}' has no guardrail clause, so this is a safety matter here."
            )
            found[licence.key] = _finding(
                "guardrail",
                case.lineage,
                item.model,
                because,
                "Have the safety reviewer judge it.",
                status="not_applicable",
                severity="medium",
                licence=licence.key,
            )
    return list(found.values())


def judge_unlicensed_matters(carriers: Iterable[Carrier], case: Case) -> list[Finding]:
    """Report matters about an ancestor whose licence nobody knows: it may end rights."""
    open_models = {item.model for item in carriers if not item.resolved.licences}
    open_models.update(case.lineage.missing)
    found = []
    for matter in case.matters():
        named = {*matter.alleges_model_infringes, *matter.alleges_output_infringes}
        for model in sorted(named & open_models):
            if matter.status not in ("draft", "threatened"):
                because = f"Matter {matter.id} concerns {model}, whose licence is not known."
                remedy = f"Settle the licence of {model}; it may have ended."
                reference = EvidenceRef(kind="matter", reference=matter.id, summary=matter.status)
                found.append(
                    _finding(
                        "litigation",
                        case.lineage,
                        model,
                        because,
                        remedy,
                        severity="critical",
                        evidence=(reference,),
                    )
                )
    return found
