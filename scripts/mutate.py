# ruff: noqa: T201
"""Judge the tests by changed rules: how many small changes of compliance/rules do they notice?

1. mutmut writes every mutant of a module's functions; those that change prose only are dropped.
2. pytest collects the tests once, and one forked run learns which test calls which function.
3. Each mutant gets a forked process whose function has the mutant's code; the tests that call the
   function run in it, quickest first, until one fails. A test that hangs has noticed, too.

A mutant that no test reaches has survived. Prints the figures of each module and the survivors,
and any entry of equivalent_mutants.txt that names no mutant or one that a test notices.
Exit code 1 below the wanted share, or with such an entry.
"""

import argparse
import ast
import json
import os
import random
import re
import resource
import signal
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import CodeType, FrameType, FunctionType
from typing import Any

import hypothesis
import pytest
from _pytest.runner import runtestprotocol

ROOT = Path(__file__).resolve().parents[1]
RULES = ROOT / "compliance" / "rules"
TESTS = ROOT / "tests" / "compliance"
EQUIVALENT = TESTS / "equivalent_mutants.txt"
MODULES = (
    *("clauses", "context", "guardrail", "litigation", "obligations", "restrictions"),
    *("permissions", "thresholds", "territory", "outputs", "sharing", "conflicts", "structure"),
    *("binding", "lineage", "evaluate", "datasets", "duties", "notices"),
    *("identify", "matching", "expressions", "declared", "resolved"),
)
NAMES = (
    *("scenarios", "clauses", "clause_kinds", "permissions", "thresholds", "territory"),
    *("outputs", "sharing", "relicensing", "lineage", "identify", "identify_declared"),
    *("identify_parts", "identify_words", "evaluate", "datasets", "statements", "duties"),
    "reference",
)
# Slow ones that say nothing about a single clause.
DESELECTED = (
    "test_lineage.py::test_a_chain_of_twenty_thousand_models_is_judged",
    "test_identify.py::test_the_text_tool_prints_a_record_the_catalogue_accepts",
    "test_scenarios.py::test_a_chain_of_two_thousand_derivatives_is_bound_by_its_first",
)
PROSE = frozenset({"because", "remedy", "summary", "told", "what", "note", "section", "quote"})
WANTED = 0.9
MEMORY = 4 << 30  # bytes a mutant may take before it counts as noticed


@dataclass(frozen=True)
class Mutant:
    """Hold one change of one function: its name in words, and the code that has it."""

    module: str
    function: str  # "name" or "Class.name"
    name: str
    node: ast.FunctionDef


def write_mutants(module: str) -> list[Mutant]:
    """Let mutmut change a module in every way it knows; prose left out."""
    from mutmut.mutation.file_mutation import mutate_file_contents

    path = RULES / f"{module}.py"
    with TemporaryDirectory() as folder, chdir(folder):
        # mutmut looks for its settings where it is started, and has to be told of a source.
        Path("setup.cfg").write_text("[mutmut]\nsource_paths = .\n")
        made = mutate_file_contents(str(path), path.read_text())
    tree = ast.parse(made.code)
    nodes = {one.name: one for one in ast.walk(tree) if isinstance(one, ast.FunctionDef)}
    found, seen = [], Counter[str]()
    for key in made.mutant_names:
        new = nodes[key.rpartition(".")[2]]
        stem = new.name.rpartition("__mutmut_")[0]
        old = nodes[f"{stem}__mutmut_orig"]
        if is_prose(old, new):
            continue
        inside = stem.startswith("xǁ")  # mutmut writes xǁClassǁmethod, and x_function
        function = stem[2:].replace("ǁ", ".") if inside else stem.removeprefix("x_")
        before, after, _ = difference(old, new)
        name = f"{module}.{function}: {shown(before)} => {shown(after)}"
        seen[name] += 1
        if seen[name] > 1:
            name += f" #{seen[name]}"
        found.append(Mutant(module, function, name, new))
    return found


