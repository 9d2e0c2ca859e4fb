"""A scenario is read completely or refused with every fault."""

from datetime import date
from pathlib import Path

import pytest

from compliance.rules.faults import InputFaults
from compliance.rules.scenario import load_scenario
from tests.compliance.build_facts import TODAY

GOOD = """
models:
  - id: org/tuned
    license: other
    license_name: nvidia-open-model-license
    license_text: LICENSE
    license_pin: nvidia-open-model-2025-10-24
    parents: [{id: org/base, relation: finetune}]
    datasets: [{id: org/data, license: cc-by-nc-4.0, use: training}]
    distributed_files: [LICENSE, NOTICE]
    notices: ["Licensed by NVIDIA Corporation under the NVIDIA Open Model License"]
    evidence: [{kind: guardrail_retention, result: retained, method: measured}]
use:
  purposes: [internal]
  commercial: true
  monthly_active_users: 1000
  annual_revenue_usd: 5000000
  jurisdictions: [DE]
  domains: [customer_support]
matters:
  - {id: m1, kind: patent, status: filed, filed_on: 2026-03-01, alleges_model_infringes: [org/base]}
subject: org/tuned
"""


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "scenario.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def faults_of(folder: Path, text: str | bytes) -> list[str]:
    with pytest.raises(InputFaults) as caught:
        load_scenario(write(folder, text), as_of=TODAY)
    assert caught.value.code == "scenario_invalid"
    return [str(fault) for fault in caught.value.faults]


def test_the_whole_contract_is_read(tmp_path: Path) -> None:
    (tmp_path / "LICENSE").write_text("words", encoding="utf-8")

    facts = load_scenario(write(tmp_path, GOOD), as_of=TODAY)

    model = facts.models[0]
    assert (model.licence_texts[0].text, model.parents[0].id) == ("words", "org/base")
    assert facts.matters[0].filed_on == date(2026, 3, 1)
    assert facts.use.monthly_active_users == 1000
    assert facts.as_of == TODAY


def test_a_day_in_the_file_wins(tmp_path: Path) -> None:
    text = "models: [{id: a/b}]\nsubject: a/b\nas_of: 2025-02-03\n"

    assert load_scenario(write(tmp_path, text), as_of=TODAY).as_of == date(2025, 2, 3)


def test_every_fault_comes_at_once_with_its_place(tmp_path: Path) -> None:
    text = """
models:
  - {id: a/b, licence: mit, parents: [{id: c/d, relation: cousin}]}
  - {id: a/b}
use: {purposes: [fun], monthly_active_users: -1, commercial: maybe}
matters: [{id: m, kind: patent, status: filed, filed_on: soon}]
subject: x/y
"""
    faults = faults_of(tmp_path, text)

    assert [fault.split(": ")[0] for fault in faults] == [
        "models[0].licence",
        "models[0].parents[0].relation",
        "use.purposes[0]",
        "use.commercial",
        "use.monthly_active_users",
        "matters[0].filed_on",
        "subject",
        "models[1].id",
    ]


@pytest.mark.parametrize("path", ["../secret", "/etc/passwd", "missing"])
def test_a_licence_text_outside_the_folder_is_refused(tmp_path: Path, path: str) -> None:
    (tmp_path / "secret").write_text("x", encoding="utf-8")
    inner = tmp_path / "inner"
    inner.mkdir()

    faults = faults_of(inner, f"models: [{{id: a/b, license_text: {path}}}]\nsubject: a/b\n")

    assert faults[0].startswith("models[0].license_text: ")


def test_a_link_that_leads_out_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x", encoding="utf-8")
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / "LICENSE").symlink_to(tmp_path / "secret")

    faults = faults_of(inner, "models: [{id: a/b, license_text: LICENSE}]\nsubject: a/b\n")

    assert "leads out of the scenario's folder" in faults[0]


def test_a_licence_text_that_is_no_text_stays_unreadable(tmp_path: Path) -> None:
    (tmp_path / "LICENSE").write_bytes(b"\xff\xfe\x00")
    text = "models: [{id: a/b, license_text: LICENSE}]\nsubject: a/b\n"

    facts = load_scenario(write(tmp_path, text), as_of=TODAY)

    assert facts.models[0].licence_texts[0].text is None


def test_an_alias_bomb_is_refused_before_it_unfolds(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]

    faults = faults_of(tmp_path, "\n".join(lines))

    assert faults == ["(document): more than 64 aliases; write the values out"]


def test_a_document_nested_too_deep_is_refused(tmp_path: Path) -> None:
    assert faults_of(tmp_path, "[" * 5000)[0].startswith("(document): nested deeper than 40")


@pytest.mark.parametrize(
    "text", ["", "- 1", "just words", "a: [1", b"\xff", "!!python/object:os.system {}"]
)
def test_what_is_no_scenario_is_refused(tmp_path: Path, text: str | bytes) -> None:
    assert faults_of(tmp_path, text)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputFaults, match="cannot be read"):
        load_scenario(tmp_path / "none.yaml", as_of=TODAY)


def test_a_key_given_twice_is_refused(tmp_path: Path) -> None:
    assert (
        "line 3: key 'subject' is given twice; keep one"
        in faults_of(tmp_path, "models: [{id: a/b}]\nsubject: a/b\nsubject: c/d\n")[0]
    )


@pytest.mark.parametrize("value", ['"a\\u001b[2Jb"', '""', "12", "[a]", '"\\ud800"'])
def test_a_name_that_cannot_be_shown_is_refused(tmp_path: Path, value: str) -> None:
    assert faults_of(tmp_path, f"models: [{{id: {value}}}]\nsubject: a/b\n")


def test_a_result_that_is_none_of_its_kind_is_refused(tmp_path: Path) -> None:
    text = "models: [{id: a/b, evidence: [{kind: badge_shown, result: retained}]}]\nsubject: a/b\n"

    known = "confirmed, missing, unknown"
    assert faults_of(tmp_path, text) == [
        f"models[0].evidence[0].result: 'retained' is unknown; use one of {known}"
    ]
