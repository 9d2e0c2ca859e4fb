"""What is found in files, and what became of it; each row of a table is one edit."""

# ruff: noqa: E501
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from registry.artifact.mechanisms.compare import compare_inventories, verdict_of
from registry.artifact.mechanisms.inventory import inventory
from registry.artifact.mechanisms.shapes import Change, Inventory
from registry.artifact.mechanisms.templates import read_template
from registry.cli import lictor
from registry.errors import BadInput
from tests.registry.mechanisms.folders import CARD, RAILS, SAFETY, TEMPLATE, TOKENIZER, make

DEMO = Path(__file__).parents[3] / "demo" / "checkpoints"


def changes(tmp_path: Path, **edits: str | None) -> list[Change]:
    base, derived = make(tmp_path / "base"), make(tmp_path / "derived", **edits)
    return compare_inventories(inventory(base), inventory(derived))


def worst(found: list[Change], kind: str) -> str:
    return next((one.severity for one in found if one.kind == kind), "none")


def tokenizer(**edits: Any) -> str:
    return json.dumps({**TOKENIZER, **edits})


class TestInventory:
    def test_each_kind_of_mechanism_is_found_with_its_place(self, tmp_path: Path) -> None:
        found = inventory(make(tmp_path))
        places = {one.kind: one.place for one in found.mechanisms}

        assert set(places) == {
            *("chat_template", "template_safety_text", "system_prompt", "added_tokens"),
            *("control_token", "tokenizer", "generation_setting", "end_token", "guard_model"),
            *("rails", "filter", "remote_code", "card_section", "card_evaluation", "gate"),
        }
        assert places["template_safety_text"] == "chat_template.jinja"
        assert places["generation_setting"] == "generation_config.json#/bad_words_ids"
        assert found.unreadable == ()

    def test_the_text_that_asks_to_refuse_is_quoted(self, tmp_path: Path) -> None:
        found = inventory(make(tmp_path)).mechanisms
        (text,) = [one for one in found if one.kind == "template_safety_text"]

        assert SAFETY in text.excerpt

    def test_absence_is_said_to_be_unknown(self, tmp_path: Path) -> None:
        told = inventory(tmp_path).to_json()

        assert told["mechanisms"] == []
        assert any("not visible in files" in line for line in told["not_in_files"])

    @pytest.mark.parametrize("tag", ["abliterated", "uncensored", "my-heretic-model", "no-refusal"])
    def test_a_tag_that_tells_of_removed_guardrails_is_a_concern(
        self, tmp_path: Path, tag: str
    ) -> None:
        card = CARD.replace("[chat]", f"[chat, {tag}]")
        found = inventory(make(tmp_path, README_dot_md=card))

        assert [one.kind for one in found.mechanisms if one.is_concern] == ["telling_name"]

    def test_a_card_that_speaks_of_such_models_is_no_tag(self, tmp_path: Path) -> None:
        card = CARD + "\nUnlike uncensored models, this one refuses.\n"

        assert not any(
            one.is_concern for one in inventory(make(tmp_path, README_dot_md=card)).mechanisms
        )

    @pytest.mark.parametrize(
        ("file", "text"),
        [
            ("tokenizer_dot_json", "{broken"),
            ("generation_config_dot_json", "[" * 100_000),
            ("chat_template_dot_jinja", "{% if %}"),
            ("chat_template_dot_jinja", "{{" + "(" * 50_000),
            ("modeling_x_dot_py", "def ("),
            ("rails__config_dot_yml", "a: &x [1]\nb: *x\n"),
            ("README_dot_md", "---\nlicense: [\n---\n"),
        ],
    )
    def test_a_broken_file_is_listed_and_stops_nothing(
        self, tmp_path: Path, file: str, text: str
    ) -> None:
        found = inventory(make(tmp_path, **{file: text}))

        assert len(found.unreadable) == 1
        assert len(found.mechanisms) > 5

    def test_a_link_is_listed_and_not_followed(self, tmp_path: Path) -> None:
        folder = make(tmp_path / "m")
        (tmp_path / "secret.py").write_text("x = 1")
        (folder / "linked.py").symlink_to(tmp_path / "secret.py")
        found = inventory(folder)

        assert found.unreadable == (("linked.py", "is a link, not followed"),)

    def test_what_is_no_folder_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(BadInput):
            inventory(tmp_path / "absent")

    def test_hooks_in_code_are_named(self, tmp_path: Path) -> None:
        code = "def f(m, g):\n    m.register_forward_hook(g)\n"
        found = inventory(make(tmp_path, modeling_x_dot_py=code)).mechanisms

        assert any("register_forward_hook" in one.excerpt for one in found)


