"""Check what registering a checkpoint accepts, what it refuses, and that it happens once."""

import hashlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from registry import selectors, storage
from registry.artifact.manifest import FileEntry, Manifest
from registry.errors import BadInput, Conflict, Duplicate, Unavailable, Unprocessable
from registry.models import Checkpoint, LedgerEntry, LineageEdge, Model, OutboxEvent
from registry.services import DatasetInput, ParentInput, register_checkpoint
from tests.build import (
    Cast,
    make_cast,
    make_manifest,
    safetensors,
    small_files,
    store_files,
)

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _store(blobs: Path) -> None:
    pass


@pytest.fixture
def cast() -> Cast:
    return make_cast()


def register(
    cast: Cast, files: dict[str, bytes] | Manifest, name: str = "acme/model", **fields: Any
) -> tuple[Checkpoint, bool]:
    manifest = files if isinstance(files, Manifest) else store_files(cast.organisation, files)
    return register_checkpoint(
        organisation=cast.organisation,
        actor=cast.submitter,
        **{"name": name, "kind": "weights", "manifest": manifest, **fields},
    )


def counts() -> tuple[int, ...]:
    tables = (Checkpoint, Model, LineageEdge, LedgerEntry, OutboxEvent)
    return tuple(table.objects.count() for table in tables)


def parent(name: str, relation: str = "finetune", digest: str | None = None) -> ParentInput:
    return ParentInput(name, relation, digest)


def test_a_checkpoint_is_registered_with_what_its_files_say(cast: Cast) -> None:
    files = small_files()
    row, is_new = register(
        cast, files, parents=[parent("acme/base")], datasets=[DatasetInput("acme/set", "cc0-1.0")]
    )

    assert is_new
    assert row.digest == make_manifest(files).digest
    assert (row.parameters, row.weights_bytes) == (4, 16)
    assert row.declared["license"] == "apache-2.0"
    assert [edge.parent_name for edge in row.parent_edges.all()] == ["acme/base"]
    assert [one.license for one in row.datasets.all()] == ["cc0-1.0"]
    entry = LedgerEntry.objects.get()
    assert (entry.actor, entry.action) == ("acme-erin", "checkpoint.registered")
    assert row.digest in entry.subject
    assert OutboxEvent.objects.get().key == str(row.pk)


def test_the_same_files_again_are_the_same_checkpoint_and_double_nothing(cast: Cast) -> None:
    first, _ = register(cast, small_files(), parents=[parent("acme/base")])
    before = counts()

    second, is_new = register(cast, small_files(), parents=[parent("acme/base")])

    assert not is_new
    assert second.pk == first.pk
    assert counts() == before


def test_the_same_files_under_another_name_are_refused(cast: Cast) -> None:
    first, _ = register(cast, small_files())
    before = counts()

    with pytest.raises(Duplicate, match="acme/model") as caught:
        register(cast, small_files(), name="acme/other")

    assert caught.value.extra["checkpoint"] == str(first.pk)
    assert counts() == before


def test_two_organisations_may_hold_the_same_files(cast: Cast) -> None:
    first, _ = register(cast, small_files())
    second, is_new = register(make_cast("other"), small_files())

    assert is_new
    assert (second.digest, second.pk != first.pk) == (first.digest, True)


def test_files_that_are_not_stored_are_listed(cast: Cast) -> None:
    files = small_files()
    with pytest.raises(Unprocessable) as caught:
        register(cast, make_manifest(files))

    assert caught.value.code == "missing_blobs"
    assert caught.value.extra["missing"] == sorted(
        entry.sha256 for entry in make_manifest(files).files
    )
    assert not Checkpoint.objects.exists()


def test_another_organisations_files_do_not_count_as_stored(cast: Cast) -> None:
    manifest = store_files(make_cast("other").organisation, small_files())

    with pytest.raises(Unprocessable) as caught:
        register(cast, manifest)

    assert caught.value.code == "missing_blobs"


_REMOTE = b'{"auto_map": {"AutoModel": "modeling.Evil"}}'


