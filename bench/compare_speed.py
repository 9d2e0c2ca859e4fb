"""Time `lictor compare` on a large pair, and say what share of plain reading that is."""

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import numpy as np

from bench.compare_models import encode, save
from bench.machine import say

_HIDDEN: Final = 4480
_WIDE: Final = 15680
_9B_BYTES: Final = 2 * 17.8e9
_CHUNK: Final = 1 << 22


def measure_speed(gigabytes: float, workers: list[int]) -> dict[str, Any]:
    """Write a pair of so many GB each, then time reading both and comparing them.

    Reading and comparing both start from the page cache, so that the limit is the program's; the
    rate of the disk, where pages can be dropped, is another limit and reported apart.
    """
    with tempfile.TemporaryDirectory(prefix="compare-speed-") as name:
        base, derived = _write_pair(Path(name), gigabytes)
        size = sum(path.stat().st_size for path in Path(name).rglob("*.safetensors"))
        disk = _read_all([base, derived], drop=True)
        cached = min(_read_all([base, derived], drop=False) for _ in range(2))
        rows = [_compare(base, derived, count) for count in workers]
    found: dict[str, Any] = {
        "bytes": size,
        "disk_seconds": disk,
        "cached_seconds": cached,
        "rows": rows,
    }
    found["markdown"] = _markdown(found)
    return found


def _write_pair(folder: Path, gigabytes: float) -> tuple[Path, Path]:
    """Write MLP layers of a 9B's width, one tensor after the other; the derived is fine-tuned."""
    rng = np.random.default_rng(0)
    layers = max(1, round(gigabytes * 1e9 / (2 * 2 * _HIDDEN * _WIDE)))
    noise = rng.standard_normal((_HIDDEN, _WIDE), dtype=np.float32) * np.float32(0.02)
    folders = folder / "base", folder / "derived"
    for layer in range(layers):
        for kind in ("up", "down"):
            values = np.roll(noise, layer, axis=1) if kind == "down" else np.roll(noise, layer).T
            name = f"backbone.layers.{layer}.mixer.{kind}_proj.weight"
            change = rng.standard_normal(len(values), dtype=np.float32)[:, None] * np.float32(1e-3)
            for path, weights in zip(folders, (values, values + change), strict=True):
                part = save(path / f"part-{layer}-{kind}", {name: np.ascontiguousarray(weights)})
                file = part / "model.safetensors"
                file.rename(path / f"model-{layer:03d}-{kind}.safetensors")
                part.rmdir()
    norm = {"backbone.norm_f.weight": np.ones(_HIDDEN, dtype=np.float32)}
    for path in folders:
        save(path, norm)
    say(f"wrote {layers} layers on both sides; {len(encode(noise[:1], 'BF16'))} bytes a row")
    return folders


def _read_all(folders: list[Path], *, drop: bool) -> float:
    """Read every byte of both through one buffer; with `drop`, from the disk if that works."""
    buffer = bytearray(_CHUNK)
    began, paused = time.perf_counter(), 0.0
    for path in sorted(path for folder in folders for path in folder.rglob("*.safetensors")):
        with path.open("rb", buffering=0) as file:
            if drop:
                at = time.perf_counter()
                os.fsync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
                paused += time.perf_counter() - at
            while file.readinto(buffer):
                pass
    return time.perf_counter() - began - paused


def _compare(base: Path, derived: Path, workers: int) -> dict[str, Any]:
    """Run the command in a process of its own, so that its memory is its own."""
    command = [
        *(sys.executable, "-m", "registry.cli", "compare", str(base), str(derived)),
        *("--json", "--no-digests", "--workers", str(workers)),
    ]
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    seconds = time.perf_counter() - began
    # The largest of all children so far: it can only be too high.
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    return {"workers": workers, "seconds": seconds, "peak_bytes": peak}


def _markdown(found: dict[str, Any]) -> str:
    size, cached = found["bytes"], found["cached_seconds"]
    lines = [
        f"A pair of {size / 2e9:.2f} GB each, hidden size {_HIDDEN}, every matrix changed. Reading "
        f"both: {found['disk_seconds']:.1f} s from the disk, {cached:.2f} s from the page cache.",
        "",
        "| workers | seconds | GB/s | share of cached reading | share of the disk's | "
        "peak memory | 9B pair (35.6 GB) |",
        "|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in found["rows"]:
        rate = size / row["seconds"]
        lines.append(
            f"| {row['workers']} | {row['seconds']:.1f} | {rate / 1e9:.2f} | "
            f"{cached / row['seconds']:.0%} | {found['disk_seconds'] / row['seconds']:.0%} | "
            f"{row['peak_bytes'] / 2**20:.0f} MiB | {_9B_BYTES / rate:.0f} s |"
        )
    return "\n".join(lines) + "\n"
