"""Check that a cycle is named from end to end, and that no lineage grows too deep to walk."""

from pathlib import Path

import pytest

from registry.errors import Conflict, Unprocessable
from registry.models import Checkpoint, LedgerEntry
from registry.services import ParentInput, register_checkpoint
from tests.build import Cast, make_cast, small_files, store_files

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _store(blobs: Path) -> None:
    pass


@pytest.fixture
def cast() -> Cast:
    return make_cast()


def register(cast: Cast, name: str, *parents: str) -> Checkpoint:
    manifest = store_files(cast.organisation, small_files(salt=Checkpoint.objects.count()))
    row, _ = register_checkpoint(
        organisation=cast.organisation,
        actor=cast.submitter,
        name=name,
        kind="weights",
        manifest=manifest,
        parents=[ParentInput(parent, "finetune") for parent in parents],
    )
    return row


def test_the_shortest_way_round_is_named_from_end_to_end(cast: Cast) -> None:
    register(cast, "acme/c", "acme/a", "acme/elsewhere")
    register(cast, "acme/d", "acme/c")
    register(cast, "acme/b", "acme/d", "acme/c")
    entries = LedgerEntry.objects.count()

    with pytest.raises(Conflict) as refusal:
        register(cast, "acme/a", "acme/b")

    assert refusal.value.extra["path"] == ["acme/a", "acme/b", "acme/c", "acme/a"]
    assert "acme/a from acme/b from acme/c from acme/a" in refusal.value.detail
    assert not Checkpoint.objects.filter(model__name="acme/a").exists()
    assert LedgerEntry.objects.count() == entries


def test_a_model_made_from_its_own_name_is_the_shortest_cycle(cast: Cast) -> None:
    with pytest.raises(Conflict) as refusal:
        register(cast, "acme/a", "acme/a")

    assert refusal.value.extra["path"] == ["acme/a", "acme/a"]


def test_two_ways_to_one_ancestor_are_no_cycle(cast: Cast) -> None:
    base = register(cast, "acme/base")
    register(cast, "acme/left", "acme/base")
    register(cast, "acme/right", "acme/base")

    merged = register(cast, "acme/merged", "acme/left", "acme/right")

    assert merged.parent_edges.count() == 2
    assert base.child_edges.count() == 2


def test_a_chain_may_be_as_deep_as_the_limit_and_no_deeper(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("registry.services.MAX_LEVELS", 2)
    register(cast, "acme/m0")
    register(cast, "acme/m1", "acme/m0")
    register(cast, "acme/m2", "acme/m1")

    with pytest.raises(Unprocessable) as refusal:
        register(cast, "acme/m3", "acme/m2")

    assert refusal.value.code == "lineage_too_deep"
    assert not Checkpoint.objects.filter(model__name="acme/m3").exists()


def test_a_link_between_two_chains_counts_both(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("registry.services.MAX_LEVELS", 2)
    register(cast, "acme/low", "acme/middle")
    register(cast, "acme/lowest", "acme/low")
    register(cast, "acme/top")

    with pytest.raises(Unprocessable):
        register(cast, "acme/middle", "acme/top")

    assert register(cast, "acme/middle").child_edges.count() == 1


def test_ancestors_are_counted_too(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("registry.services.MAX_ANCESTORS", 3)
    for name in ("acme/a", "acme/b", "acme/c"):
        register(cast, name)

    register(cast, "acme/two", "acme/a", "acme/b")
    with pytest.raises(Unprocessable) as refusal:
        register(cast, "acme/three", "acme/a", "acme/b", "acme/c")

    assert refusal.value.code == "lineage_too_deep"
