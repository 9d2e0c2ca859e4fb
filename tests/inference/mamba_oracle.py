"""Compute with mamba-ssm what the tests compare to: `python mamba_oracle.py IN OUT SIZES`.

Runs in .venv-oracles, whose mamba-ssm was built without CUDA. So its packages' __init__ files,
which import the extension, are passed over, and Triton's kernels run in Triton's own interpreter.
"""

import contextlib
import importlib.util
import json
import sys
from math import prod
from types import ModuleType

import torch
import triton
from safetensors.torch import load_file, save_file

_PACKAGES = ("mamba_ssm", "mamba_ssm.ops", "mamba_ssm.ops.triton", "mamba_ssm.utils")
_PACKAGES += ("mamba_ssm.modules", "mamba_ssm.distributed")


class _Untuned:
    """Run a kernel with one configuration: timing the others needs a device."""

    def __init__(self, kernel, configs):
        self._kernel = kernel
        self.configs = configs
        self._chosen = min(configs, key=lambda config: prod(config.kwargs.values()))

    def __getitem__(self, grid):
        return lambda *args, **kwargs: self._kernel[grid](
            *args, **{**self._chosen.kwargs, **kwargs}
        )


def prepare():
    """Let mamba-ssm's submodules be imported, and its kernels start, on a CPU."""
    root = importlib.util.find_spec("mamba_ssm").submodule_search_locations[0]
    for name in _PACKAGES:
        package = ModuleType(name)
        package.__path__ = ["/".join([root, *name.split(".")[1:]])]
        sys.modules[name] = package
    triton.autotune = lambda configs, key, **_: lambda kernel: _Untuned(kernel, configs)
    torch.cuda.device = lambda *_: contextlib.nullcontext()


def scans(given, chunk):
    """Scan in the paper's listing, in the reference and in the kernels."""
    from mamba_ssm.modules.ssd_minimal import ssd_minimal_discrete
    from mamba_ssm.ops.triton.ssd_combined import (
        mamba_chunk_scan_combined,
        ssd_chunk_scan_combined_ref,
    )

    x, dt, a, b, c, initial = (given[name] for name in ("x", "dt", "a", "b", "c", "initial"))
    each = x.shape[2] // b.shape[2]
    wide = (t.repeat_interleave(each, 2) for t in (b, c))
    yield "reference", [ssd_chunk_scan_combined_ref(x, dt, a, b, c, chunk)]
    yield "listing", ssd_minimal_discrete(x * dt[..., None], a * dt, *wide, chunk, initial[:, None])
    yield (
        "kernels",
        mamba_chunk_scan_combined(
            x, dt, a, b, c, chunk, initial_states=initial, return_final_states=True
        ),
    )


def mixer(given, sizes):
    """Run a whole Mamba-2 layer over sequences, then one step on states, both ways."""
    from mamba_ssm.modules import mamba2
    from mamba_ssm.ops.triton.selective_state_update import selective_state_update_ref

    layer = mamba2.Mamba2(**sizes, layer_idx=0, use_mem_eff_path=False)
    weights = {n.removeprefix("layer."): t for n, t in given.items() if n.startswith("layer.")}
    layer.load_state_dict(weights, strict=True)
    yield "whole", [layer(given["sequences"])]
    for name in ("kernels", "reference"):
        if name == "reference":
            mamba2.selective_state_update = selective_state_update_ref
        conv, ssm = given["conv"].clone(), given["ssm"].clone()
        out, _, _ = layer.step(given["token"][:, None], conv, ssm)
        yield f"step {name}", [out[:, 0], conv, ssm]


def main():
    torch.set_num_threads(1)
    prepare()
    given, sizes = load_file(sys.argv[1]), json.loads(sys.argv[3])
    with torch.no_grad():
        found = dict([*scans(given, sizes["chunk_size"]), *mixer(given, sizes)])
    flat = {f"{name} {n}": t.contiguous() for name, ts in found.items() for n, t in enumerate(ts)}
    save_file(flat, sys.argv[2])


if __name__ == "__main__":
    main()
