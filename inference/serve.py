"""Put one runtime together: files, model, engine, lease, server. The only place that loads torch.

The port is open before the model is loaded, so that health can be asked and the permit is asked
for with state "loading"; nothing is served until both are there.
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import httpx

from inference import hints
from inference.chat.format import read_format
from inference.contract import ServingError
from inference.launch import Launcher, StateFile
from inference.metrics import RuntimeMetrics
from inference.permit import PermitHolder
from inference.server.app import Background, build_runtime
from inference.server.checkpoint import verify_checkpoint
from inference.server.lease import IssuedLease, Unmanaged
from inference.server.runtime import Model, Runtime

DEFAULT_CONTEXT_TOKENS: Final = 8192
GOVERNED: Final = ("issuer", "replica", "replica_token_file", "manifest", "expect_digest")
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """The command line of one runtime; governed by an issuer, or openly unmanaged."""

    folder: Path
    unmanaged: bool
    issuer: str | None
    replica: str | None
    replica_token_file: Path | None
    manifest: Path | None
    expect_digest: str | None
    port: int
    host: str
    name: str | None
    threads: int | None
    max_batch: int
    context: int | None
    dtype: str
    compiled: bool
    state_file: Path | None
    hints: str | None

    @classmethod
    def checked(cls, **options: Any) -> "ServeOptions":
        """Return the options if they say one thing: governed with everything, or unmanaged.

        Raises: ValueError naming what is missing or too much.
        """
        chosen = cls(**options)
        given = [name for name in GOVERNED if getattr(chosen, name) is not None]
        missing = [_flag(name) for name in GOVERNED if name not in given]
        if chosen.unmanaged and set(given) & {"issuer", "replica"}:
            raise ValueError("--unmanaged excludes --issuer and --replica")
        if not chosen.unmanaged and missing:
            raise ValueError(f"missing {', '.join(missing)}; or say --unmanaged")
        if chosen.compiled:
            raise ValueError("--compile is not offered by the native engine yet; leave it out")
        if (chosen.manifest is None) != (chosen.expect_digest is None):
            raise ValueError("--manifest and --expect-digest go together")
        return chosen

    @property
    def token(self) -> str | None:
        """The bearer token callers must show; None: none is asked for."""
        if self.replica_token_file is None:
            return None
        token = self.replica_token_file.read_text(encoding="utf-8").strip()
        if not token:
            raise ValueError(f"{self.replica_token_file} is empty; it should hold a token")
        return token


def run_runtime(options: ServeOptions) -> int:
    """Serve until told to stop; return the exit code.

    Raises: ServingError if the folder is not the approved checkpoint; OSError for the port.
    """
    digests: Mapping[str, str] | None = None
    if options.manifest is not None and options.expect_digest is not None:
        approved = verify_checkpoint(
            options.folder, manifest_file=options.manifest, expected_digest=options.expect_digest
        )
        digests = {entry.path: entry.sha256 for entry in approved.files}
    launcher = Launcher(host=options.host, port=options.port)
    state = StateFile(options.state_file, port=launcher.port, checkpoint=options.expect_digest)
    state.write("loading")
    metrics = RuntimeMetrics()
    lease, background = _lease(options, metrics)
    name = options.name or options.folder.resolve().name
    runtime = Runtime(lease=lease, name=name, metrics=metrics)
    loading = partial(_load, runtime, options, digests, state, launcher)
    app = build_runtime(runtime, token=options.token, background=(loading, *background))
    try:
        return launcher.run(app, on_stop=partial(_drain, lease, state))
    finally:
        if runtime.model is not None:
            runtime.model.engine.stop()
        state.write("stopped" if launcher.failure is None else "failed", error=launcher.failure)


def _lease(
    options: ServeOptions, metrics: RuntimeMetrics
) -> tuple[Unmanaged | IssuedLease, tuple[Background, ...]]:
    if options.unmanaged or options.issuer is None or options.replica is None:
        return Unmanaged(), ()
    lease = IssuedLease(
        PermitHolder(options.replica, checkpoint=options.expect_digest),
        issuer=httpx.AsyncClient(base_url=options.issuer.rstrip("/"), trust_env=False),
        token=options.token or "",
        metrics=metrics,
    )
    if options.hints is None:
        return lease, (lease.run,)
    return lease, (lease.run, partial(hints.listen, options.hints, lease.wake))


async def _load(
    runtime: Runtime,
    options: ServeOptions,
    digests: Mapping[str, str] | None,
    state: StateFile,
    launcher: Launcher,
) -> None:
    """Load the model beside the running server; a failure ends the process."""
    try:
        runtime.model = await asyncio.to_thread(load_native, options, digests)
    except (ServingError, ValueError, OSError, RuntimeError) as error:
        log.exception("the checkpoint cannot be served")
        launcher.fail(f"{type(error).__name__}: {error}")
        return
    if isinstance(runtime.lease, IssuedLease):
        runtime.lease.state = "ready"
        runtime.lease.wake.set()
    state.write("ready")


def load_native(options: ServeOptions, digests: Mapping[str, str] | None) -> Model:
    """Load weights and tokenizer, each file held to its digest, and start the engine.

    Raises: CheckpointUnusable, RenderingFailed.
    """
    # Here, not above: the gateway and the tests of the API run without torch.
    import torch

    from inference.engine import NativeEngine
    from inference.loader import DTYPES, load_model

    if options.threads:
        torch.set_num_threads(options.threads)
    network = load_model(options.folder, digests=digests, dtype=options.dtype)
    context = min(options.context or DEFAULT_CONTEXT_TOKENS, network.config.max_position_embeddings)
    engine = NativeEngine(
        network,
        max_batch=options.max_batch,
        context_tokens=context,
        dtype=DTYPES[options.dtype],
        threads=options.threads,
    )
    form = read_format(options.folder, context_tokens=context, digests=digests)
    return Model(engine, form, context)


def _drain(lease: Unmanaged | IssuedLease, state: StateFile) -> None:
    """Tell the issuer and the starter that no new requests are wanted."""
    state.write("draining")
    if isinstance(lease, IssuedLease):
        lease.state = "draining"
        lease.wake.set()


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
