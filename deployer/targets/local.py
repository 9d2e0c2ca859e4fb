"""Run replicas as processes of this host: the worker's own.

A replica's folder below LICTOR_VAR/replicas holds a read-only copy of the checkpoint, its manifest,
the token that the gateway must send, the runtime's state file and its log.
"""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import httpx
from django.conf import settings

from deployer.models import Replica
from deployer.targets.base import Observed, TargetError
from deployer.tokens import replica_token
from registry import launch, storage
from registry.errors import LictorError

_PROBE_SECONDS = 2.0


class LocalTarget:
    """Start, watch and stop runtime processes of this host."""

    def start(self, replica: Replica) -> dict[str, Any]:
        known = _process(replica)
        if known is not None and launch.is_alive(known):
            return {"pid": known.pid, "marker": known.marker}
        folder = _folder(replica)
        try:
            running = self._launch(replica, folder)
        except (OSError, LictorError) as error:
            raise TargetError(f"cannot start: {error}") from error
        return {"pid": running.pid, "marker": running.marker}

    def observe(self, replica: Replica) -> Observed:
        known = _process(replica)
        if known is None or not launch.is_alive(known):
            return Observed(alive=False, reason=_last_words(_folder(replica)))
        state = launch.runtime_state(_folder(replica) / "state.json")
        if state is None or "port" not in state:
            return Observed(alive=True)
        url = f"http://127.0.0.1:{state['port']}"
        try:
            ready = httpx.get(f"{url}/readyz", timeout=_PROBE_SECONDS).status_code == 200
        except httpx.HTTPError:
            ready = False
        return Observed(alive=True, ready=ready, url=url)

    def stop(self, replica: Replica) -> None:
        known = _process(replica)
        if known is not None:
            launch.stop_runtime(known)
        shutil.rmtree(_folder(replica) / "model", ignore_errors=True)
        (_folder(replica) / "token").unlink(missing_ok=True)
        (_folder(replica) / "state.json").unlink(missing_ok=True)

    def _launch(self, replica: Replica, folder: Path) -> launch.Running:
        model, checkpoint = folder / "model", replica.checkpoint
        storage.materialise(checkpoint, model)
        manifest = folder / "manifest.json"
        manifest.write_text(json.dumps(checkpoint.manifest), encoding="utf-8")
        token = folder / "token"
        token.unlink(missing_ok=True)
        with os.fdopen(os.open(token, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
            file.write(replica_token(str(replica.pk)))
        return launch.start_runtime(
            folder=model,
            state_file=folder / "state.json",
            log_file=folder / "runtime.log",
            arguments=[
                *("--issuer", settings.LICTOR_ISSUER_URL, "--replica", str(replica.pk)),
                *("--replica-token-file", str(token), "--manifest", str(manifest)),
                *("--expect-digest", checkpoint.digest, "--hints", settings.REDIS_URL),
                *("--threads", str(settings.LICTOR_REPLICA_THREADS)),
                *("--compile", "beside" if settings.LICTOR_REPLICA_COMPILE else "off"),
            ],
        )


def _folder(replica: Replica) -> Path:
    return Path(settings.LICTOR_VAR) / "replicas" / str(replica.pk)


def _process(replica: Replica) -> launch.Running | None:
    """Find the replica's process by its handle, or, where none was noted, by what it serves."""
    pid = replica.handle.get("pid")
    if not isinstance(pid, int):
        return launch.find_runtime(_folder(replica) / "model")
    return launch.Running(pid, str(replica.handle.get("marker", "")))


def _last_words(folder: Path) -> str:
    """Return the last line of the runtime's log, which says why it ended."""
    try:
        lines = (folder / "runtime.log").read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        return "the process never started"
    said = [line.strip() for line in lines if line.strip()]
    return f"the process ended: {said[-1][:300]}" if said else "the process ended without a word"
