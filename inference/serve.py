"""Put one runtime together: files, model, engine, lease, server. The only place that loads torch.

The port is open before the model is loaded, so that health can be asked and the permit is asked
for with state "loading"; nothing is served until both are there.
"""

import asyncio
import logging
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import httpx

from inference import hints
from inference.cache import device_budget_bytes
from inference.chat.format import read_format
from inference.contract import ServingError
from inference.launch import GRACE_SECONDS, Launcher, StateFile
from inference.metrics import RuntimeMetrics
from inference.permit import PermitHolder
from inference.protocol import EngineError
from inference.server.app import Background, build_runtime
from inference.server.checkpoint import verify_checkpoint
from inference.server.lease import IssuedLease, Unmanaged
from inference.server.runtime import Model, Runtime

if TYPE_CHECKING:
    import torch

DEFAULT_CONTEXT_TOKENS: Final = 8192
# Weights that stay in a core's own cache from step to step.
SMALL_BYTES: Final = 16 * 2**20
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
    max_queued: int
    context: int | None
    dtype: str
    compiling: Literal["off", "beside", "first"]
    engine: Literal["native", "vllm"]
    vllm_python: Path | None
    vllm_url: str | None
    state_file: Path | None
    hints: str | None
    device: Literal["auto", "cpu", "cuda"] = "auto"
    memory_fraction: float | None = None

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
        if (chosen.engine == "vllm") != bool(chosen.vllm_python or chosen.vllm_url):
            raise ValueError(
                "--engine vllm goes with --vllm-python or --vllm-url, and they with it"
            )
        if chosen.vllm_url and not chosen.unmanaged:
            raise ValueError(
                "--vllm-url needs --unmanaged: nobody can prove which weights a server that runs "
                "elsewhere has loaded; with --vllm-python the runtime starts vLLM itself"
            )
        if (chosen.manifest is None) != (chosen.expect_digest is None):
            raise ValueError("--manifest and --expect-digest go together")
        chosen._check_device()
        return chosen

    def _check_device(self) -> None:
        """Raises: ValueError."""
        if self.engine == "vllm" and (self.device != "auto" or self.memory_fraction is not None):
            raise ValueError("--device and --memory-fraction are the native engine's, not vLLM's")
        if self.memory_fraction is None:
            return
        if self.device == "cpu":
            raise ValueError("--memory-fraction is a GPU's; leave it out with --device cpu")
        if not 0 < self.memory_fraction <= 1:
            raise ValueError(f"--memory-fraction is {self.memory_fraction}, not within (0, 1]")

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
    app = build_runtime(
        runtime,
        token=options.token,
        background=(loading, *background),
        max_queued=options.max_queued,
    )
    try:
        return launcher.run(app, on_stop=partial(_drain, runtime, state))
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
        load = load_native if options.engine == "native" else load_vllm
        model = await _in_passing(partial(load, options, digests))
        await model.engine.start()
        runtime.model = model
    except (ServingError, EngineError, ValueError, OSError, RuntimeError) as error:
        log.exception("the checkpoint cannot be served")
        launcher.fail(f"{type(error).__name__}: {error}")
        return
    if isinstance(runtime.lease, IssuedLease):
        runtime.lease.state = "ready"
        runtime.lease.wake.set()
    state.write("ready")


async def _in_passing(work: Callable[[], Model]) -> Model:
    """Run in a thread that ends with its work.

    While it lived, OpenMP would count the threads that it computed with, find more than there are
    cores, and let the engine's fall asleep between any two operations.
    """
    thread = ThreadPoolExecutor(1, "load")
    try:
        return await asyncio.get_running_loop().run_in_executor(thread, work)
    finally:
        thread.shutdown(wait=False)


def load_native(options: ServeOptions, digests: Mapping[str, str] | None) -> Model:
    """Load weights and tokenizer, each file held to its digest, and start the engine.

    Raises: CheckpointUnusable, RenderingFailed; RuntimeError without the device asked for.
    """
    # Here, not above: the gateway and the tests of the API run without torch.

    from inference.engine import NativeEngine
    from inference.loader import DTYPES, find_device, load_model

    device = find_device(options.device, memory_fraction=options.memory_fraction)
    log.info("computing on %s", device)
    network = load_model(options.folder, digests=digests, dtype=options.dtype, device=str(device))
    threads = options.threads or _threads_for(network)
    log.info("using %d threads", threads)
    if options.compiling != "off" and network.fuse():
        log.info("using fused kernels")
    context = min(options.context or DEFAULT_CONTEXT_TOKENS, network.config.max_position_embeddings)
    engine = NativeEngine(
        network,
        max_batch=options.max_batch,
        context_tokens=context,
        dtype=DTYPES[options.dtype],
        threads=threads,
        cache_bytes=_cache_bytes(device, options.memory_fraction),
        compiling=options.compiling,
    )
    form = read_format(options.folder, context_tokens=context, digests=digests)
    form.check_vocabulary(network.config.vocab_size)
    return Model(engine, form, context)


def load_vllm(options: ServeOptions, digests: Mapping[str, str] | None) -> Model:
    """Read the format, and make an engine of the vLLM server that will be started or found.

    Raises: RenderingFailed; ValueError.
    """
    from inference.vllm.load import load_vllm as load

    return load(
        options.folder,
        digests=digests,
        context_tokens=options.context or DEFAULT_CONTEXT_TOKENS,
        max_batch=options.max_batch,
        dtype=options.dtype,
        python=options.vllm_python,
        url=options.vllm_url,
    )


def _cache_bytes(device: "torch.device", fraction: float | None) -> int | None:
    """Return what a GPU has left for a cache, now that the weights are there; None on a CPU."""
    if device.type != "cuda":
        return None
    import torch

    free, total = torch.cuda.mem_get_info(device)
    reserved = torch.cuda.memory_reserved(device)
    return device_budget_bytes(total=total, free=free, reserved=reserved, fraction=fraction)


def _threads_for(network: "torch.nn.Module") -> int:
    """Return how many threads a decode step is worth.

    A step of a small model is over before a second thread has woken up, and the HTTP side wants
    that core: measured on 1 M and 26 M parameters, see docs/runtime.md.
    """
    weights = sum(one.numel() * one.element_size() for one in network.parameters())
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return 1 if weights < SMALL_BYTES else cores or 1


def _drain(runtime: Runtime, state: StateFile) -> None:
    """Tell the issuer, the starter and the engine that no new requests are wanted."""
    state.write("draining")
    if isinstance(runtime.lease, IssuedLease):
        runtime.lease.state = "draining"
        runtime.lease.wake.set()
    if runtime.model is not None:
        # The signal comes to the thread of the loop that serves, if that still runs.
        with suppress(RuntimeError):
            loop = asyncio.get_running_loop()
            loop.create_task(runtime.model.engine.drain(GRACE_SECONDS))  # noqa: RUF006  it ends with the loop


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
