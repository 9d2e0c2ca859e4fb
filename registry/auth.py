"""Tell who is calling, for which organisation, and refuse strangers.

A request carries `request.organisation` and `request.roles` once authenticated: from the API
token, or for a browser session from the membership that the person works in.
"""

import hashlib
import hmac
import secrets
from typing import Any

from django.db.models import Q
from django.utils import timezone
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from registry.models import ApiToken, Membership, Organisation, User

PREFIX = "lct_"


def new_secret(prefix: str) -> tuple[str, str, str]:
    """Return (secret, its public prefix, its SHA-256): 192 random bits, shown once."""
    secret = prefix + secrets.token_urlsafe(32)
    return secret, secret[: len(prefix) + 8], hashlib.sha256(secret.encode()).hexdigest()


class TokenAuthentication(BaseAuthentication):
    """Authenticate `Authorization: Bearer lct_...`."""

    def authenticate(self, request: Request) -> tuple[User, ApiToken] | None:
        parts = get_authorization_header(request).split()
        if len(parts) != 2 or parts[0].lower() != b"bearer":
            return None
        secret = parts[1].decode("utf-8", "replace")
        now = timezone.now()
        token = (
            ApiToken.objects.select_related("owner", "organisation")
            .filter(prefix=secret[: len(PREFIX) + 8], revoked_at=None, owner__is_active=True)
            .filter(Q(expires_at=None) | Q(expires_at__gt=now))
            .first()
        )
        digest = hashlib.sha256(secret.encode()).hexdigest()
        if token is None or not hmac.compare_digest(token.sha256, digest):
            raise AuthenticationFailed("The token is unknown, expired or revoked.")
        return token.owner, token

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


def memberships(user: User) -> list[Membership]:
    return list(user.memberships.select_related("organisation").order_by("created_at"))


def current_membership(request: Any) -> Membership | None:
    """Return the membership that this request acts under, or None for a stranger."""
    user, token = request.user, getattr(request, "auth", None)
    if not user.is_authenticated:
        return None
    rows = Membership.objects.select_related("organisation").filter(user=user)
    if isinstance(token, ApiToken):
        own: Membership | None = rows.filter(organisation=token.organisation).first()
        return own
    chosen = request.session.get("organisation") if hasattr(request, "session") else None
    picked: Membership | None = rows.filter(organisation__id=chosen).first() if chosen else None
    if picked is not None:
        return picked
    newest: Membership | None = rows.order_by("-created_at").first()
    return newest


class IsOrganisationMember(BasePermission):
    """Let members in, and put their organisation and roles on the request."""

    message = "You are not a member of any organisation here."

    def has_permission(self, request: Request, view: Any) -> bool:
        membership = current_membership(request)
        if membership is None:
            return False
        request.organisation = membership.organisation  # type: ignore[attr-defined]
        request.roles = tuple(membership.roles)  # type: ignore[attr-defined]
        return True


def caller(request: Request) -> User:
    """Return the person behind a request that passed `IsOrganisationMember`."""
    user = request.user
    if not isinstance(user, User):
        raise AuthenticationFailed("Log in or send a token.")
    return user


def organisation_of(request: Request) -> Organisation:
    organisation: Organisation = request.organisation  # type: ignore[attr-defined]
    return organisation


def roles_of(request: Request) -> tuple[str, ...]:
    roles: tuple[str, ...] = request.roles  # type: ignore[attr-defined]
    return roles
