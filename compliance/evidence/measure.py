"""Measure one pair of checkpoints: lay both out, serve each in turn, ask, judge.

With a guard the derived model is asked twice, alone and behind the guard.

Everything lies in one work folder named for the job. Nothing outside it is written, and whatever
was started is stopped on every way out; what a killed worker left is stopped first, and what its
models had answered is not asked again.

Readings of a model alone are kept beside the work folders, by checkpoint, suite, sampling and the
code that ran and read it (`Kept`): a base is asked once for all its derivatives.
"""

import contextlib
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from compliance.evidence.asking import Question, ask_all, questions
from compliance.evidence.guardrail import judge
from compliance.evidence.journal import Journal
from compliance.evidence.kept import Kept
from compliance.evidence.reading import Reading
from compliance.evidence.replacement import Measured
from compliance.evidence.runner import Runner, stop_leftovers
from compliance.evidence.suite import Suite

ANSWERS: Final = "answers"
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
    guard: Mapping[str, Any] | None = None,
    kept: Kept | None = None,
) -> Measured:
    """Ask both models everything and judge; `report(done, message)` is called after each answer.

    `base` and `derived` lay a checkpoint's files out in the folder given to them. The models run
    one after the other, so the host needs memory for one; one whose every reading is in `kept` is
    not started. `guard` is a `lictor.guard/1` document.
    Raises: ServingFailedError, AskingFailedError, and whatever `report` raises to give up.
    """
    asking = _Asking(suite, work, runner, report, kept)
    with _work_folder(work):
        (of_base,) = asking.ask("base", base)
        of_derived, *behind = asking.ask("derived", derived, guard)
    return Measured(
        alone=judge(suite, of_base, of_derived),
        guarded=judge(suite, of_base, behind[0]) if behind else None,
        reused=asking.reused,
    )


@dataclass(slots=True)
class _Asking:
    """One measurement under way; `done` counts the answers so far."""

    suite: Suite
    work: Path
    runner: Runner
    report: Report
    kept: Kept | None
    done: int = 0
    reused: dict[str, int] = field(default_factory=dict)

    def ask(
        self, name: str, lay_out: LayOut, guard: Mapping[str, Any] | None = None
    ) -> list[dict[Question, Reading]]:
        """Serve one model and ask it everything; and again behind the guard, if there is one."""
        journal = self._journal(name)
        known, asked = journal.readings(), questions(self.suite)
        self.reused[name] = sum(one.key in known for one in asked)
        if guard is None and self.reused[name] == len(asked):
            self.done += len(asked)
            self.report(self.done, f"The {name} was asked before.")
            return [{one: known[one.key] for one in asked}]
        folder = self.work / name
        self.report(self.done, f"Laying out the {name}.")
        lay_out(folder)

        def starting() -> None:
            self.report(self.done, f"Starting the {name}.")

        with self.runner.serving(folder, self.work, name, starting) as url:
            answers = [self._ask(url, f"Asking the {name}.", journal)]
            if guard is not None:
                with self.runner.guarding(guard, url, self.work, starting) as guarded_url:
                    message = f"Asking the {name} behind the guard."
                    behind = Journal(self.work / ANSWERS / "behind-guard.jsonl", self._sampling())
                    answers.append(self._ask(guarded_url, message, behind))
        return answers

    def _sampling(self) -> dict[str, Any]:
        return {"suite": self.suite.digest, "max_tokens": self.suite.max_tokens}

    def _journal(self, name: str) -> Journal:
        """Return the journal of a model alone: the kept one, or one of this job."""
        if self.kept is None:
            return Journal(self.work / ANSWERS / f"{name}.jsonl", self._sampling())
        return self.kept.journal(name, self._sampling())

    def _ask(self, url: str, message: str, journal: Journal) -> dict[Question, Reading]:
        def answered() -> None:
            self.done += 1
            self.report(self.done, message)

        return ask_all(url, self.suite, answered, journal=journal)


@contextlib.contextmanager
def _work_folder(work: Path) -> Iterator[None]:
    _clear(work)
    (work / ANSWERS).mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        clean(work)


def _clear(work: Path) -> None:
    """Stop what a killed worker left running and remove what it left, but for the answers."""
    if work.exists():
        stop_leftovers(work)
        for path in work.iterdir():
            if path.name == ANSWERS:
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def clean(work: Path) -> None:
    """Stop what still runs in a work folder, and remove the folder."""
    if work.exists():
        stop_leftovers(work)
        shutil.rmtree(work, ignore_errors=True)
