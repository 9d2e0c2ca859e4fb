"""A vLLM server: one that we start and stop, or one that runs already.

Owns the child process, its log and its end. Knows nothing about tokens.
"""

import asyncio
import logging
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Final

import httpx

from inference.protocol import EngineError

START_SECONDS: Final = 900
STOP_SECONDS: Final = 15
TOLD_EVERY_SECONDS: Final = 15
log = logging.getLogger(__name__)


class Supervised:
    """A vLLM server of our own: a child in a process group of its own, that ends when we do.

    `python` is the interpreter of the environment that vLLM is installed in: it pins versions
    that nobody else should have to share.
    """

    def __init__(self, python: Path, folder: Path, arguments: Sequence[str]) -> None:
        self._port = _free_port()
        self._command = [
            *_ends_with_us(),
            *(str(python), "-m", "vllm.entrypoints.openai.api_server"),
            *("--model", str(folder), "--host", "127.0.0.1", "--port", str(self._port)),
            *arguments,
        ]
        self._log: IO[bytes] = tempfile.NamedTemporaryFile(prefix="vllm-", suffix=".log")  # noqa: SIM115
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    async def start(self, client: httpx.AsyncClient) -> None:
        """Return when it answers. To be called in the thread that lives as long as it should.

        Raises: EngineError with the last words of its log.
        """
        environment = {"VLLM_NO_USAGE_STATS": "1", "HF_HUB_OFFLINE": "1", **os.environ}
        self._child = subprocess.Popen(  # noqa: S603  the operator's own interpreter, no shell
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )
        began = told = time.monotonic()
        while not await _answers(client):
            now = time.monotonic()
            if self.failure() is not None or now - began > START_SECONDS:
                raise EngineError(self.failure() or f"vLLM is not up after {START_SECONDS} s")
            if now - told > TOLD_EVERY_SECONDS:
                told = now
                log.warning("vLLM is starting, %d s so far", now - began)
            await asyncio.sleep(0.5)

    def failure(self) -> str | None:
        """Return why it ended, or None while it runs or before it was started."""
        if self._child is None or self._child.poll() is None:
            return None
        text = Path(self._log.name).read_text(encoding="utf-8", errors="replace")
        said = [line.strip() for line in text.splitlines() if line.strip()][-3:]
        return f"vLLM ended with code {self._child.returncode}: {' | '.join(said)[-600:]}"

    def stop(self) -> None:
        child = self._child
        if child is None or child.poll() is not None:
            return
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(child.pid, number)
                child.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                continue
            except ProcessLookupError:
                return
            return


class Connected:
    """A vLLM server that somebody else runs. Which weights it loaded, nobody here can prove."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")

    async def start(self, client: httpx.AsyncClient) -> None:
        """Raises: EngineError when it does not answer."""
        if not await _answers(client):
            raise EngineError(f"no vLLM server answers at {self.url}/health")

    def failure(self) -> str | None:
        return None

    def stop(self) -> None:
        return


Server = Supervised | Connected


async def _answers(client: httpx.AsyncClient) -> bool:
    try:
        return (await client.get("/health")).status_code == 200
    except httpx.HTTPError:
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _ends_with_us() -> list[str]:
    """Ask the kernel to end the child when we are killed and cannot do it ourselves."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "TERM", "--"] if setpriv else []
