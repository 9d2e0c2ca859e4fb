"""Serve the ledger, page by page or as a signed export."""

from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from registry import selectors, signing
from registry.api import serializers as wire
from registry.api.views import RoomView, require
from registry.auth import organisation_of
from registry.http import AnyMediaType


class Ledger(RoomView):
    ordering = "-seq"

    @extend_schema(operation_id="ledger_list", responses=wire.LedgerEntryOut(many=True))
    def get(self, request: Request) -> Response:
        """List entries, newest first."""
        require(request, "ledger.read")
        return self.page(selectors.ledger_entries(organisation_of(request)), wire.LedgerEntryOut)


class LedgerExport(RoomView):
    content_negotiation_class = AnyMediaType

    @extend_schema(responses={(200, "application/jsonl"): OpenApiTypes.BINARY})
    def get(self, request: Request) -> StreamingHttpResponse:
        """Download the whole ledger under a signed root; `lictor ledger verify` checks it."""
        require(request, "ledger.export")
        organisation = organisation_of(request)
        answer = StreamingHttpResponse(
            signing.export(organisation), content_type="application/jsonl"
        )
        name = f"ledger-{organisation.slug}.jsonl"
        answer["Content-Disposition"] = f'attachment; filename="{name}"'
        return answer
