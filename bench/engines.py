"""The engines that are compared, behind one face: start, warm up, run a batch, stop.

Ours and vLLM are servers and are asked over HTTP by the same client; transformers has no server of
this kind and runs in a process of its own that generates batch by batch.
"""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from bench.load import Stream
from bench.models import ROOT, BenchModel
from bench.processes import EngineFailed, Tree

VLLM_PYTHON: Final = ROOT / ".venv-vllm" / "bin" / "python"
VLLM_DTYPES: Final = {"fp32": "float32", "bf16": "bfloat16"}
_READY_SECONDS: Final = 400.0
_RUN_SECONDS: Final = 180.0
MAX_BATCH: Final = 32
CONTEXT: Final = 1024


def _from_root(word: str) -> str:
    """Say where a file lies in this tree; where the tree lies is nobody's business."""
    return word.replace(f"{ROOT}/", "")


@dataclass(frozen=True, slots=True)
class Setting:
    """What every engine of a run is given alike, and what only one of them gets."""

    threads: int
    ours_threads: int | None = None
    ours_args: tuple[str, ...] = ()
    vllm_args: tuple[str, ...] = ()
    vllm_bind: str = "all"
    logs: Path = field(default_factory=lambda: ROOT / "var" / "bench" / "logs")


class Engine(Protocol):
    """One engine serving one checkpoint at one dtype."""

    name: str
    label: str
    dtype: str
    tree: Tree

    def wait_ready(self) -> float:
        """Return the seconds since it was started, at most. Raises: EngineFailed."""
        ...

    def run(self, prompts: list[str], *, new_tokens: int) -> tuple[list[Stream], float]:
        """Generate for all at once; return streams and the client's CPU seconds."""
        ...

    def facts(self) -> dict[str, Any]: ...


