"""Check `lictor licence identify` and `known`: offline, with exit codes for scripts."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from compliance.rules.library import bundled_library
from registry.cli import lictor
from tests.compliance.test_catalogue import stored_text

APRIL = "nvidia-open-model-2025-04-28"


def run(*arguments: str, **environment: str) -> Result:
    variables = {"LICTOR_LICENCE_TEXTS": None, "LICTOR_URL": None, **environment}
    return CliRunner().invoke(lictor, ["licence", *arguments], env=variables)


def put(folder: Path, text: str | bytes, name: str = "LICENSE") -> str:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def found(result: Result) -> list[dict[str, Any]]:
    answer: list[dict[str, Any]] = json.loads(result.stdout)
    return answer


def test_an_exact_copy_exits_with_0(tmp_path: Path) -> None:
    done = run("identify", put(tmp_path, stored_text("mit")))

    assert (done.exit_code, done.stdout) == (0, f"{tmp_path}/LICENSE: exact mit\n")


def test_an_altered_copy_exits_with_3_and_shows_the_words(tmp_path: Path) -> None:
    text = stored_text(APRIL).replace("will automatically terminate", "will not terminate")
    done = run("identify", put(tmp_path, text))

    assert done.exit_code == 3
    assert f"near {APRIL}, likeness 0.99" in done.stdout
    assert "clause guardrail (section 2.1) altered" in done.stdout
    assert "will [-automatically-]{+not+} terminate" in done.stdout


def test_a_folder_of_texts_shows_every_change(tmp_path: Path) -> None:
    known = tmp_path / "known"
    known.mkdir()
    put(known, stored_text(APRIL), "any-name.txt")
    put(known, b"\xff\x00\xfe", "noise.txt")
    text = stored_text(APRIL).replace("Delaware", "Texas").replace("royalty-free", "costly")
    path = put(tmp_path, text)

    for done in (
        run("identify", path, "--texts", str(known)),
        run("identify", path, LICTOR_LICENCE_TEXTS=str(known)),
    ):
        assert "2 change(s) against the known text:" in done.stdout
        assert "[-royalty-free,-]{+costly,+}" in done.stdout
    answer = found(run("identify", path, "--texts", str(known), "--json"))
    changes = answer[0]["licences"][0]["all_changes"]
    assert [(one["old"].rstrip(","), one["new"].rstrip(",")) for one in changes] == [
        ("royalty-free", "costly"),
        ("Delaware", "Texas"),
    ]


def test_two_licences_in_one_file_are_both_told(tmp_path: Path) -> None:
    path = put(tmp_path, f"{stored_text('mit')}\n\n{stored_text('apache-2.0')}")
    done = run("identify", path, "--json")

    assert done.exit_code == 0
    assert [one["licence"] for one in found(done)[0]["licences"]] == ["mit", "apache-2.0"]


def test_words_around_a_licence_exit_with_3(tmp_path: Path) -> None:
    done = run("identify", put(tmp_path, f"{stored_text('mit')}\nNo company may use this."))

    assert done.exit_code == 3
    assert "other words: No company may use this." in done.stdout


@pytest.mark.parametrize(
    ("content", "outcome"),
    [
        (b"", "empty"),
        (b"Do as you please with all of it.", "unknown"),
        (b"\x00\x01\x02", "unreadable"),
    ],
)
def test_what_is_not_known_exits_with_4(tmp_path: Path, content: bytes, outcome: str) -> None:
    done = run("identify", put(tmp_path, content), "--json")

    assert (done.exit_code, found(done)[0]["outcome"]) == (4, outcome)


def test_of_several_files_the_worst_decides(tmp_path: Path) -> None:
    known, other = put(tmp_path, stored_text("mit")), put(tmp_path, "Hello there.", "OTHER")
    done = run("identify", known, other, "--json")

    assert done.exit_code == 4
    assert [one["outcome"] for one in found(done)] == ["exact", "unknown"]


def test_utf_16_is_read(tmp_path: Path) -> None:
    assert run("identify", put(tmp_path, stored_text("mit").encode("utf-16"))).exit_code == 0


@pytest.mark.parametrize("arguments", [("nowhere",), (".",)])
def test_what_is_no_file_is_bad_input(arguments: tuple[str, ...], tmp_path: Path) -> None:
    done = run("identify", *(str(tmp_path / one) for one in arguments))

    assert "is no file" in str(done.exception)


def test_a_file_too_large_and_a_missing_folder_are_bad_input(tmp_path: Path) -> None:
    large = run("identify", put(tmp_path, b"a" * (1024 * 1024 + 1)))
    folder = run("identify", put(tmp_path, "x"), "--texts", str(tmp_path / "none"))

    assert "is larger than" in str(large.exception)
    assert "is no folder" in str(folder.exception)


def test_the_same_file_gives_the_same_bytes(tmp_path: Path) -> None:
    path = put(tmp_path, stored_text("mit") + " not")

    assert run("identify", path, "--json").stdout == run("identify", path, "--json").stdout


def test_a_file_cannot_rule_the_terminal(tmp_path: Path) -> None:
    done = run("identify", put(tmp_path, stored_text("mit") + "\n\x9b31m red words here now"))

    assert "\x9b" not in done.stdout


def test_known_lists_every_licence_and_shows_one(tmp_path: Path) -> None:
    keys = [line.split()[0] for line in run("known").stdout.splitlines()]
    shown = run("known", "mit")
    answer = json.loads(run("known", "mit", "--json").stdout)

    assert keys == sorted(bundled_library().licences)
    assert "permission_notice (licence_copy, section paragraph 2)" in shown.stdout
    assert answer["clauses"][0]["quote"].startswith("The above copyright notice")
    assert [one["key"] for one in json.loads(run("known", "--json").stdout)] == keys


def test_a_key_that_is_not_known_is_bad_input() -> None:
    assert "is not in the catalogue" in str(run("known", "no-such").exception)


def test_no_server_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "LICTOR_URL", "http://127.0.0.1:9")

    assert run("known").exit_code == 0
    assert run("identify", put(tmp_path, stored_text("mit"))).exit_code == 0
