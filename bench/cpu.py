"""`make bench`: ours, vLLM's CPU build and transformers, same checkpoint, same prompts, one run.

Every engine of a model is up at once, and all but the one whose turn it is are stopped. A point
(model, batch) is measured in rounds; in each round every engine gets the same new prompts, one
engine after the other and in another order each round, so that what else the machine does hits all
alike.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Final

from bench.engines import VLLM_PYTHON, Engine, Setting, start_ours, start_transformers, start_vllm
from bench.machine import describe_machine, describe_run, result_path, say, vllm_version
from bench.models import MODELS, ROOT, BenchModel
from bench.processes import QUIET_SHARE, EngineFailed, machine_busy_seconds, wait_until_calm
from bench.prompts import prompts
from bench.report import markdown
from bench.stats import BUSY_CORES, WrongAnswer, compare, over_rounds, summarise_round

PROMPT_TOKENS: Final = 64
_AGREEMENT_PROMPTS: Final = 8
_WARM_TOKENS: Final = 24
_WAKE_SECONDS: Final = 0.1
_RETRIES: Final = 2
_CALM_SECONDS: Final = 10.0
_SETTLE_SECONDS: Final = 240.0
FAILURES: Final = (EngineFailed, WrongAnswer, OSError, ValueError, subprocess.TimeoutExpired)

Start = Callable[[BenchModel, str, Setting], Engine]


class Run:
    """What one benchmark has measured so far; `skipped` says in words what it could not."""

    def __init__(self, options: argparse.Namespace, setting: Setting) -> None:
        self.options = options
        self.setting = setting
        self.points: list[dict[str, Any]] = []
        self.engines: list[dict[str, Any]] = []
        self.agreement: list[dict[str, Any]] = []
        self.skipped: list[str] = []
        # For rounds that are measured again, all together: a busy machine may never fall calm.
        self.patience_seconds = 30.0 if options.quick else 120.0

    def skip(self, reason: str) -> None:
        self.skipped.append(reason)
        say(f"  SKIPPED: {reason}")

    def measure(self, model: BenchModel) -> None:
        """Start every engine on one model, measure all its points, stop them."""
        say(f"{model.name}: starting engines")
        with ExitStack() as stack:
            launched = []
            # All at once: they load and compile beside each other, which takes less time in all.
            for make, dtype in self._starts(model):
                engine = make(model, dtype, self.setting)
                stack.callback(self._down, model, engine)
                launched.append(engine)
            engines = [one for one in launched if self._up(model, one)]
            if engines:
                self._measure_points(model, engines)

    def _starts(self, model: BenchModel) -> Iterator[tuple[Start, str]]:
        known: dict[str, Start] = {
            "ours": start_ours,
            "vllm": start_vllm,
            "transformers": start_transformers,
        }
        for name in self.options.engines:
            if name == "vllm" and not VLLM_PYTHON.is_file():
                continue
            for dtype in self._dtypes(name, model):
                yield known[name], dtype

    def _dtypes(self, engine: str, model: BenchModel) -> Sequence[str]:
        if engine == "transformers":
            return ("fp32", "bf16")
        chosen = tuple(self.options.dtypes or model.dtypes)
        return chosen if engine == "ours" else [d for d in chosen if d in ("fp32", "bf16")]

    def _up(self, model: BenchModel, engine: Engine) -> bool:
        """Warm up one engine, then pause it; one that fails is left out, with the reason."""
        try:
            ready = engine.wait_ready()
            settled, share = self._warm_up(model, engine)
        except FAILURES as error:
            self.skip(f"{model.name}: {engine.label}: {error}")
            engine.tree.stop()
            return False
        engine.tree.pause()
        say(f"  {engine.label}: ready after {ready:.0f} s, quiet after {settled:.0f} s more")
        if share >= QUIET_SHARE:
            self.skip(f"{model.name}: {engine.label} never fell quiet: {share:.2f} cores when idle")
        facts = {"model": model.name, "label": engine.label, "ready_seconds": ready}
        facts |= {"settle_seconds": settled, "idle_cores": share}
        self.engines.append({**facts, **engine.facts()})
        return True

    def _warm_up(self, model: BenchModel, engine: Engine) -> tuple[float, float]:
        """Run every batch size short, let whatever compiles beside serving end, run them again."""
        began = time.monotonic()
        for turn in ("first", "second"):
            for batch in self.options.batches:
                texts = self._prompts(f"warm {turn} {batch}", batch)
                engine.run(texts, new_tokens=_WARM_TOKENS)
            left = _SETTLE_SECONDS - (time.monotonic() - began)
            _, share = engine.tree.settle(at_most=max(0.0, left))
        return time.monotonic() - began, share

    def _measure_points(self, model: BenchModel, engines: list[Engine]) -> None:
        for batch in self.options.batches:
            rounds: dict[str, list[dict[str, float]]] = {one.label: [] for one in engines}
            for number in range(self.options.rounds):
                turn = number % len(engines)
                for engine in engines[turn:] + engines[:turn]:
                    if engine.label not in rounds:
                        continue
                    try:
                        rounds[engine.label].append(self._calm_round(model, engine, batch, number))
                    except FAILURES as error:
                        self.skip(f"{model.name}, batch {batch}: {engine.label}: {error}")
                        del rounds[engine.label]
            for engine in engines:
                if engine.label in rounds:
                    self._keep(model, engine, batch, rounds[engine.label])
        if model.trained:
            self._agree(model, engines)

    def _calm_round(
        self, model: BenchModel, engine: Engine, batch: int, number: int
    ) -> dict[str, float]:
        """Measure one round; again if others took the cores meanwhile, and keep the calmest."""
        found = self._round(model, engine, batch, number)
        for _ in range(_RETRIES):
            if found["others_cores"] <= BUSY_CORES or self.patience_seconds <= 0:
                break
            began = time.monotonic()
            wait_until_calm(cores=BUSY_CORES, at_most=_CALM_SECONDS)
            again = self._round(model, engine, batch, number)
            found = min(found, again, key=lambda one: one["others_cores"])
            self.patience_seconds -= time.monotonic() - began
        return found

    def _round(
        self, model: BenchModel, engine: Engine, batch: int, number: int
    ) -> dict[str, float]:
        new_tokens = self.options.new_tokens or model.new_tokens
        texts = self._prompts(f"{model.name} {batch} {number}", batch)
        with _turn(engine):
            busy, own, since = machine_busy_seconds(), engine.tree.cpu_seconds(), time.monotonic()
            streams, client = engine.run(texts, new_tokens=new_tokens)
            own = engine.tree.cpu_seconds() - own
            wall = time.monotonic() - since
            others = machine_busy_seconds() - busy - own - client
        found = summarise_round(streams, prompt_tokens=PROMPT_TOKENS, new_tokens=new_tokens)
        cores = {"engine_cores": own / wall, "others_cores": max(0.0, others / wall)}
        return {**found, **cores, "client_cpu_seconds": client}

    def _keep(
        self, model: BenchModel, engine: Engine, batch: int, rounds: list[dict[str, float]]
    ) -> None:
        summary = over_rounds(rounds)
        self.points.append(
            {
                "model": model.name,
                "batch": batch,
                "label": engine.label,
                "engine": engine.name,
                "dtype": engine.dtype,
                "prompt_tokens": PROMPT_TOKENS,
                "new_tokens": self.options.new_tokens or model.new_tokens,
                "rounds": rounds,
                "summary": summary,
            }
        )
        found = summary["tokens_per_second"]
        say(
            f"  batch {batch:>2} {engine.label:<18} {found['median']:>8.0f} tok/s "
            f"({found['min']:.0f} to {found['max']:.0f})"
        )

    def _agree(self, model: BenchModel, engines: list[Engine]) -> None:
        """Compare fp32 texts with transformers': the same weights must say the same, greedily."""
        texts = self._prompts(f"{model.name} agreement", _AGREEMENT_PROMPTS)
        exact = {one.name: one for one in engines if one.dtype == "fp32"}
        said: dict[str, list[str]] = {}
        for name, engine in exact.items():
            with _turn(engine):
                # One at a time, so that no batch's rounding stands between two engines.
                answers = [engine.run([text], new_tokens=PROMPT_TOKENS)[0][0] for text in texts]
            said[name] = [one.text for one in answers]
        reference = said.pop("transformers", None)
        if reference is None:
            self.skip(f"{model.name}: agreement of texts: transformers fp32 was not run")
            return
        for name, answers in said.items():
            equal = sum(a == b for a, b in zip(answers, reference, strict=True))
            fact = {"model": model.name, "engine": name, "prompts": len(texts), "equal": equal}
            self.agreement.append({**fact, "new_tokens": PROMPT_TOKENS})
            say(f"  {name} fp32 says what transformers fp32 says: {equal} of {len(texts)}")

    def _prompts(self, seed: str, count: int) -> list[str]:
        return prompts(seed=seed, count=count, length=PROMPT_TOKENS)

    def _down(self, model: BenchModel, engine: Engine) -> None:
        """Note the peak of memory, then stop."""
        for facts in self.engines:
            if (facts["model"], facts["label"]) == (model.name, engine.label):
                facts["peak_rss_bytes"] = engine.tree.peak_bytes()
                facts["processes"] = len(engine.tree.pids())
        engine.tree.stop()


