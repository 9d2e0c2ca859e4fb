"""Serve evidence and the jobs that measure it."""

from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from compliance import selectors
from compliance.api import serializers as wire
from compliance.api.assessments import BY_CHECKPOINT
from compliance.api.lookups import checkpoint_of, only_of_checkpoint, person
from compliance.models import EvidenceJob
from compliance.selectors_guards import guards
from compliance.services import comparisons, evidence, measurements
from registry.api.views import RoomView, own, require
from registry.auth import organisation_of


class EvidenceList(RoomView):
    @extend_schema(
        operation_id="evidence_list",
        parameters=[BY_CHECKPOINT],
        responses=wire.EvidenceOut(many=True),
    )
    def get(self, request: Request) -> Response:
        """List evidence, newest first; nothing is ever overwritten."""
        rows = only_of_checkpoint(request, selectors.evidence(organisation_of(request)))
        return self.page(rows, wire.EvidenceOut)

    @extend_schema(request=wire.EvidenceIn, responses={201: wire.EvidenceOut})
    def post(self, request: Request) -> Response:
        """Attest something about a checkpoint, under your name."""
        require(request, "evidence.attach")
        fields = self.body(wire.EvidenceIn)
        row = evidence.attest(
            checkpoint_of(request, fields["checkpoint"]),
            kind=fields["kind"],
            result=fields["result"],
            summary=fields["summary"],
            actor=person(request),
        )
        return Response(wire.EvidenceOut(row).data, status=201)


class OneEvidence(RoomView):
    @extend_schema(operation_id="evidence_read", responses=wire.EvidenceOut)
    def get(self, request: Request, pk: UUID) -> Response:
        """Read one signed record; the signature is over the record's RFC 8785 bytes."""
        row = own(request, selectors.evidence(organisation_of(request)), pk)
        return Response(wire.EvidenceOut(row).data)


class Measure(RoomView):
    @extend_schema(request=wire.MeasureIn, responses={202: wire.EvidenceJobOut})
    def post(self, request: Request) -> Response:
        """Ask for a measurement of guardrails against a base (the registered parent by default).

        With a guard the model is measured alone and behind it: only so can a guard be found to
        replace what was lost.
        """
        require(request, "evidence.attach")
        fields = self.body(wire.MeasureIn)
        base, guard = fields.get("base"), fields.get("guard")
        job = measurements.request_measurement(
            checkpoint_of(request, fields["checkpoint"]),
            actor=person(request),
            base=checkpoint_of(request, base) if base else None,
            suite=fields["suite"],
            guard=own(request, guards(organisation_of(request)), guard) if guard else None,
        )
        return Response(wire.EvidenceJobOut(job).data, status=202)


class Compare(RoomView):
    @extend_schema(request=wire.CompareIn, responses={202: wire.EvidenceJobOut})
    def post(self, request: Request) -> Response:
        """Ask what was done to a checkpoint's weights (against the registered parent by default).

        Progress is in MiB read. A derivative with a registered parent is compared unasked.
        """
        require(request, "evidence.attach")
        fields = self.body(wire.CompareIn)
        base = fields.get("base")
        job = comparisons.request_comparison(
            checkpoint_of(request, fields["checkpoint"]),
            actor=person(request),
            base=checkpoint_of(request, base) if base else None,
        )
        return Response(wire.EvidenceJobOut(job).data, status=202)


class OneJob(RoomView):
    @extend_schema(operation_id="evidence_jobs_read", responses=wire.EvidenceJobOut)
    def get(self, request: Request, pk: UUID) -> Response:
        """Read how far a measurement is; `evidence` names its record once it is done."""
        return Response(wire.EvidenceJobOut(own(request, EvidenceJob.objects.all(), pk)).data)
