"""Edit without overwriting: an ETag names the version, If-Match says which one is meant."""

from rest_framework.request import Request
from rest_framework.response import Response

from registry.errors import PreconditionFailed, PreconditionRequired


def with_etag(response: Response, version: int) -> Response:
    response["ETag"] = f'"{version}"'
    return response


def expected_version(request: Request, current: int) -> int:
    """Return the version that the caller wants to change.

    Raises: PreconditionRequired without If-Match; PreconditionFailed when it is not the current.
    """
    wanted = request.headers.get("If-Match")
    if wanted is None:
        raise PreconditionRequired("Send If-Match with the ETag of the version that you read.")
    if wanted not in (f'"{current}"', "*"):
        raise PreconditionFailed(f'The current version is "{current}"; read it again.')
    return current
