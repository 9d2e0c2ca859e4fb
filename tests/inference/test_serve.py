"""The runtime as a process of its own, on a real checkpoint, under real permits."""

import asyncio
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from inference.serve import ServeOptions
from registry.artifact.manifest import manifest_of
from tests.inference import fake_issuer
from tests.inference.fake_issuer import ENDED, REPLICA_TOKEN, FakeIssuer
from tests.inference.serving import served

ROOT = Path(__file__).parents[2]
CHECKPOINT = ROOT / "demo" / "checkpoints" / "nano-base"
DIAL = "dial start 3 +4 *7 -2 *3 +9"

pytestmark = pytest.mark.skipif(
    not (CHECKPOINT / "model.safetensors").is_file(), reason="the demo checkpoint is not there"
)


class Process:
    """One `python -m inference serve`, and the files it was given."""

    def __init__(self, folder: Path, scratch: Path, issuer_url: str, digest: str) -> None:
        self.state_file = scratch / "state.json"
        (scratch / "token").write_text(REPLICA_TOKEN)
        (scratch / "manifest.json").write_text(json.dumps(manifest_of(CHECKPOINT).to_json()))
        governed = ["--issuer", issuer_url, "--replica", "assistant-replica"]
        governed += ["--replica-token-file", str(scratch / "token")]
        governed += ["--manifest", str(scratch / "manifest.json"), "--expect-digest", digest]
        common = ["--threads", "1", "--max-batch", "2", "--compile", "off"]
        common += ["--state-file", str(self.state_file)]
        command = [sys.executable, "-m", "inference", "serve", str(folder), *governed, *common]
        self.child = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )

    def state(self) -> dict[str, Any]:
        return json.loads(self.state_file.read_text()) if self.state_file.exists() else {}

    async def reach(self, state: str) -> int:
        """Wait for a state; return the port."""
        async with asyncio.timeout(60):
            while self.state().get("state") != state:
                await asyncio.sleep(0.05)
        return int(self.state()["port"])

    async def end(self) -> tuple[int, str]:
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGTERM)
        _, errors = await asyncio.to_thread(self.child.communicate, timeout=30)
        return self.child.returncode, errors


@asynccontextmanager
async def governed(
    issuer: FakeIssuer, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Process, httpx.AsyncClient]]:
    digest = manifest_of(CHECKPOINT).digest
    monkeypatch.setattr(fake_issuer, "CHECKPOINT", digest)
    async with served(issuer.app()) as url:
        process = Process(CHECKPOINT, scratch, url, digest)
        try:
            port = await process.reach("ready")
            base = f"http://127.0.0.1:{port}"
            headers = {"Authorization": f"Bearer {REPLICA_TOKEN}"}
            async with httpx.AsyncClient(base_url=base, headers=headers, timeout=60) as http:
                yield process, http
        finally:
            await process.end()


def ask(**more: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": DIAL}]
    return {"model": "assistant", "messages": messages, "temperature": 0, **more}


async def test_a_governed_runtime_reasons_then_refuses_when_standing_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    issuer = FakeIssuer()
    async with governed(issuer, tmp_path, monkeypatch) as (process, http):
        while (await http.get("/readyz")).status_code != 200:
            await asyncio.sleep(0.05)
        on = (await http.post("/v1/chat/completions", json=ask())).json()
        off = (await http.post("/v1/chat/completions", json=ask(reasoning_effort="none"))).json()
        short = (await http.post("/v1/chat/completions", json=ask(thinking_token_budget=12))).json()
        issuer.ended["assistant"] = ENDED
        await asyncio.sleep(1.5)
        refused = await http.post("/v1/chat/completions", json=ask())
        code, _ = await process.end()

    assert on["choices"][0]["message"]["reasoning"].startswith("3+4=7\n7*7=9")
    assert on["choices"][0]["message"]["content"] == "0"
    assert "reasoning" not in off["choices"][0]["message"]
    assert short["usage"]["completion_tokens_details"]["reasoning_tokens"] <= 12
    assert short["reasoning"]["budget_exhausted"] is True
    assert (refused.status_code, refused.json()["section"]) == (451, "2.1")
    assert (code, process.state()["state"]) == (0, "stopped")


async def test_a_folder_with_one_changed_byte_is_not_served(tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(CHECKPOINT, folder)
    template = folder / "chat_template.jinja"
    template.write_text(template.read_text() + " ")
    process = Process(folder, tmp_path, "http://127.0.0.1:9", manifest_of(CHECKPOINT).digest)

    _, errors = await asyncio.to_thread(process.child.communicate, timeout=60)

    assert process.child.returncode == 1
    assert "differs from its manifest: changed: chat_template.jinja" in errors


async def test_a_manifest_with_another_digest_is_not_served(tmp_path: Path) -> None:
    process = Process(CHECKPOINT, tmp_path, "http://127.0.0.1:9", "sha256:" + "0" * 64)

    _, errors = await asyncio.to_thread(process.child.communicate, timeout=60)

    assert process.child.returncode == 1
    assert "expected sha256:0000" in errors


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({}, "missing --issuer, --replica, --replica-token-file"),
        ({"unmanaged": True, "issuer": "http://x"}, "--unmanaged excludes"),
        ({"unmanaged": True, "engine": "vllm"}, "goes with --vllm-python or --vllm-url"),
        ({"unmanaged": True, "vllm_url": "http://x"}, "goes with --vllm-python or --vllm-url"),
        ({"unmanaged": True, "expect_digest": "sha256:0"}, "go together"),
    ],
)
def test_options_that_do_not_say_one_thing_are_refused(change: dict[str, Any], why: str) -> None:
    names = ServeOptions.__dataclass_fields__
    options = {
        **dict.fromkeys(names),
        "unmanaged": False,
        "compiling": "off",
        "engine": "native",
        **change,
    }

    with pytest.raises(ValueError, match=why):
        ServeOptions.checked(**options)
