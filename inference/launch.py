"""Run one ASGI application on a socket of its own, and tell others where in a state file."""

import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
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

    def run(self, app: Starlette) -> int:
        """Serve until told to stop; return the exit code."""
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
        self._server = uvicorn.Server(config)
        self._server.run(sockets=[self._socket])
        return 0 if self.failure is None else 1

    @property
    def fail(self) -> Callable[[str], None]:
        """Return what to call with a reason when the process cannot do its work."""
        return self._fail

    def _fail(self, reason: str) -> None:
        self.failure = reason
        if self._server is not None:
            self._server.should_exit = True


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind((host, port))
    # Now, so that the port in the state file takes connections before the server's first turn.
    listening.listen(BACKLOG)
    return listening
