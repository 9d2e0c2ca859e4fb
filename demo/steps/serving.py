"""Deploy what is approved, talk to it, and watch it stop when its licence ends."""

import time
from datetime import datetime
from typing import Any

import httpx
from openai import OpenAI

from demo.client import wait_for
from demo.questions import MODES, held_out_dials, score, stream
from demo.show import fact, held, must, step, table
from demo.standdown import OpenStream
from demo.steps.stage import Stage
from demo.use import BASE, FINETUNE, USE

ENDPOINTS = {"nano-base": BASE, "nano-finetune": FINETUNE}


def deploy(stage: Stage) -> None:
    step(6, "Deploy through Celery: start, verify, permit, ready")
    stage.olga.post("targets/", {"name": "this-host", "kind": "local", "gpu": "cpu"})
    for endpoint, model in ENDPOINTS.items():
        body = {
            "name": endpoint,
            "checkpoint": stage.checkpoints[model]["id"],
            "target": "this-host",
            "use": USE,
            "reasoning_policy": {"mode": "caller_decides"},
            "replicas": 1,
        }
        stage.endpoints[endpoint] = stage.olga.post("endpoints/", body)
    for endpoint in ENDPOINTS:
        _wait_ready(stage, endpoint)
        key = stage.olga.post(
            f"endpoints/{stage.endpoints[endpoint]['id']}/keys/", {"name": "demo"}
        )
        stage.keys[endpoint] = key["key"]
    _wait_served(stage)


def _wait_ready(stage: Stage, endpoint: str) -> None:
    started = time.monotonic()
    path = f"endpoints/{stage.endpoints[endpoint]['id']}/"
    seen = wait_for(
        lambda: stage.olga.get(path),
        lambda row: row["phase"] in {"ready", "failed", "ended"},
        seconds=90,
        what=f"endpoint {endpoint}",
    )
    took = time.monotonic() - started
    must(seen["phase"] == "ready", f"{endpoint} is ready after {took:.1f} s {seen['message']}")


def _wait_served(stage: Stage) -> None:
    """The gateway learns of a new endpoint and key at its next refresh, within a second."""
    for endpoint in ENDPOINTS:
        wait_for(
            lambda name=endpoint: _models(stage, name),  # type: ignore[misc]
            lambda names: bool(names),
            seconds=10,
            what=f"the gateway serving {endpoint}",
        )


def _models(stage: Stage, endpoint: str) -> list[str]:
    headers = {"Authorization": f"Bearer {stage.keys[endpoint]}"}
    answer = httpx.get(f"{stage.stack.gateway_url}/v1/models", headers=headers, timeout=10)
    return [row["id"] for row in answer.json()["data"]] if answer.is_success else []


def client_for(stage: Stage, endpoint: str) -> OpenAI:
    return OpenAI(
        base_url=f"{stage.stack.gateway_url}/v1", api_key=stage.keys[endpoint], max_retries=0
    )


def chat(stage: Stage) -> None:
    step(7, "Chat with the openai client: reasoning on, off, and on a budget")
    client = client_for(stage, "nano-base")
    question, answer = held_out_dials(1, seed=77)[0]
    fact(f"the same question, streamed: [bold]{question}[/] (right: {answer})")
    for mode in MODES:
        reply = stream(client, "nano-base", mode, question)
        thought = reply.reasoning.replace("\n", " ") or "—"
        fact(f"  {mode:<17} thought: {thought[:110]}")
        fact(f"  {'':<17} answer: [bold]{reply.content}[/]   ran as {reply.ran}")
    questions = held_out_dials(50, seed=78)
    scores = [score(client, "nano-base", mode, questions) for mode in MODES]
    table(
        ["50 held-out questions", "right", "reasoning tokens", "latency"],
        [
            [s.mode, f"{s.accuracy:.0%}", f"{s.reasoning_tokens:.1f}", f"{s.latency_ms:.0f} ms"]
            for s in scores
        ],
    )
    on, off, budget = scores
    must(on.accuracy >= 0.8, f"with reasoning {on.accuracy:.0%} right")
    must(on.accuracy - off.accuracy >= 0.4, f"without, {off.accuracy:.0%}: the toggle is real")
    must(on.latency_ms > off.latency_ms, "reasoning costs latency, and only when it is on")
    must(0 < budget.reasoning_tokens <= 17, "the budget was kept, token by token")
    refused = httpx.post(
        f"{stage.stack.gateway_url}/v1/chat/completions", json={"model": "nano-base"}, timeout=10
    )
    must(refused.status_code == 401, "a request without a key is refused: 401")


