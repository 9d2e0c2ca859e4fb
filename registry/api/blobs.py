"""Take checkpoint files in, streamed, under their digests."""

import io
from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.response import Response

from registry import storage
from registry.api import serializers as wire
from registry.api.views import RoomView, require
from registry.auth import organisation_of
from registry.errors import BadInput


class RawBytes(BaseParser):
    """Leave the body unread, so that the view can stream it."""

    media_type = "application/octet-stream"

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Any:
        return stream


class MissingBlobs(RoomView):
    @extend_schema(request=wire.MissingIn, responses=wire.MissingOut)
    def post(self, request: Request) -> Response:
        """Tell which digests still have to be sent."""
        require(request, "checkpoint.register")
        digests = self.body(wire.MissingIn)["sha256"]
        return Response({"missing": storage.missing(organisation_of(request), digests)})


class OneBlob(RoomView):
    parser_classes = [RawBytes]
    streams: ClassVar[bool] = True

    @extend_schema(
        request={"application/octet-stream": {"type": "string", "format": "binary"}},
        responses={201: wire.BlobOut, 200: wire.BlobOut},
    )
    def put(self, request: Request, sha256: str) -> Response:
        """Store a file's bytes; they must have this SHA-256."""
        require(request, "checkpoint.register")
        if "Transfer-Encoding" in request.headers and "Content-Length" not in request.headers:
            raise BadInput("Send the file with its Content-Length.", code="length_required")
        # The unread body, see RawBytes; DRF asks no parser about a body of no bytes.
        stream: Any = request.data or io.BytesIO()
        blob, is_new = storage.store(organisation_of(request), stream, sha256=sha256)
        return Response(wire.BlobOut(blob).data, status=201 if is_new else 200)