def difference(old: ast.AST, new: ast.AST, under: str = "") -> tuple[ast.AST, ast.AST, str]:
    """Find the smallest pair of nodes that differ, with the keyword they stand under."""
    if isinstance(old, ast.keyword):
        under = old.arg or under
    mine, theirs = list(ast.iter_child_nodes(old)), list(ast.iter_child_nodes(new))
    if len(mine) == len(theirs) and type(old) is type(new):
        apart = [
            (one, other)
            for one, other in zip(mine, theirs, strict=True)
            if ast.dump(one) != ast.dump(other)
        ]
        # An operator alone is no code, so the expression around it is shown.
        if len(apart) == 1 and ast.unparse(apart[0][0]):
            return difference(*apart[0], under)
    return old, new, under


def is_prose(old: ast.FunctionDef, new: ast.FunctionDef) -> bool:
    """Say whether a mutant only changes a sentence for people."""
    left, right, under = difference(old, new)
    if under in PROSE or any(isinstance(one, ast.JoinedStr) for one in (left, right)):
        return True
    if isinstance(left, ast.Name) and left.id in PROSE:
        return True
    if isinstance(left, ast.Assign | ast.AugAssign):
        targets = left.targets if isinstance(left, ast.Assign) else [left.target]
        named = all(isinstance(one, ast.Name) and one.id in PROSE for one in targets)
        return named and holds_sentence(left.value)
    if isinstance(left, ast.Constant) and isinstance(left.value, str):
        return " " in left.value
    if isinstance(left, ast.Call) and isinstance(right, ast.Call):
        gone = {one.arg for one in left.keywords} - {one.arg for one in right.keywords}
        return bool(gone) and gone <= PROSE
    return False


def holds_sentence(node: ast.AST) -> bool:
    """Say whether an expression writes a sentence; a name in PROSE may hold other things."""
    return any(
        isinstance(one, ast.JoinedStr)
        or (isinstance(one, ast.Constant) and isinstance(one.value, str) and " " in one.value)
        for one in ast.walk(node)
    )


def shown(node: ast.AST) -> str:
    """Write a node as one line of code."""
    node = ast.Pass() if isinstance(node, ast.FunctionDef) else node
    return " ".join(ast.unparse(node).split())[:300]


def function_of(mutant: Mutant) -> FunctionType:
    """Find the function that a mutant changes, below whatever wraps it."""
    found: Any = sys.modules[f"compliance.rules.{mutant.module}"]  # the tests imported it
    for part in mutant.function.split("."):
        found = vars(found)[part]
    while not isinstance(found, FunctionType):
        layers = ("fget", "__func__", "__wrapped__", "func")
        found = next(getattr(found, name) for name in layers if hasattr(found, name))
    return found


def apply(mutant: Mutant) -> None:
    """Give the function the mutant's code; every place that holds the function sees it."""
    function = function_of(mutant)
    mutant.node.decorator_list = []
    names = dict(function.__globals__)
    tree = ast.Module(body=[mutant.node], type_ignores=[])
    exec(compile(tree, function.__code__.co_filename, "exec"), names)  # noqa: S102
    changed = names[mutant.node.name]
    function.__code__ = changed.__code__
    function.__defaults__ = changed.__defaults__
    function.__kwdefaults__ = changed.__kwdefaults__


