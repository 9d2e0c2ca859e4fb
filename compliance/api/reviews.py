"""Serve reviews and the decisions of people in them."""

from uuid import UUID

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from compliance import selectors
from compliance.api import serializers as wire
from compliance.api.assessments import BY_CHECKPOINT
from compliance.api.lookups import checkpoint_of, only_of_checkpoint, person
from compliance.models import Review
from compliance.services import reviews
from registry.api.views import RoomView, own, require
from registry.auth import organisation_of
from registry.etag import with_etag


def _answer(request: Request, pk: UUID, status: int = 200) -> Response:
    row = own(request, selectors.reviews(organisation_of(request)), pk)
    return with_etag(Response(wire.ReviewOut(row).data, status=status), row.version)


class Reviews(RoomView):
    @extend_schema(
        operation_id="reviews_list",
        parameters=[BY_CHECKPOINT, OpenApiParameter("state", str, enum=Review.State.values)],
        responses=wire.ReviewOut(many=True),
    )
    def get(self, request: Request) -> Response:
        """List reviews, newest first; `?state=open` is the inbox."""
        rows = only_of_checkpoint(request, selectors.reviews(organisation_of(request)))
        if state := request.query_params.get("state"):
            rows = rows.filter(state=state)
        return self.page(rows, wire.ReviewOut)

    @extend_schema(request=wire.ReviewIn, responses={201: wire.ReviewOut})
    def post(self, request: Request) -> Response:
        """Ask people whether a checkpoint may be used this way."""
        require(request, "review.request")
        fields = self.body(wire.ReviewIn)
        checkpoint = checkpoint_of(request, fields["checkpoint"])
        review = reviews.open_review(checkpoint, fields["use"], actor=person(request))
        return _answer(request, review.pk, 201)


class OneReview(RoomView):
    @extend_schema(operation_id="reviews_read", responses=wire.ReviewOut)
    def get(self, request: Request, pk: UUID) -> Response:
        """Read a review; a decision must repeat its `seen_digest`."""
        return _answer(request, pk)


class Decide(RoomView):
    @extend_schema(request=wire.DecideIn, responses=wire.ReviewOut)
    def post(self, request: Request, pk: UUID) -> Response:
        """Approve, refuse or ask, in one stage, bound to the digest of what you saw."""
        row = own(request, selectors.reviews(organisation_of(request)), pk)
        fields = self.body(wire.DecideIn)
        reviews.decide(row, actor=person(request), **fields)
        return _answer(request, pk)


class Withdraw(RoomView):
    @extend_schema(request=None, responses=wire.ReviewOut)
    def post(self, request: Request, pk: UUID) -> Response:
        """Take a review or an approval back; what it let serve stops."""
        row = own(request, selectors.reviews(organisation_of(request)), pk)
        reviews.withdraw(row, actor=person(request))
        return _answer(request, pk)