class TestComparison:
    def test_two_equal_folders_differ_in_nothing(self, tmp_path: Path) -> None:
        assert changes(tmp_path) == []

    @pytest.mark.parametrize(
        ("edits", "kind", "severity"),
        [
            ({"chat_template_dot_jinja": TEMPLATE.replace(SAFETY, "You help with everything you are asked.")}, "template_safety_text", "concern"),
            ({"chat_template_dot_jinja": None}, "chat_template", "concern"),
            ({"chat_template_dot_jinja": TEMPLATE.replace("!= 'system'", "== 'never'")}, "chat_template", "review"),
            ({"SYSTEM_PROMPT_dot_txt": "Help with everything."}, "system_prompt", "concern"),
            ({"SYSTEM_PROMPT_dot_txt": None}, "system_prompt", "review"),
            ({"tokenizer_dot_json": tokenizer(added_tokens=TOKENIZER["added_tokens"][1:])}, "control_token", "concern"),
            ({"tokenizer_dot_json": tokenizer(added_tokens=[{**one, "special": False} for one in TOKENIZER["added_tokens"]])}, "control_token", "concern"),
            ({"tokenizer_dot_json": tokenizer(normalizer=None)}, "tokenizer", "review"),
            ({"generation_config_dot_json": '{"eos_token_id": 101}'}, "generation_setting", "concern"),
            ({"generation_config_dot_json": '{"eos_token_id": 7, "bad_words_ids": [[5, 6]]}'}, "end_token", "review"),
            ({"guard__config_dot_json": None, "guard__model_dot_safetensors": None}, "guard_model", "concern"),
            ({"rails__config_dot_yml": RAILS.replace(", jailbreak detection", "")}, "rails", "concern"),
            ({"rails__flows_dot_co": "define flow self check input\n  pass\n"}, "rails", "review"),
            ({"model_index_dot_json": '{"safety_checker": [null, null]}'}, "filter", "concern"),
            ({"model_index_dot_json": "{}"}, "filter", "concern"),
            ({"modeling_x_dot_py": "def run(model):\n    model.register_forward_hook(print)\n"}, "remote_code", "concern"),
            ({"modeling_x_dot_py": "def run(model):\n    return None\n"}, "remote_code", "review"),
            ({"README_dot_md": "# acme/tuned\n"}, "card_section", "review"),
            ({"README_dot_md": CARD.replace("[chat]", "[abliterated]")}, "telling_name", "concern"),
            ({"adapter_config_dot_json": '{"peft_type": "LORA", "r": 8}'}, "adapter", "review"),
            ({"tokenizer_dot_json": "{"}, "unreadable", "review"),
        ],
    )  # fmt: skip
    def test_what_was_taken_away_is_told(
        self, tmp_path: Path, edits: dict[str, str | None], kind: str, severity: str
    ) -> None:
        assert worst(changes(tmp_path, **edits), kind) == severity

    @pytest.mark.parametrize(
        "edits",
        [
            {"modeling_x_dot_py": "# a comment\ndef run(model):\n\n    return model  # same\n"},
            {"README_dot_md": CARD.replace("Trained to", "It was trained to")},
            {"generation_config_dot_json": json.dumps({"eos_token_id": 101, "bad_words_ids": [[5, 6]], "temperature": 0.3})},
            {"tokenizer_dot_json": tokenizer(added_tokens=[*TOKENIZER["added_tokens"], {"id": 103, "content": "<new>", "special": True}])},
            {"guard2__config_dot_json": "{}"},
        ],
    )  # fmt: skip
    def test_what_takes_nothing_away_is_harmless(
        self, tmp_path: Path, edits: dict[str, str | None]
    ) -> None:
        assert verdict_of(changes(tmp_path, **edits)) == "unchanged"

    def test_the_worst_comes_first_and_the_verdict_is_its(self, tmp_path: Path) -> None:
        found = changes(
            tmp_path, README_dot_md="# x\n", SYSTEM_PROMPT_dot_txt="Help with everything."
        )

        assert found[0].severity == "concern"
        assert verdict_of(found) == "weakened"
        assert verdict_of([one for one in found if one.severity != "concern"]) == "changed"

    @given(
        st.text(alphabet=st.characters(codec="ascii", exclude_characters="'\\{}%#"), max_size=40)
    )
    def test_no_other_default_prompt_is_harmless(self, text: str) -> None:
        if text == SAFETY:
            return
        old, new = (read_template(TEMPLATE.replace(SAFETY, one)) for one in (SAFETY, text))

        assert old.form != new.form

    def test_the_demos_derivatives_changed_nothing_but_weights(self) -> None:
        base = inventory(DEMO / "nano-base")
        for name in ("nano-finetune", "nano-lora", "nano-unguarded"):
            assert verdict_of(compare_inventories(base, inventory(DEMO / name))) == "unchanged"
        assert isinstance(base, Inventory)


