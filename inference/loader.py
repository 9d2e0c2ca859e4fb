"""Read a checkpoint's config and weights; the bytes that are hashed are the bytes that are used."""

import hashlib
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from inference.models.config import NemotronHConfig
from inference.models.nemotron_h import NemotronH, WeightsMismatch, canonical_name

log = logging.getLogger(__name__)

ARCHITECTURES: Final = ("NemotronHForCausalLM",)
DTYPES: Final = {"fp32": torch.float32, "bf16": torch.bfloat16}
_PICKLES: Final = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
_WEIGHT_DTYPES: Final = (torch.float32, torch.bfloat16, torch.float16)
# Parameters of the recurrence that stay in fp32: its state is a long sum of small steps.
_ALWAYS_FP32: Final = ("A_log", "dt_bias", ".D")


class CheckpointUnusable(ValueError):  # noqa: N818  the name says what happened
    """The folder cannot be loaded: says which file, what is wrong and what to do."""


def load_model(
    folder: Path, *, digests: Mapping[str, str] | None = None, dtype: str = "fp32"
) -> NemotronH:
    """Load a NemotronH checkpoint for inference.

    `digests` maps each path to the hex SHA-256 that was approved; every file read is held to it,
    on the very bytes that are then parsed. None checks nothing (unmanaged use).

    Raises: CheckpointUnusable.
    """
    if dtype not in DTYPES:
        raise CheckpointUnusable(f"dtype {dtype!r} is not one of {', '.join(DTYPES)}")
    config = _config(_read(folder, "config.json", digests))
    model = NemotronH(config)
    tensors: dict[str, Tensor] = {}
    for path in _weight_files(folder):
        for name, tensor in _tensors(_read(folder, path, digests), path).items():
            if canonical_name(name) in tensors:
                raise CheckpointUnusable(f"{path}: tensor {name} is in another file too")
            tensors[canonical_name(name)] = tensor
    try:
        model.load_tensors(tensors)
    except (WeightsMismatch, KeyError) as error:
        raise CheckpointUnusable(f"{folder}: {error}") from error
    _cast(model, DTYPES[dtype])
    return model.eval().requires_grad_(requires_grad=False)


def _config(data: bytes) -> NemotronHConfig:
    try:
        raw: Any = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise CheckpointUnusable(f"config.json is not JSON: {error}") from error
    if not isinstance(raw, dict):
        raise CheckpointUnusable("config.json is not an object")
    if "auto_map" in raw:
        raise CheckpointUnusable("config.json asks for code from the checkpoint (auto_map)")
    named = raw.get("architectures") or []
    if not set(named) & set(ARCHITECTURES):
        raise CheckpointUnusable(f"architectures {named} are not among {list(ARCHITECTURES)}")
    try:
        return NemotronHConfig.from_dict(raw)
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointUnusable(f"config.json: {error}") from error


def _weight_files(folder: Path) -> list[str]:
    names = sorted(path.name for path in folder.iterdir() if path.is_file())
    if pickles := [name for name in names if name.endswith(_PICKLES)]:
        raise CheckpointUnusable(f"{pickles[0]} can hold a pickle; use safetensors")
    found = [name for name in names if name.endswith(".safetensors")]
    if not found:
        raise CheckpointUnusable(f"{folder} has no safetensors files")
    return found


def _read(folder: Path, path: str, digests: Mapping[str, str] | None) -> bytes:
    try:
        data = (folder / path).read_bytes()
    except OSError as error:
        raise CheckpointUnusable(f"{path} cannot be read: {error}") from error
    if digests is not None:
        found = hashlib.sha256(data).hexdigest()
        if digests.get(path) != found:
            approved = digests.get(path, "no such file")
            raise CheckpointUnusable(f"{path} has SHA-256 {found}; approved is {approved}")
    return data


def _tensors(data: bytes, path: str) -> dict[str, Tensor]:
    try:
        tensors: dict[str, Tensor] = safetensors.torch.load(data)
    except (SafetensorError, ValueError, KeyError) as error:
        raise CheckpointUnusable(f"{path} is not a safetensors file: {error}") from error
    for name, tensor in tensors.items():
        # Copied into a float parameter, quantised values would load without their scales.
        if tensor.dtype not in _WEIGHT_DTYPES:
            raise CheckpointUnusable(
                f"{path}: tensor {name} is {tensor.dtype}; quantised weights are not supported"
            )
        if not bool(torch.isfinite(tensor).all()):
            raise CheckpointUnusable(f"{path}: tensor {name} holds values that are not finite")
    return tensors


def _cast(model: NemotronH, dtype: torch.dtype) -> None:
    for name, parameter in model.named_parameters():
        keep = name.endswith(_ALWAYS_FP32)
        parameter.data = parameter.data.to(torch.float32 if keep else dtype)
