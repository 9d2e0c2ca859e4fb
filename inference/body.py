"""Read request bodies and bearer tokens, within limits, the same way at both doors."""

import json
from typing import Any, Final

from starlette.requests import Request

from inference.contract import Json, RequestRefused

MAX_BODY_BYTES: Final = 4 * 1024 * 1024
MAX_TOKEN_CHARS: Final = 512


async def read_body(request: Request) -> bytes:
    """Return the body.

    Raises: RequestRefused above `MAX_BODY_BYTES`.
    """
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > MAX_BODY_BYTES:
            raise RequestRefused(f"the body is larger than {MAX_BODY_BYTES} bytes")
        parts.append(part)
    return b"".join(parts)


def parse_object(body: bytes) -> Json:
    """Return the JSON object; a repeated member is refused, as two readers may differ on it.

    Raises: RequestRefused.
    """
    try:
        value = json.loads(body, object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise RequestRefused(f"the body is not valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise RequestRefused("the body must be a JSON object")
    if b"\\ud" in body.lower() and not _is_unicode(value):
        raise RequestRefused("the body holds half a character (an unpaired surrogate)")
    return value


def bearer_token(request: Request) -> str | None:
    """Return the token of the Authorization header; None if there is no usable one."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not 0 < len(token) <= MAX_TOKEN_CHARS:
        return None
    return token


def _is_unicode(value: Json) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _unique(pairs: list[tuple[str, Any]]) -> Json:
    members = dict(pairs)
    if len(members) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"member {twice!r} is repeated")
    return members


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
