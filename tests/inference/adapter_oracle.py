"""Run a layer's CUDA path on mamba-ssm's functions: `python adapter_oracle.py IN OUT SIZES`.

Runs in .venv-oracles like mamba_oracle, with this repository on the path: the same adapters and
the same layer as on a GPU, over the packages' Triton kernels in Triton's interpreter, and over
their reference functions.
"""

import json
import sys

import torch
from safetensors.torch import load_file, save_file

from inference.kernels.mamba import MambaKernels
from inference.layers.mamba2 import Mamba2, MambaState
from inference.models.config import NemotronHConfig
from tests.inference.mamba_oracle import prepare


def reference_step(reference):
    """Give the reference function the kernel's choice of slots, which it does not have."""

    def step(state, *given, state_batch_indices, **more):
        chosen = state[state_batch_indices]
        y = reference(chosen, *given, **more)
        state[state_batch_indices] = chosen
        return y

    return step


def reference_scan(reference):
    """Pass time token by token with the reference step: it takes states, which scans do not."""

    def scan(u, dt, rate, b, c, chunk, *, initial_states, return_final_states, **more):
        skip = more.pop("D")[:, None].expand(initial_states.shape[1:3])
        assert more == {"z": None, "dt_bias": None, "dt_softplus": False}
        assert return_final_states
        assert chunk in (16, 32, 64, 128, 256)
        state, said = initial_states.clone(), []
        wide = rate[:, None, None].expand(state.shape[1:])
        for t in range(u.shape[1]):
            each = dt[:, t, :, None].expand(-1, -1, state.shape[2])
            said.append(reference(state, u[:, t], each, wide, b[:, t], c[:, t], D=skip))
        return torch.stack(said, 1), state

    return scan


def kernels():
    from mamba_ssm.ops.triton.selective_state_update import (
        selective_state_update,
        selective_state_update_ref,
    )
    from mamba_ssm.ops.triton.ssd_combined import mamba_chunk_scan_combined

    yield "kernels", MambaKernels(selective_state_update, mamba_chunk_scan_combined)
    step = selective_state_update_ref
    yield "reference", MambaKernels(reference_step(step), reference_scan(step))


def whole(layer, given, one):
    """Read ragged pieces, go on with more, then steps; a slot nobody has is left alone."""
    state = MambaState(given["conv"].clone(), given["ssm"].clone())
    slots, found = given["slots"], []
    lengths = [given["first"], given["second"]]
    for n, fresh in enumerate((given["fresh"].bool(), torch.zeros(len(slots), dtype=torch.bool))):
        gate, xbc, dt = layer._project(given[f"piece{n}"])
        y = layer.read_in(one, xbc, dt, state, slots, lengths[n], fresh)
        found.append(layer._out(y, gate, xbc.dtype))
    for token in given["tokens"]:
        gate, xbc, dt = layer._project(token)
        found.append(layer._out(layer.step_in(one, xbc, dt, state, slots), gate, xbc.dtype))
    return [*found, state.conv, state.ssm]


def main():
    torch.set_num_threads(1)
    prepare()
    given, config = load_file(sys.argv[1]), json.loads(sys.argv[3])
    layer = Mamba2(NemotronHConfig.from_dict(config))
    weights = {n.removeprefix("layer."): t for n, t in given.items() if n.startswith("layer.")}
    layer.load_state_dict(weights, strict=True)
    flat = {}
    with torch.no_grad():
        for name, one in kernels():
            for n, tensor in enumerate(whole(layer, given, one)):
                flat[f"{name} {n}"] = tensor.contiguous()
    save_file(flat, sys.argv[2])


if __name__ == "__main__":
    main()
