"""Synthetic checkpoints with the traits of trained ones, written as safetensors.

Spectra fall off like a power law over a noise floor, rows differ in norm, and matrices that write
to the residual stream share a few strong directions with those that read from it.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
Weights = dict[str, F32]

_KNOWN = {"BF16": 2, "F16": 2, "F32": 4, "I8": 1, "F8_E4M3": 1}


def to_bf16(values: F32) -> F32:
    """Round to the nearest bfloat16, ties to even."""
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)).view(np.float32)


def encode(values: NDArray[np.generic], dtype: str) -> bytes:
    if dtype == "BF16":
        rounded = to_bf16(np.asarray(values, dtype=np.float32))
        return (rounded.view(np.uint32) >> 16).astype("<u2").tobytes()
    kinds = {"F16": "<f2", "F32": "<f4", "I8": "i1", "F8_E4M3": "u1"}
    return values.astype(kinds[dtype]).tobytes()


def save(
    folder: Path,
    weights: Mapping[str, NDArray[np.generic]],
    *,
    dtype: str = "BF16",
    dtypes: Mapping[str, str] | None = None,
    shards: int = 1,
) -> Path:
    """Write a checkpoint folder in so many shards; `dtypes` overrides `dtype` by name."""
    folder.mkdir(parents=True, exist_ok=True)
    names = list(weights)
    size = -(-len(names) // shards)
    for shard in range(shards):
        chosen = names[shard * size : (shard + 1) * size]
        header, data, position = {}, [], 0
        for name in chosen:
            kind = (dtypes or {}).get(name, dtype)
            raw = encode(weights[name], kind)
            header[name] = {
                "dtype": kind,
                "shape": list(weights[name].shape),
                "data_offsets": [position, position + len(raw)],
            }
            position += len(raw)
            data.append(raw)
        text = json.dumps(header).encode()
        suffix = f"-{shard + 1:05d}-of-{shards:05d}" if shards > 1 else ""
        with (folder / f"model{suffix}.safetensors").open("wb") as file:
            file.write(len(text).to_bytes(8, "little") + text)
            for raw in data:
                file.write(raw)
    return folder


class Maker:
    """Make a base model: "hybrid" as NemotronH names it, or "transformer" as Llama does."""

    def __init__(self, seed: int, *, family: str = "hybrid", hidden: int = 256, layers: int = 6,
                 vocab: int = 512) -> None:  # fmt: skip
        self.rng = np.random.default_rng(seed)
        self.family, self.hidden, self.layers, self.vocab = family, hidden, layers, vocab
        self.shared = self._unit(3)

    def weights(self) -> Weights:
        hybrid = self.family == "hybrid"
        stem = "backbone" if hybrid else "model"
        table = "embeddings" if hybrid else "embed_tokens"
        made = {f"{stem}.{table}.weight": self._table()}
        for layer in range(self.layers):
            prefix = f"{stem}.layers.{layer}."
            made |= {prefix + name: w for name, w in self._layer(layer).items()}
        made[f"{stem}.norm_f.weight" if hybrid else f"{stem}.norm.weight"] = self._norm()
        made["lm_head.weight"] = self._table()
        return {name: to_bf16(values) for name, values in made.items()}

    def _layer(self, layer: int) -> Weights:
        if self.family != "hybrid":
            return self._decoder()
        return {"norm.weight": self._norm()} | (
            self._mamba, self._mlp, self._attention, self._mlp
        )[layer % 4]()  # fmt: skip

    def _mamba(self) -> Weights:
        d = self.hidden
        return {
            "mixer.A_log": self.rng.uniform(0, 2, 8).astype(np.float32),
            "mixer.conv1d.weight": self._noise(d, 4).reshape(d, 1, 4),
            "mixer.in_proj.weight": self._reader(2 * d + 40),
            "mixer.out_proj.weight": self._writer(d),
        }

    def _mlp(self) -> Weights:
        wide = 2 * self.hidden
        return {
            "mixer.up_proj.weight": self._reader(wide),
            "mixer.down_proj.weight": self._writer(wide),
        }

    def _attention(self, stem: str = "mixer") -> Weights:
        d = self.hidden
        return {
            f"{stem}.q_proj.weight": self._reader(d),
            f"{stem}.k_proj.weight": self._reader(d // 4),
            f"{stem}.v_proj.weight": self._reader(d // 4),
            f"{stem}.o_proj.weight": self._writer(d),
        }

    def _decoder(self) -> Weights:
        wide = 2 * self.hidden
        return self._attention("self_attn") | {
            "mlp.gate_proj.weight": self._reader(wide),
            "mlp.up_proj.weight": self._reader(wide),
            "mlp.down_proj.weight": self._writer(wide),
            "input_layernorm.weight": self._norm(),
            "post_attention_layernorm.weight": self._norm(),
        }

    def _writer(self, inputs: int) -> F32:
        return self._matrix(self.hidden, inputs, left=self.shared)

    def _reader(self, outputs: int) -> F32:
        return np.ascontiguousarray(self._matrix(self.hidden, outputs, left=self.shared).T)

    def _table(self) -> F32:
        return np.ascontiguousarray(self._matrix(self.hidden, self.vocab, left=self.shared).T)

    def _matrix(self, m: int, n: int, *, left: F32) -> F32:
        """Make noise with a falling spectrum on top; its first left vectors are the shared ones."""
        rank = max(4, min(m, n) // 16)
        u = np.concatenate([left[:, : left.shape[1]], self._noise(m, rank) / np.sqrt(m)], axis=1)
        v = self._noise(rank + left.shape[1], n) / np.sqrt(n)
        fall = 3.0 * np.sqrt(n) / np.arange(1, u.shape[1] + 1, dtype=np.float32) ** 0.7
        order = self.rng.permutation(u.shape[1])
        body = self._noise(m, n) + (u * fall[order]) @ v
        spread = np.exp(0.25 * self.rng.standard_normal((m, 1), dtype=np.float32))
        return (0.02 * body * spread).astype(np.float32)

    def _noise(self, m: int, n: int) -> F32:
        return self.rng.standard_normal((m, n), dtype=np.float32)

    def _norm(self) -> F32:
        return (1 + 0.1 * self.rng.standard_normal(self.hidden)).astype(np.float32)

    def _unit(self, count: int) -> F32:
        return np.linalg.qr(self._noise(self.hidden, count))[0].astype(np.float32)
