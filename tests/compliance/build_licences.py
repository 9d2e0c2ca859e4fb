"""Small licences made for a test: a clause, a licence, a library of them."""

from datetime import date
from typing import Any

import yaml

from compliance.rules.assessment import Finding
from compliance.rules.catalogue import Library
from compliance.rules.evaluate import evaluate
from compliance.rules.facts import EvidenceFact, ModelFacts, ParentLink
from compliance.rules.library import build_library
from tests.compliance.build_facts import make_facts, make_use


def make_clause(kind: str, **params: Any) -> dict[str, Any]:
    return {
        "id": kind, "kind": kind, "section": "1", "quote": f"Words about {kind}.",
        "trigger": "use", "actor": "licensee", "scope": "model", "effect": "prohibit",
        "params": params,
    }  # fmt: skip


def make_licence(key: str, *clauses: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {
        "key": key, "title": key.title(), "family": key.split("-")[0], "licensor": "House Ltd",
        "status": "read", "source": "test", "date_read": date(2026, 1, 1),
        "declares": {"license": [key]}, "clauses": list(clauses), **changes,
    }  # fmt: skip


def make_library(*licences: dict[str, Any]) -> Library:
    return build_library({f"{one['key']}.yaml": yaml.safe_dump(one).encode() for one in licences})


def with_evidence(kind: str, result: str = "confirmed") -> tuple[EvidenceFact, ...]:
    return (EvidenceFact(kind=kind, result=result, reference="r1"),)


def found_under(
    library: Library,
    rule: str,
    *models: ModelFacts,
    use: dict[str, Any] | None = None,
    **facts: Any,
) -> list[Finding]:
    """Judge the first model and give the findings of one rule."""
    judged = evaluate(make_facts(*models, use=make_use(**(use or {})), **facts), library)
    return [item for item in judged.findings if item.rule == rule]


def status_of(library: Library, rule: str, *models: ModelFacts, **changes: Any) -> str:
    """Judge the first model and give the status of the one finding of a rule."""
    (found,) = found_under(library, rule, *models, **changes)
    return found.status


def make_pair(
    parent_licence: str, child_licence: str | None, relation: str = "finetune", **child: Any
) -> tuple[ModelFacts, ModelFacts]:
    """Give a child and its parent, each under a licence."""
    link = ParentLink(id="house/base", relation=relation)
    return (
        ModelFacts(id="acme/tuned", license=child_licence, parents=(link,), **child),
        ModelFacts(id="house/base", license=parent_licence),
    )
