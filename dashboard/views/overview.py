"""Show what needs attention now."""

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST

from compliance import selectors as compliance
from compliance.models import Review
from dashboard.access import MemberRequest, member_page
from deployer.models import Endpoint
from registry.models import Checkpoint, LedgerEntry, Membership, User


@member_page
def show(request: MemberRequest) -> HttpResponse:
    """Open with the inbox, the endpoints and the newest ledger entries."""
    organisation = request.organisation
    endpoints = Endpoint.objects.for_org(organisation).select_related("checkpoint__model")
    checkpoints = Checkpoint.objects.for_org(organisation)
    page = {
        "reviews": compliance.reviews(organisation).filter(state=Review.State.OPEN)[:8],
        "endpoints": endpoints,
        "counts": {
            "checkpoints": checkpoints.count(),
            "approved": Review.objects.for_org(organisation)
            .filter(state=Review.State.APPROVED)
            .count(),
            "serving": endpoints.filter(phase=Endpoint.Phase.READY).count(),
            "ended": endpoints.filter(phase=Endpoint.Phase.ENDED).count(),
        },
        "entries": LedgerEntry.objects.filter(organisation=organisation).order_by("-seq")[:8],
    }
    return render(request, "dashboard/overview.html", page)


@login_required
@require_POST
def switch(request: HttpRequest) -> HttpResponse:
    """Work in another of one's organisations; a stranger's id changes nothing."""
    user = request.user
    chosen = request.POST.get("organisation", "")
    if isinstance(user, User):
        row = Membership.objects.filter(user=user, organisation__slug=chosen).first()
        if row is not None:
            request.session["organisation"] = str(row.organisation_id)
    return redirect("dashboard:overview")
