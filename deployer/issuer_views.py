"""Serve the permit issuer's small API to runtimes and gateways."""

import hmac
import json
from collections.abc import Callable
from functools import wraps
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import Error as AnyDatabaseError
from django.db import connection
from django.http import HttpRequest, JsonResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST

from deployer import permits
from deployer.tokens import is_replica_token
from registry.errors import BadInput, LictorError, Unauthenticated
from registry.http import problem_body

View = Callable[[HttpRequest], JsonResponse]


def _answers(view: View) -> View:
    """Turn errors into problems; without a database nothing is signed and the answer is 503."""

    @wraps(view)
    def wrapped(request: HttpRequest) -> JsonResponse:
        try:
            return view(request)
        except LictorError as error:
            body = problem_body(error.status, error.code, error.title, error.detail, error.extra)
        except AnyDatabaseError:
            detail = "The database does not answer, so no permit is signed."
            body = problem_body(503, "database_unavailable", "Nothing is served", detail)
        return JsonResponse(body, status=body["status"], content_type="application/problem+json")

    return wrapped


def _bearer(request: HttpRequest) -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


@require_GET
def healthz(request: HttpRequest) -> JsonResponse:
    """Say that the process is up."""
    return JsonResponse({"status": "ok"})


@require_GET
@_answers
def readyz(request: HttpRequest) -> JsonResponse:
    """Say that the database answers and the key is there."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return JsonResponse({"status": "ready", "keys": len(permits.public_keys())})


@require_GET
@_answers
def keys(request: HttpRequest) -> JsonResponse:
    """Publish the public keys that permits are signed with."""
    return JsonResponse({"keys": permits.public_keys()})


@csrf_exempt
@require_POST
@_answers
def renew(request: HttpRequest) -> JsonResponse:
    """Answer a runtime's request for its next permit: 200, 451 with the clause, or 403."""
    asked = _read_renewal(request)
    if not is_replica_token(str(asked.replica), _bearer(request)):
        raise Unauthenticated("The replica token is not right.")
    return JsonResponse({"permit": permits.renew(asked, now=timezone.now())})


def _read_renewal(request: HttpRequest) -> permits.Request:
    try:
        body: Any = json.loads(request.body)
        return permits.Request(replica=UUID(body["replica"]), checkpoint=str(body["checkpoint"]))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInput("The body must hold a replica's id and a checkpoint's digest.") from error


@require_GET
@_answers
def routes(request: HttpRequest) -> JsonResponse:
    """Answer the gateway's question: who may call what, and where it runs."""
    expected = settings.LICTOR_GATEWAY_TOKEN
    if not expected or not hmac.compare_digest(expected.encode(), _bearer(request).encode()):
        raise Unauthenticated("The gateway token is not right.")
    return JsonResponse(permits.routes(now=timezone.now()))
