"""Check what is read of a Hub, by the real client over real HTTP."""

from typing import Any

import pytest

from registry.hub.facts import git_blob_id
from registry.hub.intake import Hub
from registry.hub.lineage import read_lineage
from registry.hub.refusals import HubRefusal
from tests.registry.hub.fake_hub import FakeHub, Fault
from tests.registry.hub.shapes import (
    BASE,
    GATE,
    NEMOTRON,
    add_llama,
    add_nemotron,
    card,
    small,
)


def asking(hub: FakeHub, *, token: str | None = None, waits: list[float] | None = None) -> Hub:
    sleep = (lambda _: None) if waits is None else waits.append
    return Hub(endpoint=hub.url, token=token, sleep=sleep)


def test_a_branch_is_pinned_before_anything_is_read(hub: FakeHub) -> None:
    repo = add_nemotron(hub)

    reading = asking(hub).read(NEMOTRON, "main")

    assert reading.commit.sha == repo.sha
    about_it = [path for path in hub.paths() if "Nano-9B" in path]
    assert about_it[0].endswith("/revision/main")
    assert all(repo.sha in path for path in about_it[1:])


def test_the_three_questions_are_asked_apart(hub: FakeHub) -> None:
    add_nemotron(hub)

    asking(hub).read(NEMOTRON)

    asked = [path.partition("?")[2] for path in hub.paths() if path.startswith("/api/models")]
    assert any(one.startswith("blobs=") for one in asked)
    assert any("securityStatus" in one for one in asked)
    assert [one for one in asked if "expand" in one and ("blobs" in one or "security" in one)] == []


def test_hashes_of_weights_are_listed_and_their_bytes_not_fetched(hub: FakeHub) -> None:
    repo = add_nemotron(hub)

    reading = asking(hub).read(NEMOTRON)

    shard = reading.commit.file("model-00001-of-00002.safetensors")
    listed = repo.sibling("model-00001-of-00002.safetensors", full=True)
    assert shard is not None
    assert (shard.sha256, shard.size) == (listed["lfs"]["sha256"], listed["size"])
    assert not [path for path in hub.paths() if "resolve" in path and "safetensors" in path]


def test_what_the_founding_model_says_is_kept(hub: FakeHub) -> None:
    add_nemotron(hub)

    seen = asking(hub).read(NEMOTRON).seen

    assert seen["card"]["license_name"] == "nvidia-open-model-license"
    assert seen["safetensors"] == {"parameters": {"BF16": 8888227328}, "total": 8888227328}
    assert seen["security"] == {"scansDone": True, "filesWithIssues": []}
    assert seen["datasets"] == [
        {
            "id": "nvidia/Nemotron-Post-Training-Dataset-v1",
            "license": "cc-by-4.0",
            "state": "read",
        }
    ]
    assert seen["parents"] == [
        {"id": BASE, "relation": "finetune", "said_by": "hub", "named": BASE, "state": "unread"}
    ]


@pytest.mark.parametrize(
    ("base_models", "relation"),
    [
        ({"relation": "quantized", "models": [{"_id": "1", "id": "org/base"}]}, "quantized"),
        (["org/base"], "finetune"),
        ([{"id": "org/base"}], "finetune"),
        ([{"relation": "adapter", "models": [{"id": "org/base"}]}], "adapter"),
        (None, "finetune"),
        ({"relation": {"odd": 1}, "models": 7}, "finetune"),
    ],
)
def test_every_form_in_which_bases_are_listed_is_read(
    hub: FakeHub, base_models: Any, relation: str
) -> None:
    files = small() | {"README.md": card({"license": "mit", "base_model": "org/base"})}
    hub.add("org/child", files, base_models=base_models)

    (parent,) = asking(hub).read("org/child").parents

    assert (parent["id"], parent["relation"]) == ("org/base", relation)


def test_the_cards_own_relation_outranks_what_the_hub_infers(hub: FakeHub) -> None:
    fields = {"license": "mit", "base_model": "org/base", "base_model_relation": "merge"}
    bases = {"relation": "finetune", "models": [{"id": "org/base"}]}
    hub.add("org/child", small() | {"README.md": card(fields)}, base_models=bases)

    (parent,) = asking(hub).read("org/child").parents

    assert (parent["relation"], parent["said_by"]) == ("merge", "card")


def test_the_gate_is_read_and_its_files_are_left_out_by_reason(hub: FakeHub) -> None:
    add_llama(hub)

    reading = asking(hub).read("meta-llama/Llama-3.1-8B")

    assert reading.seen["gated"] == "manual"
    assert reading.seen["gates"] == [GATE]
    assert reading.texts == {}
    assert {one["path"]: one["reason"] for one in reading.seen["left_out"]} == {
        "LICENSE": "gated",
        "README.md": "gated",
        "USE_POLICY.md": "gated",
    }


