"""Keep one rendering process at hand, and replace it when a template has ended it.

Owns the pipe, the clock and the process. Knows nothing about templates: what the process may do
is said in `inference.chat.worker`.
"""

import atexit
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Final

from inference.contract import RenderingFailed

# Only a backstop: the process counts its own CPU time, which a busy machine does not shorten.
MAX_WALL_SECONDS: Final = 5.0
MAX_FRAME_BYTES: Final = 16 * 1024 * 1024
_WORKER: Final = Path(__file__).with_name("worker.py")
_KEPT_VARIABLES: Final = ("PYTHONPATH", "LD_LIBRARY_PATH")


class Renderer:
    """Ask the process one thing at a time; from any thread.

    Law: whatever a template does, `ask` returns or raises within `MAX_WALL_SECONDS` and what
    `spawn` takes, and the next `ask` is served.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0

    def ask(self, question: dict[str, Any]) -> dict[str, Any]:
        """Return the process's answer.

        Raises: RenderingFailed if the template used up its time or its memory.
        """
        body = json.dumps(question).encode()
        if len(body) > MAX_FRAME_BYTES:
            raise RenderingFailed(f"the chat template's input exceeds {MAX_FRAME_BYTES} bytes")
        frame = len(body).to_bytes(4, "big") + body
        with self._lock:
            process = self._sent(frame)
            try:
                answer: dict[str, Any] = json.loads(_frame(process))
            except EOFError as end:
                raise RenderingFailed(self._buried(process)) from end
            except BaseException:
                # A half-read answer would be taken for the next one.
                self._buried(process)
                raise
        return answer

    def close(self) -> None:
        with self._lock:
            if self._process is not None and self._owner == os.getpid():
                self._buried(self._process)

    def _sent(self, frame: bytes) -> subprocess.Popen[bytes]:
        for _attempt in range(2):
            process = self._process
            if process is None or self._owner != os.getpid():
                process = self._spawn()
            try:
                _pipe(process.stdin).write(frame)
                _pipe(process.stdin).flush()
            except (BrokenPipeError, ConnectionError):
                # It ended while idle: somebody's kill, not this template's doing.
                self._buried(process)
                continue
            return process
        raise RenderingFailed("the rendering process does not stay up")

    def _spawn(self) -> subprocess.Popen[bytes]:
        kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
        try:
            self._process = subprocess.Popen(  # noqa: S603  our own script, no shell
                [sys.executable, "-P", str(_WORKER)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd="/",
                env=kept,
                start_new_session=True,
            )
        except OSError as error:
            raise RenderingFailed(f"the rendering process does not start: {error}") from error
        self._owner = os.getpid()
        return self._process

    def _buried(self, process: subprocess.Popen[bytes]) -> str:
        """End the process for good; return what its end says."""
        self._process = None
        process.kill()
        code = process.wait()
        for pipe in (process.stdin, process.stdout):
            try:
                _pipe(pipe).close()
            except BrokenPipeError:
                continue
        if code in (-signal.SIGPROF, -signal.SIGKILL):
            return "the chat template takes too long to render"
        return "the chat template needs too much memory, or broke the process that renders it"


def _frame(process: subprocess.Popen[bytes]) -> bytes:
    """Read one frame; EOFError at the end of the stream, or when the time is up."""
    deadline = time.monotonic() + MAX_WALL_SECONDS
    size = int.from_bytes(_exactly(process, 4, deadline), "big")
    if size > MAX_FRAME_BYTES:
        raise EOFError
    return _exactly(process, size, deadline)


def _exactly(process: subprocess.Popen[bytes], size: int, deadline: float) -> bytes:
    descriptor = _pipe(process.stdout).fileno()
    # Not select(): a busy server has more than 1024 files open.
    ready = select.poll()
    ready.register(descriptor, select.POLLIN | select.POLLHUP)
    data = b""
    while len(data) < size:
        left = deadline - time.monotonic()
        if left <= 0 or not ready.poll(left * 1000):
            raise EOFError
        part = os.read(descriptor, size - len(data))
        if not part:
            process.wait()
            raise EOFError
        data += part
    return data


def _pipe(stream: Any) -> Any:
    """Return the pipe; `Popen` types it as optional, and these always are pipes."""
    return stream


SHARED: Final = Renderer()
atexit.register(SHARED.close)
