"""Start an engine in a process group of its own, and watch what the whole tree uses.

Reads /proc (Linux). Knows nothing about what the processes compute.
"""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Final

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_STOP_SECONDS: Final = 20.0
_QUIET_WINDOW_SECONDS: Final = 2.0
# Of one core: a server that only waits for connections stays well below.
QUIET_SHARE: Final = 0.15


class EngineFailed(RuntimeError):  # noqa: N818  the name says what happened
    """An engine's process ended, or was not ready in time; says where its log is."""


class Tree:
    """A process, all that it started, and its log. Stopped as a group."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path,
        log: Path,
        piped: bool = False,
    ) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        self.command = list(command)
        self.log = log
        self.paused = False
        self.began = time.monotonic()
        pipe = subprocess.PIPE if piped else None
        with log.open("wb") as sink:
            self.child = subprocess.Popen(
                self.command,
                cwd=cwd,
                env={**os.environ, **env},
                stdin=pipe or subprocess.DEVNULL,
                stdout=pipe or sink,
                stderr=sink if piped else subprocess.STDOUT,
                start_new_session=True,
                text=True,
            )

    @property
    def pipes(self) -> tuple[IO[str], IO[str]]:
        """Its standard input and output, when made with `piped`."""
        assert self.child.stdin is not None
        assert self.child.stdout is not None
        return self.child.stdin, self.child.stdout

    def check(self) -> None:
        """Raises: EngineFailed if the process has ended."""
        code = self.child.poll()
        if code is not None:
            raise EngineFailed(f"it ended with {code}; see {self.log}:\n{self.tail()}")

    def tail(self, lines: int = 8) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def cpu_seconds(self) -> float:
        """CPU time of the tree so far, with that of its ended children."""
        return sum(sum(map(int, _stat(pid)[11:15])) for pid in self.pids()) / _TICKS

    def peak_bytes(self) -> int:
        """Sum of each living process's peak resident memory; shared pages count for each."""
        return sum(_peak_of(pid) for pid in self.pids())

    def pids(self) -> list[int]:
        """Every process of the session, and all descendants wherever they went."""
        seen = {int(path.name): _stat(int(path.name)) for path in Path("/proc").glob("[0-9]*")}
        # What has ended and waits to be noticed does nothing any more.
        stats = {pid: stat for pid, stat in seen.items() if stat and stat[0] != "Z"}
        found = {pid for pid, stat in stats.items() if int(stat[3]) == self.child.pid}
        while more := {p for p, s in stats.items() if int(s[1]) in found and p not in found}:
            found |= more
        return sorted(found)

    def settle(self, *, at_most: float) -> tuple[float, float]:
        """Wait until the tree is quiet (nothing compiles beside serving).

        Returns (seconds waited, share of one core used in the last window); a share above
        QUIET_SHARE says that it never became quiet within `at_most` seconds.
        """
        began = time.monotonic()
        while True:
            before, since = self.cpu_seconds(), time.monotonic()
            time.sleep(_QUIET_WINDOW_SECONDS)
            share = (self.cpu_seconds() - before) / (time.monotonic() - since)
            waited = time.monotonic() - began
            if share < QUIET_SHARE or waited >= at_most:
                return waited, max(0.0, share)

    def pause(self) -> None:
        """Stop the group from running: for an engine that spins while it waits."""
        self._signal(signal.SIGSTOP)
        self.paused = True

    def resume(self) -> None:
        if self.paused:
            self._signal(signal.SIGCONT)
            self.paused = False

    def stop(self) -> None:
        """End the whole tree, by force if it takes long."""
        self.resume()
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.child.wait(_STOP_SECONDS)
        until = time.monotonic() + _STOP_SECONDS
        while self.pids() and time.monotonic() < until:
            self._signal(signal.SIGKILL)
            time.sleep(0.02)
        self.child.wait()

    def _signal(self, number: int) -> None:
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


def _stat(pid: int) -> list[str]:
    """Return /proc/PID/stat from the state on: [state, ppid, pgrp, session, ...]; [] if gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return []
    return text.rpartition(")")[2].split()


def _peak_of(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    for line in lines:
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def machine_busy_seconds() -> float:
    """CPU seconds that all processes together have used since boot, steal included."""
    user, nice, system, _idle, _wait, irq, softirq, steal = map(
        int, Path("/proc/stat").read_text().splitlines()[0].split()[1:9]
    )
    return (user + nice + system + irq + softirq + steal) / _TICKS


def wait_until_calm(*, cores: float, at_most: float) -> None:
    """Wait until the machine uses at most so many cores for half a second, or time is up."""
    until = time.monotonic() + at_most
    while time.monotonic() < until:
        before, since = machine_busy_seconds(), time.monotonic()
        time.sleep(0.5)
        if machine_busy_seconds() - before <= cores * (time.monotonic() - since):
            return
