"""Say things over HTTP the same way everywhere: problem details, cursor pages.

Idempotency keys and ETags live beside this in `registry.idempotency` and `registry.etag`.
"""

from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ObjectDoesNotExist, PermissionDenied
from django.db import InterfaceError, OperationalError
from django.http import Http404
from rest_framework import exceptions
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.pagination import CursorPagination
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.mediatypes import media_type_matches
from rest_framework.views import set_rollback

from registry.errors import LictorError

PROBLEM_TYPE = "application/problem+json"
_BASE = "https://lictor.dev/problems/"


class CursorPages(CursorPagination):
    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = 200
    ordering = "-created_at"


class AnyMediaType(BaseContentNegotiation):
    """Answer whatever the client says it accepts; for downloads, whose kind the address names."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        """Take the parser that fits the body, as everywhere."""
        kind = request.content_type
        return next((one for one in parsers if media_type_matches(one.media_type, kind)), None)

    def select_renderer(
        self, request: Request, renderers: Any, format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        """Take the first; only problems are rendered by it."""
        return renderers[0], renderers[0].media_type


def problem_body(
    status: int, code: str, title: str, detail: str, extra: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Make the members of an RFC 9457 problem; `extra` adds some, such as `errors`."""
    return {
        "type": _BASE + code.replace("_", "-"),
        "title": title,
        "status": status,
        "code": code,
        "detail": detail,
        **(extra or {}),
    }


def problem(
    status: int, code: str, title: str, detail: str, extra: Mapping[str, Any] | None = None
) -> Response:
    """Make an RFC 9457 answer."""
    body = problem_body(status, code, title, detail, extra)
    return Response(body, status=status, content_type=PROBLEM_TYPE)


def _from_drf(error: exceptions.APIException) -> Response:
    if isinstance(error, exceptions.ValidationError):
        return problem(
            400,
            "invalid",
            "The request is not valid",
            "One or more fields are not valid; see `errors`.",
            {"errors": error.detail},
        )
    code = str(error.default_code)
    response = problem(error.status_code, code, str(error.default_detail), str(error.detail))
    if header := getattr(error, "auth_header", None):
        response["WWW-Authenticate"] = header
    if wait := getattr(error, "wait", None):
        response["Retry-After"] = str(int(wait))
    return response


def problem_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """Turn every expected error into a problem; anything else is a bug and stays a 500."""
    set_rollback()
    if isinstance(error, LictorError):
        return problem(error.status, error.code, error.title, error.detail, dict(error.extra))
    if isinstance(error, Http404 | ObjectDoesNotExist):
        return problem(404, "not_found", "Not found", "There is no such object here.")
    if isinstance(error, PermissionDenied):
        return problem(403, "forbidden", "Not allowed", str(error) or "You may not do this.")
    if isinstance(error, exceptions.APIException):
        return _from_drf(error)
    if isinstance(error, OperationalError | InterfaceError):
        response = problem(
            503, "database_unavailable", "The database does not answer", "Try again shortly."
        )
        response["Retry-After"] = "2"
        return response
    return None
