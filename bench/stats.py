"""Turn streams into numbers: one round, all rounds of a point, and ratios against the bars.

Pure. Times are in seconds in, milliseconds out.
"""

import math
from collections.abc import Sequence
from statistics import median
from typing import Any, Final

from bench.load import Stream

# Ours against a peer: (batch or None for every batch, the ratio to reach).
BARS: Final[dict[str, tuple[tuple[int | None, float], ...]]] = {
    "transformers": ((None, 2.0),),
    "vllm": ((1, 1.3), (16, 1.0)),
}

# Of others, while an engine had its turn: above this a number says more about them than about it.
# OpenMP's threads wait for each other, so that one core taken away may cost ten times the time.
BUSY_CORES: Final = 0.25


class WrongAnswer(RuntimeError):  # noqa: N818  the name says what happened
    """An engine generated another number of tokens than it was asked for."""


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that `share` of all values do not exceed (nearest rank)."""
    if not values:
        raise ValueError("no values to take a percentile of")
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def summarise_round(
    streams: Sequence[Stream], *, prompt_tokens: int, new_tokens: int
) -> dict[str, float]:
    """Summarise one round: every stream was sent at about 0 and asked for `new_tokens`.

    Throughput is over the whole batch, from the first request sent to the last token. A gap is
    the time between two events of one stream; `tokens_per_event` says how many tokens, by the
    server's usage, an event carried on average. `tpot` is a stream's mean time per token.

    Raises: WrongAnswer.
    """
    for one in streams:
        found = (one.prompt_tokens, one.completion_tokens)
        if found != (prompt_tokens, new_tokens):
            raise WrongAnswer(f"(prompt, new) tokens {found}, not {(prompt_tokens, new_tokens)}")
    first = [one.events[0] - one.sent for one in streams]
    gaps = [b - a for one in streams for a, b in zip(one.events, one.events[1:], strict=False)]
    tpot = [(one.events[-1] - one.events[0]) / max(1, new_tokens - 1) for one in streams]
    seconds = max(one.events[-1] for one in streams)
    tokens = len(streams) * new_tokens
    return {
        "seconds": seconds,
        "tokens_per_second": tokens / seconds,
        "ttft_ms_p50": 1e3 * median(first),
        "ttft_ms_p99": 1e3 * percentile(first, 0.99),
        "gap_ms_p50": 1e3 * percentile(gaps or [0.0], 0.50),
        "gap_ms_p99": 1e3 * percentile(gaps or [0.0], 0.99),
        "tpot_ms_p50": 1e3 * median(tpot),
        "tpot_ms_max": 1e3 * max(tpot),
        "tokens_per_event": tokens / sum(len(one.events) for one in streams),
    }


def over_rounds(rounds: Sequence[dict[str, float]]) -> dict[str, dict[str, float]]:
    """Give median, min and max over the rounds of every number."""
    return {
        key: {
            "median": median(one[key] for one in rounds),
            "min": min(one[key] for one in rounds),
            "max": max(one[key] for one in rounds),
        }
        for key in rounds[0]
    }


def compare(points: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Compare each of our rows with its peers' at the same model and batch.

    With vLLM at the same dtype (the better one where ours has a dtype that it was not run in),
    with transformers at whichever dtype was faster. The ratio is of medians; `by_round` are the
    ratios of rounds run one after the other. No verdict is given where others had the cores.
    """
    return [
        comparison
        for ours in points
        if ours["engine"] == "ours"
        for peer in BARS
        if (found := _peer_row(points, ours, peer)) is not None
        for comparison in [_comparison(ours, found, peer)]
    ]


def _peer_row(
    points: Sequence[dict[str, Any]], ours: dict[str, Any], peer: str
) -> dict[str, Any] | None:
    rows = [
        row
        for row in points
        if row["engine"] == peer and (row["model"], row["batch"]) == (ours["model"], ours["batch"])
    ]
    if peer == "vllm":
        rows = [row for row in rows if row["dtype"] == ours["dtype"]] or rows
    return max(rows, key=speed, default=None)


def speed(row: dict[str, Any]) -> float:
    return float(row["summary"]["tokens_per_second"]["median"])


def is_calm(row: dict[str, Any]) -> bool:
    """Say whether most rounds of a point had the machine to themselves."""
    others: float = row["summary"]["others_cores"]["median"]
    return others <= BUSY_CORES


def _comparison(ours: dict[str, Any], theirs: dict[str, Any], peer: str) -> dict[str, Any]:
    bars = [bar for batch, bar in BARS[peer] if batch is None or batch == ours["batch"]]
    ratio = speed(ours) / speed(theirs)
    calm = is_calm(ours) and is_calm(theirs)
    pairs = zip(ours["rounds"], theirs["rounds"], strict=True)
    return {
        "model": ours["model"],
        "batch": ours["batch"],
        "ours": ours["label"],
        "peer": theirs["label"],
        "ratio": ratio,
        "by_round": [a["tokens_per_second"] / b["tokens_per_second"] for a, b in pairs],
        "bar": bars[0] if bars else None,
        "calm": calm,
        "met": ratio >= bars[0] if bars and calm else None,
    }
