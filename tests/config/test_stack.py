"""The single-host stack: its folders and secrets, its processes, what it says when one fails."""

import os
import stat
import sys
import time

import pytest

from config.stack.layout import Layout
from config.stack.process import Process
from config.stack.replicas import stop_local_replicas
from config.stack.supervisor import Stack, StackError, free_port


def layout(path) -> Layout:
    return Layout(path, "", "")


def test_secrets_are_made_once_and_are_for_the_owner_only(tmp_path):
    layout(tmp_path).make()
    secret = tmp_path / "keys" / "secret-key"
    before = secret.read_text()
    layout(tmp_path).make()

    assert secret.read_text() == before
    assert len(before) >= 50
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600


def test_a_socket_path_is_short_enough_for_the_system_wherever_the_state_lies(tmp_path):
    deep = tmp_path / ("x" * 120)

    assert len(str(layout(deep).broker_socket())) <= 100


def test_stopping_a_process_stops_what_it_started(tmp_path):
    code = (
        "import subprocess, time; child = subprocess.Popen(['sleep', '60']); "
        "print(child.pid, flush=True); time.sleep(60)"
    )
    log = tmp_path / "log"
    process = Process("p", [sys.executable, "-c", code], env=os.environ, cwd=tmp_path, log=log)
    deadline = time.monotonic() + 10
    while not log.read_text().strip() and time.monotonic() < deadline:
        time.sleep(0.05)
    grandchild = int(log.read_text())

    process.stop()

    assert process.exit_code is not None
    deadline = time.monotonic() + 5
    while _is_running(grandchild) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _is_running(grandchild)


def _is_running(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_process_that_ends_by_itself_is_named_with_its_last_words(tmp_path):
    stack = Stack(layout(tmp_path))
    stack.layout.make()
    stack._socket = tmp_path / "none"
    stack._start("doomed", [sys.executable, "-c", "raise SystemExit('no such thing')"])

    with pytest.raises(StackError, match=r"doomed ended with code 1[\s\S]*no such thing"):
        stack._wait("doomed", lambda: False, seconds=10)


def test_a_foreign_process_with_a_recycled_pid_is_left_alone(tmp_path):
    (tmp_path / "r1").mkdir()
    (tmp_path / "r1" / "state.json").write_text(f'{{"pid": {os.getpid()}}}')

    stop_local_replicas(tmp_path)

    assert _is_running(os.getpid())


def test_a_free_port_can_be_taken():
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", free_port()))
