"""Export compliance's tables: judgements, evidence, licences, policies, reviews, standing."""

from compliance.models.assessments import Assessment, LicencePin, Waiver
from compliance.models.duties import Duty, DutyRound
from compliance.models.evidence import Evidence, EvidenceJob
from compliance.models.guards import Guard
from compliance.models.licences import LicenceRecord
from compliance.models.policies import PolicyDryRun, PolicyVersion
from compliance.models.reviews import Decision, Review
from compliance.models.standing import Matter, Standing

__all__ = [
    "Assessment",
    "Decision",
    "Duty",
    "DutyRound",
    "Evidence",
    "EvidenceJob",
    "Guard",
    "LicencePin",
    "LicenceRecord",
    "Matter",
    "PolicyDryRun",
    "PolicyVersion",
    "Review",
    "Standing",
    "Waiver",
]
