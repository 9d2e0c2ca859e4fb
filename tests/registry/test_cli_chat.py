"""Check `lictor chat` against a small gateway that streams server-sent events."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn
from click.testing import CliRunner, Result
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from registry.cli import lictor

ENDED = {
    "title": "Unavailable for legal reasons",
    "status": 451,
    "code": "licence_ended",
    "detail": "The licence ended.",
    "licence": "some-licence-1.0",
    "section": "2.1",
    "quote": "terminate as of the date such litigation is filed",
}


def delta(finish: str | None = None, **members: str) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": members, "finish_reason": finish}]}


THOUGHT = [delta(reasoning="I ", reasoning_content="I "), delta(reasoning="think.")]
ANSWER = [delta(content="Hel"), delta(content="lo\x1b[2J"), delta(finish="stop")]


class Gateway:
    """Answer with what a test puts in; remember what was asked."""

    def __init__(self) -> None:
        self.events: list[Any] = [*THOUGHT, *ANSWER, "[DONE]"]
        self.refusal: dict[str, Any] | None = None
        self.asked: dict[str, Any] = {}
        self.authorization = ""

    async def complete(self, request: Request) -> Response:
        self.asked = await request.json()
        self.authorization = request.headers["Authorization"]
        if self.refusal:
            return JSONResponse(self.refusal, status_code=self.refusal["status"])
        return StreamingResponse(self._stream(), media_type="text/event-stream")

    def _stream(self) -> Iterator[str]:
        yield ": a comment\n\n"
        for event in self.events:
            text = event if isinstance(event, str) else json.dumps(event)
            yield f"data: {text}\n\n"


@pytest.fixture
def gateway() -> Iterator[tuple[Gateway, str]]:
    behind = Gateway()
    app = Starlette(routes=[Route("/v1/chat/completions", behind.complete, methods=["POST"])])
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            while not server.started:
                time.sleep(0.01)
            yield behind, f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(10)


def ask(url: str, *options: str, message: str = "Hi", stdin: str = "") -> Result:
    env = {"LICTOR_GATEWAY": url, "LICTOR_KEY": "lek_k", "NO_PROXY": "*"}
    done = CliRunner().invoke(lictor, ["chat", "bot", message, *options], env=env, input=stdin)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


def test_the_answer_goes_to_stdout_and_the_thought_to_stderr(gateway: tuple[Gateway, str]) -> None:
    behind, url = gateway

    done = ask(url)

    assert (done.exit_code, done.stdout) == (0, "Hello[2J\n")
    assert done.stderr.strip() == "I think."
    assert behind.authorization == "Bearer lek_k"
    assert behind.asked["messages"] == [{"role": "user", "content": "Hi"}]


@pytest.mark.parametrize(
    ("options", "wish"),
    [
        ([], {"mode": "auto"}),
        (["--reasoning", "off"], {"mode": "off"}),
        (["--reasoning", "on", "--budget", "16"], {"mode": "on", "max_tokens": 16}),
    ],
)
def test_the_wish_for_reasoning_is_sent(
    gateway: tuple[Gateway, str], options: list[str], wish: dict[str, Any]
) -> None:
    behind, url = gateway

    ask(url, *options, message="-", stdin="from stdin")

    assert behind.asked["reasoning"] == wish
    assert behind.asked["messages"][0]["content"] == "from stdin"


def test_json_has_thought_answer_and_how_it_ended(gateway: tuple[Gateway, str]) -> None:
    done = ask(gateway[1], "--json")

    assert json.loads(done.stdout) == {
        "reasoning": "I think.",
        "content": "Hello\x1b[2J",
        "finish_reason": "stop",
    }
    assert done.stderr == ""


def test_a_licence_that_ended_is_told_with_its_clause(gateway: tuple[Gateway, str]) -> None:
    behind, url = gateway
    behind.refusal = ENDED

    done = ask(url)

    assert done.exit_code == 2
    assert "(451 licence_ended)" in done.stderr
    assert "some-licence-1.0; section 2.1" in done.stderr
    assert f"“{ENDED['quote']}”" in done.stderr


def test_a_licence_that_ends_mid_stream_is_told_after_what_was_said(
    gateway: tuple[Gateway, str],
) -> None:
    behind, url = gateway
    behind.events = [delta(content="Hel"), {"error": ENDED}]

    done = ask(url)

    assert (done.exit_code, done.stdout) == (2, "Hel\n")
    assert str(ENDED["quote"]) in done.stderr


def test_nothing_but_json_is_printed_when_a_stream_ends_in_an_error(
    gateway: tuple[Gateway, str],
) -> None:
    behind, url = gateway
    behind.events = [delta(content="Hel"), {"error": ENDED}]

    assert ask(url, "--json").stdout == ""


@pytest.mark.parametrize("events", [[delta(content="Hel")], ["no json"], ["[]"]])
def test_a_stream_that_is_cut_or_garbled_exits_with_1(
    gateway: tuple[Gateway, str], events: list[Any]
) -> None:
    behind, url = gateway
    behind.events = events

    done = ask(url)

    assert done.exit_code == 1
    assert done.stderr.startswith("lictor: ")


def test_a_gateway_that_is_down_or_unnamed_is_said() -> None:
    down = ask("http://127.0.0.1:9")
    unnamed = CliRunner().invoke(lictor, ["chat", "bot", "Hi"], env={"LICTOR_KEY": ""})

    assert (down.exit_code, unnamed.exit_code) == (1, 2)
    assert "cannot be reached" in down.stderr
    assert "--url and --key must be given" in unnamed.stderr
