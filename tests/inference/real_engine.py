"""The native engine on a random model of a few thousand weights, behind the real server."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import torch

from inference.engine import NativeEngine
from inference.metrics import RuntimeMetrics
from inference.models.config import NemotronHConfig
from inference.models.nemotron_h import NemotronH
from inference.server.app import build_runtime
from inference.server.lease import Unmanaged
from inference.server.runtime import Model, Runtime
from tests.inference import tiny
from tests.inference.serving import served
from tests.inference.test_engine import CONFIG

CONTEXT_TOKENS = 4096


def random_model() -> NemotronH:
    torch.manual_seed(0)
    sizes = {"vocab_size": len(tiny.IDS) + 256, "max_position_embeddings": CONTEXT_TOKENS}
    model = NemotronH(NemotronHConfig.from_dict({**CONFIG, **sizes})).eval()
    return model.requires_grad_(requires_grad=False)


@asynccontextmanager
async def real_runtime(
    *, max_batch: int = 2, **more: int
) -> AsyncIterator[tuple[str, NativeEngine]]:
    """Serve the model; give the base URL and the engine."""
    engine = NativeEngine(
        random_model(), max_batch=max_batch, context_tokens=CONTEXT_TOKENS, threads=1
    )
    runtime = Runtime(lease=Unmanaged(), name="nano", metrics=RuntimeMetrics())
    form = tiny.chat_format(context_tokens=CONTEXT_TOKENS)
    runtime.model = Model(engine, form, CONTEXT_TOKENS)
    try:
        async with served(build_runtime(runtime, token=None, **more)) as url:
            yield url, engine
    finally:
        engine.stop()
