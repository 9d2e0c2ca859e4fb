"""The stage for rails, against NVIDIA's own server. Needs `sh scripts/nemo.sh`."""

import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from inference.contract import GuardFailed
from inference.guard.stages import GuardRunner, Withheld
from registry.artifact.guard import read_guard
from tests.inference.guards import guard_of

SERVER = Path(__file__).parents[2] / ".venv-nemo" / "bin" / "nemoguardrails"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not SERVER.exists(), reason="no .venv-nemo: sh scripts/nemo.sh makes it"),
]
BOTH_SIDES = """
colang_version: "1.0"
models: []
rails:
  input: {flows: [regex check input]}
  output: {flows: [regex check output]}
  config:
    regex_detection:
      input: {patterns: ["forbidden question"]}
      output: {patterns: ["forbidden answer"]}
"""
INPUT_ONLY = """
colang_version: "1.0"
models: []
rails:
  input: {flows: [regex check input]}
  config: {regex_detection: {input: {patterns: ["forbidden question"]}}}
"""


@pytest.fixture(scope="module")
def rails(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start the server with two configurations; give its address."""
    folder = tmp_path_factory.mktemp("rails")
    for name, text in (("both", BOTH_SIDES), ("input-only", INPUT_ONLY)):
        (folder / name).mkdir()
        (folder / name / "config.yml").write_text(text)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [SERVER, "server", "--config", str(folder), "--port", str(port)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(240):
            try:
                httpx.get(url + "/v1/rails/configs", timeout=1)
                break
            except httpx.HTTPError:
                assert process.poll() is None, (folder / "log").read_text()
                time.sleep(0.5)
        yield url
    finally:
        process.terminate()
        process.wait(20)


async def asked(url: str, config: str, side: Any, text: str) -> Withheld | None:
    stage = {"kind": "nemo", "url": url, "config_id": config}
    guard = read_guard({**guard_of(given=[stage], said=[stage]), "timeout_seconds": 60})
    async with httpx.AsyncClient(trust_env=False) as client:
        return await GuardRunner(guard, client).check(side, text)


@pytest.mark.parametrize(
    ("side", "text", "rail"),
    [
        ("input", "a fine question", None),
        ("input", "a forbidden question", "regex check input"),
        ("input", "a forbidden answer", None),
        ("output", "a fine answer", None),
        ("output", "a forbidden answer", "regex check output"),
        ("output", "a forbidden question", None),
    ],
)
async def test_rails_of_the_side_that_is_asked_decide(
    rails: str, side: str, text: str, rail: str | None
) -> None:
    found = await asked(rails, "both", side, text)

    assert (None if found is None else found.name) == rail


async def test_a_configuration_without_rails_for_a_side_fails(rails: str) -> None:
    assert await asked(rails, "input-only", "input", "fine") is None
    with pytest.raises(GuardFailed):
        await asked(rails, "input-only", "output", "fine")


async def test_an_unknown_configuration_fails(rails: str) -> None:
    with pytest.raises(GuardFailed):
        await asked(rails, "unheard-of", "input", "fine")
