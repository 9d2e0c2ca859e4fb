"""Say what goes over the wire for judgements, evidence, reviews, waivers and matters."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from compliance.evidence.suite import DEFAULT_SUITE
from compliance.models import (
    Assessment,
    Decision,
    Evidence,
    EvidenceJob,
    Guard,
    LicencePin,
    Matter,
    Review,
    Waiver,
)
from compliance.policy.stages import ALL_STAGES
from compliance.rules.facts import EVIDENCE_RESULTS, MATTER_KINDS, PURPOSES
from compliance.selectors import stages_of
from compliance.services.evidence import MEASURED_ONLY

# Named in words and checked by the services: a third set of choices called "kind" would get a
# meaningless name in the schema.
_EVIDENCE_KINDS = ", ".join(sorted(set(EVIDENCE_RESULTS) - MEASURED_ONLY))


class UseIn(serializers.Serializer[Any]):
    """Describe the intended use; what is left out is unknown, never "no"."""

    purposes = serializers.ListField(child=serializers.ChoiceField(choices=sorted(PURPOSES)))
    commercial = serializers.BooleanField(required=False, allow_null=True, default=None)
    monthly_active_users = serializers.IntegerField(required=False, allow_null=True, default=None)
    annual_revenue_usd = serializers.IntegerField(required=False, allow_null=True, default=None)
    monthly_revenue_usd = serializers.IntegerField(required=False, allow_null=True, default=None)
    past_monthly_active_users = serializers.DictField(
        child=serializers.IntegerField(), required=False, allow_null=True, default=None
    )
    licensee_home = serializers.CharField(required=False, allow_null=True, default=None)
    jurisdictions = serializers.ListField(child=serializers.CharField(), default=list)
    domains = serializers.ListField(child=serializers.CharField(), default=list)


class AssessmentIn(serializers.Serializer[Any]):
    checkpoint = serializers.UUIDField()
    use = UseIn()


class AssessmentOut(serializers.ModelSerializer[Assessment]):
    checkpoint = serializers.UUIDField(source="checkpoint_id")
    report = serializers.DictField()
    use = serializers.DictField()

    class Meta:
        model = Assessment
        fields = [
            "id",
            "checkpoint",
            "use",
            "use_digest",
            "decision",
            "report",
            "input_digest",
            "report_digest",
            "catalogue_digest",
            "policy_digest",
            "seen_digest",
            "is_current",
            "as_of",
            "created_at",
        ]


class EvidenceIn(serializers.Serializer[Any]):
    checkpoint = serializers.UUIDField()
    kind = serializers.CharField(max_length=40, help_text=_EVIDENCE_KINDS)
    result = serializers.CharField(max_length=40)
    summary = serializers.CharField(max_length=500)


class MeasureIn(serializers.Serializer[Any]):
    checkpoint = serializers.UUIDField()
    base = serializers.UUIDField(required=False, allow_null=True)
    suite = serializers.CharField(max_length=100, default=DEFAULT_SUITE)
    guard = serializers.UUIDField(
        required=False, allow_null=True, help_text="measure the model behind this guard as well"
    )


class CompareIn(serializers.Serializer[Any]):
    checkpoint = serializers.UUIDField()
    base = serializers.UUIDField(required=False, allow_null=True)


class GuardIn(serializers.Serializer[Any]):
    document = serializers.JSONField(help_text="a lictor.guard/1 configuration")


class RetireGuardIn(serializers.Serializer[Any]):
    reason = serializers.CharField(max_length=4_000)


class GuardOut(serializers.ModelSerializer[Guard]):
    document = serializers.DictField()
    created_by = serializers.CharField(source="created_by_name")
    retired_by = serializers.CharField(source="retired_by_name")

    class Meta:
        model = Guard
        fields = [
            "id",
            "name",
            "digest",
            "document",
            "created_by",
            "created_at",
            "retired_at",
            "retired_by",
        ]


class EvidenceOut(serializers.ModelSerializer[Evidence]):
    checkpoint = serializers.UUIDField(source="checkpoint_id")
    base = serializers.UUIDField(source="base_id", allow_null=True)
    guard = serializers.UUIDField(source="guard_id", allow_null=True)
    record = serializers.DictField()
    created_by = serializers.CharField(source="created_by_name")
    # Plain text: a weight comparison's results are not those of a guardrail.
    result = serializers.CharField()

    class Meta:
        model = Evidence
        fields = [
            "id",
            "checkpoint",
            "base",
            "guard",
            "kind",
            "result",
            "method",
            "summary",
            "record",
            "record_digest",
            "kid",
            "signature",
            "created_by",
            "created_at",
        ]


class MechanismOut(serializers.Serializer[Any]):
    kind = serializers.CharField()
    name = serializers.CharField()
    place = serializers.CharField(help_text="file, and where in it")
    fingerprint = serializers.CharField()
    excerpt = serializers.CharField()
    is_concern = serializers.BooleanField(help_text="tells of removed guardrails by itself")


class UnreadableOut(serializers.Serializer[Any]):
    file = serializers.CharField()
    why = serializers.CharField()


class MechanismsOut(serializers.Serializer[Any]):
    mechanisms = MechanismOut(many=True)
    unreadable = UnreadableOut(many=True)
    not_in_files = serializers.ListField(child=serializers.CharField())
    stated = EvidenceOut(many=True)


class EvidenceJobOut(serializers.ModelSerializer[EvidenceJob]):
    checkpoint = serializers.UUIDField(source="checkpoint_id")
    base = serializers.UUIDField(source="base_id")
    guard = serializers.UUIDField(source="guard_id", allow_null=True)
    evidence = serializers.UUIDField(source="evidence_id", allow_null=True)
    state = serializers.CharField()
    requested_by = serializers.CharField(source="requested_by_name")

    class Meta:
        model = EvidenceJob
        fields = [
            "id",
            "checkpoint",
            "base",
            "guard",
            "suite",
            "state",
            "done",
            "total",
            "message",
            "attempts",
            "evidence",
            "requested_by",
            "created_at",
        ]


class ReviewIn(serializers.Serializer[Any]):
    checkpoint = serializers.UUIDField()
    use = UseIn()


class StageOut(serializers.Serializer[Any]):
    stage = serializers.CharField()
    state = serializers.CharField(help_text="waiting, asked, approved or refused")
    by = serializers.CharField(allow_null=True)
    conditions = serializers.ListField(child=serializers.CharField())
    needed = serializers.IntegerField(help_text="how many people have to approve")
    approved = serializers.IntegerField(help_text="how many have")


class DecisionOut(serializers.ModelSerializer[Decision]):
    by = serializers.CharField(source="decided_by_name")
    verdict = serializers.CharField()
    conditions = serializers.ListField(child=serializers.CharField())

    class Meta:
        model = Decision
        fields = [
            "id",
            "stage",
            "verdict",
            "comment",
            "conditions",
            "seen_digest",
            "by",
            "created_at",
        ]


class ReviewOut(serializers.ModelSerializer[Review]):
    checkpoint = serializers.UUIDField(source="checkpoint_id")
    assessment = serializers.UUIDField(source="assessment_id")
    decision = serializers.CharField(
        source="assessment.decision", help_text="what the assessment says"
    )
    opened_by = serializers.CharField(source="opened_by_name")
    use = serializers.DictField()
    state = serializers.CharField()
    stages = serializers.SerializerMethodField()
    decisions = DecisionOut(many=True)

    class Meta:
        model = Review
        fields = [
            "id",
            "checkpoint",
            "use",
            "use_digest",
            "state",
            "version",
            "seen_digest",
            "assessment",
            "decision",
            "stages",
            "decisions",
            "opened_by",
            "created_at",
            "closed_at",
            "expires_at",
        ]

    @extend_schema_field(StageOut(many=True))
    def get_stages(self, review: Review) -> list[dict[str, Any]]:
        return stages_of(review)


class DecideIn(serializers.Serializer[Any]):
    stage = serializers.ChoiceField(choices=ALL_STAGES)
    verdict = serializers.ChoiceField(choices=Decision.Verdict.choices)
    seen_digest = serializers.CharField(max_length=71)
    comment = serializers.CharField(max_length=4000, default="", allow_blank=True)
    conditions = serializers.ListField(
        child=serializers.CharField(max_length=4000), default=list, max_length=50
    )


class LicencePinIn(serializers.Serializer[Any]):
    checkpoint = serializers.UUIDField()
    licence = serializers.CharField(max_length=100)
    reason = serializers.CharField(max_length=4000)


class LicencePinOut(serializers.ModelSerializer[LicencePin]):
    checkpoint = serializers.UUIDField(source="checkpoint_id")
    licence = serializers.CharField(source="licence_key")
    pinned_by = serializers.CharField(source="pinned_by_name")

    class Meta:
        model = LicencePin
        fields = ["id", "checkpoint", "licence", "reason", "pinned_by", "is_active", "created_at"]


class WaiverIn(serializers.Serializer[Any]):
    checkpoint = serializers.UUIDField()
    rule = serializers.CharField(max_length=60)
    licence = serializers.CharField(max_length=100, default="*")
    reason = serializers.CharField(max_length=4000)
    expires_at = serializers.DateTimeField()


class WaiverOut(serializers.ModelSerializer[Waiver]):
    checkpoint = serializers.UUIDField(source="checkpoint_id")
    licence = serializers.CharField(source="licence_key")
    owner = serializers.CharField(source="owner_name")

    class Meta:
        model = Waiver
        fields = [
            "id",
            "checkpoint",
            "rule",
            "licence",
            "reason",
            "owner",
            "expires_at",
            "revoked_at",
            "created_at",
        ]


class MatterIn(serializers.Serializer[Any]):
    reference = serializers.CharField(max_length=100)
    title = serializers.CharField(max_length=200)
    kind = serializers.CharField(max_length=20, help_text=", ".join(sorted(MATTER_KINDS)))
    status = serializers.ChoiceField(choices=["draft", "filed"], default="draft")
    filed_on = serializers.DateField(required=False, allow_null=True, default=None)
    alleges_model_infringes = serializers.ListField(
        child=serializers.CharField(max_length=200), default=list, max_length=100
    )
    alleges_output_infringes = serializers.ListField(
        child=serializers.CharField(max_length=200), default=list, max_length=100
    )
    in_response = serializers.BooleanField(required=False, allow_null=True, default=None)


class FileIn(serializers.Serializer[Any]):
    filed_on = serializers.DateField(required=False, allow_null=True, default=None)


class MatterOut(serializers.ModelSerializer[Matter]):
    declared_by = serializers.CharField(source="declared_by_name")
    status = serializers.CharField()
    alleges_model_infringes = serializers.ListField(child=serializers.CharField())
    alleges_output_infringes = serializers.ListField(child=serializers.CharField())

    class Meta:
        model = Matter
        fields = [
            "id",
            "reference",
            "title",
            "kind",
            "status",
            "filed_on",
            "withdrawn_on",
            "alleges_model_infringes",
            "alleges_output_infringes",
            "in_response",
            "version",
            "declared_by",
            "created_at",
        ]


class EndedOut(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    name = serializers.CharField()
    digest = serializers.CharField()
    because = serializers.CharField()
    licence = serializers.CharField(allow_null=True)
    licence_title = serializers.CharField(allow_null=True)
    version = serializers.CharField(allow_null=True)
    section = serializers.CharField(allow_null=True)
    quote = serializers.CharField(allow_null=True)
    model = serializers.CharField(allow_null=True)
    effective = serializers.DateField(allow_null=True)


class BlastRadiusOut(serializers.Serializer[Any]):
    checkpoints = EndedOut(many=True)
    endpoints = serializers.ListField(child=serializers.DictField())
    doubts = EndedOut(many=True)
    clauses = serializers.ListField(child=serializers.DictField())
    already_ended = serializers.ListField(child=serializers.CharField())


class ClauseOut(serializers.Serializer[Any]):
    id = serializers.CharField()
    kind = serializers.CharField()
    section = serializers.CharField()
    quote = serializers.CharField()
    trigger = serializers.CharField()
    effect = serializers.CharField()
    cure = serializers.CharField(allow_null=True)


class LicenceOut(serializers.Serializer[Any]):
    key = serializers.CharField()
    title = serializers.CharField()
    version = serializers.CharField(allow_null=True)
    date = serializers.DateField(allow_null=True)
    family = serializers.CharField()
    licensor = serializers.CharField()
    spdx = serializers.CharField(allow_null=True)
    status = serializers.CharField()
    source = serializers.CharField()  # type: ignore[assignment]  # the metaclass takes it out


class LicenceDetailOut(LicenceOut):
    date_read = serializers.DateField()
    reviewed_by = serializers.CharField(allow_null=True)
    note = serializers.CharField(allow_null=True)
    clauses = ClauseOut(many=True)