def forked(work: Callable[[], int]) -> int:
    """Run work in a forked process; gives its exit code, or minus the signal that ended it."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = work()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@dataclass
class Reach:
    """Hold which tests call which function (by file and line), and how long each test takes."""

    tests: dict[str, list[str]]
    seconds: dict[str, float]


def place(code: CodeType) -> str:
    """Name a function by where it stands."""
    return f"{Path(code.co_filename).name}:{code.co_firstlineno}"


def learn(items: list[pytest.Item], folder: Path) -> Reach:
    """Run every test once in a fork, and note what it calls."""
    file = folder / f"reach-{os.getpid()}.json"
    if forked(lambda: _learn(items, file)) != 0:
        sys.exit("the tests have to pass on the rules as they are")
    read = json.loads(file.read_text())
    file.unlink()
    return Reach(read["tests"], read["seconds"])


def _learn(items: list[pytest.Item], file: Path) -> int:
    called: set[str] = set()

    def trace(frame: FrameType, event: str, _: Any) -> None:
        if frame.f_code.co_filename.startswith(str(RULES)):
            called.add(place(frame.f_code))

    tests: dict[str, list[str]] = defaultdict(list)
    seconds = {}
    for at, item in enumerate(items):
        called.clear()
        forget(item)
        began = time.perf_counter()
        sys.settrace(trace)
        passed = passes(item, items[at + 1] if at + 1 < len(items) else None)
        sys.settrace(None)
        if not passed:
            print("fails:", item.nodeid, file=sys.stderr)
            return 1
        seconds[item.nodeid] = time.perf_counter() - began
        for one in called:
            tests[one].append(item.nodeid)
    file.write_text(json.dumps({"tests": tests, "seconds": seconds}))
    return 0


def forget(item: pytest.Item) -> None:
    """Empty the caches of a test module, which would hide what a later test calls."""
    for held in vars(getattr(item, "module", object)).values():
        if hasattr(held, "cache_clear") and held.__module__.startswith("tests."):
            held.cache_clear()


def passes(item: pytest.Item, following: pytest.Item | None) -> bool:
    """Run one test and say whether it passed."""
    return not any(one.failed for one in runtestprotocol(item, log=False, nextitem=following))


def killer(mutant: Mutant, items: list[pytest.Item], reach: Reach, told: Path) -> str | None:
    """Name the first test that notices a mutant, None when none does."""
    told.write_text("")

    def work() -> int:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        apply(mutant)
        for at, item in enumerate(items):
            told.write_text(item.nodeid)
            signal.setitimer(signal.ITIMER_REAL, 10 + 10 * reach.seconds[item.nodeid])
            if not passes(item, items[at + 1] if at + 1 < len(items) else None):
                return 1
        return 0

    return None if forked(work) == 0 else told.read_text() or "no code"


class Runner:
    """Hold the mutants and try each of them; a pytest plugin, so that tests load once."""

    def __init__(self, chosen: list[Mutant], results: Path, *, again: bool) -> None:
        self.chosen = chosen
        self.results = results
        self.before: dict[str, str | None] = {}
        if results.exists():
            self.before = json.loads(results.read_text())
        self.again = again
        self.killed: dict[str, str | None] = {}

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Try the mutants in place of running the tests."""
        reach = learn(session.items, self.results.parent)
        by_id = {item.nodeid: item for item in session.items}
        recent: dict[str, list[str]] = defaultdict(list)
        places = {one.name: place(function_of(one).__code__) for one in self.chosen}
        for at, mutant in enumerate(self.chosen):
            known = self.before.get(mutant.name)
            if known and self.again:
                self.killed[mutant.name] = known
                continue
            ids = sorted(reach.tests.get(places[mutant.name], ()), key=reach.seconds.__getitem__)
            first = [one for one in (known, *recent[mutant.function]) if one in ids]
            order = dict.fromkeys([*first, *ids])
            found = killer(
                mutant, [by_id[one] for one in order], reach, self.results.with_suffix(".now")
            )
            self.killed[mutant.name] = found
            if found in by_id and found not in recent[mutant.function]:
                recent[mutant.function] = [found, *recent[mutant.function]][:3]
            if at % 20 == 0:
                self.save()
        self.save()
        self.results.with_suffix(".now").unlink(missing_ok=True)
        return True

    def save(self) -> None:
        """Keep what is known, so that a run that was cut short helps the next."""
        kept = {**self.before, **self.killed}
        self.results.write_text(json.dumps(kept, indent=1))


def equivalents() -> dict[str, str]:
    """Read the mutants that change nothing observable, each with its reason on the next lines."""
    found: dict[str, str] = {}
    name = ""
    for line in EQUIVALENT.read_text().splitlines() if EQUIVALENT.exists() else []:
        if line.startswith("#") or not line.strip():
            continue
        if line[0].isspace():
            found[name] = f"{found[name]} {line.strip()}".strip()
        else:
            name = line.rstrip()
            found[name] = ""
    return found


