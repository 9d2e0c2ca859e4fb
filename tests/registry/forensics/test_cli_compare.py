"""`lictor compare` as its users call it."""

import json
import xml.etree.ElementTree
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from bench.compare_changes import Bench, ablate
from bench.compare_models import Maker, save
from registry.artifact.forensics.examine import examine
from registry.artifact.forensics.scan import compare_weights
from registry.artifact.manifest import manifest_of
from registry.cli import lictor, main


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    root = tmp_path_factory.mktemp("pair")
    bench = Bench(Maker(5, hidden=96, layers=8, vocab=128), 5)
    base = save(root / "base", bench.base)
    derived = save(root / "derived", ablate(bench.again(1), 1.0).weights)
    for folder, template in ((base, "Be safe. {{ m }}"), (derived, "{{ m }}")):
        (folder / "chat_template.jinja").write_text(template)
        (folder / "config.json").write_text("{}")
    (derived / "modeling_extra.py").write_text("hook = 1\n")
    return base, derived


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(lictor, ["compare", *map(str, arguments)])


def answer_of(*arguments: str | Path) -> dict[str, Any]:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_the_answer_has_what_the_contract_says(folders: tuple[Path, Path]) -> None:
    base, derived = folders
    found = answer_of(base, derived)

    assert found["classification"] == "directional_ablation"
    assert 0.5 < found["confidence"] <= 1
    assert "residual stream" in found["explains"]
    assert found["rank"] is None
    assert found["base"] == manifest_of(base).digest
    assert found["derived"] == manifest_of(derived).digest
    assert found["layers"]["touched"] == list(range(8))
    touched = [one for one in found["matrices"] if one.get("touched")]
    assert {one["kind"] for one in touched} == {"out_proj", "o_proj", "down_proj"}
    for one in touched:
        assert one["energy"] > 0
        assert one["effective_rank"] == pytest.approx(1, abs=0.3)
        assert one["alignment"] > 0.9


def test_files_that_matter_to_safety_are_listed_with_how_they_differ(
    folders: tuple[Path, Path],
) -> None:
    files = {one["file"]: one["change"] for one in answer_of(*folders)["files"]}

    assert files == {"chat_template.jinja": "changed", "modeling_extra.py": "added"}


def test_the_same_files_give_the_same_bytes_whatever_the_workers(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    runs = []
    for workers in ("1", "4"):
        picture = tmp_path / f"{workers}.svg"
        result = run(*folders, "--json", "--workers", workers, "--picture", picture)
        runs.append((result.stdout, picture.read_bytes()))

    assert runs[0] == runs[1]


def test_the_picture_is_well_formed_and_marks_what_was_touched(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    run(*folders, "--picture", tmp_path / "p.svg")

    root = xml.etree.ElementTree.parse(tmp_path / "p.svg").getroot()
    titles = [one.text or "" for one in root.iter("{http://www.w3.org/2000/svg}title")]
    assert titles[0] == "directional_ablation"
    assert any(title.startswith("layer 0, out_proj") and "projection" in title for title in titles)


def test_people_get_the_verdict_and_its_limits(folders: tuple[Path, Path]) -> None:
    result = run(*folders)

    assert result.exit_code == 0
    assert "directional_ablation" in result.output
    assert "touched  layers.0.mixer.out_proj.weight" in result.output
    assert "never show that a safety mechanism survived" in result.output


def test_a_run_goes_on_from_its_file_and_gives_the_same_answer(
    folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = answer_of(*folders)
    journal = tmp_path / "results.jsonl"
    answer_of(*folders, "--resume", journal)
    lines = journal.read_text().splitlines()
    # As if killed in the middle of writing the 21st result.
    journal.write_text("\n".join([*lines[:20], lines[20][:30]]))
    looked_at = []

    def counted(pair: Any, *rest: Any, **named: Any) -> Any:
        if not named.get("is_second"):
            looked_at.append(pair.name.canonical)
        return examine(pair, *rest, **named)

    monkeypatch.setattr("registry.artifact.forensics.scan.examine", counted)
    again = answer_of(*folders, "--resume", journal)

    assert again == whole
    assert 0 < len(looked_at) <= len(whole["matrices"]) - 20


def test_results_of_other_files_are_not_taken(folders: tuple[Path, Path], tmp_path: Path) -> None:
    base, derived = folders
    journal = tmp_path / "results.jsonl"
    compare_weights(base, derived, resume=journal)

    found = compare_weights(base, base, resume=journal)

    assert found.verdict.classification == "identical"


@pytest.mark.parametrize("content", [b"not json\n", b'{"key": 1}\n', b"\xff\xfe\n", b'{"key":'])
def test_a_damaged_file_of_results_is_passed_over(
    content: bytes, folders: tuple[Path, Path], tmp_path: Path
) -> None:
    (tmp_path / "r.jsonl").write_bytes(content)

    found = compare_weights(folders[0], folders[0], resume=tmp_path / "r.jsonl")

    assert found.verdict.classification == "identical"


def test_bad_input_is_one_paragraph_and_exit_2(
    folders: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"\xff" * 40)
    monkeypatch.setattr("sys.argv", ["lictor", "compare", str(folders[0]), str(tmp_path)])

    with pytest.raises(SystemExit) as stopped:
        main()

    said = capsys.readouterr().err
    assert stopped.value.code == 2
    assert said.startswith("lictor: model.safetensors claims a header")
    assert "Traceback" not in said


def test_progress_counts_all_bytes_of_both(folders: tuple[Path, Path]) -> None:
    seen: list[tuple[int, int]] = []
    compare_weights(*folders, progress=lambda done, total: seen.append((done, total)))

    assert seen[-1][0] == seen[-1][1] > 0
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
