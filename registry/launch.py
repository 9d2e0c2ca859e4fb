"""Start, watch and stop runtime processes (`python -m inference serve`) on this host.

A process is known by its pid together with its start marker, because a pid is given to another
process after a while. Knows nothing about endpoints, evidence or permits.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings

_DEAD = frozenset("ZXx")


@dataclass(frozen=True)
class Running:
    """Name one process: `marker` is its start time as the kernel tells it, or "" where unknown."""

    pid: int
    marker: str


def start_runtime(
    *,
    folder: Path,
    state_file: Path,
    log_file: Path,
    arguments: Sequence[str],
    env: Mapping[str, str] | None = None,
) -> Running:
    """Start a runtime in a session of its own; it writes `state_file` when it listens."""
    return start_process(
        ["serve", str(folder)],
        state_file=state_file,
        log_file=log_file,
        arguments=arguments,
        env=env,
    )


def start_process(
    what: Sequence[str],
    *,
    state_file: Path,
    log_file: Path,
    arguments: Sequence[str],
    env: Mapping[str, str] | None = None,
) -> Running:
    """Start a command of `python -m inference` on a free port, as `start_runtime` does."""
    state_file.unlink(missing_ok=True)
    command = [
        *(sys.executable, "-m", "inference", *what),
        *("--port", "0", "--state-file", str(state_file), *arguments),
    ]
    with log_file.open("ab") as log:
        child = subprocess.Popen(  # noqa: S603 - our own module, no shell
            command,
            cwd=settings.BASE_DIR,
            env=_environment(env or {}),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    return Running(child.pid, start_marker(child.pid))


def _environment(extra: Mapping[str, str]) -> dict[str, str]:
    """Give a runtime what it needs and no secret of the control plane."""
    kept = ("PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "PYTHONPATH")
    env = {name: os.environ[name] for name in kept if name in os.environ}
    return {**env, "PYTHONUNBUFFERED": "1", **extra}


def start_marker(pid: int) -> str:
    """Return when the kernel started this pid, in its own ticks; "" where it does not say."""
    fields = _stat(pid)
    return fields[19] if fields else ""


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat from the third (state) on; none where there are none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    # The command in parentheses may hold spaces.
    return stat.rpartition(")")[2].split()


def find_runtime(folder: Path) -> Running | None:
    """Find the runtime that serves this folder, where the kernel lists command lines.

    For whoever lost the pid: a worker may die between starting a process and noting it down.
    """
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes().decode("utf-8", "replace").split("\0")
        except OSError:
            continue
        if words[1:5] == ["-m", "inference", "serve", str(folder)]:
            pid = int(entry.parent.name)
            return Running(pid, start_marker(pid))
    return None


def is_alive(running: Running) -> bool:
    """Tell whether this very process still runs; a dead child is reaped on the way.

    A dead process that another worker started stays in the table until that worker looks: its
    state there says that it is dead.
    """
    with contextlib.suppress(ChildProcessError, OSError):
        os.waitpid(running.pid, os.WNOHANG)
    try:
        os.kill(running.pid, 0)
    except (ProcessLookupError, PermissionError):
        return False
    fields = _stat(running.pid)
    if not fields:
        return not running.marker
    return fields[0] not in _DEAD and fields[19] == running.marker


def runtime_state(state_file: Path) -> dict[str, Any] | None:
    """Return what the runtime wrote of itself, or None while it has not."""
    try:
        state = json.loads(state_file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return state if isinstance(state, dict) else None


def stop_runtime(running: Running, *, deadline_seconds: float = 5.0) -> None:
    """End the process: gently, and after the deadline at once. Stopping a dead one is no error."""
    for number, seconds in ((signal.SIGTERM, deadline_seconds), (signal.SIGKILL, 5.0)):
        if not is_alive(running):
            return
        try:
            os.kill(running.pid, number)
        except ProcessLookupError:
            return
        end = time.monotonic() + seconds
        while time.monotonic() < end and is_alive(running):
            time.sleep(0.05)