class HttpEngine:
    """A server process; `ready_path` answers 200 when it serves."""

    def __init__(
        self, tree: Tree, *, name: str, dtype: str, model: str, ready_path: str, env: dict[str, str]
    ) -> None:
        self.tree = tree
        self.name = name
        self.dtype = dtype
        self.label = f"{name} {dtype}"
        self._model = model
        self._ready_path = ready_path
        self._env = env
        self._port: int | None = None
        self._state_file: Path | None = None

    def at_port(self, port: int) -> "HttpEngine":
        self._port = port
        return self

    def at_state_file(self, path: Path) -> "HttpEngine":
        self._state_file = path
        return self

    def wait_ready(self) -> float:
        while time.monotonic() - self.tree.began < _READY_SECONDS:
            self.tree.check()
            if self._is_ready():
                return time.monotonic() - self.tree.began
            time.sleep(0.2)
        raise EngineFailed(f"{self.label} was not ready after {_READY_SECONDS:.0f} s")

    def run(self, prompts: list[str], *, new_tokens: int) -> tuple[list[Stream], float]:
        spec = {
            "host": "127.0.0.1",
            "port": self._port,
            "path": "/v1/completions",
            "bodies": [completion(self._model, text, new_tokens) for text in prompts],
            "timeout": _RUN_SECONDS,
        }
        done = subprocess.run(
            [sys.executable, "-m", "bench.load"],
            input=json.dumps(spec),
            capture_output=True,
            text=True,
            cwd=ROOT,
            timeout=_RUN_SECONDS + 30,
        )
        answer = json.loads(done.stdout or "{}")
        if "streams" not in answer:
            self.tree.check()
            raise EngineFailed(f"{self.label}: {answer.get('error') or done.stderr[-600:]}")
        return [Stream(**one) for one in answer["streams"]], answer["cpu_s"]

    def facts(self) -> dict[str, Any]:
        env = {name: _from_root(value) for name, value in self._env.items()}
        return {"command": [_from_root(word) for word in self.tree.command], "env": env}

    def _is_ready(self) -> bool:
        if self._port is None and self._state_file is not None and self._state_file.exists():
            self._port = int(json.loads(self._state_file.read_text())["port"])
        if self._port is None:
            return False
        try:
            url = f"http://127.0.0.1:{self._port}{self._ready_path}"
            with urllib.request.urlopen(url, timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False


class PipedEngine:
    """transformers' `generate`, in `python -m bench.transformers_peer`: one JSON line a batch."""

    def __init__(self, tree: Tree, *, dtype: str) -> None:
        self.tree = tree
        self.name = "transformers"
        self.dtype = dtype
        self.label = f"transformers {dtype}"

    def wait_ready(self) -> float:
        if json.loads(self._line())["state"] != "ready":
            raise EngineFailed(f"{self.label} did not get ready; see {self.tree.log}")
        return time.monotonic() - self.tree.began

    def run(self, prompts: list[str], *, new_tokens: int) -> tuple[list[Stream], float]:
        writing, _ = self.tree.pipes
        writing.write(json.dumps({"prompts": prompts, "new_tokens": new_tokens}) + "\n")
        writing.flush()
        answer = json.loads(self._line())
        return [Stream(**one) for one in answer["streams"]], 0.0

    def facts(self) -> dict[str, Any]:
        return {"command": [_from_root(word) for word in self.tree.command], "env": {}}

    def _line(self) -> str:
        line = self.tree.pipes[1].readline()
        if not line:
            self.tree.child.wait(10)
            self.tree.check()
        return line


def completion(model: str, prompt: str, new_tokens: int) -> dict[str, Any]:
    """Ask for exactly `new_tokens` greedy tokens, streamed; both servers take these fields.

    Not with `min_tokens`, which would forbid the end token rather than go on after it.
    """
    return {
        "model": model,
        "prompt": prompt,
        "max_tokens": new_tokens,
        "ignore_eos": True,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def start_ours(model: BenchModel, dtype: str, setting: Setting) -> HttpEngine:
    """Start `lictor serve` without a permit, as an operator would on a workstation."""
    folder, log = model.folder(), setting.logs / f"{model.name}-ours-{dtype}.log"
    state = log.with_suffix(".state.json")
    state.unlink(missing_ok=True)
    options = f"--unmanaged --port 0 --max-batch {MAX_BATCH} --context {CONTEXT} --dtype {dtype}"
    # `lictor serve` of the tree that this file is in, whatever tree is installed.
    command = [sys.executable, "-m", "registry.cli", "serve", str(folder), *options.split()]
    if setting.ours_threads:
        command += ["--threads", str(setting.ours_threads)]
    command += ["--state-file", str(state), *setting.ours_args]
    tree = Tree(command, env={}, cwd=ROOT, log=log)
    engine = HttpEngine(
        tree, name="ours", dtype=dtype, model=folder.name, ready_path="/readyz", env={}
    )
    return engine.at_state_file(state)


def start_vllm(model: BenchModel, dtype: str, setting: Setting) -> HttpEngine:
    """Start vLLM's own server, compiled (its default), with the same limits as ours.

    Prefix caching is off: no prompt comes twice, so it could only cost. The recurrent state is in
    fp32 as ours is, and as the publisher of the 9B model asks for.
    """
    folder, port = model.folder(), _free_port()
    env = vllm_env(setting)
    options = f"""-m vllm.entrypoints.openai.api_server --model {folder}
        --served-model-name {model.name} --host 127.0.0.1 --port {port}
        --dtype {VLLM_DTYPES[dtype]} --mamba-ssm-cache-dtype float32 --max-model-len {CONTEXT}
        --max-num-seqs {MAX_BATCH} --no-enable-prefix-caching --disable-log-stats
        --disable-uvicorn-access-log"""
    log = setting.logs / f"{model.name}-vllm-{dtype}.log"
    command = [str(VLLM_PYTHON), *options.split(), *setting.vllm_args]
    tree = Tree(command, env=env, cwd=ROOT, log=log)
    engine = HttpEngine(
        tree, name="vllm", dtype=dtype, model=model.name, ready_path="/health", env=env
    )
    return engine.at_port(port)


def vllm_env(setting: Setting) -> dict[str, str]:
    """Return what vLLM is told by its environment; see README.md for the reasons."""
    env = {
        "VLLM_CPU_KVCACHE_SPACE": "2",
        "VLLM_CACHE_ROOT": str(ROOT / "var" / "bench" / "vllm-cache"),
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_LOGGING_LEVEL": "WARNING",
        "HF_HUB_OFFLINE": "1",
    }
    if setting.vllm_bind == "all":
        cores = sorted(os.sched_getaffinity(0))[: setting.threads]
        env["VLLM_CPU_OMP_THREADS_BIND"] = ",".join(map(str, cores))
    openmp = VLLM_PYTHON.parents[1] / "lib" / "libiomp5.so"
    if openmp.is_file():
        env["LD_PRELOAD"] = str(openmp)
    return env


def start_transformers(model: BenchModel, dtype: str, setting: Setting) -> PipedEngine:
    folder = str(model.folder())
    command = [sys.executable, "-m", "bench.transformers_peer", folder, dtype]
    command.append(str(setting.threads))
    log = setting.logs / f"{model.name}-transformers-{dtype}.log"
    env = {"HF_HUB_OFFLINE": "1"}
    return PipedEngine(Tree(command, env=env, cwd=ROOT, log=log, piped=True), dtype=dtype)


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
