import contextlib
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.artifact.card import (
    MAX_PROSE_CHARS,
    DeclaredFacts,
    TextFile,
    declared_facts,
    parse_config,
    read_config,
    read_declared,
)
from registry.artifact.front_matter import front_matter
from registry.errors import BadInput

CARD = b"""---
license: other
license_name: nvidia-open-model-license
license_link: https://example.org/licence
base_model: [org/base, org/other]
base_model_relation: merge
datasets: org/data
model-index: [{name: x}]
---
# A model
"""


def faults(files: dict[str, bytes]) -> list[tuple[str, str]]:
    with pytest.raises(BadInput) as refused:
        declared_facts(files)
    return [(fault.place, fault.code) for fault in refused.value.faults]


def card(front: str) -> dict[str, bytes]:
    return {"README.md": f"---\n{front}\n---\n".encode()}


def test_everything_declared_is_read() -> None:
    facts = declared_facts(
        {
            "README.md": CARD,
            "config.json": b'{"model_type": "llama", "architectures": ["LlamaForCausalLM"]}',
            "adapter_config.json": b'{"base_model_name_or_path": "org/base"}',
            "LICENSE": b"Be kind.\n",
            "NOTICE.txt": b"Licensed by X.\n",
            "model.safetensors": b"not read here",
        }
    )

    assert facts == DeclaredFacts(
        license="other",
        license_name="nvidia-open-model-license",
        license_link="https://example.org/licence",
        base_models=("org/base", "org/other"),
        base_model_relation="merge",
        datasets=("org/data",),
        licence_files=(
            TextFile("LICENSE", hashlib.sha256(b"Be kind.\n").hexdigest(), "Be kind.\n"),
        ),
        notice_files=(
            TextFile(
                "NOTICE.txt", hashlib.sha256(b"Licensed by X.\n").hexdigest(), "Licensed by X.\n"
            ),
        ),
        architectures=("LlamaForCausalLM",),
        model_type="llama",
        adapter_base="org/base",
        card_prose="# A model",
    )


def test_a_list_of_licences_is_read_as_one_expression() -> None:
    assert declared_facts(card("license: [mit, apache-2.0]")).license == "mit, apache-2.0"


def test_prose_and_gate_are_kept_for_who_judges() -> None:
    front = "extra_gated_prompt: You agree.\nextra_gated_description: Terms."
    facts = declared_facts({"README.md": f"---\n{front}\n---\n\nBuilt with Llama.\n".encode()})

    assert facts.card_prose == "Built with Llama."
    assert facts.gates == ("You agree.", "Terms.")


def test_long_prose_is_cut() -> None:
    prose = declared_facts({"README.md": b"word " * 100_000}).card_prose or ""

    assert len(prose) == MAX_PROSE_CHARS


def test_declared_facts_survive_json() -> None:
    facts = declared_facts({"README.md": CARD, "LICENSE.md": b"text", "NOTICE": b"\xff"})

    assert DeclaredFacts.from_json(json.loads(json.dumps(facts.to_json()))) == facts


@pytest.mark.parametrize("files", [{}, {"README.md": b"\n"}, card("")])
def test_what_is_not_declared_stays_unknown(files: dict[str, bytes]) -> None:
    assert declared_facts(files) == DeclaredFacts()


def test_an_empty_and_an_unreadable_licence_file_are_told_apart() -> None:
    facts = declared_facts({"LICENSE": b"", "COPYING": b"\xff\xfe"})

    assert [(item.path, item.text) for item in facts.licence_files] == [
        ("COPYING", None),
        ("LICENSE", ""),
    ]


@pytest.mark.parametrize("name", ["LICENSE", "license.md", "LICENCE-MODEL", "LICENSE_CODE.txt"])
def test_licence_files_are_known_by_many_names(name: str) -> None:
    assert [item.path for item in declared_facts({name: b"x"}).licence_files] == [name]


def test_a_file_about_licensing_code_is_no_licence() -> None:
    assert declared_facts({"licenseplates.json": b"x"}).licence_files == ()