@pytest.mark.parametrize(
    ("files", "code"),
    [
        ({"weights.bin": b"\x80\x04K\x01."}, "pickle_refused"),
        ({"weights.pkl": b"\x80\x04K\x01."}, "pickle_refused"),
        ({"weights.safetensors": b"\x80\x04K\x01." + bytes(20)}, None),
        ({"weights.safetensors": b"\x00\x01"}, "safetensors_invalid"),
        ({"weights.safetensors": safetensors()[:-4]}, "safetensors_invalid"),
        ({"weights.safetensors": (1 << 60).to_bytes(8, "little")}, "safetensors_invalid"),
        ({"weights.safetensors": safetensors(header=b'{"w": 1}')}, "safetensors_invalid"),
        (
            {
                "weights.safetensors": safetensors(
                    header=b'{"w":{"dtype":"F32","shape":[9],"data_offsets":[0,16]}}'
                )
            },
            "safetensors_invalid",
        ),
        ({"config.json": _REMOTE}, "remote_code_refused"),
        ({"config.json": b"{"}, None),
        ({"README.md": b"---\nlicense: [\n---\n"}, None),
        ({"more.zip": b"PK\x03\x04" + bytes(30)}, None),
    ],
)
def test_bad_files_are_refused_and_named(
    cast: Cast, files: dict[str, bytes], code: str | None
) -> None:
    with pytest.raises(Unprocessable) as caught:
        register(cast, {**small_files(), **files})

    (name,) = files
    assert {fault.place.partition(":")[0] for fault in caught.value.faults} == {name}
    assert code is None or caught.value.code == code
    assert not Checkpoint.objects.exists()
    assert not LedgerEntry.objects.exists()


def test_every_bad_file_is_named_at_once(cast: Cast) -> None:
    bad = {"a.bin": b"\x80\x04K\x01.", "b.safetensors": b"\x00", "config.json": _REMOTE}

    with pytest.raises(Unprocessable) as caught:
        register(cast, {**small_files(), **bad})

    assert {fault.place for fault in caught.value.faults} == set(bad)
    assert caught.value.code == "checkpoint_invalid"


def test_a_size_that_the_stored_bytes_do_not_have_is_refused(cast: Cast) -> None:
    manifest = store_files(cast.organisation, small_files())
    lying = Manifest(tuple(FileEntry(one.path, one.size + 1, one.sha256) for one in manifest.files))

    with pytest.raises(Unprocessable) as caught:
        register(cast, lying)

    assert caught.value.code == "manifest_mismatch"
    assert {fault.place for fault in caught.value.faults} == {"README.md", "model.safetensors"}


def test_a_file_that_the_store_lost_is_named(cast: Cast) -> None:
    manifest = store_files(cast.organisation, small_files())
    lost = manifest.entry("README.md")
    assert lost is not None
    storage.blob_path(lost.sha256).unlink()

    with pytest.raises(Unavailable, match=r"README\.md") as caught:
        register(cast, manifest)

    assert caught.value.code == "blob_lost"


def test_an_empty_licence_file_is_kept_as_a_fact(cast: Cast) -> None:
    row, _ = register(cast, small_files(LICENSE=b""))

    (kept,) = row.declared["licence_files"]
    assert kept == {"path": "LICENSE", "sha256": hashlib.sha256(b"").hexdigest(), "text": ""}


@pytest.mark.parametrize(
    ("kind", "files", "code"),
    [
        ("weights", {"README.md": b"# x\n"}, "no_weights"),
        ("metadata", {"model.safetensors": safetensors()}, "has_weights"),
        ("other", {"model.safetensors": safetensors()}, "unknown_kind"),
    ],
)
def test_the_kind_must_be_what_the_files_are(
    cast: Cast, kind: str, files: dict[str, bytes], code: str
) -> None:
    with pytest.raises(Unprocessable) as caught:
        register(cast, files, kind=kind)

    assert caught.value.code == code


def test_an_unknown_relation_is_refused(cast: Cast) -> None:
    with pytest.raises(BadInput, match="'cousin' is not a relation") as caught:
        register(cast, small_files(), parents=[parent("acme/base", "cousin")])

    assert caught.value.code == "unknown_relation"


def test_a_parent_named_twice_is_refused(cast: Cast) -> None:
    with pytest.raises(BadInput) as caught:
        register(cast, small_files(), parents=[parent("acme/base"), parent("acme/base")])

    assert caught.value.code == "parent_repeated"
    assert caught.value.faults[0].place == "parents[1]"


