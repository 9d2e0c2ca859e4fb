"""Show matters, and what filing one would cost before it is filed."""

from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST

from compliance.models import Matter, Standing
from compliance.services import matters
from dashboard.access import MemberRequest, may, member_page
from dashboard.forms import MatterForm
from registry.errors import LictorError
from registry.models import Model


def _names(request: MemberRequest) -> list[str]:
    return list(Model.objects.for_org(request.organisation).values_list("name", flat=True))


@member_page
def index(request: MemberRequest) -> HttpResponse:
    """List matters and what they ended."""
    page = {
        "matters": Matter.objects.for_org(request.organisation),
        "endings": Standing.objects.for_org(request.organisation).select_related(
            "checkpoint__model", "matter"
        ),
        "form": MatterForm(models=_names(request)) if may(request, "matter.declare") else None,
    }
    return render(request, "dashboard/matters.html", page)


@member_page
@require_POST
def declare(request: MemberRequest) -> HttpResponse:
    """Compute what would end; file only when the person confirms having seen that."""
    form = MatterForm(request.POST, models=_names(request))
    if not may(request, "matter.declare"):
        messages.error(request, "Only a legal reviewer declares litigation.")
        return redirect("dashboard:matters")
    if not form.is_valid():
        return render(request, "dashboard/matters.html", {"form": form}, status=400)
    fields: dict[str, Any] = form.matter()
    try:
        if request.POST.get("confirmed") == "yes":
            matters.declare(request.organisation, fields, actor=request.user)
            messages.success(request, "Filed. Everything that it ends stops serving now.")
            return redirect("dashboard:matters")
        radius = matters.what_if(request.organisation, fields)
    except LictorError as error:
        messages.error(request, error.detail)
        return redirect("dashboard:matters")
    page = {"form": form, "radius": radius, "fields": fields}
    return render(request, "dashboard/matter_what_if.html", page)
