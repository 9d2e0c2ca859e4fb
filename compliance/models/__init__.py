"""Export compliance's tables: judgements, evidence, reviews, matters, standing."""

from compliance.models.assessments import Assessment, LicencePin, Waiver
from compliance.models.evidence import Evidence, EvidenceJob
from compliance.models.reviews import Decision, Review
from compliance.models.standing import Matter, Standing

__all__ = [
    "Assessment",
    "Decision",
    "Evidence",
    "EvidenceJob",
    "LicencePin",
    "Matter",
    "Review",
    "Standing",
    "Waiver",
]
