"""Tell gateways and runtimes at once that something changed; a hint, never an authority.

Whoever misses it asks again within its permit's seconds, so every failure here is only logged.
"""

import logging

import redis
from django.conf import settings
from django.db import transaction

CHANNEL = "lictor.hints"
_SECONDS = 0.5
_log = logging.getLogger(__name__)


def hint_on_commit(message: str) -> None:
    """Publish after the transaction commits; nothing is sent when it rolls back."""
    transaction.on_commit(lambda: _publish(message), robust=True)


def _publish(message: str) -> None:
    try:
        client = redis.Redis.from_url(
            settings.REDIS_URL, socket_timeout=_SECONDS, socket_connect_timeout=_SECONDS
        )
        with client:
            client.publish(CHANNEL, message)
    except (redis.RedisError, OSError, ValueError) as error:
        _log.warning("no hint sent (%s); the pollers will notice within seconds", error)
