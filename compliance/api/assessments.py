"""Serve judgements, licence pins and waivers."""

from uuid import UUID

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from compliance import selectors
from compliance.api import serializers as wire
from compliance.api.lookups import checkpoint_of, only_of_checkpoint, person
from compliance.models import LicencePin, Waiver
from compliance.services import pins, waivers
from compliance.services.assess import assess
from registry.api.views import RoomView, own, require
from registry.auth import organisation_of

BY_CHECKPOINT = OpenApiParameter("checkpoint", UUID, description="only this checkpoint's")


class Assessments(RoomView):
    @extend_schema(
        operation_id="assessments_list",
        parameters=[BY_CHECKPOINT],
        responses=wire.AssessmentOut(many=True),
    )
    def get(self, request: Request) -> Response:
        """List judgements, newest first; `is_current` marks those that count."""
        rows = only_of_checkpoint(request, selectors.assessments(organisation_of(request)))
        return self.page(rows, wire.AssessmentOut)

    @extend_schema(request=wire.AssessmentIn, responses={201: wire.AssessmentOut})
    def post(self, request: Request) -> Response:
        """Judge a checkpoint for a use, now; the same facts give the same judgement."""
        require(request, "assessment.request")
        fields = self.body(wire.AssessmentIn)
        checkpoint = checkpoint_of(request, fields["checkpoint"])
        row = assess(checkpoint, fields["use"], actor=person(request).get_username())
        return Response(wire.AssessmentOut(row).data, status=201)


class OneAssessment(RoomView):
    @extend_schema(operation_id="assessments_read", responses=wire.AssessmentOut)
    def get(self, request: Request, pk: UUID) -> Response:
        """Read one judgement with every finding and its clause."""
        row = own(request, selectors.assessments(organisation_of(request)), pk)
        return Response(wire.AssessmentOut(row).data)


class LicencePins(RoomView):
    @extend_schema(
        operation_id="licence_pins_list",
        parameters=[BY_CHECKPOINT],
        responses=wire.LicencePinOut(many=True),
    )
    def get(self, request: Request) -> Response:
        """List pins, those that were replaced too."""
        rows = LicencePin.objects.for_org(organisation_of(request))
        return self.page(only_of_checkpoint(request, rows), wire.LicencePinOut)

    @extend_schema(request=wire.LicencePinIn, responses={201: wire.LicencePinOut})
    def post(self, request: Request) -> Response:
        """Lay down which licence text governs; everything that rests on it is judged again."""
        require(request, "licence.pin")
        fields = self.body(wire.LicencePinIn)
        pin = pins.pin_licence(
            checkpoint_of(request, fields["checkpoint"]),
            licence_key=fields["licence"],
            reason=fields["reason"],
            actor=person(request),
        )
        return Response(wire.LicencePinOut(pin).data, status=201)


class Waivers(RoomView):
    @extend_schema(
        operation_id="waivers_list",
        parameters=[BY_CHECKPOINT],
        responses=wire.WaiverOut(many=True),
    )
    def get(self, request: Request) -> Response:
        """List waivers, those that lapsed or were revoked too."""
        rows = Waiver.objects.for_org(organisation_of(request))
        return self.page(only_of_checkpoint(request, rows), wire.WaiverOut)

    @extend_schema(request=wire.WaiverIn, responses={201: wire.WaiverOut})
    def post(self, request: Request) -> Response:
        """Accept an unmet or unclear finding of one checkpoint for a time."""
        require(request, "waiver.grant")
        fields = self.body(wire.WaiverIn)
        waiver = waivers.grant(
            checkpoint_of(request, fields["checkpoint"]),
            rule=fields["rule"],
            licence_key=fields["licence"],
            reason=fields["reason"],
            expires_at=fields["expires_at"],
            actor=person(request),
        )
        return Response(wire.WaiverOut(waiver).data, status=201)


class RevokeWaiver(RoomView):
    @extend_schema(request=None, responses=wire.WaiverOut)
    def post(self, request: Request, pk: UUID) -> Response:
        """Take a waiver back; approvals that rested on it become stale."""
        row = own(request, Waiver.objects.select_related("organisation", "checkpoint"), pk)
        require(request, "waiver.revoke")
        return Response(wire.WaiverOut(waivers.revoke(row, actor=person(request))).data)
