"""Check what an import means for compliance: what was not read is never taken for fine."""

import io
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from compliance.rules.facts import ModelFacts
from compliance.services.assess import assess
from compliance.services.facts import collect
from compliance.services.uses import read_use
from deployer import services as deploying
from registry import storage
from registry.errors import LictorError
from registry.hub.folder import metadata_files
from registry.hub.intake import Hub
from registry.hub.lineage import read_lineage
from registry.hub.wire import checked_seen
from registry.models import HubImport
from registry.services_imports import register_import
from tests.build import USE, make_target
from tests.compliance.building import Cast, make_cast
from tests.registry.hub.fake_hub import FakeHub
from tests.registry.hub.shapes import GATE, add_llama, add_nemotron, card, small

pytestmark = pytest.mark.django_db


@pytest.fixture
def cast(keys: Path, blobs: Path) -> Cast:
    return make_cast()


def imported(cast: Cast, hub: FakeHub, name: str) -> HubImport:
    done = None
    for reading in read_lineage(Hub(endpoint=hub.url), name, depth=8):
        files = metadata_files(reading)
        for entry, data in files.contents:
            storage.store(cast.organisation, io.BytesIO(data), sha256=entry.sha256)
        done = register_import(
            organisation=cast.organisation,
            actor=cast.submitter,
            kind="metadata",
            manifest=files.manifest,
            commit=reading.commit,
            seen=checked_seen(files.seen),
        )
    assert done is not None
    return done.row


def facts_of(row: HubImport) -> ModelFacts:
    found = collect(row.checkpoint, read_use(USE), now=timezone.now())
    model = found.model(found.subject)
    assert model is not None
    return model


def test_a_gated_licence_is_named_and_unread(cast: Cast, hub: FakeHub) -> None:
    add_llama(hub)
    row = imported(cast, hub, "meta-llama/Llama-3.1-8B")

    model = facts_of(row)

    assert model.license == "llama3.1"
    assert {one.path: one.text for one in model.licence_texts} == {
        "LICENSE": None,
        "README.md": None,
        "USE_POLICY.md": None,
    }
    assert [one.text for one in model.statements if one.source == "gate"] == [GATE]
    assert assess(row.checkpoint, USE, actor="t").decision == "needs_review"


def test_a_card_that_is_refused_speaks_as_prose_and_settles_nothing(
    cast: Cast, hub: FakeHub
) -> None:
    odd = card({"license": "mit", "base_model_relation": "sideways"}, "Licensed under MIT.\n")
    hub.add("org/model", {"README.md": odd})
    row = imported(cast, hub, "org/model")

    model = facts_of(row)

    assert [one.source for one in model.statements] == ["card"]
    assert [(one.path, one.text) for one in model.licence_texts] == [("README.md", None)]
    assert assess(row.checkpoint, USE, actor="t").decision == "needs_review"


def test_a_renamed_parent_is_one_parent(cast: Cast, hub: FakeHub) -> None:
    hub.add("new/base", small())
    hub.renamed["old/base"] = "new/base"
    child = small() | {"README.md": card({"license": "mit", "base_model": "old/base"})}
    hub.add("org/child", child)

    model = facts_of(imported(cast, hub, "org/child"))

    assert [one.id for one in model.parents] == ["new/base"]


def test_a_parent_in_a_circle_is_unknown(cast: Cast, hub: FakeHub) -> None:
    for name, base in (("org/a", "org/b"), ("org/b", "org/a")):
        hub.add(name, small() | {"README.md": card({"license": "mit", "base_model": base})})
    row = imported(cast, hub, "org/a")

    found = collect(row.checkpoint, read_use(USE), now=timezone.now())

    parents = {one.id: [link.id for link in one.parents] for one in found.models}
    assert parents == {"org/a": ["org/b"], "org/b": ["org/a@circular"]}
    assert assess(row.checkpoint, USE, actor="t").decision == "needs_review"


def test_an_import_without_weights_is_never_deployed(cast: Cast, hub: FakeHub) -> None:
    add_nemotron(hub)
    row = imported(cast, hub, "nvidia/NVIDIA-Nemotron-Nano-9B-v2")
    arguments: dict[str, Any] = {
        "name": "chat",
        "checkpoint": row.checkpoint,
        "target": make_target(cast),
        "review": None,
        "reasoning_policy": {},
        "replicas": 1,
        "actor": cast.operator,
    }

    with pytest.raises(LictorError):
        deploying.deploy(cast.organisation, **arguments)
    with pytest.raises(LictorError) as refused:
        deploying._preflight(row.checkpoint, arguments["target"])
    assert refused.value.code == "no_weights"


def test_a_gate_that_changes_without_a_commit_changes_the_facts(cast: Cast, hub: FakeHub) -> None:
    repo = add_llama(hub)
    row = imported(cast, hub, repo.name)
    changed = {**repo.card(), "extra_gated_prompt": "Another text.\n"}
    repo.api["cardData"] = changed

    again = imported(cast, hub, repo.name)

    assert again.pk == row.pk
    assert again.licence_changed
    assert [s.text for s in facts_of(again).statements] == ["Another text.\n"]
