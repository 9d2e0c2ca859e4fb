"""Show the licences that count here: each text's clauses with exact quotes, and every version."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render

from compliance import selectors_licences as selectors
from compliance.models import LicenceRecord
from compliance.rules.catalogue import STATUSES
from compliance.services import licence_reach, licences
from dashboard.access import MemberRequest, may, member_page
from registry.errors import LictorError

_SHOWN_VERSIONS = 50


@member_page
def index(request: MemberRequest) -> HttpResponse:
    """List the organisation's catalogue, narrowed as asked, and the versions that wait."""
    organisation = request.organisation
    everything = _entries(request)
    names = ("words", "family", "status", "origin", "counsel")
    wanted = selectors.Wanted(**{name: request.GET.get(name, "").strip() for name in names})
    rows = selectors.records(organisation).exclude(state="withdrawn")
    page = {
        "entries": selectors.narrow(everything, wanted),
        "total": len(everything),
        "own": selectors.in_force(organisation).values(),
        "wanted": wanted,
        "families": sorted({one.licence.family for one in everything}),
        "statuses": sorted(STATUSES),
        "origins": selectors.ORIGINS,
        "open": rows.filter(state__in=("draft", "proposed")),
        "closed": rows.exclude(state__in=("draft", "proposed"))[:_SHOWN_VERSIONS],
        "may_propose": may(request, licences.PROPOSE),
    }
    return render(request, "dashboard/licences.html", page)


def _entries(request: MemberRequest) -> list[selectors.Entry]:
    """Give the catalogue; one that does not hold together is said, and its records stay shown."""
    try:
        return selectors.entries(request.organisation)
    except LictorError as error:
        messages.error(request, error.detail)
        return []


@member_page
def show(request: MemberRequest, key: str) -> HttpResponse:
    """Show one licence clause by clause, with what is asked for each."""
    try:
        entry = selectors.entry(request.organisation, key)
    except LictorError:
        return redirect("dashboard:licences")  # which says why, and what can be done
    if entry is None:
        raise Http404(f"no licence {key} in the catalogue")
    page = {
        "entry": entry,
        "licence": entry.licence,
        "siblings": [
            one
            for one in selectors.entries(request.organisation)
            if one.licence.family == entry.licence.family and one.licence.key != key
        ],
        "versions": selectors.records(request.organisation).filter(key=key).count(),
        "may_propose": may(request, licences.PROPOSE),
    }
    return render(request, "dashboard/licence.html", page)


@member_page
def history(request: MemberRequest, key: str) -> HttpResponse:
    """Show every version of the organisation's record, each with what it changed."""
    versions = selectors.history(request.organisation, key)
    if not versions and selectors.base_text(key) is None:
        raise Http404(f"no licence {key} in the catalogue")
    page = {
        "key": key,
        "versions": versions,
        "has_base": selectors.base_text(key) is not None,
        "in_force": selectors.in_force(request.organisation).get(key),
        "may_propose": may(request, licences.PROPOSE),
    }
    return render(request, "dashboard/licence_history.html", page)


@member_page
def version(request: MemberRequest, pk: UUID) -> HttpResponse:
    """Show one version: what it changes, what approving it would touch, and the buttons."""
    record = get_object_or_404(selectors.records(request.organisation), pk=pk)
    is_author = record.author_id == request.user.pk
    page: dict[str, Any] = {
        "version": selectors.version_of(record),
        "record": record,
        "is_author": is_author,
        "may_decide": may(request, licences.DECIDE) and not is_author,
    }
    if record.state in ("draft", "proposed"):
        page |= _impact(record)
    return render(request, "dashboard/licence_version.html", page)


def _impact(record: LicenceRecord) -> dict[str, Any]:
    try:
        rows = licence_reach.impact(record)
    except LictorError as error:
        return {"impact_error": error.detail}
    return {"impact": rows, "moved": [row for row in rows if row["before"] != row["after"]]}
