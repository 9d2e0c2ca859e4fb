"""List the GPUs that a plan can be made for.

`total_bytes` is what the maker sells (its "GB" of memory are GiB); `usable_bytes` is what the
driver leaves for a process, as PyTorch prints it when memory runs out ("GPU 0 has a total capacity
of ..."). The latter varies a little with driver and ECC, so a live machine's own number always
outranks this table.
Sources: A10G 600 GB/s and 24 GB, AWS EC2 G5; the others from NVIDIA's data sheets of each card.
"""

from dataclasses import dataclass
from typing import Final

from registry.errors import BadInput

GIB: Final = 2**30


@dataclass(frozen=True, slots=True)
class Gpu:
    """Describe one card; bandwidth is in bytes per second."""

    name: str
    total_bytes: int
    usable_bytes: int
    bandwidth: int


def _gpu(name: str, total_gib: int, usable_gib: float, gb_per_second: int) -> Gpu:
    return Gpu(name, total_gib * GIB, int(usable_gib * GIB), gb_per_second * 10**9)


GPUS: Final[dict[str, Gpu]] = {
    gpu.name: gpu
    for gpu in (
        _gpu("a10g", 24, 22.06, 600),
        _gpu("l4", 24, 22.03, 300),
        _gpu("t4", 16, 14.56, 320),
        _gpu("a100-40gb", 40, 39.39, 1555),
        _gpu("a100-80gb", 80, 79.14, 2039),
        _gpu("h100-80gb", 80, 79.10, 3350),
        _gpu("h200", 141, 139.0, 4800),
    )
}

ALIASES: Final[dict[str, str]] = {
    "a100-40": "a100-40gb",
    "a100-80": "a100-80gb",
    "h100": "h100-80gb",
    "h100-80": "h100-80gb",
}


def gpu_named(name: str) -> Gpu:
    """Find a GPU by name, whatever its case; the short names in `ALIASES` mean the same cards.

    Raises: BadInput (code gpu_unknown) naming those that are known.
    """
    wanted = name.lower()
    if gpu := GPUS.get(ALIASES.get(wanted, wanted)):
        return gpu
    raise BadInput(
        f"GPU {name!r} is not known.",
        code="gpu_unknown",
        place="gpu",
        remedy=f"Choose one of {', '.join(GPUS)}.",
    )
