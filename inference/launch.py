"""Run one ASGI application on a socket of its own, and tell others where in a state file."""

import json
import os
import signal
import socket
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import Final

import uvicorn
from starlette.applications import Starlette

BACKLOG: Final = 2048
GRACE_SECONDS: Final = 10


class StateFile:
    """Write {"port", "pid", "state", "checkpoint"...} for whoever started this process.

    Law: a reader sees one whole state or the one before, never a half.
    """

    def __init__(self, path: Path | None, **facts: object) -> None:
        self._path = path
        self._facts = {"pid": os.getpid(), **facts}

    def write(self, state: str, **facts: object) -> None:
        self._facts |= {"state": state, **facts}
        if self._path is None:
            return
        draft = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        draft.write_text(json.dumps(self._facts), encoding="utf-8")
        draft.replace(self._path)


class Launcher:
    """A uvicorn server that can be told to stop, and says why it did."""

    def __init__(self, *, host: str, port: int) -> None:
        self._socket = _listen(host, port)
        self.port: int = self._socket.getsockname()[1]
        self.failure: str | None = None
        self._server: uvicorn.Server | None = None

    def run(self, app: Starlette, *, on_stop: Callable[[], None] = lambda: None) -> int:
        """Serve until told to stop; return the exit code.

        `on_stop` is called when a signal asks to stop, before running requests are waited for.
        """
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            server_header=False,
            loop="uvloop" if _has("uvloop") else "auto",
            http="httptools" if _has("httptools") else "auto",
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
        self._server = _Server(config, on_stop)
        # uvicorn raises the signal again once it has drained; by then it has done its work, and
        # the default would kill this process before it can say that it stopped.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda _number, _frame: None)
        self._server.run(sockets=[self._socket])
        return 0 if self.failure is None else 1

    def fail(self, reason: str) -> None:
        """Stop, because the process cannot do its work."""
        self.failure = reason
        if self._server is not None:
            self._server.should_exit = True


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, on_stop: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_stop = on_stop

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._on_stop()
        super().handle_exit(sig, frame)


def _has(module: str) -> bool:
    return find_spec(module) is not None


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind((host, port))
    # Now, so that the port in the state file takes connections before the server's first turn.
    listening.listen(BACKLOG)
    return listening
