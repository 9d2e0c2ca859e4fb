"""Build a model from a checkpoint: config, then every weight once, into its final place.

The model begins without memory (on torch's meta device); each tensor is read, cast or quantised,
and moved to the device on its own. So a load needs the model's memory and one tensor's more.
"""

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from inference.layers.quantised import QuantisedLinear, quantise_linears
from inference.models import dense
from inference.models.config import NemotronHConfig
from inference.models.nemotron_h import NemotronH, canonical_name
from inference.shards import (
    CheckpointUnusable,
    Digests,
    Progress,
    read_file,
    read_shard,
    weights_of,
)
from registry.artifact.weights import Weights

__all__ = ["DTYPES", "CheckpointUnusable", "find_device", "load_model"]
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Architecture:
    """How checkpoints of one kind are read: their config.json, and the names of their tensors."""

    read_config: Callable[[Mapping[str, Any]], NemotronHConfig]
    own_name: Callable[[str], str]


ARCHITECTURES: Final = {
    "NemotronHForCausalLM": _Architecture(NemotronHConfig.from_dict, canonical_name),
    "Qwen3ForCausalLM": _Architecture(dense.read_qwen3, dense.own_name),
    "LlamaForCausalLM": _Architecture(dense.read_llama, dense.own_name),
}
# What activations and the cache are in; with int8 only the linear layers' weights are.
DTYPES: Final = {"fp32": torch.float32, "bf16": torch.bfloat16, "int8": torch.bfloat16}
# Parameters of the recurrence that stay in fp32: its state is a long sum of small steps.
_ALWAYS_FP32: Final = ("A_log", "dt_bias", ".D")
_HEAD: Final = "lm_head.weight"
_TABLE: Final = "backbone.embeddings.weight"


def find_device(wanted: str, *, memory_fraction: float | None = None) -> torch.device:
    """Return the device to compute on; `wanted` is cpu, cuda or auto: CUDA where there is one.

    On CUDA this process may from now on take no more than `memory_fraction` of the memory.

    Raises: RuntimeError if CUDA is asked for and absent.
    """
    has_cuda = torch.cuda.is_available()
    if wanted == "cuda" and not has_cuda:
        built = torch.version.cuda
        why = "no NVIDIA GPU or driver is found" if built else "this torch is built without CUDA"
        raise RuntimeError(f"--device cuda: {why}; use --device cpu, or install lictor[cuda]")
    device = torch.device("cuda" if has_cuda and wanted != "cpu" else "cpu")
    if device.type == "cuda" and memory_fraction is not None:
        torch.cuda.set_per_process_memory_fraction(memory_fraction)
    return device


def load_model(
    folder: Path, *, digests: Digests = None, dtype: str = "fp32", device: str = "cpu"
) -> NemotronH:
    """Load a checkpoint for inference; `dtype` is a key of `DTYPES`, `device` as torch names it.

    `digests` maps each path to the hex SHA-256 that was approved; every file read is held to it,
    on the very bytes that are then used. None checks nothing (unmanaged use).

    Raises: CheckpointUnusable.
    """
    if dtype not in DTYPES:
        raise CheckpointUnusable(f"dtype {dtype!r} is not one of {', '.join(DTYPES)}")
    config, own_name = _config(read_file(folder, "config.json", digests))
    weights = weights_of(folder, digests)
    with torch.device("meta"), _Unwritten():
        model = NemotronH(config)
    filling = _Filling(model, own_name, dtype=DTYPES[dtype], device=torch.device(device))
    filling.check(folder, weights)
    if dtype == "int8":
        quantise_linears(model)
    progress = Progress(weights.weights_bytes)
    for path, _ in weights.shards:
        read_shard(folder, path, digests=digests, progress=progress, take=filling.take)
    progress.log()
    filling.finish()
    return model.eval().requires_grad_(requires_grad=False)


