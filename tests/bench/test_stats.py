"""Numbers out of streams, and ratios out of numbers."""

from typing import Any

import pytest

from bench.load import Stream
from bench.prompts import prompts
from bench.stats import WrongAnswer, compare, over_rounds, percentile, summarise_round


def stream(*events: float, sent: float = 0.0, tokens: int | None = None) -> Stream:
    return Stream(sent, list(events), "", 64, len(events) if tokens is None else tokens)


def row(
    engine: str, speed: float, *, dtype: str = "fp32", batch: int = 1, others: float = 0.0
) -> dict[str, Any]:
    rounds = [{"tokens_per_second": speed, "others_cores": others}]
    place = {"model": "m", "batch": batch, "engine": engine, "dtype": dtype}
    return {**place, "label": f"{engine} {dtype}", "rounds": rounds, "summary": over_rounds(rounds)}


def test_throughput_counts_all_streams_until_the_last_token() -> None:
    found = summarise_round(
        [stream(1.0, 1.5, 2.0), stream(1.0, 2.5, 4.0)], prompt_tokens=64, new_tokens=3
    )
    assert found["tokens_per_second"] == 6 / 4.0
    assert (found["gap_ms_p50"], found["gap_ms_p99"]) == (500.0, 1500.0)


def test_the_first_token_is_timed_from_its_own_request() -> None:
    streams = [stream(2.0, 3.0, sent=1.0)]
    assert summarise_round(streams, prompt_tokens=64, new_tokens=2)["ttft_ms_p50"] == 1000.0


def test_events_that_carry_more_tokens_than_one_are_counted_by_usage() -> None:
    found = summarise_round([stream(1.0, 3.0, tokens=5)], prompt_tokens=64, new_tokens=5)
    assert (found["tokens_per_event"], found["tpot_ms_p50"]) == (2.5, 500.0)


@pytest.mark.parametrize("asked", [(64, 4), (63, 3)])
def test_another_number_of_tokens_than_asked_for_is_refused(asked: tuple[int, int]) -> None:
    with pytest.raises(WrongAnswer):
        summarise_round([stream(1.0, 2.0, 3.0)], prompt_tokens=asked[0], new_tokens=asked[1])


def test_a_percentile_is_one_of_the_values() -> None:
    assert [percentile([3, 1, 2, 4], share) for share in (0.0, 0.5, 0.75, 0.99)] == [1, 2, 3, 4]


def test_the_faster_transformers_and_vllm_of_the_same_dtype_are_compared_with() -> None:
    rows = [row("ours", 300), row("vllm", 100), row("vllm", 400, dtype="bf16")]
    rows += [row("transformers", 50), row("transformers", 150, dtype="bf16")]
    found = {one["peer"]: (one["ratio"], one["met"]) for one in compare(rows)}
    assert found == {"transformers bf16": (2.0, True), "vllm fp32": (3.0, True)}


def test_a_bar_is_missed_by_less_than_it_asks_and_absent_where_none_is_set() -> None:
    rows = [row("ours", 99, batch=b) for b in (4, 16)] + [
        row("vllm", 100, batch=b) for b in (4, 16)
    ]
    assert [(one["bar"], one["met"]) for one in compare(rows)] == [(None, None), (1.0, False)]


def test_no_bar_is_judged_where_others_had_the_cores() -> None:
    found = compare([row("ours", 300), row("vllm", 10, others=1.3)])
    assert [(one["ratio"], one["bar"], one["met"]) for one in found] == [(30.0, 1.3, None)]


def test_a_peer_that_did_not_run_has_no_ratio() -> None:
    assert compare([row("ours", 99)]) == []


def test_prompts_have_their_length_and_never_repeat_within_a_run() -> None:
    seeds = [f"m {batch} {number}" for batch in (1, 16) for number in range(3)]
    texts = [text for seed in seeds for text in prompts(seed=seed, count=16, length=64)]
    assert {len(text) for text in texts} == {64}
    assert len(set(texts)) == len(texts)
    assert prompts(seed="a", count=2, length=64) == prompts(seed="a", count=2, length=64)
