"""Report terms that cannot all be kept: two licences that each want the whole work for themselves.

A merge of two share-alike works has no licence under which it may go out; a share-alike work that
allows no further limits does not mix with one that brings limits of its own.
"""

from collections.abc import Iterable
from itertools import combinations

from compliance.rules.assessment import Finding
from compliance.rules.binding import Carrier, strictest
from compliance.rules.catalogue import RESTRICTING_KINDS, Clause, LicenceVersion
from compliance.rules.context import Case

Spoken = tuple[str, LicenceVersion, Clause]
# Copyleft that takes in the whole work says that no further limits may be put on it.
_STRONG = frozenset({"whole_work"})
_NOT_LIMITS = frozenset({"share_alike"})


def judge_conflicts(carriers: Iterable[Carrier], case: Case) -> list[Finding]:
    """List each pair of binding licences that cannot be kept together when the work goes out."""
    bound: dict[str, tuple[str, LicenceVersion]] = {}
    for item in carriers:
        if not item.candidate:
            for licence in strictest(item.resolved):
                bound.setdefault(licence.key, (item.model, licence))
    alike = [
        (model, licence, clause)
        for model, licence in bound.values()
        for clause in licence.clauses_of("share_alike")
    ]
    found = [
        _both_want_it(one, other, case)
        for one, other in combinations(sorted(alike, key=lambda item: item[1].key), 2)
        if not _agree(one, other)
    ]
    for spoken in alike:
        if spoken[2].params["strength"] in _STRONG:
            told = {other[1].key for other in alike if not _agree(spoken, other)}
            found += [
                _limits(spoken, model, licence, case)
                for model, licence in bound.values()
                if licence.family != spoken[1].family
                and licence.key not in told
                and _brings_limits(licence)
            ]
    return found


def _agree(one: Spoken, other: Spoken) -> bool:
    if one[1].family == other[1].family or "changed_files" in (
        one[2].params["strength"],
        other[2].params["strength"],
    ):
        return True
    return other[1].key in one[2].params.get("also_under", ()) or one[1].key in other[2].params.get(
        "also_under", ()
    )


def _brings_limits(licence: LicenceVersion) -> bool:
    kinds = {clause.kind for clause in licence.clauses} & RESTRICTING_KINDS
    return bool(kinds - _NOT_LIMITS)


def _reaches_others(spoken: Spoken, case: Case) -> bool:
    hosts = "hosted_service" in case.facts.use.purposes
    return case.goes_out(spoken[1]) or (hosts and bool(spoken[2].params.get("network")))


def _both_want_it(one: Spoken, other: Spoken, case: Case) -> Finding:
    told = (
        f"'{one[1].key}' (of {one[0]}) and '{other[1].key}' (of {other[0]}) each ask that the "
        "whole be offered under their own terms"
    )
    if not (_reaches_others(one, case) or _reaches_others(other, case)):
        because = f"{told}; nothing goes out, so today this binds nobody."
        return _finding(one, case, "not_applicable", because, None)
    if not case.purposes_known:
        because = f"{told}; nobody stated whether it goes out."
        return _finding(one, case, "needs_review", because, "State the purposes.")
    because = f"{told}, so there is no licence under which it may go out."
    remedy = "Do not pass it on; make it from works whose terms agree, or get leave in writing."
    return _finding(one, case, "violated", because, remedy)


def _limits(spoken: Spoken, model: str, licence: LicenceVersion, case: Case) -> Finding:
    told = (
        f"'{spoken[1].key}' (of {spoken[0]}) allows no further limits, and '{licence.key}' (of "
        f"{model}) brings some"
    )
    if not _reaches_others(spoken, case):
        because = f"{told}; nothing goes out, so today this binds nobody."
        return _finding(spoken, case, "not_applicable", because, None)
    because = f"{told}; whether the two can be kept together is a legal question."
    remedy = "Have the legal reviewer decide before anything goes out."
    return _finding(spoken, case, "needs_review", because, remedy)


def _finding(spoken: Spoken, case: Case, status: str, because: str, remedy: str | None) -> Finding:
    model, licence, clause = spoken
    severity = {"violated": "critical", "needs_review": "high"}.get(status, "info")
    return Finding(
        rule="licence_conflict",
        status=status,  # type: ignore[arg-type]  # one of three Status words
        severity=severity,  # type: ignore[arg-type]  # values are Severity words
        model=model,
        because=because,
        remedy=remedy,
        licence=licence.key,
        section=clause.section,
        quote=clause.quote,
        path=case.lineage.path(model),
    )
