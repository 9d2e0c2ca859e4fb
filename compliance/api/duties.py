"""Serve duties: list them, plan who does what until when, prove one done; and release notices."""

from typing import Any
from uuid import UUID

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from compliance import selectors
from compliance.api.lookups import only_of_checkpoint, person
from compliance.models import Duty
from compliance.selectors_duties import duties
from compliance.services import duty_acts
from compliance.services.releases import notices_for
from registry.api.views import RoomView, own, require
from registry.auth import organisation_of
from registry.errors import BadInput
from registry.etag import expected_version, with_etag
from registry.models import User


class DutyOut(serializers.ModelSerializer[Duty]):
    checkpoint = serializers.UUIDField(source="checkpoint_id")
    review = serializers.UUIDField(source="review_id")
    licence = serializers.CharField(source="licence_key")
    model = serializers.CharField(source="model_name")
    owner = serializers.CharField(source="owner_name")
    done_by = serializers.CharField(source="done_by_name")
    proof = serializers.UUIDField(source="proof_id", allow_null=True)

    class Meta:
        model = Duty
        fields = [
            "id", "checkpoint", "review", "model", "rule", "licence", "section", "quote", "what",
            "because", "remedy", "check_by", "proof_kind", "words", "recurs_days", "state",
            "version", "owner", "due_on", "page_url", "done_at", "done_by", "note", "proof",
            "seen_kept", "seen_because", "seen_at", "created_at",
        ]  # fmt: skip


class DutyPlanIn(serializers.Serializer[Any]):
    """Say what changes; what is left out stays as it is."""

    owner = serializers.CharField(max_length=150, required=False)
    due_on = serializers.DateField(required=False)
    page_url = serializers.URLField(max_length=500, required=False, allow_blank=True)


class DutyProofIn(serializers.Serializer[Any]):
    note = serializers.CharField(max_length=500)


class NoticesOut(serializers.Serializer[Any]):
    files = serializers.DictField(child=serializers.CharField())
    missing = serializers.ListField(child=serializers.CharField())


def _answer(row: Duty) -> Response:
    return with_etag(Response(DutyOut(row).data), row.version)


class Duties(RoomView):
    @extend_schema(
        operation_id="duties_list",
        parameters=[
            OpenApiParameter("checkpoint", UUID, description="only this checkpoint's"),
            OpenApiParameter("state", str, enum=Duty.State.values),
            OpenApiParameter("owner", str, description="only this person's"),
        ],
        responses=DutyOut(many=True),
    )
    def get(self, request: Request) -> Response:
        """List duties, the next due first."""
        require(request, "duty.read")
        rows = only_of_checkpoint(request, duties(organisation_of(request)))
        state, owner = request.query_params.get("state"), request.query_params.get("owner")
        if state and state not in Duty.State.values:
            raise BadInput(f"{state!r} is no state of a duty.", place="state")
        rows = rows.filter(state=state) if state else rows
        return self.page(rows.filter(owner_name=owner) if owner else rows, DutyOut)


class OneDuty(RoomView):
    @extend_schema(operation_id="duties_read", responses=DutyOut)
    def get(self, request: Request, pk: UUID) -> Response:
        """Read one duty with its clause and what was seen of it."""
        require(request, "duty.read")
        return _answer(own(request, duties(organisation_of(request)), pk))


class PlanDuty(RoomView):
    @extend_schema(request=DutyPlanIn, responses=DutyOut)
    def post(self, request: Request, pk: UUID) -> Response:
        """Say who does it, until when, and on which page its words can be seen."""
        row = own(request, duties(organisation_of(request)), pk)
        require(request, "duty.plan")
        fields = self.body(DutyPlanIn)
        if "If-Match" in request.headers:
            expected_version(request, row.version)
        if "owner" in fields:
            fields["owner"] = _member(fields["owner"])
        return _answer(duty_acts.plan(row, actor=person(request), **fields))


class ProveDuty(RoomView):
    @extend_schema(request=DutyProofIn, responses=DutyOut)
    def post(self, request: Request, pk: UUID) -> Response:
        """State that it is done and what that rests on; the statement is signed and kept."""
        row = own(request, duties(organisation_of(request)), pk)
        require(request, "duty.prove")
        if "If-Match" in request.headers:
            expected_version(request, row.version)
        note = self.body(DutyProofIn)["note"]
        return _answer(duty_acts.prove(row, note=note, actor=person(request)))


class Notices(RoomView):
    @extend_schema(operation_id="assessments_notices", responses=NoticesOut)
    def get(self, request: Request, pk: UUID) -> Response:
        """Write the NOTICE, attribution and licence files that a release has to carry."""
        row = own(request, selectors.assessments(organisation_of(request)), pk)
        bundle = notices_for(row)
        return Response({"files": bundle.files, "missing": list(bundle.missing)})


def _member(name: str) -> User:
    # The service refuses who is no member; here an unknown name must not look different.
    user = User.objects.filter(username=name).first()
    if user is None:
        raise BadInput("The owner is no member.", code="duty_invalid", place="owner")
    return user
