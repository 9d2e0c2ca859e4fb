"""Show the licence catalogue: each text's clauses, with exact quotes and sections."""

from django.http import Http404, HttpResponse
from django.shortcuts import render

from compliance.rules.library import bundled_library
from dashboard.access import MemberRequest, member_page


@member_page
def index(request: MemberRequest) -> HttpResponse:
    """List every licence version that the catalogue knows."""
    library = bundled_library()
    rows = [library.licences[key] for key in sorted(library.licences)]
    return render(request, "dashboard/licences.html", {"licences": rows})


@member_page
def show(request: MemberRequest, key: str) -> HttpResponse:
    """Show one licence version clause by clause."""
    licence = bundled_library().licences.get(key)
    if licence is None:
        raise Http404(f"no licence {key} in the catalogue")
    return render(request, "dashboard/licence.html", {"licence": licence})
