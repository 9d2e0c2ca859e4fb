"""Check that the store keeps exactly the bytes that a digest names, and lays them out read-only."""

import hashlib
import io
from pathlib import Path

import pytest

from registry import storage
from registry.artifact.manifest import manifest_of
from registry.errors import BadInput, Unavailable
from registry.models import Blob, Checkpoint, Organisation
from registry.services import register_checkpoint
from tests.build import Cast, make_cast, small_files, store_files

pytestmark = pytest.mark.django_db
DATA = b"some bytes" * 1000


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def organisation(blobs: Path) -> Organisation:
    return Organisation.objects.create(slug="acme", name="Acme")


@pytest.fixture
def checkpoint(blobs: Path) -> Checkpoint:
    cast: Cast = make_cast()
    files = small_files() | {"more/notes.txt": b"notes\n", "LICENSE": b""}
    row, _ = register_checkpoint(
        organisation=cast.organisation,
        actor=cast.submitter,
        name="acme/model",
        kind="weights",
        manifest=store_files(cast.organisation, files),
    )
    return row


def files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_bytes_are_kept_under_their_digest_and_read_only(
    organisation: Organisation, blobs: Path
) -> None:
    blob, is_new = storage.store(organisation, io.BytesIO(DATA), sha256=sha256(DATA))

    assert (is_new, blob.size) == (True, len(DATA))
    (kept,) = files_below(blobs)
    assert kept == storage.blob_path(sha256(DATA))
    assert kept.read_bytes() == DATA
    assert kept.stat().st_mode & 0o777 == 0o444


def test_the_same_bytes_again_are_one_blob(organisation: Organisation, blobs: Path) -> None:
    storage.store(organisation, io.BytesIO(DATA), sha256=sha256(DATA))
    _, is_new = storage.store(organisation, io.BytesIO(DATA), sha256=sha256(DATA))

    assert not is_new
    assert len(files_below(blobs)) == Blob.objects.count() == 1


def test_bytes_with_another_digest_are_refused_and_leave_nothing(
    organisation: Organisation, blobs: Path
) -> None:
    with pytest.raises(BadInput) as caught:
        storage.store(organisation, io.BytesIO(DATA + b"!"), sha256=sha256(DATA))

    assert caught.value.code == "blob_mismatch"
    assert sha256(DATA + b"!") in caught.value.detail
    assert files_below(blobs) == []
    assert not Blob.objects.exists()


def test_wrong_bytes_do_not_harm_the_right_ones_already_there(organisation: Organisation) -> None:
    storage.store(organisation, io.BytesIO(DATA), sha256=sha256(DATA))

    with pytest.raises(BadInput):
        storage.store(organisation, io.BytesIO(b"other"), sha256=sha256(DATA))

    assert storage.blob_path(sha256(DATA)).read_bytes() == DATA


def test_a_stream_that_breaks_off_leaves_nothing(organisation: Organisation, blobs: Path) -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell():
                raise OSError("the connection broke")
            return super().read(10)

    with pytest.raises(Unavailable):
        storage.store(organisation, Broken(DATA), sha256=sha256(DATA))

    assert files_below(blobs) == []
    assert not Blob.objects.exists()


@pytest.mark.parametrize("digest", ["", "..", "../" * 8 + "etc/passwd", "A" * 64, "0" * 63])
def test_what_is_no_digest_names_no_path(organisation: Organisation, digest: str) -> None:
    with pytest.raises(BadInput):
        storage.store(organisation, io.BytesIO(b""), sha256=digest)


def test_missing_is_said_for_one_organisation_alone(organisation: Organisation) -> None:
    other = Organisation.objects.create(slug="other", name="Other")
    storage.store(other, io.BytesIO(DATA), sha256=sha256(DATA))

    assert storage.missing(other, [sha256(DATA)]) == []
    assert storage.missing(organisation, [sha256(DATA)]) == [sha256(DATA)]


def test_a_laid_out_checkpoint_is_the_manifest_again_and_read_only(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    folder = tmp_path / "model"

    storage.materialise(checkpoint, folder)

    assert manifest_of(folder).digest == checkpoint.digest
    assert {path.stat().st_mode & 0o222 for path in files_below(folder)} == {0}


def test_laying_out_twice_is_no_error(checkpoint: Checkpoint, tmp_path: Path) -> None:
    storage.materialise(checkpoint, tmp_path / "model")
    storage.materialise(checkpoint, tmp_path / "model")

    assert manifest_of(tmp_path / "model").digest == checkpoint.digest


def test_where_links_are_impossible_files_are_copied_read_only(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_: object) -> None:
        raise OSError("no links across devices")

    monkeypatch.setattr(storage.os, "link", no_links)
    storage.materialise(checkpoint, tmp_path / "model")

    assert manifest_of(tmp_path / "model").digest == checkpoint.digest
    kept = [path.stat() for path in files_below(tmp_path / "model")]
    assert {(one.st_nlink, one.st_mode & 0o222) for one in kept} == {(1, 0)}


def test_a_lost_file_is_named_when_laying_out(checkpoint: Checkpoint, tmp_path: Path) -> None:
    lost = next(item for item in checkpoint.manifest["files"] if item["path"] == "more/notes.txt")
    storage.blob_path(lost["sha256"]).unlink()

    with pytest.raises(Unavailable, match=r"more/notes\.txt"):
        storage.materialise(checkpoint, tmp_path / "model")


def test_one_file_can_be_read_and_an_absent_one_is_none(checkpoint: Checkpoint) -> None:
    assert storage.read_bytes(checkpoint, "more/notes.txt") == b"notes\n"
    assert storage.read_bytes(checkpoint, "more/notes.txt", limit=2) == b"no"
    assert storage.read_bytes(checkpoint, "absent") is None