def test_a_token_with_access_reads_what_is_gated(hub: FakeHub) -> None:
    add_llama(hub)

    reading = asking(hub, token="hf_member").read("meta-llama/Llama-3.1-8B")

    assert set(reading.texts) == {"README.md", "LICENSE", "USE_POLICY.md"}


def test_a_token_without_access_is_told_what_to_do(hub: FakeHub) -> None:
    repo = add_llama(hub)
    client = asking(hub, token="hf_stranger")
    reading = client.read(repo.name)

    with pytest.raises(HubRefusal, match="Accept its terms") as refused:
        client.read_text(reading.commit, reading.commit.files[0], 1000)

    assert refused.value.reason == "gated"


@pytest.mark.parametrize("token", [None, "hf_somebody"])
def test_what_is_missing_or_private_is_one_answer(hub: FakeHub, token: str | None) -> None:
    hub.add("org/secret", small())
    hub.private.add("org/secret")

    for name in ("org/nothing", "org/secret"):
        with pytest.raises(HubRefusal) as refused:
            asking(hub, token=token).read(name)
        assert refused.value.reason == "missing"


def test_an_unknown_revision_is_told(hub: FakeHub) -> None:
    hub.add("org/model", small())

    with pytest.raises(HubRefusal) as refused:
        asking(hub).read("org/model", "v9")

    assert refused.value.reason == "no_revision"


def test_a_busy_hub_is_waited_for_as_long_as_it_says(hub: FakeHub) -> None:
    hub.add("org/model", small())
    hub.faults["/api/models"] = Fault(times=1, status=429, headers={"Retry-After": "7"})
    waits: list[float] = []

    asking(hub, waits=waits).read("org/model")

    assert waits == [7.0]


def test_the_hubs_own_rate_limit_header_counts_too(hub: FakeHub) -> None:
    hub.add("org/model", small())
    hub.faults["/api/models"] = Fault(times=1, status=429, headers={"RateLimit": '"api";r=0;t=11'})
    waits: list[float] = []

    asking(hub, waits=waits).read("org/model")

    assert waits == [11.0]


def test_a_hub_that_asks_for_too_long_a_wait_is_given_up_at_once(hub: FakeHub) -> None:
    hub.faults["/api/models"] = Fault(times=9, status=429, headers={"Retry-After": "3600"})
    waits: list[float] = []

    with pytest.raises(HubRefusal) as refused:
        asking(hub, waits=waits).read("org/model")

    assert (refused.value.reason, refused.value.retry_after, waits) == ("rate_limited", 3600, [])


def test_a_failing_hub_is_asked_again_with_growing_waits(hub: FakeHub) -> None:
    hub.faults["/api/models"] = Fault(times=99, status=503)
    waits: list[float] = []

    with pytest.raises(HubRefusal) as refused:
        asking(hub, waits=waits).read("org/model")

    assert (refused.value.reason, waits) == ("failed", [1.0, 2.0, 4.0])


def test_a_hub_that_is_not_there_is_unreachable() -> None:
    with pytest.raises(HubRefusal) as refused:
        Hub(endpoint="http://127.0.0.1:9", sleep=lambda _: None).read("org/model")

    assert refused.value.reason == "unreachable"


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"{}", b'{"id": 3, "sha": 4}', b"null"])
def test_an_answer_that_no_hub_gives_is_refused(hub: FakeHub, body: bytes) -> None:
    hub.add("org/model", small())
    hub.faults["/api/models"] = Fault(times=9, body=body)

    with pytest.raises(HubRefusal) as refused:
        asking(hub).read("org/model")

    assert refused.value.reason == "bad_answer"


def test_a_text_with_another_hash_than_listed_is_refused(hub: FakeHub) -> None:
    hub.add("org/model", small())
    hub.faults["/LICENSE"] = Fault(times=9, data=b"MIT  icense\n")

    with pytest.raises(HubRefusal, match="hash differs"):
        asking(hub).read("org/model")


def test_an_endless_text_is_cut_off(hub: FakeHub) -> None:
    hub.add("org/model", small(), listed={"LICENSE": {"size": 12}})
    hub.faults["/LICENSE"] = Fault(times=9, data=b"x" * (3 << 20))

    with pytest.raises(HubRefusal, match="larger than"):
        asking(hub).read("org/model")


def test_a_huge_card_and_an_empty_licence_are_told_apart(hub: FakeHub) -> None:
    files = small(LICENSE=b"") | {"README.md": b"x" * ((8 << 20) + 1)}
    hub.add("org/model", files)

    reading = asking(hub).read("org/model")

    assert reading.texts["LICENSE"] == b""
    assert [one["path"] for one in reading.seen["left_out"]] == ["README.md"]


