"""Measure one pair of checkpoints: lay both out, serve each in turn, ask, judge.

Everything lies in one work folder named for the job. Nothing outside it is written, and whatever
was started is stopped on every way out; what a killed worker left is cleaned first.
"""

import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from compliance.evidence.asking import Question, ask_all, questions
from compliance.evidence.guardrail import Outcome, judge
from compliance.evidence.runner import Runner, stop_leftovers
from compliance.evidence.suite import Suite

LayOut = Callable[[Path], None]
Report = Callable[[int, str], None]


def measure(
    suite: Suite,
    *,
    base: LayOut,
    derived: LayOut,
    work: Path,
    runner: Runner,
    report: Report,
) -> Outcome:
    """Ask both models everything and judge; `report(done, message)` is called after each answer.

    `base` and `derived` lay a checkpoint's files out in the folder given to them. The models run
    one after the other, so the host needs memory for one.
    Raises: ServingFailedError, AskingFailedError, and whatever `report` raises to give up.
    """
    with _work_folder(work):
        answers = []
        for at, (name, lay_out) in enumerate((("base", base), ("derived", derived))):
            folder = work / name
            report(at * len(questions(suite)), f"Laying out the {name}.")
            lay_out(folder)
            answers.append(_ask_one(suite, folder, work, name, at, runner, report))
    return judge(suite, *answers)


def _ask_one(
    suite: Suite, folder: Path, work: Path, name: str, at: int, runner: Runner, report: Report
) -> dict[Question, str]:
    done = at * len(questions(suite))

    def keep_alive() -> None:
        report(done, f"Starting the {name}.")

    def answered() -> None:
        nonlocal done
        done += 1
        report(done, f"Asking the {name}.")

    with runner.serving(folder, work, name, keep_alive) as base_url:
        return ask_all(base_url, suite, answered)


@contextlib.contextmanager
def _work_folder(work: Path) -> Iterator[None]:
    clean(work)
    work.mkdir(parents=True)
    try:
        yield
    finally:
        clean(work)


def clean(work: Path) -> None:
    """Stop what still runs in a work folder, and remove the folder."""
    if work.exists():
        stop_leftovers(work)
        shutil.rmtree(work, ignore_errors=True)
