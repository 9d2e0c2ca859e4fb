"""Many callers at once on the real engine and the real server: none lost, mixed up or left over."""

import asyncio
import json
import random
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.inference.fake_issuer import FakeIssuer
from tests.inference.real_engine import real_runtime
from tests.inference.serving import gateway, served, until

ROOT = Path(__file__).parents[2]
CHECKPOINT = ROOT / "demo" / "checkpoints" / "nano-base"
STREAMS = 200
PROMPTS = 25
LEAVERS = 20
LONG: dict[str, Any] = {
    "model": "nano",
    "messages": [{"role": "user", "content": "x"}],
    "max_tokens": 3500,
    "ignore_eos": True,
    "temperature": 0,
}
NO_LIMITS = httpx.Limits(max_connections=None)


@asynccontextmanager
async def callers(url: str, **headers: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(
        base_url=url, limits=NO_LIMITS, timeout=60, headers=headers
    ) as http:
        yield http


async def streamed(http: httpx.AsyncClient, body: dict[str, Any]) -> str:
    """Return the thought and the answer of a stream that came to its end."""
    text, done = "", False
    async with http.stream("POST", "/v1/chat/completions", json={**body, "stream": True}) as got:
        assert got.status_code == 200
        async for line in got.aiter_lines():
            done = done or line == "data: [DONE]"
            if line.startswith("data: {"):
                (choice,) = json.loads(line.removeprefix("data: "))["choices"]
                text += choice["delta"].get("reasoning") or choice["delta"].get("content", "")
    assert done
    return text


async def begun(http: httpx.AsyncClient, body: dict[str, Any]) -> None:
    """Read the beginning of a stream, then hang up."""
    async with http.stream("POST", "/v1/chat/completions", json={**body, "stream": True}) as got:
        await anext(got.aiter_bytes())


# Cancellation: a caller that leaves gives its slot back, wherever its request is.


async def test_a_caller_that_leaves_its_stream_gives_the_slot_back_within_a_second() -> None:
    async with real_runtime() as (url, engine), callers(url) as http:
        await begun(http, LONG)
        await until(lambda: engine.stats().slots_used == 0, seconds=1)

        assert engine.stats().generated_tokens_total < LONG["max_tokens"]


async def test_a_caller_that_leaves_a_whole_answer_gives_the_slot_back_within_a_second() -> None:
    async with real_runtime() as (url, engine), callers(url) as http:
        asking = asyncio.create_task(http.post("/v1/chat/completions", json=LONG))
        await until(lambda: engine.stats().slots_used == 1)
        asking.cancel()
        await until(lambda: engine.stats().slots_used == 0, seconds=1)

        assert engine.stats().generated_tokens_total < LONG["max_tokens"]


async def test_a_caller_that_leaves_the_queue_is_not_served_later() -> None:
    async with real_runtime(max_batch=1) as (url, engine), callers(url) as http:
        first = asyncio.create_task(http.post("/v1/chat/completions", json=LONG))
        await until(lambda: engine.stats().running == 1)
        second = asyncio.create_task(streamed(http, LONG))
        await until(lambda: engine.stats().queued == 1)
        second.cancel()
        await until(lambda: engine.stats().queued == 0, seconds=1)
        assert engine.stats().running == 1
        first.cancel()
        await until(lambda: engine.stats().slots_used == 0, seconds=1)


async def test_a_caller_too_many_for_the_queue_is_429_and_told_when_to_come_back() -> None:
    async with real_runtime(max_batch=1, max_queued=1) as (url, engine), callers(url) as http:
        asking = [asyncio.create_task(http.post("/v1/chat/completions", json=LONG))]
        await until(lambda: engine.stats().running == 1)
        asking.append(asyncio.create_task(http.post("/v1/chat/completions", json=LONG)))
        await until(lambda: engine.stats().queued == 1)
        refused = await http.post("/v1/chat/completions", json=LONG)
        page = (await http.get("/metrics")).text
        for one in asking:
            one.cancel()
        await until(lambda: engine.stats().slots_used == 0)
        small = await http.post("/v1/chat/completions", json={**LONG, "max_tokens": 2})

    assert (refused.status_code, refused.json()["code"]) == (429, "too_busy")
    assert int(refused.headers["retry-after"]) >= 1
    assert "lictor_runtime_num_requests_waiting 1.0" in page
    assert 'lictor_runtime_refused_total{code="too_busy"} 1.0' in page
    assert small.status_code == 200


# Load: the demonstration checkpoint in a process of its own.


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    if not (CHECKPOINT / "model.safetensors").is_file():
        pytest.skip("the demo checkpoint is not there")
    state_file = tmp_path_factory.mktemp("runtime") / "state.json"
    options = ["--unmanaged", "--name", "assistant", "--threads", "1", "--max-batch", "32"]
    options += ["--context", "512", "--compile", "off", "--state-file", str(state_file)]
    command = [sys.executable, "-m", "inference", "serve", str(CHECKPOINT), *options]
    child = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    try:
        yield asyncio.run(_ready(child, state_file))
    finally:
        child.terminate()
        child.wait(timeout=30)


async def _ready(child: subprocess.Popen[bytes], state_file: Path) -> int:
    async with asyncio.timeout(60):
        while True:
            state = json.loads(state_file.read_text()) if state_file.exists() else {}
            if state.get("state") == "ready":
                return int(state["port"])
            assert child.poll() is None
            await asyncio.sleep(0.05)


def dials() -> list[dict[str, Any]]:
    """Return requests whose thoughts differ: the model works each one out step by step."""
    dice = random.Random(7)
    made = []
    for _ in range(PROMPTS):
        steps = " ".join(f"{dice.choice('+-*')}{dice.randint(1, 9)}" for _ in range(4))
        text = f"dial start {dice.randint(0, 9)} {steps}"
        messages = [{"role": "user", "content": text}]
        made.append({"model": "assistant", "messages": messages, "temperature": 0})
    return made


async def slots_used(http: httpx.AsyncClient) -> int:
    page = (await http.get("/metrics")).text
    (line,) = [x for x in page.splitlines() if x.startswith("lictor_runtime_state_slots_used ")]
    return int(float(line.split()[1]))


@pytest.mark.slow
async def test_two_hundred_streams_say_what_each_would_say_alone(port: int) -> None:
    asked = dials()
    async with callers(f"http://127.0.0.1:{port}") as http, asyncio.timeout(60):
        alone = [await streamed(http, body) for body in asked]
        endless = {**asked[0], "ignore_eos": True, "max_tokens": 400}
        leaving = [asyncio.create_task(begun(http, endless)) for _ in range(LEAVERS)]
        together = await asyncio.gather(
            *(streamed(http, asked[n % PROMPTS]) for n in range(STREAMS))
        )
        await asyncio.gather(*leaving)
        async with asyncio.timeout(1):
            while await slots_used(http):
                await asyncio.sleep(0.02)

    assert len(set(alone)) > PROMPTS * 0.9
    assert together == [alone[n % PROMPTS] for n in range(STREAMS)]


@pytest.mark.slow
async def test_two_hundred_streams_come_through_the_gateway_unmixed(port: int) -> None:
    asked = dials()
    issuer = FakeIssuer()
    issuer.add_endpoint("assistant", "key-a", url=f"http://127.0.0.1:{port}")
    async with (
        served(issuer.app()) as issuer_url,
        gateway(issuer_url, max_running=STREAMS) as url,
        callers(url, authorization="Bearer key-a") as http,
        asyncio.timeout(60),
    ):
        alone = [await streamed(http, body) for body in asked]
        together = await asyncio.gather(
            *(streamed(http, asked[n % PROMPTS]) for n in range(STREAMS))
        )

    assert together == [alone[n % PROMPTS] for n in range(STREAMS)]