@contextmanager
def _turn(engine: Engine) -> Iterator[None]:
    """Let a paused engine run for its turn.

    The others stand still meanwhile: threads of OpenMP spin for a while after their last work.
    """
    engine.tree.resume()
    time.sleep(_WAKE_SECONDS)
    try:
        yield
    finally:
        engine.tree.pause()


def ensure_vllm(run: Run) -> None:
    """Install the peer where it is missing; go on without it, saying so, if that fails."""
    if "vllm" not in run.options.engines or VLLM_PYTHON.is_file():
        return
    script = ROOT / "scripts" / "vllm.sh"
    if not script.is_file():
        run.skip("vLLM: .venv-vllm is missing, and so is scripts/vllm.sh")
        return
    say("vLLM is not installed; running scripts/vllm.sh")
    if subprocess.run(["sh", str(script)], cwd=ROOT).returncode or not VLLM_PYTHON.is_file():
        run.skip("vLLM: scripts/vllm.sh failed; its rows are missing from this result")


def parser() -> argparse.ArgumentParser:
    """Describe the command line; BENCH_QUICK=1 makes the defaults small."""
    quick = os.environ.get("BENCH_QUICK", "") not in ("", "0")
    made = argparse.ArgumentParser(prog="python -m bench.cpu", description=__doc__)
    add = made.add_argument
    known = ("ours", "vllm", "transformers")
    add("--engines", nargs="+", choices=known, default=list(known))
    models = ["nano-base"] if quick else list(MODELS)
    add("--models", nargs="+", choices=list(MODELS), default=models)
    add("--batches", nargs="+", type=int, default=[1, 16] if quick else [1, 4, 16, 32])
    add("--rounds", type=int, default=3)
    add("--new-tokens", type=int, default=64 if quick else None, help="default: by model")
    add("--dtypes", nargs="+", help="of ours and vLLM; transformers runs fp32 and bf16 always")
    add("--threads", type=int, help="for every engine; default: ours chooses, the peers take all")
    add("--ours-args", default="--compile first", help="more for `lictor serve`")
    add("--vllm-args", default="", help="more for vLLM's server")
    add("--vllm-bind", choices=("all", "auto"), default="all", help="its OpenMP threads' cores")
    add("--results", type=Path, default=ROOT / "bench" / "results")
    add("--no-write", action="store_true", help="print the table only")
    made.set_defaults(quick=quick)
    return made


