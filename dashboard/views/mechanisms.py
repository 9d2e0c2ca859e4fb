"""Show the safety mechanisms of a checkpoint, and take what people know of them."""

from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST

from compliance.selectors_mechanisms import STATED, mechanisms_of, stated_of
from compliance.services import evidence
from dashboard.access import MemberRequest, may, member_page
from registry.errors import LictorError
from registry.models import Checkpoint


def _named(request: MemberRequest, pk: UUID) -> Checkpoint:
    rows = Checkpoint.objects.for_org(request.organisation).select_related("model", "organisation")
    found: Checkpoint = get_object_or_404(rows, pk=pk)
    return found


@member_page
def show(request: MemberRequest, pk: UUID) -> HttpResponse:
    """Show what files show and what people stated."""
    checkpoint = _named(request, pk)
    try:
        found = mechanisms_of(checkpoint)
    except LictorError as error:
        messages.error(request, error.detail)
        return redirect("dashboard:checkpoint", pk)
    page = {
        "checkpoint": checkpoint,
        "found": found,
        "stated": stated_of(checkpoint),
        "may_state": may(request, "evidence.attach"),
    }
    return render(request, "dashboard/mechanisms.html", page)


@member_page
@require_POST
def state(request: MemberRequest, pk: UUID) -> HttpResponse:
    """Record a mechanism that no file shows, under the person's name."""
    checkpoint = _named(request, pk)
    try:
        evidence.attest(
            checkpoint,
            kind=STATED,
            result=request.POST.get("result", ""),
            summary=request.POST.get("summary", ""),
            actor=request.user,
        )
    except LictorError as error:
        messages.error(request, error.detail)
    else:
        messages.success(request, "Recorded under your name.")
    return redirect("dashboard:mechanisms", pk)
