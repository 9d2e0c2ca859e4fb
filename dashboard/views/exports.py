"""Give a judgement as a file: for people as HTML or PDF, for tools as CycloneDX, SPDX or SARIF."""

from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.http import require_GET

from compliance import selectors as compliance
from compliance.interchange.formats import MEDIA
from compliance.services import exports
from dashboard.access import MemberRequest, member_page
from registry.errors import LictorError


@member_page
@require_GET
def download(request: MemberRequest, pk: UUID, form: str) -> HttpResponse:
    """Download one judgement; back to its checkpoint with a word when it cannot be written."""
    row = get_object_or_404(compliance.assessments(request.organisation), pk=pk)
    if form not in MEDIA:
        raise Http404(f"{form} is no format")
    try:
        answer = HttpResponse(exports.export(row, form), content_type=MEDIA[form])
    except LictorError as error:
        messages.error(request, error.detail)
        return redirect("dashboard:checkpoint", pk=row.checkpoint_id)
    name = exports.file_name(row, form)
    answer["Content-Disposition"] = f'attachment; filename="{name}"'
    return answer
