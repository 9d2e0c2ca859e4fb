"""Show the reviewer's inbox and one review with everything that a decision binds to."""

from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST

from compliance import selectors as compliance
from compliance.models import Decision, Evidence
from compliance.services import reviews as review_service
from dashboard.access import MemberRequest, may, member_page
from dashboard.views.checkpoints import picture_of
from registry.errors import LictorError

# A third pair of eyes with the security role: see `compliance.policy.stages`.
ACTIONS = {
    "legal": "review.decide.legal",
    "security": "review.decide.security",
    "safety": "review.decide.security",
}


@member_page
def index(request: MemberRequest) -> HttpResponse:
    """List the open reviews first, then what was decided."""
    rows = compliance.reviews(request.organisation)
    page = {"waiting": rows.filter(state="open"), "closed": rows.exclude(state="open")[:50]}
    return render(request, "dashboard/reviews.html", page)


@member_page
def show(request: MemberRequest, pk: UUID) -> HttpResponse:
    """Show clause, evidence and lineage on one page, with the form to decide."""
    review = get_object_or_404(compliance.reviews(request.organisation), pk=pk)
    checkpoint = review.checkpoint
    stages = compliance.stages_of(review)
    decided = [
        row
        for row in review.decisions.all()
        if row.seen_digest == review.seen_digest and row.verdict != Decision.Verdict.ASK
    ]
    page = {
        "review": review,
        "checkpoint": checkpoint,
        "picture": picture_of(checkpoint),
        "assessment": review.assessment,
        "evidence": Evidence.objects.filter(checkpoint=checkpoint).select_related("base__model"),
        "stages": [
            (stage, [row for row in decided if row.stage == stage["stage"]]) for stage in stages
        ],
        "my_stages": [
            stage["stage"]
            for stage in stages
            if stage["approved"] < stage["needed"] and may(request, ACTIONS[stage["stage"]])
        ],
    }
    return render(request, "dashboard/review.html", page)


@member_page
@require_POST
def decide(request: MemberRequest, pk: UUID) -> HttpResponse:
    """Record one person's verdict, bound to the digest of what the page showed."""
    review = get_object_or_404(compliance.reviews(request.organisation), pk=pk)
    conditions = [line.strip() for line in request.POST.get("conditions", "").splitlines()]
    try:
        review_service.decide(
            review,
            stage=request.POST.get("stage", ""),
            verdict=request.POST.get("verdict", ""),
            seen_digest=request.POST.get("seen_digest", ""),
            comment=request.POST.get("comment", ""),
            conditions=[line for line in conditions if line],
            actor=request.user,
        )
    except LictorError as error:
        messages.error(request, error.detail)
    else:
        messages.success(request, "Recorded in the ledger.")
    return redirect("dashboard:review", pk)
