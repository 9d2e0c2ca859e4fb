"""Show the ledger, newest first."""

from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import render

from dashboard.access import MemberRequest, may, member_page
from registry.models import LedgerEntry, SignedRoot


@member_page
def index(request: MemberRequest) -> HttpResponse:
    """Page through the entries; an auditor can download the signed export."""
    rows = LedgerEntry.objects.filter(organisation=request.organisation).order_by("-seq")
    page = {
        "entries": Paginator(rows, 50).get_page(request.GET.get("page")),
        "root": SignedRoot.objects.filter(organisation=request.organisation)
        .order_by("-size")
        .first(),
        "may_export": may(request, "ledger.read"),
    }
    return render(request, "dashboard/ledger.html", page)
