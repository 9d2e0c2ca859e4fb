"""Put a checkpoint behind vLLM: our format and rules above, its engine below."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from inference.chat.format import ChatFormat, read_format
from inference.contract import ServingError
from inference.server.runtime import Model
from inference.vllm.engine import VllmEngine
from inference.vllm.server import Connected, Supervised
from inference.vllm.tail import check_tokens, spellings_that_work

# Blank lines without end would be JSON too, and a small model likes them.
STRUCTURED: Final = '{"backend": "xgrammar", "disable_any_whitespace": true}'
DTYPES: Final = {"fp32": "float32", "bf16": "bfloat16"}
log = logging.getLogger(__name__)


class CheckedVllmEngine(VllmEngine):
    """A vLLM engine that starts only if the server reads text as the checkpoint's own tokenizer."""

    def __init__(self, server: Supervised | Connected, *, slots: int, form: ChatFormat) -> None:
        super().__init__(server, slots=slots)
        self._form = form

    async def start(self) -> None:
        await super().start()
        await check_tokens(self.client, self.model, self._form)
        if self._form.template is not None:
            for name, works in (await spellings_that_work(self.client, self.model)).items():
                log.info("vLLM's own template %s %s", "honours" if works else "ignores", name)


def load_vllm(
    folder: Path,
    *,
    digests: Mapping[str, str] | None,
    context_tokens: int,
    max_batch: int,
    dtype: str,
    python: Path | None,
    url: str | None,
    arguments: tuple[str, ...] = (),
) -> Model:
    """Make the model; its engine's `start` starts or finds the server.

    With `url` the server is somebody else's: for use without a permit only, as nobody can prove
    which weights it loaded.

    Raises: ValueError for options that do not go together; ServingError for the folder's files.
    """
    if (python is None) == (url is None):
        raise ValueError("name either vLLM's Python interpreter or the URL of a running server")
    if url is not None and digests is not None:
        raise ServingError(
            "a vLLM server that runs elsewhere cannot prove which weights it loaded, so it serves "
            "nothing under a permit; let the runtime start vLLM itself (--vllm-python)"
        )
    form = read_format(folder, context_tokens=context_tokens, digests=digests)
    server: Supervised | Connected
    if url is not None:
        server = Connected(url)
    elif python is not None:
        if dtype not in DTYPES:
            raise ValueError(f"vLLM is offered {', '.join(DTYPES)} here, not {dtype}")
        sizes = ["--max-model-len", str(context_tokens), "--max-num-seqs", str(max_batch)]
        given = ["--dtype", DTYPES[dtype], *sizes, "--structured-outputs-config", STRUCTURED]
        server = Supervised(python, folder, [*given, *arguments])
    engine = CheckedVllmEngine(server, slots=max_batch if url is None else 0, form=form)
    return Model(engine, form, context_tokens)