class _Unwritten(TorchFunctionMode):
    """Leave new tensors without random values: drawing them on meta costs 5 s of imports."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        return kwargs["tensor"] if func is nn.init.normal_ else func(*args, **kwargs)


class _Filling:
    """Put tensors into a model that has none, each in its final dtype and place."""

    def __init__(
        self,
        model: NemotronH,
        own_name: Callable[[str], str],
        *,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        self._model = model
        self._translate = own_name
        self._dtype = dtype
        self._device = device
        # A tied head is the same parameter as the table, and named only once.
        self._shapes = {name: tuple(p.shape) for name, p in model.named_parameters()}
        self._filled: set[str] = set()

    def check(self, folder: Path, weights: Weights) -> None:
        """Hold the files' own lists of tensors to the model's, before any is read.

        Raises: CheckpointUnusable naming all that are missing, unknown or of another shape.
        """
        offered = {
            self._own_name(info.name): info.shape
            for _, header in weights.shards
            for info in header.tensors
        }
        missing, unknown = self._shapes.keys() - offered, offered.keys() - self._shapes
        shapes = {n for n in offered.keys() - unknown if offered[n] != self._shapes[n]}
        if missing or unknown or shapes:
            raise CheckpointUnusable(
                f"{folder}: Missing {sorted(missing)}, unknown {sorted(unknown)}, of another "
                f"shape {sorted(shapes)}; check that config.json belongs to these weights."
            )

    def take(self, name: str, tensor: Tensor) -> None:
        """Place one tensor. Raises: CheckpointUnusable if it is not wanted, or not again."""
        own = self._own_name(name)
        if self._shapes.get(own) != tuple(tensor.shape):
            raise CheckpointUnusable(f"tensor {name} is not the one the header told of before")
        if own in self._filled:
            self._compare(name, own, tensor)
            return
        self._filled.add(own)
        path, _, leaf = own.rpartition(".")
        module = self._model.get_submodule(path)
        if isinstance(module, QuantisedLinear):
            module.fill(tensor.to(self._device))
            return
        dtype = torch.float32 if own.endswith(_ALWAYS_FP32) else self._dtype
        placed = tensor.to(device=self._device, dtype=dtype)
        setattr(module, leaf, nn.Parameter(placed, requires_grad=False))

    def finish(self) -> None:
        """Tie what is tied. Raises: CheckpointUnusable if a tensor never came."""
        if missing := sorted(self._shapes.keys() - self._filled):
            raise CheckpointUnusable(f"Missing {missing}: the files changed while they were read")
        if self._model.config.tie_word_embeddings:
            self._model.lm_head.weight = self._model.backbone.embeddings.weight

    def _own_name(self, name: str) -> str:
        own = self._translate(name)
        return _TABLE if own == _HEAD and self._model.config.tie_word_embeddings else own

    def _compare(self, name: str, own: str, tensor: Tensor) -> None:
        """Allow a second copy only where head and table are one, and then only the same."""
        if own != _TABLE or not self._model.config.tie_word_embeddings:
            raise CheckpointUnusable(f"tensor {name} is there twice, under two names")
        table = self._model.backbone.embeddings.weight
        if not torch.equal(tensor.to(device=table.device, dtype=table.dtype), table):
            raise CheckpointUnusable(
                f"tensor {name} differs from the embeddings; config.json says they are tied"
            )


def _config(data: bytes) -> tuple[NemotronHConfig, Callable[[str], str]]:
    try:
        raw: Any = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise CheckpointUnusable(f"config.json is not JSON: {error}") from error
    if not isinstance(raw, dict):
        raise CheckpointUnusable("config.json is not an object")
    if "auto_map" in raw:
        raise CheckpointUnusable("config.json asks for code from the checkpoint (auto_map)")
    named = raw.get("architectures")
    listed = named if isinstance(named, list) else []
    known = next((one for name, one in ARCHITECTURES.items() if name in listed), None)
    if known is None:
        raise CheckpointUnusable(f"architectures {named} are not among {list(ARCHITECTURES)}")
    try:
        return known.read_config(raw), known.own_name
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointUnusable(f"config.json: {error}") from error
