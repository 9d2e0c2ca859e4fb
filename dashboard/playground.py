"""Give the playground a key of its own for the gateway, good for at most two hours.

The key is derived, not stored: the same process or another makes the same one from the secret key
and the hour, and the database holds its SHA-256 only, like any other endpoint key's.
"""

import hashlib
import hmac
from datetime import datetime, timedelta

from django.conf import settings
from django.utils import timezone

from deployer.models import Endpoint, EndpointKey

_LABEL = b"lictor/playground-key/1"


def playground_key(endpoint: Endpoint, *, now: datetime | None = None) -> str:
    hour = (now or timezone.now()).replace(minute=0, second=0, microsecond=0)
    message = b"|".join([_LABEL, str(endpoint.pk).encode(), hour.isoformat().encode()])
    secret = "lek_" + hmac.new(settings.SECRET_KEY.encode(), message, "sha256").hexdigest()
    EndpointKey.objects.get_or_create(
        prefix=secret[:12],
        defaults={
            "organisation": endpoint.organisation,
            "endpoint": endpoint,
            "name": "playground",
            "sha256": hashlib.sha256(secret.encode()).hexdigest(),
            "expires_at": hour + timedelta(hours=2),
        },
    )
    return secret
