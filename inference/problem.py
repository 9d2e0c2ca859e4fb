"""Write refusals: RFC 9457 bodies for answers, and error events for streams.

Each body also has the `error` member that OpenAI clients read, with the same fields.
"""

import json
import logging
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from inference.contract import Json, ServingError

MEDIA_TYPE = "application/problem+json"
log = logging.getLogger(__name__)


class ProblemResponse(JSONResponse):
    media_type = MEDIA_TYPE

    def render(self, content: Any) -> bytes:
        """Write ASCII: a refusal may quote text that is no valid Unicode."""
        return json.dumps(content).encode()


def body_of(error: ServingError) -> Json:
    """Return the problem with its OpenAI-shaped `error` member."""
    problem = error.problem()
    return {**problem, "error": error_member(problem)}


def error_member(problem: Json) -> Json:
    return {**problem, "message": problem.get("detail"), "param": problem.get("param")}


def answer(error: ServingError) -> Response:
    headers = {}
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return ProblemResponse(body_of(error), status_code=error.status, headers=headers)


def event(error: ServingError) -> bytes:
    """Return the server-sent event that ends a stream; no `[DONE]` follows it."""
    text = json.dumps({"error": error_member(error.problem())})
    return f"data: {text}\n\n".encode()


async def on_serving_error(_request: Request, error: Exception) -> Response:
    return answer(error if isinstance(error, ServingError) else ServingError("internal error"))


async def on_http_error(_request: Request, error: Exception) -> Response:
    """Say in the same shape what the router refuses: unknown path, wrong method."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    refusal = ServingError(str(getattr(error, "detail", "")) or "not available")
    refusal.status, refusal.code, refusal.title = status, f"http_{status}", "Not available"
    return answer(refusal)


async def on_fault(request: Request, error: Exception) -> Response:
    """Hide what went wrong from the caller; the log has it."""
    log.error("fault while serving %s", request.url.path, exc_info=error)
    return answer(ServingError("an internal error; the operator's log says more"))


HANDLERS: dict[Any, Any] = {
    ServingError: on_serving_error,
    HTTPException: on_http_error,
    Exception: on_fault,
}
