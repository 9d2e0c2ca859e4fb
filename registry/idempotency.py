"""Make a POST safe to repeat: the answer is stored with its effect, in one transaction."""

import hashlib
import json
from typing import Any

from django.db import IntegrityError, transaction
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.encoders import JSONEncoder
from rest_framework.views import APIView

from registry.auth import organisation_of
from registry.errors import BadInput, Conflict, Unprocessable
from registry.models import IdempotencyRecord

_MAX_KEY = 200
_UNSAFE = {"POST", "PATCH", "PUT", "DELETE"}


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
    """

    _key: str | None = None
    _body: bytes = b""

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        key = request.headers.get("Idempotency-Key")
        if not key or request.method not in _UNSAFE:
            return super().dispatch(request, *args, **kwargs)
        self._key, self._body = key, request.body
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
        if len(self._key or "") > _MAX_KEY:
            self._key = None
            raise BadInput(f"An Idempotency-Key has at most {_MAX_KEY} characters.")
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