def _leave(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def main(arguments: Sequence[str]) -> int:
    options = parser().parse_args(arguments)
    # So that a benchmark that is told to stop still stops its engines, some of which are paused.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _leave)
    setting = Setting(
        threads=options.threads or len(os.sched_getaffinity(0)),
        ours_threads=options.threads,
        ours_args=tuple(options.ours_args.split()),
        vllm_args=tuple(options.vllm_args.split()),
        vllm_bind=options.vllm_bind,
    )
    began, machine = time.monotonic(), describe_machine()
    run = Run(options, setting)
    ensure_vllm(run)
    for name in options.models:
        run.measure(MODELS[name])
    if not run.points:
        say("nothing was measured")
        return 1
    result = {
        "schema": 1,
        "kind": "cpu",
        "quick": options.quick,
        "run": describe_run("bench.cpu", arguments),
        "machine": machine,
        "vllm": vllm_version(VLLM_PYTHON),
        "threads": {"ours": options.threads or "its own choice", "peers": setting.threads},
        "points": run.points,
        "comparisons": compare(run.points),
        "agreement": run.agreement,
        "engines": run.engines,
        "skipped": run.skipped,
        "seconds": time.monotonic() - began,
    }
    text = markdown(result)
    print(text)
    if not options.no_write:
        path = result_path(options.results, machine, "cpu-quick" if options.quick else "cpu")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(result, indent=1), encoding="utf-8")
        path.with_suffix(".md").write_text(text, encoding="utf-8")
        say(f"written: {path} and {path.with_suffix('.md').name}")
    disagreed = [one for one in run.agreement if one["engine"] == "ours"]
    return 0 if all(one["equal"] == one["prompts"] for one in disagreed) else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