def report(chosen: list[Mutant], killed: dict[str, str | None], *, whole: bool) -> bool:
    """Print the figures, the survivors and the stale entries; say whether all is well."""
    known = equivalents()
    modules = dict.fromkeys(one.module for one in chosen)
    total = Counter[str]()
    print(f"{'module':14} mutants  killed  equivalent  survived")
    for module in modules:
        mine = [one.name for one in chosen if one.module == module]
        count = Counter(_fate(name, killed, known) for name in mine)
        total.update(count)
        counts = (len(mine), count["killed"], count["equivalent"], count["survived"])
        print("{:14} {:7} {:7} {:11} {:9}".format(module, *counts))
    for one in chosen:
        if _fate(one.name, killed, known) == "survived":
            print(f"survived {one.name}")
    names = {one.name for one in chosen}
    listed = {name for name in known if re.split(r"[.:]", name)[0] in modules}
    stale = [f"names no mutant: {name}" for name in sorted(listed - names) if whole]
    stale += [f"is noticed: {name}" for name in sorted(listed & names) if killed[name]]
    stale += [f"has no reason: {name}" for name in sorted(listed) if not known[name]]
    for fault in stale:
        print(f"{EQUIVALENT.name}: {fault}")
    return _share(total) >= WANTED and not stale


def _fate(name: str, killed: dict[str, str | None], known: Iterable[str]) -> str:
    if killed[name]:
        return "killed"
    return "equivalent" if name in known else "survived"


def _share(total: Counter[str]) -> float:
    asked = total["killed"] + total["survived"]
    share = total["killed"] / max(1, asked)
    raw = total["killed"] / max(1, total.total())
    print(
        f"\n{total['killed']} of {asked} killed: {share:.1%} "
        f"({raw:.1%} of all {total.total()}, equivalent ones included)\n"
    )
    return share


def choose(modules: Iterable[str], count: int, seed: int) -> list[Mutant]:
    """Choose mutants of each module; all of them with count 0."""
    chosen = []
    for module in modules:
        every = write_mutants(module)
        size = len(every) if count == 0 else min(count, len(every))
        chosen += random.Random(seed).sample(every, size) if count else every  # noqa: S311
    return chosen


def main() -> int:
    """Write, choose, run, report."""
    parser = argparse.ArgumentParser(description="Change the rules and see what tests notice.")
    parser.add_argument("modules", nargs="*", default=MODULES, help="all when none is named")
    parser.add_argument("--sample", type=int, default=0, help="mutants per module; 0 for all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--results", type=Path, default=Path("/tmp/mutants.json"))  # noqa: S108
    parser.add_argument("--quick", action="store_true", help="without the random scenarios")
    parser.add_argument("--again", action="store_true", help="only those not yet noticed")
    asked = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    chosen = choose(asked.modules or MODULES, asked.sample, asked.seed)
    hypothesis.settings.register_profile("same", derandomize=True, database=None)
    hypothesis.settings.load_profile("same")
    runner = Runner(chosen, asked.results, again=asked.again)
    slow = {"evaluate", "reference"} if asked.quick else set()
    files = [TESTS / f"test_{name}.py" for name in NAMES if name not in slow]
    files += sorted(TESTS.glob("test_rule_edges*.py"))
    code = pytest.main(
        [
            *("-q", "--noconftest", "-c", os.devnull, "--rootdir", str(ROOT)),
            *("-p", "no:cacheprovider", "-p", "no:django", "-p", "no:randomly", "-p", "no:xdist"),
            *(part for one in DESELECTED for part in ("--deselect", f"tests/compliance/{one}")),
            *("-W", "ignore", "--disable-warnings", *map(str, files)),
        ],
        plugins=[runner],
    )
    if not runner.killed:
        return int(code) or 1
    return 0 if report(chosen, runner.killed, whole=not asked.sample) else 1


if __name__ == "__main__":
    sys.exit(main())
