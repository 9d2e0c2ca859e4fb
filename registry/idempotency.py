"""Make a POST safe to repeat: the answer is stored with its effect, in one transaction."""

import hashlib
import json
import re
from typing import Any, ClassVar, Final

from django.conf import settings
from django.db import IntegrityError, transaction
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.encoders import JSONEncoder
from rest_framework.views import APIView

from registry.auth import organisation_of
from registry.errors import BadInput, Conflict, TooLarge, Unprocessable
from registry.models import IdempotencyRecord

_KEY: Final = re.compile(r"[\x21-\x7e]{1,200}")
_UNSAFE: Final = frozenset({"POST", "PATCH", "PUT", "DELETE"})


class _ReplayError(Exception):
    """Carry the stored answer out of `initial`, where DRF lets only exceptions leave."""

    def __init__(self, record: IdempotencyRecord) -> None:
        self.record = record


class _RacedError(Exception):
    """Say that another request stored its answer under the same key first."""


class Idempotent(APIView):
    """Be a view on which an Idempotency-Key makes the second call answer what the first did.

    Another body under the same key is refused (422); of two at the same time one gets 409. An
    answer of 400 or above is not stored, because its effect was rolled back.

    A view that `streams` reads its own body, of any size, and does without keys: it must be safe
    to repeat by itself.
    """

    streams: ClassVar[bool] = False
    _key: str | None = None
    _body: bytes = b""

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        key = request.headers.get("Idempotency-Key")
        if not key or self.streams or request.method not in _UNSAFE:
            return super().dispatch(request, *args, **kwargs)
        self._key = key
        try:
            with transaction.atomic():
                response = super().dispatch(request, *args, **kwargs)
                if response.status_code >= 400:
                    transaction.set_rollback(True)
                return response
        except _RacedError:
            self._key = None
            error = Conflict("The same Idempotency-Key is in use right now; try again.")
            answer = self.handle_exception(error)
            return self.finalize_response(self.request, answer, *args, **kwargs)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if not self.streams:
            _check_length(request)
        if self._key is not None:
            self._look_up(request)

    def handle_exception(self, exc: Exception) -> Response:
        if isinstance(exc, _ReplayError):
            self._key = None
            answer = Response(exc.record.body, status=exc.record.status)
            answer["Idempotent-Replayed"] = "true"
            return answer
        return super().handle_exception(exc)

    def finalize_response(self, request: Any, response: Any, *args: Any, **kwargs: Any) -> Any:
        if self._key is not None and response.status_code < 400:
            self._store(request, response)
        return super().finalize_response(request, response, *args, **kwargs)

    def _look_up(self, request: Request) -> None:
        if not _KEY.fullmatch(self._key or ""):
            self._key = None
            raise BadInput("An Idempotency-Key is 1 to 200 printable ASCII characters, no spaces.")
        self._body = request.body
        record = IdempotencyRecord.objects.filter(**self._identity(request)).first()
        if record is None:
            return
        if record.body_sha256 != hashlib.sha256(self._body).hexdigest():
            raise Unprocessable(
                "This Idempotency-Key was used with another body.", code="idempotency_mismatch"
            )
        raise _ReplayError(record)

    def _identity(self, request: Request) -> dict[str, Any]:
        return {
            "organisation": organisation_of(request),
            "principal": str(request.user.pk),
            "method": request.method,
            "path": request.path[:300],
            "key": self._key,
        }

    def _store(self, request: Request, response: Response) -> None:
        try:
            with transaction.atomic():
                IdempotencyRecord.objects.create(
                    **self._identity(request),
                    body_sha256=hashlib.sha256(self._body).hexdigest(),
                    status=response.status_code,
                    body=json.loads(json.dumps(response.data, cls=JSONEncoder)),
                )
        except IntegrityError as error:
            raise _RacedError from error


def _check_length(request: Request) -> None:
    limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    length = request.META.get("CONTENT_LENGTH") or "0"
    if limit is not None and (not length.isdecimal() or int(length) > limit):
        raise TooLarge(f"A request body here has at most {limit} bytes; send files as blobs.")
