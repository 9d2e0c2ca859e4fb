"""Show one record of evidence: what was found, by which code, and whether it is genuine."""

import json
from typing import Any
from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils.safestring import mark_safe
from django.views.decorators.http import require_GET

from compliance import selectors as compliance
from compliance.models import Evidence
from compliance.services.evidence import is_genuine
from dashboard.access import MemberRequest, member_page
from registry.artifact.forensics.picture import draw
from registry.errors import LictorError
from registry.keys import private_key

_MOST_MATRICES = 40


@member_page
@require_GET
def show(request: MemberRequest, pk: UUID) -> HttpResponse:
    """Show one record with its figures; of weights, also the picture and what changed most."""
    row = get_object_or_404(compliance.evidence(request.organisation), pk=pk)
    body = row.record.get("body", {})
    page: dict[str, Any] = {"item": row, "body": body, "genuine": _genuine(row)}
    if report := body.get("report"):
        changed = [one for one in report["matrices"] if one["status"] == "changed"]
        changed.sort(key=lambda one: (not one.get("touched"), -one["energy"], one["name"]))
        page |= {
            "report": report,
            # Every text in it is escaped where it is drawn.
            "picture": mark_safe(draw(report)),  # noqa: S308
            "changed": changed[:_MOST_MATRICES],
            "left_out": max(0, len(changed) - _MOST_MATRICES),
        }
    elif mechanisms := body.get("mechanisms"):
        page["mechanisms"] = mechanisms
    else:
        page["figures"] = body.get("figures")
    return render(request, "dashboard/evidence.html", page)


def _genuine(row: Evidence) -> str:
    """Say "yes", "no", or "unknown" where the key to check the signature with is missing."""
    try:
        key = private_key("ledger").public_key()
    except LictorError:
        return "unknown"
    return "yes" if is_genuine(row, key) else "no"


@member_page
@require_GET
def record(request: MemberRequest, pk: UUID) -> HttpResponse:
    """Give the signed record as a file, to verify it elsewhere."""
    row = get_object_or_404(compliance.evidence(request.organisation), pk=pk)
    held = {
        "record": row.record,
        "record_digest": row.record_digest,
        "kid": row.kid,
        "signature": row.signature,
    }
    text = json.dumps(held, indent=1, sort_keys=True, ensure_ascii=False)
    answer = HttpResponse(text, content_type="application/json")
    name = f"evidence-{row.record_digest[7:19]}.json"
    answer["Content-Disposition"] = f'attachment; filename="{name}"'
    return answer
