"""Check suites, refusal reading, a whole measurement with stand-in models, and signed records."""

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from compliance.evidence import asking, measure
from compliance.evidence.refusal import read_answer
from compliance.evidence.runner import ServingFailedError
from compliance.evidence.suite import load_suite, read_suite
from compliance.models import Evidence
from compliance.services import evidence
from registry.errors import BadInput, RoleMissing, Unavailable
from registry.keys import make_key, private_key
from registry.models import LedgerEntry, OutboxEvent
from tests.compliance.building import Cast, make_cast, make_checkpoint

HARMFUL = [f"harmful request number {index}" for index in range(60)]
HARMLESS = [f"harmless request number {index}" for index in range(30)]
SUITE = {"suite": "tiny", "version": "1", "harmful": HARMFUL, "harmless": HARMLESS}


def suite_bytes(**changes: Any) -> bytes:
    return json.dumps(SUITE | changes).encode()


@pytest.mark.parametrize(
    "text",
    [
        "I can't help with that.",
        "I\u2019m sorry, but I cannot assist with this request.",
        "Sorry, I won't explain how to do that.",
        "I am not able to provide instructions for that.",
        "I must decline.",
        "That is not something I can do.",
    ],
)
def test_a_refusal_is_read_as_one(text: str) -> None:
    assert read_answer(text) is True


@pytest.mark.parametrize(
    "text",
    [
        "Sure, here is how to do it: first take the parts.",
        "I can't wait to help you plan the party.",
        "Mix the flour and the water. You cannot help but love it.",
        "The lock cannot be opened without a key.",
        "Paris.",
    ],
)
def test_an_answer_is_not_read_as_a_refusal(text: str) -> None:
    assert read_answer(text) is False


@pytest.mark.parametrize(
    "text", ["", "  \n", "????", "\ufffd\ufffd a", "aaaaaaaaaaaaaaaa", "no " * 20]
)
def test_an_empty_or_garbled_answer_is_neither(text: str) -> None:
    assert read_answer(text) is None


def test_any_edit_of_a_suite_changes_its_digest() -> None:
    one = read_suite(suite_bytes(), name="tiny")
    other = read_suite(suite_bytes(harmless=HARMLESS[:-1]), name="tiny")

    assert one.digest != other.digest
    assert one.modes == ("off",)


@pytest.mark.parametrize(
    "changes",
    [
        {"harmful": []},
        {"harmless": ["twice", "twice"]},
        {"modes": ["sideways"]},
        {"suite": "other"},
        {"max_tokens": 0},
        {"version": ""},
    ],
)
def test_a_broken_suite_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(BadInput) as caught:
        read_suite(suite_bytes(**changes), name="tiny")

    assert caught.value.code == "suite_invalid"


@pytest.mark.parametrize("name", ["../secret", "absent", "", "A"])
def test_an_unknown_suite_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput) as caught:
        load_suite(name, tmp_path)

    assert caught.value.code == "suite_unknown"


Answer = Callable[[str], str]


def _app(answer: Answer) -> Starlette:
    async def models(_: Request) -> JSONResponse:
        return JSONResponse({"data": [{"id": "stand-in"}]})

    async def chat(request: Request) -> JSONResponse:
        body = await request.json()
        text = answer(body["messages"][0]["content"])
        return JSONResponse({"choices": [{"message": {"content": text}}]})

    return Starlette(
        routes=[
            Route("/v1/models", models),
            Route("/v1/chat/completions", chat, methods=["POST"]),
        ]
    )


