"""Slots come from the memory there is."""

import logging
import os

import pytest
import torch

from inference.cache import (
    CACHE_SHARE,
    CacheCost,
    CacheSize,
    CacheTooLarge,
    Pool,
    memory_budget_bytes,
    plan_cache,
)
from inference.engine import NativeEngine
from inference.models.config import NemotronHConfig
from inference.models.nemotron_h import NemotronH
from tests.inference.test_engine import CONFIG, ask, collect

MODEL = NemotronH(NemotronHConfig.from_dict(CONFIG)).requires_grad_(requires_grad=False)
# Two Mamba layers (80 channels of 3 columns; 4 heads of 16 x 8 states) and one attention layer
# (keys and values of 16 tokens, 1 head of 16), all of 4 bytes.
COST = CacheCost(slot_bytes=4 * 2 * (80 * 3 + 4 * 16 * 8), block_bytes=4 * 2 * 16 * 16)
CONTEXT = 128
SEQUENCE_BYTES = COST.slot_bytes + 8 * COST.block_bytes


def size(budget_bytes: int, *, wanted: int = 4, cost: CacheCost = COST) -> CacheSize:
    return plan_cache(cost, max_batch=wanted, context_tokens=CONTEXT, budget_bytes=budget_bytes)


def test_a_models_cost_is_what_its_cache_really_takes():
    cache = MODEL.make_cache(slots=3, blocks=5, block_tokens=16, dtype=torch.float32)

    assert MODEL.cache_cost(torch.float32) == COST
    assert cache.num_bytes == 4 * COST.slot_bytes + 6 * COST.block_bytes


@pytest.mark.parametrize(
    ("budget_bytes", "slots", "blocks"),
    [
        (SEQUENCE_BYTES, 1, 8),
        (2 * SEQUENCE_BYTES - 1, 1, 8),
        (2 * SEQUENCE_BYTES, 2, 16),
        (4 * SEQUENCE_BYTES, 4, 32),
        (99 * SEQUENCE_BYTES, 4, 32),
    ],
)
def test_as_much_cache_as_fits_and_no_more_than_wanted(budget_bytes, slots, blocks):
    assert size(budget_bytes) == CacheSize(slots, blocks)


def test_long_contexts_share_blocks_rather_than_cost_slots():
    per_context = 8192 // 16
    budget = 16 * COST.slot_bytes + 2 * per_context * COST.block_bytes

    planned = plan_cache(COST, max_batch=16, context_tokens=8192, budget_bytes=budget)

    assert planned == CacheSize(16, 2 * per_context)


def test_a_model_without_attention_needs_no_blocks_of_memory():
    assert size(4000, cost=CacheCost(1000, 0)) == CacheSize(4, 32)


def test_fewer_sequences_than_wanted_are_said(caplog):
    with caplog.at_level(logging.WARNING, logger="inference.cache"):
        size(3 * SEQUENCE_BYTES)

    assert "room for 3 sequences at once, not 4" in caplog.text


def test_a_budget_below_one_sequence_is_refused_with_both_figures():
    with pytest.raises(CacheTooLarge, match=rf"needs {SEQUENCE_BYTES} bytes.* and 9 are there"):
        size(9)


def test_a_number_is_handed_out_once_and_taken_back_once():
    pool = Pool(3)
    taken = pool.take(3)

    with pytest.raises(ValueError, match="1 wanted and 0 of 3"):
        pool.take(1)
    pool.give(taken[:1])
    with pytest.raises(KeyError):
        pool.give(taken[:1])

    assert sorted(taken) == [1, 2, 3]
    assert (pool.free, pool.used) == (1, 2)


def test_a_containers_limit_counts_when_it_is_lower(tmp_path):
    limit = tmp_path / "memory.max"
    limit.write_text("1000000\n")

    assert memory_budget_bytes(limit) == 1_000_000 * CACHE_SHARE


@pytest.mark.parametrize("text", ["max\n", str(2**62)])
def test_no_limit_or_a_higher_one_leaves_the_machines_memory(tmp_path, text):
    limit = tmp_path / "memory.max"
    limit.write_text(text)
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")

    assert memory_budget_bytes(limit) == int(machine * CACHE_SHARE)
    assert memory_budget_bytes(tmp_path / "none") == int(machine * CACHE_SHARE)


async def test_an_engine_short_of_memory_serves_with_fewer_slots():
    engine = NativeEngine(
        MODEL, max_batch=4, context_tokens=CONTEXT, threads=1, cache_bytes=SEQUENCE_BYTES
    )

    try:
        assert engine.stats().slots_total == 1
        assert (await collect(engine, ask("one")))[1] == "length"
    finally:
        engine.stop()
