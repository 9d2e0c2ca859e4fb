"""Show checkpoints: lineage, findings with their clauses, evidence, files."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.db.models import Prefetch, QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST

from compliance import selectors as compliance
from compliance.models import Assessment, EvidenceJob, Guard, LicencePin
from compliance.selectors_guards import guards
from compliance.selectors_licences import library_for
from compliance.services import measurements, pins
from compliance.services import reviews as review_service
from dashboard.access import MemberRequest, may, member_page
from dashboard.forms import PinForm, UseForm
from dashboard.lineage import Node, Picture, draw
from dashboard.templatetags.lictor import short, tone
from registry.errors import LictorError
from registry.models import Checkpoint
from registry.selectors import closure_down, closure_up


def _rows(request: MemberRequest) -> "QuerySet[Checkpoint]":
    current = Assessment.objects.filter(is_current=True).order_by("-created_at")
    return (
        Checkpoint.objects.for_org(request.organisation)
        .select_related("model")
        .prefetch_related(Prefetch("assessments", queryset=current, to_attr="current"))
    )


@member_page
def index(request: MemberRequest) -> HttpResponse:
    """List every checkpoint with its newest judgement."""
    return render(request, "dashboard/checkpoints.html", {"checkpoints": _rows(request)})


def picture_of(checkpoint: Checkpoint) -> Picture:
    """Draw the whole family: everything above and below, coloured by judgement."""
    up, down = closure_up(checkpoint), closure_down([checkpoint])
    members = {**up.checkpoints, **down.checkpoints}
    judged = {
        row.checkpoint_id: row.decision
        for row in Assessment.objects.filter(checkpoint__in=members, is_current=True).order_by(
            "created_at"
        )
    }
    nodes = {
        str(pk): Node(
            str(pk),
            row.model.name,
            f"{short(row.digest)} · {judged.get(pk, 'not assessed').replace('_', ' ')}",
            "bad" if compliance.standing_of(row) else tone(judged.get(pk, "")),
            reverse("dashboard:checkpoint", args=[pk]),
        )
        for pk, row in members.items()
    }
    edges = []
    for edge in {row.pk: row for row in [*up.edges, *down.edges]}.values():
        parent = str(edge.parent_id) if edge.parent_id else f"?{edge.parent_name}"
        nodes.setdefault(parent, Node(parent, edge.parent_name, "not registered", "warn"))
        if str(edge.child_id) in nodes:
            edges.append((parent, str(edge.child_id), edge.relation))
    return draw(list(nodes.values()), edges)


@member_page
def show(request: MemberRequest, pk: UUID) -> HttpResponse:
    """Show one checkpoint on one page."""
    checkpoint = get_object_or_404(_rows(request), pk=pk)
    page: dict[str, Any] = {
        "checkpoint": checkpoint,
        "picture": picture_of(checkpoint),
        "assessments": checkpoint.assessments.filter(is_current=True),
        "evidence": compliance.evidence(request.organisation).filter(checkpoint=checkpoint),
        "jobs": EvidenceJob.objects.filter(checkpoint=checkpoint)
        .exclude(state="done")
        .select_related("guard"),
        "guards": _guards_in_use(request) if may(request, "evidence.attach") else None,
        "pin": LicencePin.objects.filter(checkpoint=checkpoint, is_active=True).first(),
        "ended": compliance.standing_of(checkpoint),
        "reviews": checkpoint.reviews.all(),
        "pin_form": _pin_form(request),
        "use_form": UseForm() if may(request, "review.request") else None,
    }
    return render(request, "dashboard/checkpoint.html", page)


def _guards_in_use(request: MemberRequest) -> "QuerySet[Guard]":
    return guards(request.organisation).filter(retired_at=None)


@member_page
@require_POST
def measure(request: MemberRequest, pk: UUID) -> HttpResponse:
    """Ask for a measurement of guardrails, behind a guard if one is named."""
    checkpoint = get_object_or_404(_rows(request), pk=pk)
    named = request.POST.get("guard", "")
    guard = _guards_in_use(request).filter(digest=named).first() if named else None
    try:
        if named and guard is None:
            messages.error(request, "There is no such guard in use.")
        else:
            job = measurements.request_measurement(checkpoint, actor=request.user, guard=guard)
            done = job.state == EvidenceJob.State.DONE
            told = "This very measurement was made; it is in the list." if done else "Asked for."
            messages.success(request, told)
    except LictorError as error:
        messages.error(request, error.detail)
    return redirect("dashboard:checkpoint", pk)


def _pin_form(request: MemberRequest) -> PinForm | None:
    return PinForm(licences=_licence_choices(request)) if may(request, "licence.pin") else None


def _licence_choices(request: MemberRequest) -> list[tuple[str, str]]:
    """List what can be pinned: nothing while the catalogue does not hold together."""
    try:
        library = library_for(request.organisation)
    except LictorError as error:
        messages.error(request, error.detail)
        return []
    return [(key, library.licences[key].title + f" ({key})") for key in sorted(library.licences)]


@member_page
@require_POST
def open_review(request: MemberRequest, pk: UUID) -> HttpResponse:
    """Open a review of this checkpoint for the use given in the form."""
    checkpoint = get_object_or_404(_rows(request), pk=pk)
    form = UseForm(request.POST)
    if not may(request, "review.request") or not form.is_valid():
        messages.error(request, form.problem() or "Your roles do not let you open reviews.")
        return redirect("dashboard:checkpoint", pk)
    try:
        review = review_service.open_review(checkpoint, form.use(), actor=request.user)
    except LictorError as error:
        messages.error(request, error.detail)
        return redirect("dashboard:checkpoint", pk)
    return redirect("dashboard:review", review.pk)


@member_page
@require_POST
def pin(request: MemberRequest, pk: UUID) -> HttpResponse:
    """Lay down which licence text governs this checkpoint."""
    checkpoint = get_object_or_404(_rows(request), pk=pk)
    form = PinForm(request.POST, licences=_licence_choices(request))
    if not may(request, "licence.pin") or not form.is_valid():
        messages.error(request, "Choose a licence text and give a reason.")
        return redirect("dashboard:checkpoint", pk)
    try:
        pins.pin_licence(
            checkpoint,
            licence_key=form.cleaned_data["licence"],
            reason=form.cleaned_data["reason"],
            actor=request.user,
        )
    except LictorError as error:
        messages.error(request, error.detail)
    else:
        messages.success(request, "Pinned; the checkpoint was assessed again.")
    return redirect("dashboard:checkpoint", pk)
