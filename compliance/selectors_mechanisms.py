"""Read the safety mechanisms that a stored checkpoint's files show.

The files are content-addressed, so an inventory is a function of the digest and of our code: it is
made when somebody asks, and kept for the next one.
"""

import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import QuerySet

from compliance.models import Evidence
from registry import storage
from registry.artifact.mechanisms.inventory import inventory
from registry.models import Checkpoint

STATED = "safety_mechanism"


def mechanisms_of(checkpoint: Checkpoint) -> dict[str, Any]:
    """Give the plain form of the inventory. Raises: Unavailable (blob_lost)."""
    return _mechanisms(checkpoint.pk, checkpoint.digest)


@lru_cache(maxsize=128)
def _mechanisms(pk: UUID, _digest: str) -> dict[str, Any]:
    checkpoint = Checkpoint.objects.get(pk=pk)
    # Beside the blobs, so that files are linked and not copied.
    root = Path(settings.LICTOR_BLOBS)
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root, prefix=".inventory-") as place:
        folder = Path(place) / "files"
        storage.materialise(checkpoint, folder)
        return inventory(folder).to_json()


def stated_of(checkpoint: Checkpoint) -> "QuerySet[Evidence]":
    """List what people stated of mechanisms that no file shows, newest first."""
    rows: QuerySet[Evidence] = Evidence.objects.filter(checkpoint=checkpoint, kind=STATED)
    return rows
