"""Slots come from the memory there is."""

import logging
import os

import pytest
import torch

from inference.cache import CACHE_SHARE, CacheTooLarge, memory_budget_bytes, slots_that_fit
from inference.engine import NativeEngine
from inference.models.config import NemotronHConfig
from inference.models.nemotron_h import NemotronH
from tests.inference.test_engine import CONFIG, ask, collect

MODEL = NemotronH(NemotronHConfig.from_dict(CONFIG)).requires_grad_(requires_grad=False)
CONTEXT = 128
# One attention layer (keys and values, 1 head of 16) and two Mamba layers (80 channels of 3
# columns; 4 heads of 16 x 8 states), all of 4 bytes.
SLOT_BYTES = 4 * (2 * CONTEXT * 16 + 2 * (80 * 3 + 4 * 16 * 8))


def fit(budget_bytes: int, wanted: int = 4) -> int:
    return slots_that_fit(
        MODEL,
        wanted=wanted,
        context_tokens=CONTEXT,
        dtype=torch.float32,
        budget_bytes=budget_bytes,
    )


@pytest.mark.parametrize(
    ("budget_bytes", "slots"),
    [
        (SLOT_BYTES, 1),
        (2 * SLOT_BYTES - 1, 1),
        (2 * SLOT_BYTES, 2),
        (4 * SLOT_BYTES, 4),
        (99 * SLOT_BYTES, 4),
    ],
)
def test_as_many_slots_as_fit_and_no_more_than_wanted(budget_bytes, slots):
    assert fit(budget_bytes) == slots


def test_fewer_slots_than_wanted_are_said(caplog):
    with caplog.at_level(logging.WARNING, logger="inference.cache"):
        fit(3 * SLOT_BYTES)

    assert "3 slots instead of 4" in caplog.text


def test_a_budget_below_one_slot_is_refused_with_both_figures():
    with pytest.raises(CacheTooLarge, match=rf"needs {SLOT_BYTES} bytes.* and {SLOT_BYTES - 1} "):
        fit(SLOT_BYTES - 1)


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
        MODEL, max_batch=4, context_tokens=CONTEXT, threads=1, cache_bytes=SLOT_BYTES
    )

    try:
        assert engine.stats().slots_total == 1
        assert (await collect(engine, ask("one")))[1] == "length"
    finally:
        engine.stop()
