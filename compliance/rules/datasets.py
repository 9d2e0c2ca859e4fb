"""Judge the data sets a model was trained on.

Whether a data set's licence reaches the weights is not settled anywhere; so a limit found here
goes to a person, and is never decided by rule.
"""

from compliance.rules.assessment import Finding
from compliance.rules.catalogue import Library
from compliance.rules.facts import DatasetFact, Facts
from compliance.rules.lineage import Lineage

FREE_IDS = frozenset(
    {
        "cc0-1.0", "cc-by-4.0", "cc-by-3.0", "odc-by", "pddl", "cdla-permissive-1.0",
        "cdla-permissive-2.0", "bsd-3-clause", "bsd-2-clause", "public-domain", "unlicense",
    }
)  # fmt: skip
"""Licence ids of data sets that ask for attribution at most."""
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
    if said.startswith("cc-by-nc"):
        return _noncommercial(facts, lineage, model, data)
    if said in FREE_IDS or library.declared_by_id(said):
        return None
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


def _noncommercial(facts: Facts, lineage: Lineage, model: str, data: DatasetFact) -> Finding | None:
    if facts.use.commercial is False:
        return None
    return _make(
        "dataset_noncommercial",
        lineage,
        model,
        f"{model} was trained on {data.id} ('{data.license}'), and the use is not stated to be "
        "non-commercial. Whether that reaches the weights is unsettled.",
        "Have the legal reviewer accept the risk, or use a model trained on other data.",
    )


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
