"""Check what the online commands say when a server refuses, is absent or is no Lictor server."""

import subprocess
import sys
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

from registry.cli import lictor


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")


def test_a_wrong_token_is_refused_without_showing_it(live_server: Any) -> None:
    env = {"LICTOR_URL": live_server.url, "LICTOR_TOKEN": "lct_wrong"}

    done = CliRunner().invoke(lictor, ["endpoint", "list"], env=env)

    assert done.exit_code == 2
    assert "(401 " in done.stderr
    assert "lct_wrong" not in done.output


@pytest.mark.parametrize(
    ("env", "code", "says"),
    [
        ({}, 2, "LICTOR_URL and LICTOR_TOKEN must be set"),
        ({"LICTOR_URL": "http://127.0.0.1:9"}, 2, "LICTOR_TOKEN must be set"),
        ({"LICTOR_URL": "localhost:8000", "LICTOR_TOKEN": "t"}, 2, "write it as http://"),
        ({"LICTOR_URL": "http://127.0.0.1:9", "LICTOR_TOKEN": "a\nb"}, 2, "no token has"),
        ({"LICTOR_URL": "http://127.0.0.1:9", "LICTOR_TOKEN": "t"}, 1, "cannot be reached"),
    ],
)
def test_a_server_that_cannot_be_asked_is_said_without_a_traceback(
    env: dict[str, str], code: int, says: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "registry.cli", "endpoint", "list"],
        capture_output=True,
        text=True,
        env={"PATH": "", "NO_PROXY": "*", **env},
        timeout=60,
        check=False,
    )

    assert done.returncode == code
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("answer", "code", "says"),
    [
        (httpx.Response(200, text="<html>"), 1, "did not answer JSON"),
        (httpx.Response(200, json={"hello": 1}), 1, "has no 'results'"),
        (httpx.Response(502, text="<html>"), 1, "Bad Gateway (502)"),
        (httpx.Response(301, headers={"Location": "https://other"}), 2, "Moved Permanently (301)"),
        (httpx.Response(503, json={"title": "Later", "status": 503}), 1, "Later (503)"),
        (httpx.Response(400, json={"title": "\x1b[2Jgone"}), 2, "[2Jgone (400)"),
    ],
)
def test_answers_of_no_lictor_server_are_said(
    answer: httpx.Response, code: int, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    transport = httpx.MockTransport(lambda _request: answer)
    client = httpx.Client
    monkeypatch.setattr(httpx, "Client", lambda **more: client(**more, transport=transport))
    env = {"LICTOR_URL": "http://server.test", "LICTOR_TOKEN": "t"}

    done = CliRunner().invoke(lictor, ["endpoint", "list"], env=env)

    assert done.exit_code == code
    assert says in done.stderr
    assert "\x1b" not in done.stderr
