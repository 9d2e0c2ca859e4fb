"""Judge scenario files for a pipeline: text, JSON, SARIF or workflow annotations."""

import re
from collections.abc import Iterable
from datetime import date
from importlib.metadata import version
from pathlib import Path

import click

from compliance.interchange.places import Judged
from compliance.interchange.sarif import annotation, annotations, sarif_log
from compliance.rules.assessment import DECISIONS
from compliance.rules.catalogue import Library
from compliance.rules.evaluate import evaluate
from compliance.rules.faults import InputFaults
from compliance.rules.report import EXIT_CODES, render_text
from compliance.rules.scenario import load_scenario
from compliance.rules.yaml_places import line_of
from registry.cli.catalogue import installed_library
from registry.cli.failure import plain
from registry.cli.output import print_json
from registry.errors import BadInput

FAILS_FROM = {"conditions": 1, "needs_review": 2, "deny": 3}
_SUFFIXES = (".yaml", ".yml")
_DESCRIBES_MODELS = re.compile(r"^[\"']?models[\"']?\s*:", re.MULTILINE)
_NAMED_SO = re.compile(r"(?:^|\.)scenario\.ya?ml$", re.IGNORECASE)


def check_files(paths: Iterable[Path], *, form: str, fail_on: str, today: date) -> int:
    """Judge every scenario of the paths and print the result; return the exit code.

    `today` counts where a file names no day. One unsound file fails the whole check.
    Raises: BadInput for a path that is none, a folder without scenarios, unsound scenarios.
    """
    library = installed_library()
    judged = _judge(scenarios(paths), library, today, form)
    if form == "json":
        print_json({one.path: one.assessment.to_dict() for one in judged})
    elif form == "sarif":
        print_json(sarif_log(judged, library, version=version("lictor")))
    elif form == "github":
        for line in annotations(judged, library):
            click.echo(plain(line))
    else:
        for one in judged:
            click.echo(plain(f"== {one.path}\n{render_text(one.assessment)}"))
    return exit_code([one.assessment.decision for one in judged], fail_on)


def exit_code(decisions: Iterable[str], fail_on: str) -> int:
    """Give the code of the worst decision, or 0 where it is milder than what fails."""
    worst = max((DECISIONS.index(one) for one in decisions), default=0)
    return EXIT_CODES[DECISIONS[worst]] if worst >= FAILS_FROM[fail_on] else 0


def scenarios(paths: Iterable[Path]) -> list[Path]:
    """List the scenario files that paths name; a folder gives every one in it, hidden ones not.

    Raises: BadInput where nothing is found: a check that looked at nothing must not pass.
    """
    found: dict[Path, None] = {}
    for path in paths:
        if path.is_dir():
            inside = [one for one in sorted(path.rglob("*")) if _is_scenario(one, path)]
            if not inside:
                raise BadInput(
                    f"{path} holds no scenario: no YAML file there has `models:` at its top. "
                    "Name a scenario file, or the folder that holds them."
                )
            found.update(dict.fromkeys(inside))
        elif path.is_file():
            found[path] = None
        else:
            raise BadInput(f"{path} is neither a file nor a folder.")
    return list(found)


def _is_scenario(path: Path, under: Path) -> bool:
    """Tell a scenario from other YAML: by its name, or by `models:` at its top.

    Rather too much than too little: what turns out to be no scenario fails the check by name.
    """
    if path.suffix.lower() not in _SUFFIXES or not path.is_file():
        return False
    if any(part.startswith(".") for part in path.relative_to(under).parts):
        return False
    if _NAMED_SO.search(path.name):
        return True
    text = path.read_bytes().decode("utf-8", "replace")
    return _DESCRIBES_MODELS.search(text) is not None


def _judge(paths: list[Path], library: Library, today: date, form: str) -> list[Judged]:
    judged, faulty = [], []
    for path in paths:
        try:
            facts = load_scenario(path, as_of=today)
        except InputFaults as error:
            faulty.append((path, error))
            continue
        source = path.read_text(encoding="utf-8")
        judged.append(Judged(_named(path), evaluate(facts, library), facts, source))
    if faulty:
        if form == "github":
            _annotate(faulty)
        said = "\n".join(f"{_named(path)}: {error}" for path, error in faulty)
        raise BadInput(said, code="scenario_invalid")
    return judged


def _annotate(faulty: Iterable[tuple[Path, InputFaults]]) -> None:
    for path, error in faulty:
        try:
            text = path.read_bytes().decode("utf-8", "replace")
        except OSError:
            text = ""
        for fault in error.faults:
            line = line_of(text, fault.place, fault.message) or 1
            told = f"{fault.place}: {fault.message}"
            click.echo(plain(annotation("error", _named(path), line, error.code, told)))


def _named(path: Path) -> str:
    """Name a file as a code host does: from where the command runs, where it lies below."""
    here = Path.cwd()
    whole = path if path.is_absolute() else here / path
    return (whole.relative_to(here) if whole.is_relative_to(here) else path).as_posix()
