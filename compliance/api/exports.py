"""Serve a judgement as a document for other tools and for people."""

from uuid import UUID

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request

from compliance import selectors
from compliance.interchange.formats import MEDIA
from compliance.services import exports
from registry.api.views import RoomView, own
from registry.auth import organisation_of
from registry.errors import BadInput
from registry.http import AnyMediaType

_AS = OpenApiParameter("as", str, enum=list(MEDIA), required=True, description="which format")


class AssessmentExport(RoomView):
    content_negotiation_class = AnyMediaType

    @extend_schema(
        operation_id="assessments_export",
        parameters=[_AS],
        responses={(200, media.partition(";")[0]): OpenApiTypes.BINARY for media in MEDIA.values()},
    )
    def get(self, request: Request, pk: UUID) -> HttpResponse:
        """Download a judgement; 409 when it no longer says what the facts give."""
        row = own(request, selectors.assessments(organisation_of(request)), pk)
        form = request.query_params.get("as", "")
        if form not in MEDIA:
            known = ", ".join(MEDIA)
            raise BadInput(f"as={form!r} is no format. Known: {known}.", place="as")
        answer = HttpResponse(exports.export(row, form), content_type=MEDIA[form])
        name = exports.file_name(row, form)
        answer["Content-Disposition"] = f'attachment; filename="{name}"'
        return answer