def test_names_that_lead_out_of_the_folder_are_left_out(hub: FakeHub) -> None:
    hostile = {"../../LICENSE": b"x", "/etc/LICENSE": b"x", "a/../NOTICE": b"x", "LICENSE\n": b"x"}
    hub.add("org/model", small() | hostile)

    reading = asking(hub).read("org/model")

    assert set(hostile) & set(reading.texts) == set()
    assert {one["path"] for one in reading.seen["left_out"]} >= set(hostile) - {"LICENSE\n"}


def test_unicode_in_names_and_texts_survives(hub: FakeHub) -> None:
    text = card({"license": "other", "license_name": "模型许可"}, "# 模型 – “quoted”\n")
    hub.add("org/model", small() | {"README.md": text, "说明.md": b"x"})

    reading = asking(hub).read("org/model")

    assert reading.seen["card"]["license_name"] == "模型许可"
    assert reading.texts["README.md"] == text
    assert reading.commit.file("说明.md") is not None


def test_a_renamed_repository_is_read_under_its_name_now(hub: FakeHub) -> None:
    hub.add("new/model", small())
    hub.renamed["old/model"] = "new/model"

    reading = asking(hub).read("old/model")

    assert (reading.commit.repo, reading.seen["named"]) == ("new/model", "old/model")


def test_a_server_that_cannot_expand_leaves_that_unknown(hub: FakeHub) -> None:
    hub.answers_expand = False
    hub.add("org/model", small())

    seen = asking(hub).read("org/model").seen

    assert seen["unknown"] == ["expand"]


def test_git_names_a_file_as_git_does() -> None:
    assert git_blob_id(b"") == "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"


def child_of(*parents: str) -> dict[str, bytes]:
    return small() | {"README.md": card({"license": "mit", "base_model": list(parents)})}


def test_parents_are_read_before_children(hub: FakeHub) -> None:
    hub.add("org/a", small())
    hub.add("org/b", child_of("org/a"))
    hub.add("org/c", child_of("org/b", "org/a"))

    read = read_lineage(asking(hub), "org/c", depth=8)

    assert [one.commit.repo for one in read] == ["org/a", "org/b", "org/c"]
    assert [one["state"] for one in read[-1].parents] == ["read", "read"]


def test_a_circle_is_walked_once_and_named(hub: FakeHub) -> None:
    hub.add("org/a", child_of("org/b"))
    hub.add("org/b", child_of("org/a"))

    read = read_lineage(asking(hub), "org/a", depth=8)

    assert [(one.commit.repo, one.parents[0]["state"]) for one in read] == [
        ("org/b", "circular"),
        ("org/a", "read"),
    ]


def test_the_depth_is_kept_and_what_lies_deeper_is_not_taken_for_none(hub: FakeHub) -> None:
    hub.add("org/a", small())
    hub.add("org/b", child_of("org/a"))

    (read,) = read_lineage(asking(hub), "org/b", depth=0)

    assert [(one["id"], one["state"]) for one in read.parents] == [("org/a", "not followed")]


def test_parents_that_cannot_be_read_keep_their_name_and_the_reason(hub: FakeHub) -> None:
    hub.add("org/taken-down", small())
    hub.faults["org/taken-down"] = Fault(
        times=9, status=403, headers={"X-Error-Message": "Access to this resource is disabled."}
    )
    hub.add("org/child", child_of("org/gone", "org/taken-down", "./local/path"))

    (read,) = read_lineage(asking(hub), "org/child", depth=8)

    assert [(one["id"], one["state"]) for one in read.parents] == [
        ("org/gone", "missing"),
        ("org/taken-down", "disabled"),
        ("./local/path", "missing"),
    ]


def test_a_parent_that_fails_for_now_stops_the_import(hub: FakeHub) -> None:
    hub.add("org/base", small())
    hub.add("org/child", child_of("org/base"))
    hub.faults["org/base"] = Fault(times=99, status=500)

    with pytest.raises(HubRefusal) as refused:
        read_lineage(asking(hub), "org/child", depth=8)

    assert refused.value.reason == "failed"


def test_two_spellings_of_one_parent_are_one(hub: FakeHub) -> None:
    hub.add("new/base", small())
    hub.renamed["old/base"] = "new/base"
    hub.add("org/child", child_of("old/base", "new/base"))

    read = read_lineage(asking(hub), "org/child", depth=8)

    assert [one["id"] for one in read[-1].parents] == ["new/base"]


def test_an_adapters_base_is_followed_without_a_card(hub: FakeHub) -> None:
    hub.add("org/base", small())
    config = b'{"base_model_name_or_path": "org/base"}'
    hub.add("org/adapter", small() | {"adapter_config.json": config})

    read = read_lineage(asking(hub), "org/adapter", depth=8)

    assert [(one["id"], one["relation"], one["state"]) for one in read[-1].parents] == [
        ("org/base", "adapter", "read")
    ]
