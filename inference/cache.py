"""Say how many slots fit this machine's memory, so that what is admitted never runs out of it.

The cache is allocated lazily by the system: without this, too large a one fails not at the start
but in the middle of requests. Knows nothing about requests.
"""

import logging
import os
from pathlib import Path
from typing import Final

import torch

from inference.models.nemotron_h import NemotronH

# The rest is for the weights, a prompt's activations, and what else runs on the machine.
CACHE_SHARE: Final = 0.5
_CGROUP_LIMIT: Final = Path("/sys/fs/cgroup/memory.max")
log = logging.getLogger(__name__)


class CacheTooLarge(ValueError):  # noqa: N818  the name says what happened
    """Not even one sequence of the wanted length fits."""


def slots_that_fit(
    model: NemotronH, *, wanted: int, context_tokens: int, dtype: torch.dtype, budget_bytes: int
) -> int:
    """Return how many sequences of `context_tokens` the budget holds, from 1 to `wanted`.

    Raises: CacheTooLarge.
    """
    slot_bytes = model.make_cache(1, context_tokens, dtype).num_bytes
    fitting = budget_bytes // slot_bytes
    if fitting < 1:
        raise CacheTooLarge(
            f"one sequence of {context_tokens} tokens needs {slot_bytes} bytes of cache and "
            f"{budget_bytes} are there; choose a shorter context"
        )
    if fitting < wanted:
        log.warning(
            "%d slots instead of %d: %d bytes each, %d in all",
            fitting,
            wanted,
            slot_bytes,
            budget_bytes,
        )
    return min(wanted, fitting)


def memory_budget_bytes(cgroup_limit: Path = _CGROUP_LIMIT) -> int:
    """Return the bytes a cache may take: a share of the machine's memory or the container's."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        limit = cgroup_limit.read_text(encoding="ascii").strip()
    except OSError:
        limit = "max"
    if limit.isdecimal():
        total = min(total, int(limit))
    return int(total * CACHE_SHARE)
