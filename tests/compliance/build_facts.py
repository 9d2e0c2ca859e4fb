"""Builders of facts with valid defaults; a test overrides what it is about."""

from datetime import date
from typing import Any

from compliance.rules.facts import (
    EvidenceFact,
    Facts,
    Matter,
    ModelFacts,
    ParentLink,
    Use,
)

TODAY = date(2026, 11, 23)
JUNE = "nvidia-open-model-2024-06-14"
JANUARY = "nvidia-open-model-2025-01-06"
APRIL = "nvidia-open-model-2025-04-28"
OCTOBER = "nvidia-open-model-2025-10-24"
NEMOTRON = "nvidia-nemotron-open-model-2025-12-15"
BASE = "nvidia/base"
TUNED = "acme/tuned"
POLICY_KEPT = EvidenceFact(kind="acceptable_use", result="confirmed")


def make_use(**changes: Any) -> Use:
    values: dict[str, Any] = {
        "purposes": ("internal",),
        "commercial": True,
        "monthly_active_users": 1000,
        "annual_revenue_usd": 5_000_000,
    }
    return Use(**{**values, **changes})


def retention(result: str, method: str = "measured") -> EvidenceFact:
    return EvidenceFact(kind="guardrail_retention", result=result, method=method, reference="r1")


def make_base(pin: str = OCTOBER, **changes: Any) -> ModelFacts:
    return ModelFacts(**{"id": BASE, "license_pin": pin, **changes})


def make_tuned(*evidence: EvidenceFact, pin: str = OCTOBER, **changes: Any) -> ModelFacts:
    values: dict[str, Any] = {
        "id": TUNED,
        "license_pin": pin,
        "parents": (ParentLink(id=BASE),),
        "evidence": (POLICY_KEPT, *evidence),
    }
    return ModelFacts(**{**values, **changes})


def make_matter(**changes: Any) -> Matter:
    values: dict[str, Any] = {
        "id": "m1",
        "kind": "patent",
        "status": "filed",
        "filed_on": date(2026, 3, 1),
        "alleges_model_infringes": (BASE,),
    }
    return Matter(**{**values, **changes})


def make_facts(*models: ModelFacts, **changes: Any) -> Facts:
    chosen = models or (make_tuned(retention("retained")), make_base())
    values: dict[str, Any] = {
        "models": chosen,
        "subject": chosen[0].id,
        "as_of": TODAY,
        "use": make_use(),
    }
    return Facts(**{**values, **changes})