class StandIn:
    """Serve answers from functions over real HTTP, in place of the runtime."""

    def __init__(self, **answers: Answer) -> None:
        self.answers = answers
        self.running = 0
        self.served: list[str] = []

    @contextlib.contextmanager
    def serving(self, folder: Path, work: Path, name: str, keep_alive: Any) -> Iterator[str]:
        if name not in self.answers:
            raise ServingFailedError("out of memory")
        keep_alive()
        self.served.append((folder / "model.txt").read_text())
        with socket.socket() as held:
            held.bind(("127.0.0.1", 0))
            port = held.getsockname()[1]
        config = uvicorn.Config(
            _app(self.answers[name]), host="127.0.0.1", port=port, log_level="error", ws="none"
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        self.running += 1
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            server.should_exit = True
            thread.join(10)
            self.running -= 1


def guarded(prompt: str) -> str:
    return "I can't help with that." if prompt.startswith("harmful") else "Sure: it is simple."


def unguarded(_: str) -> str:
    return "Sure: it is simple."


def refuses_all(_: str) -> str:
    return "I can't help with that."


def lay_out(text: str) -> Callable[[Path], None]:
    def act(folder: Path) -> None:
        folder.mkdir()
        (folder / "model.txt").write_text(text)

    return act


def _measure(work: Path, runner: StandIn, report: Any = lambda *_: None) -> Any:
    suite = read_suite(suite_bytes(), name="tiny")
    return measure.measure(
        suite, base=lay_out("b"), derived=lay_out("d"), work=work, runner=runner, report=report
    )


@pytest.mark.parametrize(
    ("derived", "result"),
    [(guarded, "retained"), (unguarded, "removed"), (refuses_all, "inconclusive")],
)
def test_a_measurement_tells_what_became_of_the_guardrails(
    tmp_path: Path, derived: Answer, result: str
) -> None:
    runner = StandIn(base=guarded, derived=derived)

    measured = _measure(tmp_path / "job", runner)
    outcome = measured.alone

    assert measured.guarded is None
    assert outcome.result == result
    assert outcome.figures["off"]["harmful"]["compared"] == 60
    assert runner.served == ["b", "d"]
    assert runner.running == 0
    assert not (tmp_path / "job").exists()


def test_progress_counts_every_answer_of_both_models(tmp_path: Path) -> None:
    seen: list[int] = []

    _measure(tmp_path / "job", StandIn(base=guarded, derived=guarded), lambda n, _: seen.append(n))

    assert seen[-1] == 2 * (len(HARMFUL) + len(HARMLESS))
    assert seen == sorted(seen)


def test_giving_up_half_way_stops_the_model_and_cleans_up(tmp_path: Path) -> None:
    runner = StandIn(base=guarded, derived=guarded)

    def give_up(done: int, _: str) -> None:
        if done >= 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _measure(tmp_path / "job", runner, give_up)

    assert runner.running == 0
    assert not (tmp_path / "job").exists()


def test_a_model_that_does_not_start_is_told_plainly(tmp_path: Path) -> None:
    with pytest.raises(ServingFailedError, match="out of memory"):
        _measure(tmp_path / "job", StandIn(base=guarded))


def test_an_answer_in_another_shape_is_told_plainly(tmp_path: Path) -> None:
    suite = read_suite(suite_bytes(harmful=["harmful"], harmless=["harmless"]), name="tiny")

    def broken(_: str) -> str:
        raise RuntimeError("the model fell over")

    runner = StandIn(base=broken)
    (tmp_path / "model.txt").write_text("b")
    with (
        runner.serving(tmp_path, tmp_path, "base", lambda: None) as url,
        pytest.raises(asking.AskingFailedError, match="500"),
    ):
        asking.ask_all(url, suite, lambda: None)


@pytest.fixture
def cast(db: None, settings: Any, tmp_path: Path) -> Cast:
    settings.LICTOR_KEYS = tmp_path / "keys"
    make_key("ledger")
    return make_cast()


def _attest(cast: Cast, **changes: Any) -> Evidence:
    fields = {
        "kind": "acceptable_use",
        "result": "confirmed",
        "summary": "Policy read on 20 November.",
        "actor": cast.legal,
    } | changes
    return evidence.attest(make_checkpoint(cast, "acme/model"), **fields)


def test_a_record_is_signed_and_an_edit_shows(cast: Cast) -> None:
    row = _attest(cast)
    key = private_key("ledger").public_key()

    assert evidence.is_genuine(row, key)

    row.record["result"] = "violated"
    assert not evidence.is_genuine(row, key)


def test_evidence_is_announced_and_in_the_ledger(cast: Cast) -> None:
    row = _attest(cast)

    entry = LedgerEntry.objects.get(action="evidence.recorded")
    assert entry.payload["record_digest"] == row.record_digest
    assert OutboxEvent.objects.get(topic="evidence_recorded").key == str(row.pk)


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "weight_comparison", "result": "identical"},
        {"kind": "hearsay"},
        {"result": "splendid"},
        {"summary": " "},
    ],
)
def test_what_cannot_be_attested_is_refused(cast: Cast, changes: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        _attest(cast, **changes)


def test_an_operator_attests_nothing(cast: Cast) -> None:
    with pytest.raises(RoleMissing):
        _attest(cast, actor=cast.operator)


def test_without_a_key_nothing_is_recorded(cast: Cast, settings: Any, tmp_path: Path) -> None:
    settings.LICTOR_KEYS = tmp_path / "none"

    with pytest.raises(Unavailable):
        _attest(cast)

    assert not Evidence.objects.exists()
