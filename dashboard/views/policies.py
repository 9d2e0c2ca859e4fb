"""Show an organisation's policies: versions, tests, differences, and what one would change."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST

from compliance import selectors_policies as selectors
from compliance.models import PolicyDryRun, PolicyVersion
from compliance.services import policies, policy_dry_runs
from dashboard.access import MemberRequest, may, member_page
from registry.errors import BadInput, LictorError

_STARTING_POINT = """\
name: House policy
rules:
  - id: no_agpl_when_hosted
    when: target.hosted && lineage.declared_licences.exists(d, d.startsWith("agpl"))
    then: deny
    because: We host nothing under the AGPL.
    remedy: Choose a model under other terms.
tests:
  - name: AGPL is refused when hosted
    given:
      target: {hosted: true}
      lineage: {declared_licences: [agpl-3.0]}
    expect: {no_agpl_when_hosted: fired, decision: deny}
"""


@member_page
def index(request: MemberRequest) -> HttpResponse:
    """List the versions, with the editor for whoever may write the next."""
    active = selectors.active_version(request.organisation)
    newest = selectors.versions(request.organisation).first()
    ground = active or newest
    return _index(request, ground.document if ground else _STARTING_POINT)


def _index(request: MemberRequest, document: str, **more: Any) -> HttpResponse:
    page = {
        "versions": selectors.versions(request.organisation),
        "active": selectors.active_version(request.organisation),
        "may_write": may(request, policies.WRITE),
        "document": document,
        **more,
    }
    return render(request, "dashboard/policies.html", page)


@member_page
@require_POST
def save(request: MemberRequest) -> HttpResponse:
    """Check the document and run its tests, or write the next version; keep what was typed."""
    document = request.POST.get("document", "").replace("\r\n", "\n")
    reason = request.POST.get("reason", "")
    try:
        if request.POST.get("act") == "check":
            policy, ran = policies.check(document)
            passed = all(one.passed for one in ran)
            page = {"reason": reason, "checked": policy, "tests": ran, "passed": passed}
            return _index(request, document, **page)
        row = policies.save(
            request.organisation, document=document, reason=reason, actor=request.user
        )
    except LictorError as error:
        faults = error.faults if isinstance(error, BadInput) else ()
        page = {"reason": reason, "faults": faults, "refused": error.detail}
        answer = _index(request, document, **page)
        answer.status_code = error.status
        return answer
    messages.success(request, f"Version {row.number} is written; somebody else can activate it.")
    return redirect("dashboard:policy", row.pk)


def _named(request: MemberRequest, pk: UUID) -> PolicyVersion:
    rows = selectors.versions(request.organisation).select_related("organisation")
    found: PolicyVersion = get_object_or_404(rows, pk=pk)
    return found


@member_page
def show(request: MemberRequest, pk: UUID) -> HttpResponse:
    """Show one version: rules, tests, what it changes, and who moved it."""
    row = _named(request, pk)
    try:
        policy, tests = selectors.policy_of(row), policies.trials_of(row)
    except LictorError as error:
        messages.error(request, error.detail)
        return redirect("dashboard:policies")
    before = selectors.previous(row)
    page = {
        "row": row,
        "policy": policy,
        "tests": tests,
        "untested": policies.untested_of(row),
        "before": before,
        "difference": selectors.difference(before, row) if before else [],
        "runs": selectors.dry_runs(request.organisation).filter(policy=row)[:10],
        "may_activate": may(request, policies.ACTIVATE),
        "may_try": may(request, policies.WRITE) or may(request, policies.ACTIVATE),
        "is_author": row.author_id == request.user.pk,
        "is_activator": row.activated_by_id == request.user.pk,
    }
    return render(request, "dashboard/policy.html", page)


@member_page
@require_POST
def move(request: MemberRequest, pk: UUID) -> HttpResponse:
    """Activate or retire a version, as it was when the page showed it."""
    row = _named(request, pk)
    acts = {"activate": policies.activate, "retire": policies.retire}
    act = acts.get(request.POST.get("act", ""))
    version = request.POST.get("version", "")
    if act is None or not version.isdigit():
        messages.error(request, "Say whether to activate or to retire the version.")
        return redirect("dashboard:policy", pk)
    try:
        held = act(row, actor=request.user, version=int(version))
    except LictorError as error:
        messages.error(request, error.detail)
    else:
        messages.success(request, f"Version {held.number} is {held.state}; it is in the ledger.")
    return redirect("dashboard:policy", pk)


@member_page
@require_POST
def try_out(request: MemberRequest, pk: UUID) -> HttpResponse:
    """Ask what a version would change, and show the answer or the progress."""
    row = _named(request, pk)
    try:
        run = policy_dry_runs.start(row, actor=request.user)
    except LictorError as error:
        messages.error(request, error.detail)
        return redirect("dashboard:policy", pk)
    return redirect("dashboard:policy-dry-run", run.pk)


@member_page
def dry_run(request: MemberRequest, pk: UUID) -> HttpResponse:
    """Show how far a dry run is, then every change it found."""
    run: PolicyDryRun = get_object_or_404(selectors.dry_runs(request.organisation), pk=pk)
    answer = render(request, "dashboard/policy_dry_run.html", {"run": run, "row": run.policy})
    if run.state in (PolicyDryRun.State.QUEUED, PolicyDryRun.State.RUNNING):
        # Without a script: the browser asks again by itself.
        answer["Refresh"] = "2"
    return answer
