"""Show guards: what they ask, what was measured behind them, and what stands behind them now."""

import json
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST

from compliance import selectors_guards as selectors
from compliance.services import guards
from dashboard.access import MemberRequest, may, member_page
from deployer.models import Endpoint
from registry.artifact.guard import MAX_GUARD_BYTES, read_guard
from registry.artifact.strict_json import parse_json_object
from registry.errors import BadInput, LictorError

_STARTING_POINT = json.dumps(
    {
        "format": "lictor.guard/1",
        "name": "house-rules",
        "input": [
            {
                "kind": "rules",
                "patterns": [{"name": "weapons", "pattern": r"\b(bombs?|grenades?)\b"}],
            }
        ],
        "output": [],
        "refusal": "I can't help with that.",
        "window_characters": 200,
        "timeout_seconds": 10,
    },
    indent=2,
)


@member_page
def index(request: MemberRequest) -> HttpResponse:
    """List the guards, with the editor for whoever may register one."""
    return _index(request, _STARTING_POINT)


def _index(request: MemberRequest, document: str, **more: Any) -> HttpResponse:
    page = {
        "guards": selectors.guards(request.organisation),
        "may_manage": may(request, guards.MANAGE),
        "document": document,
        **more,
    }
    return render(request, "dashboard/guards.html", page)


@member_page
@require_POST
def register(request: MemberRequest) -> HttpResponse:
    """Register what was typed; what is wrong is shown beside it and nothing is lost."""
    document = request.POST.get("document", "")
    try:
        read = parse_json_object(document.encode(), place="document", max_bytes=MAX_GUARD_BYTES)
        row = guards.register(request.organisation, document=read, actor=request.user)
    except LictorError as error:
        faults = error.faults if isinstance(error, BadInput) else ()
        answer = _index(request, document, faults=faults, refused=error.detail)
        answer.status_code = error.status
        return answer
    messages.success(request, f"{row.name} is registered; measure a checkpoint behind it next.")
    return redirect("dashboard:guard", row.pk)


@member_page
def show(request: MemberRequest, pk: UUID) -> HttpResponse:
    """Show one guard: its stages, the evidence behind it, the endpoints it stands before."""
    row = get_object_or_404(selectors.guards(request.organisation), pk=pk)
    read = read_guard(row.document)
    page = {
        "row": row,
        "guard": read,
        "sides": (("input", read.input), ("output", read.output)),
        "text": json.dumps(row.document, indent=2, ensure_ascii=False),
        "evidence": row.evidence.select_related("checkpoint__model", "base__model"),
        "endpoints": Endpoint.objects.for_org(request.organisation).filter(guard=row),
        "may_manage": may(request, guards.MANAGE),
    }
    return render(request, "dashboard/guard.html", page)


@member_page
@require_POST
def retire(request: MemberRequest, pk: UUID) -> HttpResponse:
    """Retire a guard; what stands behind it stops serving."""
    row = get_object_or_404(selectors.guards(request.organisation), pk=pk)
    try:
        guards.retire(row, reason=request.POST.get("reason", ""), actor=request.user)
    except LictorError as error:
        messages.error(request, error.detail)
    else:
        messages.success(request, f"{row.name} is retired; nothing is served behind it any more.")
    return redirect("dashboard:guard", pk)