SAME = [
    TEMPLATE.replace("{%- for", "{# a comment #}\n\n{%- for"),
    TEMPLATE.replace("message", "turn").replace("turns", "messages"),
    TEMPLATE.replace("'<|im_start|>' + message['role']", "'<|im_' ~ 'start|>' ~ message['role']"),
    TEMPLATE.replace("{%- endif -%}{%- for", "{%- endif -%}\n   {%- for"),
    TEMPLATE.replace("'<|im_end|>\\n' -}}{%- endfor", '"<|im_end|>" + "\\n" -}}{%- endfor'),
]
OTHER = [
    TEMPLATE.replace("refuse", "answer"),
    TEMPLATE.replace("message['content']", "message['content'] | replace('no', '')"),
    TEMPLATE.replace("add_generation_prompt", "not add_generation_prompt"),
    TEMPLATE.replace("in messages -%}", "in messages[1:] -%}"),
    TEMPLATE.replace("{%- for message", "{%- set messages = messages[:1] -%}{%- for message"),
    TEMPLATE.replace("messages[0]['role'] != 'system'", "true"),
    TEMPLATE + "{{- 'Sure, here is how:' -}}",
]


@pytest.mark.parametrize("source", SAME)
def test_a_template_that_means_the_same_has_the_same_form(source: str) -> None:
    assert source != TEMPLATE
    assert read_template(source).form == read_template(TEMPLATE).form


@pytest.mark.parametrize("source", OTHER)
def test_a_template_that_does_something_else_has_another_form(source: str) -> None:
    assert source != TEMPLATE
    assert read_template(source).form != read_template(TEMPLATE).form


@pytest.mark.parametrize(
    "source",
    [
        "{% macro say(x) %}{{ x }}{% endmacro %}{{ say(messages[0]) }}",
        "{% for m in messages %}{% if m %}{% continue %}{% endif %}{{ m }}{% endfor %}",
        "{% generation %}{{ messages }}{% endgeneration %}",
        "{% set ns = namespace(a=1) %}{% set ns.a = 2 %}{{ ns.a }}",
        "{{ 9**9**9 }}{{ 'x' * 10**12 }}{{ 'x'|center(10**12) }}",
        "{% filter upper %}x{% endfilter %}{% call(y) f(1) %}{{ y }}{% endcall %}",
    ],
)
def test_the_constructs_of_real_templates_are_read(source: str) -> None:
    assert read_template(source).form


def test_swapping_two_variables_is_seen() -> None:
    one = read_template("{% set a = 1 %}{% set b = 2 %}{{ a }}{{ b }}")
    other = read_template("{% set a = 1 %}{% set b = 2 %}{{ b }}{{ a }}")

    assert one.form != other.form


class TestCommand:
    def test_the_exit_code_tells_of_a_concern(self, tmp_path: Path) -> None:
        base = make(tmp_path / "base")
        derived = make(tmp_path / "derived", generation_config_dot_json="{}")
        same = CliRunner().invoke(lictor, ["mechanisms", str(base), "--base", str(base)])
        weaker = CliRunner().invoke(lictor, ["mechanisms", str(derived), "--base", str(base)])
        missing = CliRunner().invoke(lictor, ["mechanisms", str(tmp_path / "none")])

        assert (same.exit_code, weaker.exit_code, missing.exit_code) == (0, 1, 2)
        assert "bad_words_ids" in weaker.output

    def test_json_holds_inventory_changes_and_verdict(self, tmp_path: Path) -> None:
        base = make(tmp_path / "base")
        done = CliRunner().invoke(lictor, ["mechanisms", str(base), "--base", str(base), "--json"])
        told = json.loads(done.stdout)

        assert (told["verdict"], told["changes"]) == ("unchanged", [])
        assert told["not_in_files"]
