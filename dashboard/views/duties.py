"""Show duties, who does them and until when, and take plans and proofs."""

from datetime import date
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.dateparse import parse_date
from django.views.decorators.http import require_POST

from compliance.models import Duty
from compliance.selectors_duties import duties
from compliance.services import duty_acts
from dashboard.access import MemberRequest, may, member_page
from registry.errors import BadInput, LictorError
from registry.models import Membership, User

_SHOWN = 300


@member_page
def index(request: MemberRequest) -> HttpResponse:
    """List what is to be done, the next due first, then what is done."""
    rows = duties(request.organisation)
    mine = request.GET.get("mine") == "1"
    waiting = rows.filter(state=Duty.State.OPEN)
    page = {
        "waiting": (waiting.filter(owner=request.user) if mine else waiting)[:_SHOWN],
        "done": rows.filter(state=Duty.State.DONE)[:_SHOWN],
        "today": timezone.now().date(),
        "mine": mine,
    }
    return render(request, "dashboard/duties.html", page)


@member_page
def show(request: MemberRequest, pk: UUID) -> HttpResponse:
    """Show one duty with its clause, what was seen of it, and the forms to plan and prove it."""
    duty = get_object_or_404(duties(request.organisation), pk=pk)
    page = {
        "duty": duty,
        "today": timezone.now().date(),
        "may_plan": may(request, "duty.plan") and duty.state != Duty.State.LAPSED,
        "may_prove": may(request, "duty.prove")
        and duty.state == Duty.State.OPEN
        and duty.check_by != "files",
        "members": _members(request),
    }
    return render(request, "dashboard/duty.html", page)


@member_page
@require_POST
def plan(request: MemberRequest, pk: UUID) -> HttpResponse:
    """Take the plan: owner, day, page."""
    duty = get_object_or_404(duties(request.organisation), pk=pk)
    try:
        duty_acts.plan(
            duty,
            actor=request.user,
            owner=_owner(request),
            due_on=_day(request),
            page_url=request.POST.get("page_url", "").strip() if duty.check_by == "page" else None,
        )
        messages.success(request, "Planned.")
    except LictorError as error:
        messages.error(request, error.detail)
    return redirect("dashboard:duty", pk=pk)


@member_page
@require_POST
def prove(request: MemberRequest, pk: UUID) -> HttpResponse:
    """Take the statement that it is done."""
    duty = get_object_or_404(duties(request.organisation), pk=pk)
    try:
        duty_acts.prove(duty, note=request.POST.get("note", ""), actor=request.user)
        messages.success(request, "Done. Your statement is signed and kept.")
    except LictorError as error:
        messages.error(request, error.detail)
    return redirect("dashboard:duty", pk=pk)


def _members(request: MemberRequest) -> list[str]:
    rows = Membership.objects.filter(organisation=request.organisation)
    return sorted(rows.values_list("user__username", flat=True))


def _owner(request: HttpRequest) -> User | None:
    name = request.POST.get("owner", "")
    if not name:
        return None
    user = User.objects.filter(username=name).first()
    if user is None:
        raise BadInput("The owner is no member.", code="duty_invalid", place="owner")
    return user


def _day(request: HttpRequest) -> date | None:
    text = request.POST.get("due_on", "")
    if not text:
        return None
    try:
        day = parse_date(text)
    except ValueError:
        day = None
    if day is None:
        raise BadInput(f"{text!r} is no day.", code="duty_invalid", place="due_on")
    return day
