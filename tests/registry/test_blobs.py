"""Check what sending a file over REST takes and refuses, and what a full or broken store says."""

import hashlib
import io
import os
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from registry import storage
from registry.errors import TooLarge, Unavailable
from registry.models import Blob, Checkpoint
from registry.services import register_checkpoint
from tests.build import Cast, client_of, make_cast, small_files, store_files

pytestmark = pytest.mark.django_db

EMPTY = hashlib.sha256(b"").hexdigest()


@pytest.fixture(autouse=True)
def _store(blobs: Path) -> None:
    pass


@pytest.fixture
def cast() -> Cast:
    return make_cast()


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def keep(cast: Cast, data: bytes) -> tuple[Blob, bool]:
    return storage.store(cast.organisation, io.BytesIO(data), sha256=digest(data))


def kept_files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def put(cast: Cast, data: bytes, sha256: str = "", **headers: str) -> Any:
    client = client_of(cast.organisation, cast.submitter)
    path = f"/api/v1/blobs/{sha256 or digest(data)}/"
    return client.put(path, data, content_type="application/octet-stream", **headers)


def register(cast: Cast) -> Checkpoint:
    row, _ = register_checkpoint(
        organisation=cast.organisation,
        actor=cast.submitter,
        name="acme/model",
        kind="weights",
        manifest=store_files(cast.organisation, small_files()),
    )
    return row


def test_files_over_the_json_limit_are_sent_whole_and_once(cast: Cast) -> None:
    data = os.urandom(3 << 20)

    first, second = put(cast, data), put(cast, data, HTTP_IDEMPOTENCY_KEY="one")

    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json() == {"sha256": digest(data), "size": len(data)}


def test_an_empty_file_can_be_sent(cast: Cast) -> None:
    answer = put(cast, b"")

    assert (answer.status_code, answer.json()) == (201, {"sha256": EMPTY, "size": 0})


def test_a_body_of_unknown_length_is_refused_by_name(cast: Cast) -> None:
    answer = put(cast, b"", HTTP_TRANSFER_ENCODING="chunked")

    assert (answer.status_code, answer.json()["code"]) == (400, "length_required")
    assert not Blob.objects.exists()


def test_sending_needs_the_submitters_role_and_the_right_bytes(cast: Cast, blobs: Path) -> None:
    client = client_of(cast.organisation, cast.operator)
    path = f"/api/v1/blobs/{digest(b'data')}/"

    refused = client.put(path, b"data", content_type="application/octet-stream")
    wrong = put(cast, b"other", digest(b"data"))

    assert (refused.status_code, refused.json()["code"]) == (403, "role_missing")
    assert (wrong.status_code, wrong.json()["code"]) == (400, "blob_mismatch")
    assert kept_files(blobs) == []


def test_another_organisation_is_told_to_send_the_same_bytes_itself(cast: Cast) -> None:
    stranger = make_cast("other")
    keep(cast, b"data")
    ask = {"sha256": [EMPTY, digest(b"data"), EMPTY]}

    ours = client_of(cast.organisation, cast.submitter).post("/api/v1/blobs/missing/", ask)
    theirs = client_of(stranger.organisation, stranger.submitter).post(
        "/api/v1/blobs/missing/", ask
    )

    assert (ours.status_code, ours.json()) == (200, {"missing": [EMPTY]})
    assert theirs.json() == {"missing": sorted([EMPTY, digest(b"data")])}


def test_a_file_over_the_limit_is_refused_while_it_arrives(
    cast: Cast, blobs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "MAX_BLOB_BYTES", 1000)

    assert keep(cast, bytes(1000))[1]
    with pytest.raises(TooLarge):
        keep(cast, bytes(1001))

    assert kept_files(blobs) == [storage.blob_path(digest(bytes(1000)))]


def test_a_store_that_is_nearly_full_takes_nothing(
    cast: Cast, blobs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = SimpleNamespace(free=storage.RESERVE_BYTES + 10)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: left)

    assert keep(cast, bytes(10))[1]
    with pytest.raises(Unavailable) as refusal:
        keep(cast, bytes(11))

    assert refusal.value.code == "store_full"
    assert kept_files(blobs) == [storage.blob_path(digest(bytes(10)))]


def test_a_store_that_cannot_be_written_is_unavailable(
    cast: Cast, settings: Any, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"")
    settings.LICTOR_BLOBS = tmp_path / "file" / "blobs"

    answer = put(cast, b"data")

    assert (answer.status_code, answer.json()["code"]) == (503, "store_failed")


def test_a_lost_file_is_named_and_not_taken_for_an_absent_one(cast: Cast, tmp_path: Path) -> None:
    row = register(cast)
    storage.blob_path(digest(small_files()["README.md"])).unlink()

    assert storage.read_bytes(row, "absent.txt") is None
    for use_it in (
        lambda: storage.read_bytes(row, "README.md"),
        lambda: storage.materialise(row, tmp_path / "out"),
    ):
        with pytest.raises(Unavailable, match=r"lost README\.md") as refusal:
            use_it()
        assert refusal.value.code == "blob_lost"
