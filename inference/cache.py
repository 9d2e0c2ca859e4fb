"""Share out the cache: how many slots and blocks the memory holds, and who has which.

A sequence has one state slot, however long it is, and one KV block for every `block_tokens`
tokens. Knows nothing about tensors, nor about which sequence should go first.
"""

import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

BLOCK_TOKENS: Final = 16
# Slots are only worth their state if there is room for tokens to go with it: with less than this
# for each, sequences would keep throwing each other out.
TOKENS_PER_SLOT: Final = 1024
# The rest is for the weights, a prompt's activations, and what else runs on the machine.
CACHE_SHARE: Final = 0.5
# Of what the weights leave on a device of its own: the rest is for activations and graphs.
DEVICE_SHARE: Final = 0.8
_CGROUP_LIMIT: Final = Path("/sys/fs/cgroup/memory.max")
log = logging.getLogger(__name__)


class CacheTooLarge(ValueError):  # noqa: N818  the name says what happened
    """Not even one sequence of the wanted length fits."""


@dataclass(frozen=True, slots=True)
class CacheCost:
    """Bytes that one state slot and one KV block take; either may be 0."""

    slot_bytes: int
    block_bytes: int


@dataclass(frozen=True, slots=True)
class CacheSize:
    """Say how much cache there is: `slots` sequences at once, `blocks` KV blocks among them."""

    slots: int
    blocks: int
    block_tokens: int = BLOCK_TOKENS


def blocks_for(tokens: int, block_tokens: int = BLOCK_TOKENS) -> int:
    """Return how many blocks hold so many tokens."""
    return -(-tokens // block_tokens)


def plan_cache(
    cost: CacheCost, *, max_batch: int, context_tokens: int, budget_bytes: int
) -> CacheSize:
    """Return the most slots, up to `max_batch`, and the blocks that go with them.

    Law: slots and blocks together stay within the budget, and the blocks hold at least one
    sequence of `context_tokens`, so whatever is admitted can always run to its end.

    Raises: CacheTooLarge.
    """
    per_sequence = blocks_for(context_tokens)
    usual = min(per_sequence, blocks_for(TOKENS_PER_SLOT))
    for slots in range(max_batch, 0, -1):
        left = budget_bytes - slots * cost.slot_bytes
        most = slots * per_sequence
        blocks = min(most, left // cost.block_bytes) if cost.block_bytes else most
        if left >= 0 and blocks >= max(per_sequence, slots * usual):
            if slots < max_batch:
                log.warning("room for %d sequences at once, not %d", slots, max_batch)
            return CacheSize(slots, blocks)
    needed = cost.slot_bytes + per_sequence * cost.block_bytes
    raise CacheTooLarge(
        f"one sequence of {context_tokens} tokens needs {needed} bytes of cache and "
        f"{budget_bytes} are there; choose a shorter context"
    )


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


def device_budget_bytes(
    *, total: int, free: int, reserved: int, fraction: float | None = None
) -> int:
    """Return the bytes a cache may take on a device that already holds the weights.

    `free` of its `total` bytes are left to anyone, and this process has `reserved` some; with
    `fraction` it may have no more than that of the total. A share is left to activations.
    """
    left = free if fraction is None else min(free, int(total * fraction) - reserved)
    return int(max(0, left) * DEVICE_SHARE)


class Pool:
    """Hand out the numbers 1 to `size`; 0 belongs to nobody.

    Laws: a number has at most one owner; what is given back is free again exactly once.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._free = list(range(size, 0, -1))
        self._taken: set[int] = set()

    @property
    def free(self) -> int:
        return len(self._free)

    @property
    def used(self) -> int:
        return len(self._taken)

    def take(self, count: int) -> list[int]:
        """Raises: ValueError if there are not so many; then nothing is taken."""
        if count > len(self._free):
            raise ValueError(f"{count} wanted and {len(self._free)} of {self.size} are free")
        taken = [self._free.pop() for _ in range(count)]
        self._taken.update(taken)
        return taken

    def give(self, numbers: Iterable[int]) -> None:
        """Raises: KeyError for a number that nobody has."""
        for number in numbers:
            self._taken.remove(number)
            self._free.append(number)
