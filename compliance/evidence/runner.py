"""Start a checkpoint as a runtime for a measurement, and stop it whatever happens.

`Runner` is the protocol; `RuntimeRunner` starts the project's own runtime as a process. What runs
is noted in the work folder, so that the next worker can end what a killed one left behind.
"""

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final, Protocol

from registry.artifact.guard import key_names
from registry.launch import (
    Running,
    is_alive,
    runtime_state,
    start_process,
    start_runtime,
    stop_runtime,
)

START_SECONDS: Final = 120.0
STOP_SECONDS: Final = 5.0
_POLL_SECONDS: Final = 0.1
_LOG_CHARACTERS: Final = 400

KeepAlive = Callable[[], None]


class ServingFailedError(Exception):
    """Say that a model did not come up, and why."""


class Runner(Protocol):
    """Serve a checkpoint's folder for the time of a `with`; give its base URL.

    `work` is a folder for the runner's own files, `name` tells the models of one measurement
    apart, `keep_alive` is called while waiting and may raise to give up.
    """

    def serving(
        self, folder: Path, work: Path, name: str, keep_alive: KeepAlive
    ) -> AbstractContextManager[str]:
        """Raises: ServingFailedError."""

    def guarding(
        self, guard: Mapping[str, Any], upstream: str, work: Path, keep_alive: KeepAlive
    ) -> AbstractContextManager[str]:
        """Put a guard (`lictor.guard/1`) in front of what serves at `upstream`; give its URL.

        Raises: ServingFailedError.
        """


class RuntimeRunner:
    """Serve with `python -m inference serve FOLDER --unmanaged`, on the loopback only."""

    @contextlib.contextmanager
    def serving(self, folder: Path, work: Path, name: str, keep_alive: KeepAlive) -> Iterator[str]:
        state_file, log_file = work / f"{name}.state.json", work / f"{name}.log"
        running = start_runtime(
            folder=folder,
            state_file=state_file,
            log_file=log_file,
            # A measurement is over before a compiler would be.
            arguments=["--unmanaged", "--host", "127.0.0.1", "--compile", "off"],
        )
        with _noted(running, work / f"{name}.process.json"):
            port = _wait_ready(running, state_file, log_file, keep_alive)
            yield f"http://127.0.0.1:{port}"

    @contextlib.contextmanager
    def guarding(
        self, guard: Mapping[str, Any], upstream: str, work: Path, keep_alive: KeepAlive
    ) -> Iterator[str]:
        """Run the gateway's own guard as a process, with what `python -m inference guard` runs."""
        document, state_file = work / "guard.json", work / "guard.state.json"
        log_file = work / "guard.log"
        document.write_text(json.dumps(guard), encoding="utf-8")
        # A guard model's key is in the environment, by the name that the configuration gives.
        keys = {name: os.environ[name] for name in key_names(guard) if name in os.environ}
        running = start_process(
            ["guard", str(document)],
            state_file=state_file,
            log_file=log_file,
            arguments=["--upstream", upstream, "--host", "127.0.0.1"],
            env=keys,
        )
        with _noted(running, work / "guard.process.json"):
            port = _wait_ready(running, state_file, log_file, keep_alive)
            yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def _noted(running: Running, note: Path) -> Iterator[None]:
    """Keep a note of a process for as long as it runs, and end it on every way out."""
    try:
        note.write_text(json.dumps({"pid": running.pid, "marker": running.marker}))
        yield
    finally:
        stop_runtime(running, deadline_seconds=STOP_SECONDS)
        note.unlink(missing_ok=True)


def _wait_ready(running: Running, state_file: Path, log_file: Path, keep_alive: KeepAlive) -> int:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        state = runtime_state(state_file)
        if state is not None and state.get("state") == "ready" and state.get("port"):
            return int(state["port"])
        if not is_alive(running):
            raise ServingFailedError(f"the process ended before it was ready: {_tail(log_file)}")
        keep_alive()
        time.sleep(_POLL_SECONDS)
    raise ServingFailedError(
        f"the process was not ready after {START_SECONDS:.0f} s: {_tail(log_file)}"
    )


def _tail(log_file: Path) -> str:
    try:
        text = log_file.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return "it wrote no log"
    return text[-_LOG_CHARACTERS:] or "it wrote nothing"


def stop_leftovers(work: Path) -> int:
    """Stop what a killed worker left running, as noted in its work folder; return how many."""
    stopped = 0
    for note in sorted(work.glob("*.process.json")):
        try:
            held = json.loads(note.read_text(encoding="utf-8"))
            running = Running(int(held["pid"]), str(held["marker"]))
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if is_alive(running):
            stop_runtime(running, deadline_seconds=STOP_SECONDS)
            stopped += 1
        note.unlink(missing_ok=True)
    return stopped
