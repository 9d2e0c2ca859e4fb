"""Build what tests of several rooms need: people, clients, files, approvals, deployments.

Rows that stand for whole histories (an organisation, a bare checkpoint) come from
`tests.compliance.building`; here are the ones that go through the services.
"""

import hashlib
import io
import json
import struct
from typing import Any

from rest_framework.test import APIClient

from compliance.models import Review
from compliance.services import reviews
from deployer import services as deploying
from deployer.models import Endpoint, Target
from registry import storage
from registry.artifact.manifest import FileEntry, Manifest
from registry.models import Checkpoint, Organisation, User
from registry.services import create_token
from tests.compliance.building import USE, Cast, make_cast, make_checkpoint, make_person

__all__ = [
    "CARD",
    "USE",
    "Cast",
    "client_of",
    "make_approval",
    "make_cast",
    "make_checkpoint",
    "make_endpoint",
    "make_manifest",
    "make_person",
    "make_target",
    "safetensors",
    "small_files",
    "store_files",
]

CARD = b"---\nlicense: apache-2.0\n---\n# A model\n"


def safetensors(values: int = 4, *, header: bytes | None = None, salt: int = 0) -> bytes:
    """Write a well-formed file of one F32 tensor, or the given header before the same data."""
    size = 4 * values
    tensors = {"w": {"dtype": "F32", "shape": [values], "data_offsets": [0, size]}}
    head = json.dumps(tensors).encode() if header is None else header
    data = struct.pack("<I", salt) + bytes(size - 4)
    return len(head).to_bytes(8, "little") + head + data


def small_files(*, salt: int = 0, **more: bytes) -> dict[str, bytes]:
    """Make the smallest folder that registers as weights; `salt` makes it another checkpoint."""
    return {"model.safetensors": safetensors(salt=salt), "README.md": CARD, **more}


def make_manifest(files: dict[str, bytes]) -> Manifest:
    entries = [
        FileEntry(path, len(data), hashlib.sha256(data).hexdigest()) for path, data in files.items()
    ]
    return Manifest(tuple(sorted(entries, key=lambda entry: entry.path)))


def store_files(organisation: Organisation, files: dict[str, bytes]) -> Manifest:
    """Store every file and return the manifest that names them."""
    for data in files.values():
        storage.store(organisation, io.BytesIO(data), sha256=hashlib.sha256(data).hexdigest())
    return make_manifest(files)


def client_of(organisation: Organisation, person: User) -> APIClient:
    """Sign a person in with a token of theirs."""
    _, secret = create_token(organisation=organisation, owner=person, name="test")
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
    return client


def make_approval(cast: Cast, checkpoint: Checkpoint, use: dict[str, Any] = USE) -> Review:
    """Open a review and have both stages approve it."""
    review = reviews.open_review(checkpoint, use, actor=cast.asker)
    for stage, person in (("legal", cast.legal), ("security", cast.security)):
        review.refresh_from_db()
        seen = review.seen_digest
        reviews.decide(review, stage=stage, verdict="approve", seen_digest=seen, actor=person)
    review.refresh_from_db()
    return review


def make_target(cast: Cast, name: str = "here", gpu: str = "cpu") -> Target:
    return deploying.create_target(
        cast.organisation, name=name, kind="local", gpu=gpu, actor=cast.operator
    )


def make_endpoint(
    cast: Cast, checkpoint: Checkpoint | None = None, *, name: str = "chat", replicas: int = 1
) -> Endpoint:
    """Deploy an approved checkpoint to a target without a GPU."""
    served = checkpoint or make_checkpoint(cast, "acme/model")
    target = Target.objects.filter(organisation=cast.organisation, name="here").first()
    return deploying.deploy(
        cast.organisation,
        name=name,
        checkpoint=served,
        target=target or make_target(cast),
        review=make_approval(cast, served),
        reasoning_policy={},
        replicas=replicas,
        actor=cast.operator,
    )
