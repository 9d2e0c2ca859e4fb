"""Write licence records in the browser: live faults with their lines, proposals, decisions."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST

from compliance import selectors_licences as selectors
from compliance.models import LicenceRecord
from compliance.services import licence_text, licences
from dashboard.access import MemberRequest, may, member_page
from dashboard.licence_forms import LicenceForm
from dashboard.licence_words import SKELETON
from registry.errors import BadInput, LictorError


def _require_author(request: MemberRequest) -> None:
    if not may(request, licences.PROPOSE):
        raise PermissionDenied("Only a legal reviewer writes licence records.")


@member_page
def new(request: MemberRequest) -> HttpResponse:
    """Write a licence that the catalogue lacks."""
    _require_author(request)
    if request.method == "POST":
        return _save(request, key=None)
    return _form(request, key=None, text=SKELETON, ground="")


@member_page
def edit(request: MemberRequest, key: str) -> HttpResponse:
    """Correct a licence, starting from what counts now or from an earlier version."""
    _require_author(request)
    text = selectors.text_of(request.organisation, key)
    if text is None:
        raise Http404(f"no licence {key} in the catalogue")
    if request.method == "POST":
        return _save(request, key=key)
    ground = selectors.digest_of(text)
    return _form(request, key=key, text=_start(request, key) or text, ground=ground)


def _start(request: MemberRequest, key: str) -> str:
    """Read the version that `?from=` names; another organisation's, or another key's, is none."""
    wanted = request.GET.get("from", "")
    if not wanted:
        return ""
    try:
        row = selectors.records(request.organisation).filter(pk=wanted, key=key).first()
    except (ValueError, ValidationError):
        row = None
    if row is None:
        raise Http404("no such version")
    return str(row.document)


def _form(
    request: MemberRequest,
    *,
    key: str | None,
    text: str,
    ground: str,
    reason: str = "",
    faults: list[dict[str, Any]] | None = None,
) -> HttpResponse:
    page = {
        "key": key,
        "text": text,
        "ground": ground,
        "reason": reason,
        "faults": faults or [],
        "lines": range(1, text.count("\n") + 2),
    }
    status = 400 if faults else 200
    return render(request, "dashboard/licence_edit.html", page, status=status)


def _save(request: MemberRequest, *, key: str | None) -> HttpResponse:
    form = LicenceForm(request.POST)
    typed: dict[str, Any] = {
        "key": key,
        "text": request.POST.get("yaml", "").replace("\r\n", "\n"),
        "ground": request.POST.get("ground", ""),
        "reason": request.POST.get("reason", ""),
    }
    if not form.is_valid():
        return _form(request, **typed, faults=form.faults())
    act = licences.submit if request.POST.get("act") == "propose" else licences.draft
    try:
        row = act(
            request.organisation,
            text=form.cleaned_data["yaml"],
            reason=form.cleaned_data["reason"],
            actor=request.user,
            expected_key=key,
            ground=form.cleaned_data["ground"] if key else None,
        )
    except BadInput as error:
        faults = error.extra.get("lines") or _plain_faults(error)
        return _form(request, **typed, faults=faults)
    except LictorError as error:
        return _form(request, **typed, faults=_plain_faults(error))
    return redirect("dashboard:licence-version", row.pk)


def _plain_faults(error: LictorError) -> list[dict[str, Any]]:
    return [{"place": error.title, "line": None, "message": error.detail}]


@member_page
@require_POST
def check(request: MemberRequest) -> HttpResponse:
    """Say what is wrong with a text while it is written; stores nothing."""
    if not may(request, licences.PROPOSE):
        return JsonResponse({"detail": "Only a legal reviewer writes licence records."}, status=403)
    form = LicenceForm(request.POST)
    if not form.is_valid():
        return JsonResponse({"key": "", "faults": form.faults()})
    checked = licence_text.read(request.organisation, form.cleaned_data["yaml"])
    faults = [
        {"place": one.place, "line": one.line, "message": one.message} for one in checked.faults
    ]
    return JsonResponse({"key": checked.key, "faults": faults, "change": _change(request, checked)})


def _change(request: MemberRequest, checked: licence_text.Checked) -> str:
    """Say in a word what the record would do, once it has no faults."""
    if not checked.digest:
        return ""
    under = selectors.text_of(request.organisation, checked.key)
    if under is None:
        return "adds"
    return "repeats" if selectors.digest_of(under) == checked.digest else "changes"


@member_page
@require_POST
def retire(request: MemberRequest, key: str) -> HttpResponse:
    """Propose to take the organisation's record back."""
    if not selectors.records(request.organisation).filter(key=key).exists():
        raise Http404(f"no record of {key}")
    try:
        row = licences.submit_retirement(
            request.organisation,
            key=key,
            reason=request.POST.get("reason", ""),
            actor=request.user,
        )
    except LictorError as error:
        messages.error(request, error.detail)
        return redirect("dashboard:licence-history", key)
    return redirect("dashboard:licence-version", row.pk)


_DONE = {
    "propose": "Proposed. Another legal reviewer decides on it.",
    "withdraw": "Withdrawn.",
    "approve": "In force. What it touches was judged again.",
    "refuse": "Refused.",
}


@member_page
@require_POST
def move(request: MemberRequest, pk: UUID) -> HttpResponse:
    """Propose, withdraw, approve or refuse one version, as it was when the page was read."""
    record = get_object_or_404(selectors.records(request.organisation), pk=pk)
    act = request.POST.get("act", "")
    try:
        _move(request, record, act)
    except LictorError as error:
        messages.error(request, error.detail)
    else:
        messages.success(request, _DONE[act])
    return redirect("dashboard:licence-version", pk)


def _move(request: MemberRequest, record: LicenceRecord, act: str) -> None:
    reason = request.POST.get("reason", "").replace("\x00", "")
    seen = request.POST.get("seen", "")
    version = int(seen) if seen.isdecimal() and len(seen) < 10 else -1
    if act == "propose":
        licences.propose(record, actor=request.user, version=version)
    elif act == "withdraw":
        licences.withdraw(record, actor=request.user, version=version)
    elif act == "approve":
        licences.approve(record, actor=request.user, reason=reason, version=version)
    elif act == "refuse":
        licences.refuse(record, actor=request.user, reason=reason, version=version)
    else:
        raise BadInput(f"{act[:40]!r} is no move; known: {', '.join(_DONE)}.", place="act")