@pytest.mark.parametrize(
    ("front", "place"),
    [
        ("license: 5", "README.md license"),
        ("license: no", "README.md license"),
        ("license: ''", "README.md license"),
        ("base_model: {a: b}", "README.md base_model"),
        ("base_model: not-a-repository", "README.md base_model"),
        ("base_model: ../../etc", "README.md base_model"),
        ("base_model_relation: cousin", "README.md base_model_relation"),
        ("datasets: [1]", "README.md datasets"),
        ("a: &x [1]\nb: *x", "README.md"),
        ("license: mit\nlicense: apache-2.0", "README.md"),
        ("a: {b: 1, b: 2}", "README.md"),
        ("a: !!python/object/apply:os.system [id]", "README.md"),
        ("- a", "README.md"),
        ("1: a", "README.md"),
        ("a: [", "README.md"),
        ("a: " + "[" * 20 + "]" * 20, "README.md"),
        ("a: [" + "1," * 20_001 + "]", "README.md"),
        ("a: '" + "x" * (256 << 10) + "'", "README.md"),
        ("? [a]\n: b", "README.md"),
    ],
)
def test_a_bad_card_is_refused_with_its_place(front: str, place: str) -> None:
    assert faults(card(front)) == [(place, "card_invalid")]


@pytest.mark.parametrize("data", [b"---\nlicense: mit\n", b"\xff\xfe", b"x" * ((1 << 20) + 1)])
def test_a_card_that_cannot_be_read_is_refused(data: bytes) -> None:
    assert faults({"README.md": data}) == [("README.md", "card_invalid")]


def test_a_windows_card_with_a_byte_order_mark_is_read() -> None:
    data = "\ufeff---\r\nlicense: mit\r\n---\r\n".encode()

    assert declared_facts({"README.md": data}).license == "mit"


@given(st.text(max_size=200))
def test_any_front_matter_gives_a_map_or_the_declared_error(text: str) -> None:
    with contextlib.suppress(BadInput):
        assert isinstance(front_matter(f"---\n{text}\n---\n"), dict)


@pytest.mark.parametrize(
    "config",
    [
        {"auto_map": {"AutoModel": "modeling_x.X"}},
        {"text_config": {"auto_map": {"AutoModel": "org/repo--modeling.X"}}},
        {"list": [{"auto_map": "x.X"}]},
        {"trust_remote_code": True},
        {"custom_pipelines": {"x": {}}},
        {"_attn_implementation": "org/kernels"},
        {"_attn_implementation_internal": {"text": "org/kernels"}},
    ],
)
@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json", "adapter_config.json"])
def test_remote_code_is_refused_wherever_it_hides(name: str, config: dict[str, Any]) -> None:
    assert faults({name: json.dumps(config).encode()}) == [(name, "remote_code_refused")]


def test_an_ordinary_attention_choice_is_no_remote_code() -> None:
    config = {"_attn_implementation": "sdpa", "auto_map": None, "trust_remote_code": False}

    assert parse_config(json.dumps(config).encode()) == config


def test_infinity_in_a_config_becomes_text() -> None:
    assert parse_config(b'{"time_step_limit": [0.0, Infinity]}') == {
        "time_step_limit": [0.0, "Infinity"]
    }


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{",
        b'{"a":1,"a":2}',
        b'{"a":{"b":1,"b":2}}',
        b'{"a":' * 70 + b"1" + b"}" * 70,
        b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b" " * ((1 << 20) + 1),
        b"\xff",
        b'{"a":' + b"9" * 5000 + b"}",
    ],
)
def test_a_malformed_config_is_refused(data: bytes) -> None:
    assert faults({"config.json": data}) == [("config.json", "json_invalid")]


def test_a_config_nested_to_the_limit_is_read() -> None:
    data = b'{"a":' * 60 + b"1" + b"}" * 60

    assert list(parse_config(data)) == ["a"]


def test_a_licence_beyond_the_limit_is_refused() -> None:
    assert faults({"LICENSE": b"x" * ((512 << 10) + 1)}) == [("LICENSE", "licence_too_large")]


def test_the_faults_of_all_files_are_listed_together() -> None:
    files = {"README.md": b"---\nlicense: 5\n---\n", "config.json": b"{", "LICENSE": b"x" * 600_000}

    assert [place for place, _ in faults(files)] == ["LICENSE", "README.md license", "config.json"]


def test_a_folder_is_read_without_following_links(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_bytes(CARD)
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "LICENSE").symlink_to(tmp_path / "secret")

    facts = read_declared(tmp_path)

    assert facts.license == "other"
    assert facts.licence_files == ()
    assert read_config(tmp_path) == {"model_type": "llama"}


def test_the_bundled_metadata_declares_the_founding_case() -> None:
    facts = read_declared(Path("demo/metadata/nvidia-nemotron-nano-9b-v2"))

    assert (facts.license, facts.license_name) == ("other", "nvidia-open-model-license")
    assert facts.base_models == ("nvidia/NVIDIA-Nemotron-Nano-12B-v2",)
    assert facts.base_model_relation is None
    assert facts.licence_files == ()
    assert facts.model_type == "nemotron_h"
