"""Judge the data sets a model was trained on.

Whether a data set's licence reaches the weights is not settled anywhere; so a limit found here
goes to a person, and is never decided by rule.
"""

from collections.abc import Callable
from dataclasses import replace

from compliance.rules.assessment import Finding
from compliance.rules.catalogue import Clause, Library, LicenceVersion
from compliance.rules.facts import DatasetFact, Facts
from compliance.rules.lineage import Lineage

PLAIN_FREE = frozenset({"public-domain"})
"""Ids that are no licence and ask for nothing."""
TRAINED = frozenset({"training", "distillation"})


def judge_datasets(facts: Facts, lineage: Lineage, library: Library) -> list[Finding]:
    """Report training data whose licence is unknown or does not fit the use, each once."""
    found: dict[str, Finding] = {}
    for name in lineage.order:
        for data in sorted(lineage.models[name].datasets, key=lambda item: (item.id, item.use)):
            if data.use in TRAINED and data.id not in found:
                finding = _judge(facts, lineage, library, name, data)
                if finding is not None:
                    found[data.id] = finding
    return list(found.values())


def _judge(
    facts: Facts, lineage: Lineage, library: Library, model: str, data: DatasetFact
) -> Finding | None:
    said = (data.license or "").strip().casefold()
    if said in PLAIN_FREE:
        return None
    known = library.declared_by_id(said) or library.declared_by_name(said)
    if known:
        return _first_limit(facts, lineage, model, data, known)
    told = (
        f"is under '{data.license}', which is not known here" if said else "has no stated licence"
    )
    return _make(
        "dataset_licence_unknown",
        lineage,
        model,
        f"{model} was trained on {data.id}, which {told}.",
        f"Find out the licence of {data.id}, or have legal accept the open question.",
    )


def _first_limit(
    facts: Facts,
    lineage: Lineage,
    model: str,
    data: DatasetFact,
    known: tuple[LicenceVersion, ...],
) -> Finding | None:
    """Report the gravest clause that may reach the weights; versions that differ all count."""
    for kind, rule, concerns in _LIMITS:
        for licence in known:
            for clause in licence.clauses_of(kind):
                if concerns(facts) and _may_reach_weights(licence, clause):
                    return _limit(lineage, model, data, licence, clause, rule)
    return None


def _may_reach_weights(licence: LicenceVersion, clause: Clause) -> bool:
    if clause.kind == "acceptable_use":
        # Of a licence for data, this is about training itself; of a model's, about the model.
        return licence.role == "dataset_licence" and clause.effect == "prohibit"
    return not _frees_results(licence)


def _frees_results(licence: LicenceVersion) -> bool:
    """Say whether the text itself leaves what is computed from the data free."""
    return any(
        not clause.params["output_trained_is_derivative"] and licence.role == "dataset_licence"
        for clause in licence.clauses_of("output_reach")
    )


def _commerce(facts: Facts) -> bool:
    return facts.use.commercial is not False


def _goes_out(facts: Facts) -> bool:
    return not facts.use.purposes or "redistribution" in facts.use.purposes


_LIMITS: tuple[tuple[str, str, Callable[[Facts], bool]], ...] = (
    ("noncommercial", "dataset_noncommercial", _commerce),
    ("research_only", "dataset_noncommercial", _commerce),
    ("no_redistribution", "dataset_limit", _goes_out),
    ("no_derivatives", "dataset_limit", _goes_out),
    ("share_alike", "dataset_limit", _goes_out),
    ("output_training", "dataset_limit", lambda facts: True),
    ("acceptable_use", "dataset_terms", lambda facts: True),
)
_SAYS = {
    "noncommercial": "allows non-commercial use only, and the use is not stated to be that",
    "research_only": "allows research only, and the use is not stated to be that",
    "no_redistribution": "lets nothing be passed on",
    "no_derivatives": "lets no adapted work be shared",
    "share_alike": "asks that what is made from it go out under the same terms",
    "output_training": "limits which models may be made with it",
    "acceptable_use": "limits what it may be used for",
}


def _limit(
    lineage: Lineage,
    model: str,
    data: DatasetFact,
    licence: LicenceVersion,
    clause: Clause,
    rule: str,
) -> Finding:
    finding = _make(
        rule,
        lineage,
        model,
        f"{model} was trained on {data.id} ('{data.license}'), which {_SAYS[clause.kind]}. Whether "
        "that reaches the weights is unsettled.",
        "Have the legal reviewer accept the risk, or use a model trained on other data.",
    )
    return replace(finding, licence=licence.key, section=clause.section, quote=clause.quote)


def _make(rule: str, lineage: Lineage, model: str, because: str, remedy: str) -> Finding:
    return Finding(
        rule=rule,
        status="needs_review",
        severity="medium",
        model=model,
        path=lineage.path(model),
        because=because,
        remedy=remedy,
    )
