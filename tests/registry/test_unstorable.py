"""Check that what JSON can spell and no column can hold is refused, and where it is named."""

import json
from pathlib import Path
from typing import Any

import pytest

from registry.errors import BadInput
from registry.models import Checkpoint
from registry.services import register_checkpoint
from registry.storable import unstorable
from tests.build import CARD, Cast, client_of, make_cast, safetensors, store_files

pytestmark = pytest.mark.django_db

LLAMA = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 128,
    "vocab_size": 100,
    "max_position_embeddings": 128,
}


@pytest.fixture(autouse=True)
def _store(blobs: Path) -> None:
    pass


@pytest.fixture
def cast() -> Cast:
    return make_cast()


def send(cast: Cast, files: dict[str, bytes], kind: str = "weights", name: str = "a/b") -> Any:
    manifest = store_files(cast.organisation, files)
    body = {"name": name, "kind": kind, "manifest": manifest.to_json()}
    return client_of(cast.organisation, cast.submitter).post("/api/v1/checkpoints/", body)


@pytest.mark.parametrize(
    ("path", "data"),
    [
        ("config.json", b'{"a": ["\\u0000"]}'),
        ("config.json", b'{"\\u0000": 1}'),
        ("config.json", b'{"a": "\\ud800"}'),
        ("config.json", b'{"a": [{"b": 1e999}]}'),
        ("config.json", b'{"a": -1e999}'),
        ("LICENSE", b"x" * 5000 + b"\x00"),
        ("sub/NOTICE.txt", b"x" * 5000 + b"\x00"),
        ("README.md", b'---\nlicense: "a\\0b"\n---\n'),
    ],
)
def test_it_is_refused_and_the_file_is_named(cast: Cast, path: str, data: bytes) -> None:
    answer = send(cast, {"model.safetensors": safetensors(), path: data})

    body = answer.json()
    assert (answer.status_code, body["code"]) == (422, "value_refused")
    assert [fault["place"] for fault in body["faults"]] == [path]
    assert not Checkpoint.objects.exists()


def test_whole_characters_and_large_numbers_are_kept_as_they_are(cast: Cast) -> None:
    config = {"text": "ß 漢 \U0001f600", "large": 1.5e15, "integer": 10**30, "none": None}
    files = {"model.safetensors": safetensors(), "config.json": json.dumps(config).encode()}

    answer = send(cast, files)

    assert answer.status_code == 201
    assert Checkpoint.objects.get().config == config


def test_a_config_that_claims_more_parameters_than_a_column_holds_claims_none(cast: Cast) -> None:
    sizes = ("hidden_size", "num_hidden_layers", "intermediate_size")
    honest, absurd = LLAMA, LLAMA | dict.fromkeys(sizes, 10**9)

    first = send(cast, {"config.json": json.dumps(honest).encode()}, "metadata", "a/honest")
    second = send(cast, {"config.json": json.dumps(absurd).encode()}, "metadata", "a/absurd")

    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json()["parameters"] == 95040
    assert second.json()["parameters"] is None


@pytest.mark.parametrize("name", ["../..", "a/..", ".git/x", "a/b/c", "a", "ä/b", "a/b\n"])
def test_a_name_that_is_no_repository_is_refused(cast: Cast, name: str) -> None:
    manifest = store_files(cast.organisation, {"README.md": CARD})

    with pytest.raises(BadInput) as refusal:
        register_checkpoint(
            organisation=cast.organisation,
            actor=cast.submitter,
            name=name,
            kind="metadata",
            manifest=manifest,
        )

    assert refusal.value.code == "bad_name"


def test_what_can_be_stored_has_no_fault() -> None:
    value = {"a": [1, 1.5, None, True, "text\n"], "b": {"c": []}}

    assert list(unstorable(value, place="x")) == []
