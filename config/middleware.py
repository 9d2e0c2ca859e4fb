"""Add the response headers that Django leaves to the project."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

# Swagger UI writes style attributes, so styles may be inline there; scripts may not anywhere.
_POLICY = (
    "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)
_DOCS_POLICY = _POLICY.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'").replace(
    "script-src 'self'", "script-src 'self' 'unsafe-inline'"
)


class ContentSecurityPolicy:
    """Send a content security policy with every page."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        policy = _DOCS_POLICY if request.path.startswith("/api/docs/") else _POLICY
        response.headers.setdefault("Content-Security-Policy", policy)
        return response
