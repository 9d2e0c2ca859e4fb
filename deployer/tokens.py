"""Derive each replica's token: the gateway sends it, the runtime asks for it, nobody stores it."""

import hmac

from django.conf import settings

_LABEL = b"lictor/replica-token/1|"


def replica_token(replica_id: str) -> str:
    message = _LABEL + replica_id.encode()
    return "rep_" + hmac.new(settings.SECRET_KEY.encode(), message, "sha256").hexdigest()


def is_replica_token(replica_id: str, token: str) -> bool:
    return hmac.compare_digest(replica_token(replica_id).encode(), token.encode())
