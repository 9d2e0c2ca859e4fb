"""Check how runtime processes are started, told apart, and ended, with a tiny real one."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from registry import launch

# Stands where `python -m inference` would be found; writes what it was given.
TINY = """
import json, os, signal, sys, time
if "--deaf" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
state = sys.argv[sys.argv.index("--state-file") + 1]
with open(state + ".part", "w") as file:
    json.dump({"port": 1, "pid": os.getpid(), "args": sys.argv[1:], "env": dict(os.environ)}, file)
os.replace(state + ".part", state)
print("up", flush=True)
time.sleep(60)
"""

Start = Callable[..., launch.Running]


def wait_for(what: Callable[[], Any], seconds: float = 20.0) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := what():
            return found
        time.sleep(0.02)
    raise AssertionError("it did not come to pass")


@pytest.fixture
def start(tmp_path: Path, settings: Any) -> Iterator[Start]:
    package = tmp_path / "base" / "inference"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(TINY)
    settings.BASE_DIR = tmp_path / "base"
    running: list[launch.Running] = []

    def begin(*arguments: str, **fields: Any) -> launch.Running:
        one = launch.start_runtime(
            folder=tmp_path / "model",
            state_file=tmp_path / "state.json",
            log_file=tmp_path / "log",
            arguments=arguments,
            **fields,
        )
        running.append(one)
        wait_for(lambda: launch.runtime_state(tmp_path / "state.json"))
        return one

    yield begin
    for one in running:
        launch.stop_runtime(one, deadline_seconds=0.1)


def test_a_runtime_starts_says_where_it_is_and_ends(start: Start, tmp_path: Path) -> None:
    running = start("--threads", "1")

    state = launch.runtime_state(tmp_path / "state.json")
    assert state is not None
    assert state["pid"] == running.pid
    assert state["args"][:2] == ["serve", str(tmp_path / "model")]
    assert state["args"][-2:] == ["--threads", "1"]
    assert launch.is_alive(running)
    assert os.getsid(running.pid) == running.pid, "it must outlive the worker's session"

    launch.stop_runtime(running)

    assert not launch.is_alive(running)
    launch.stop_runtime(running)


def test_a_runtime_gets_no_secret_of_the_control_plane(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LICTOR_SECRET_KEY", "DATABASE_URL", "LICTOR_GATEWAY_TOKEN", "LICTOR_KEYS"):
        monkeypatch.setenv(name, "a secret")
    start(env={"EXTRA": "1"})

    state = launch.runtime_state(tmp_path / "state.json")
    assert state is not None
    assert "a secret" not in json.dumps(state["env"])
    assert state["env"]["EXTRA"] == "1"


def test_one_that_does_not_listen_to_sigterm_is_killed(start: Start) -> None:
    running = start("--deaf")

    began = time.monotonic()
    launch.stop_runtime(running, deadline_seconds=0.3)

    assert not launch.is_alive(running)
    assert 0.3 <= time.monotonic() - began < 4


def test_another_process_under_the_same_pid_is_not_ours(start: Start) -> None:
    running = start()
    stranger = replace(running, marker="12345")

    assert not launch.is_alive(stranger)
    launch.stop_runtime(stranger)
    assert launch.is_alive(running), "a stranger's pid must not be signalled"


def test_a_dead_process_that_nobody_reaped_is_dead() -> None:
    # The grandchild's parent never waits for it: as when another worker started the runtime.
    script = (
        "import subprocess, sys, time\n"
        "one = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print(one.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        running = launch.Running(pid, launch.start_marker(pid))
        try:
            assert launch.is_alive(running)
            os.kill(pid, signal.SIGKILL)
            wait_for(lambda: not launch.is_alive(running), 5)
            assert Path(f"/proc/{pid}").exists(), "it should still be in the table"
        finally:
            parent.kill()


def test_a_runtime_is_found_by_the_folder_that_it_serves(start: Start, tmp_path: Path) -> None:
    running = start()

    assert launch.find_runtime(tmp_path / "model") == running
    assert launch.find_runtime(tmp_path / "mod") is None
    launch.stop_runtime(running)
    assert launch.find_runtime(tmp_path / "model") is None


@pytest.mark.parametrize("text", ["", "{", "[]", "1"])
def test_a_state_file_that_is_not_whole_says_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "state.json").write_text(text)

    assert launch.runtime_state(tmp_path / "state.json") is None
    assert launch.runtime_state(tmp_path / "absent.json") is None


def test_an_old_state_file_is_not_taken_for_the_new_process(start: Start, tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text('{"port": 9, "pid": 1}')
    running = start()

    state = launch.runtime_state(tmp_path / "state.json")
    assert state is not None
    assert state["pid"] == running.pid