def file_suit(stage: Stage) -> None:
    step(9, "A patent suit over the base model: first what-if, then filed")
    matter: dict[str, Any] = {
        "reference": "ACME-2026-014",
        "title": "Acme Robotics v. the model's licensor",
        "kind": "patent",
        "status": "filed",
        "filed_on": time.strftime("%Y-%m-%d", time.gmtime()),
        "alleges_model_infringes": [BASE],
        "in_response": False,
    }
    radius = stage.lena.post("matters/what-if/", matter)
    table(
        ["would end", "model"],
        [["checkpoint", row["name"]] for row in radius["checkpoints"]]
        + [["endpoint", row["name"]] for row in radius["endpoints"]],
    )
    must(len(radius["endpoints"]) == len(ENDPOINTS), "what-if names both endpoints, writes nothing")
    open_stream = OpenStream(client_for(stage, "nano-finetune"), "nano-finetune")
    open_stream.open()
    fact(f"a stream is open ({open_stream.tokens} tokens so far); Lena files the suit")
    stage.lena.post("matters/", matter)
    must(open_stream.wait_end(10), f"the open stream ended: {open_stream.ended_by[:140]}…")
    must("own end" not in open_stream.ended_by, f"it was cut after {open_stream.tokens} tokens")
    after = open_stream.last_token_at - _filed_at(stage)
    must(after < 6, f"from the suit's entry in the ledger to the last token: {after:.3f} s")
    _show_451(stage)


def _ask(stage: Stage, endpoint: str) -> httpx.Response:
    return httpx.post(
        f"{stage.stack.gateway_url}/v1/chat/completions",
        headers={"Authorization": f"Bearer {stage.keys[endpoint]}"},
        json={"model": endpoint, "messages": [{"role": "user", "content": "hi"}]},
        timeout=10,
    )


def _filed_at(stage: Stage) -> float:
    """Return when the suit's ledger entry was written, just before its commit, in unix seconds."""
    entries = stage.aki.results("ledger/")
    entry = next(row for row in entries if row["action"] == "matter.filed")
    return datetime.fromisoformat(entry["at"]).timestamp()


def _show_451(stage: Stage) -> None:
    """Ask until the answer names the clause.

    A 503 may come first, when the runtime ended before the gateway learned why: nothing is served
    either way. An answer never comes.
    """
    asked = time.monotonic()
    answer = _ask(stage, "nano-finetune")
    while answer.status_code == 503 and time.monotonic() - asked < 10:
        time.sleep(0.2)
        answer = _ask(stage, "nano-finetune")
    must(
        answer.status_code == 451,
        f"the endpoint answers {answer.status_code}, {time.monotonic() - asked:.1f} s later: "
        f"{answer.text[:160]}",
    )
    body = answer.json()
    fact(f"{body['licence']} §{body['section']}: “{body['quote'][:200]}…”")
    seen = wait_for(
        lambda: stage.olga.get(f"endpoints/{stage.endpoints['nano-finetune']['id']}/"),
        lambda row: row["phase"] == "ended",
        seconds=30,
        what="the reconciler stopping the runtime",
    )
    held(f"the reconciler stopped the runtime: endpoint is {seen['phase']}")
