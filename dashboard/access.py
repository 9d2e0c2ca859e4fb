"""Let members of an organisation in, and put it on the request."""

from collections.abc import Callable
from functools import wraps
from typing import Any, cast

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import render

from registry.auth import current_membership
from registry.models import Organisation, User
from registry.roles import can


class MemberRequest(HttpRequest):
    """Be a request whose member, organisation and roles are known."""

    user: User
    organisation: Organisation
    roles: tuple[str, ...]


Page = Callable[..., HttpResponseBase]


def member_page(view: Page) -> Page:
    """Ask for a login, then for a membership; a view behind this reads `request.organisation`."""

    @login_required
    @wraps(view)
    def wrapped(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        membership = current_membership(request)
        if membership is None:
            return render(request, "dashboard/no_organisation.html", status=403)
        known = cast(MemberRequest, request)
        known.organisation = membership.organisation
        known.roles = tuple(membership.roles)
        return view(known, *args, **kwargs)

    return wrapped


def may(request: MemberRequest, action: str) -> bool:
    return can(request.roles, action)