def test_a_parent_digest_that_is_not_registered_is_refused(cast: Cast) -> None:
    register(cast, small_files(salt=1), name="acme/base")

    with pytest.raises(Unprocessable) as caught:
        register(
            cast, small_files(salt=2), parents=[parent("acme/base", digest="sha256:" + "0" * 64)]
        )

    assert caught.value.code == "unknown_parent"
    assert Checkpoint.objects.count() == 1


def test_a_parent_that_comes_later_is_joined_to_its_children(cast: Cast) -> None:
    child, _ = register(cast, small_files(salt=1), name="acme/child", parents=[parent("acme/base")])
    base, _ = register(cast, small_files(salt=2), name="acme/base")

    assert set(selectors.closure_up(child).checkpoints) == {child.pk, base.pk}
    assert set(selectors.closure_down([base]).checkpoints) == {child.pk, base.pk}


def test_a_lineage_cycle_is_refused_and_leaves_nothing(cast: Cast) -> None:
    register(cast, small_files(salt=1), name="acme/a", parents=[parent("acme/c")])
    register(cast, small_files(salt=2), name="acme/b", parents=[parent("acme/a")])
    before = counts()

    with pytest.raises(Conflict) as caught:
        register(cast, small_files(salt=3), name="acme/c", parents=[parent("acme/b", "merge")])

    assert caught.value.code == "lineage_cycle"
    assert counts() == before


def test_a_model_made_from_its_own_name_alone_is_a_cycle(cast: Cast) -> None:
    with pytest.raises(Conflict) as caught:
        register(cast, small_files(), parents=[parent("acme/model")])

    assert caught.value.code == "lineage_cycle"


def test_a_later_checkpoint_may_be_made_from_an_earlier_one_of_its_model(cast: Cast) -> None:
    first, _ = register(cast, small_files(salt=1))
    second, _ = register(cast, small_files(salt=2), parents=[parent("acme/model")])

    assert set(selectors.closure_up(second).checkpoints) == {first.pk, second.pk}


def test_a_walk_over_a_cycle_in_the_rows_ends(cast: Cast) -> None:
    first, _ = register(cast, small_files(salt=1), name="acme/a")
    second, _ = register(cast, small_files(salt=2), name="acme/b", parents=[parent("acme/a")])
    LineageEdge.objects.create(
        organisation=cast.organisation,
        child=first,
        parent=second,
        parent_name="acme/b",
        relation="merge",
    )

    assert set(selectors.closure_up(first).checkpoints) == {first.pk, second.pk}
    assert set(selectors.closure_down([first]).checkpoints) == {first.pk, second.pk}


def at_once(*acts: Callable[[], Any]) -> list[Any]:
    """Run each act in a thread of its own, all starting together; return results or errors."""
    start, results = threading.Barrier(len(acts)), []

    def work(act: Callable[[], Any]) -> None:
        try:
            start.wait()
            results.append(act())
        except Exception as error:  # noqa: BLE001 - the test looks at what came out
            results.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=work, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


@pytest.mark.django_db(transaction=True)
def test_two_who_register_the_same_files_at_once_get_one_row(cast: Cast) -> None:
    manifest = store_files(cast.organisation, small_files())

    results = at_once(*[lambda: register(cast, manifest)] * 4)

    assert sorted(is_new for _, is_new in results) == [False, False, False, True]
    assert len({row.pk for row, _ in results}) == 1
    assert Checkpoint.objects.count() == 1
    assert LedgerEntry.objects.count() == OutboxEvent.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_two_that_name_each_other_as_parent_at_once_are_not_both_registered(cast: Cast) -> None:
    one = store_files(cast.organisation, small_files(salt=1))
    two = store_files(cast.organisation, small_files(salt=2))

    results = at_once(
        lambda: register(cast, one, name="acme/a", parents=[parent("acme/b")]),
        lambda: register(cast, two, name="acme/b", parents=[parent("acme/a")]),
    )

    refused = [one for one in results if isinstance(one, Conflict)]
    assert [error.code for error in refused] == ["lineage_cycle"]
    assert Checkpoint.objects.count() == 1


@pytest.mark.parametrize("path", ["../up", "/etc/passwd", "a/../../b", "a\\b", "", "C:x", "a//b"])
def test_a_manifest_cannot_name_a_path_outside_its_folder(path: str) -> None:
    document = {
        "schema": "lictor.manifest/1",
        "files": [{"path": path, "size": 1, "sha256": "0" * 64}],
    }
    with pytest.raises(BadInput):
        Manifest.from_json(document)
