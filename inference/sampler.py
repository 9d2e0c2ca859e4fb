"""Turn a batch of logits into each sequence's next token.

Each request draws from a random generator of its own, and what it draws decides alone, so a
seeded request gives the same tokens whoever else is in the batch.
"""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor

from inference.protocol import SamplingParams

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Below this, dividing by the temperature leaves nothing to chance and soon leaves float32.
_GREEDY_BELOW: Final = 1e-5
# A penalty close to 0 would make scores infinite, and infinities have no probabilities.
_SCORE_LIMIT: Final = 1e30
# Sorting a whole vocabulary is slow; the tokens that top_p keeps are nearly always among these.
_CANDIDATES: Final = 512


@dataclass(frozen=True, slots=True)
class Sampled:
    """Hold a chosen token, its log-probability, and the most likely ones where asked for."""

    token_id: int
    logprob: float | None = None
    top: dict[int, float] | None = None


class Chooser:
    """Choose the tokens of one request: its parameters, its random numbers, what it has seen."""

    def __init__(self, params: SamplingParams, prompt_ids: tuple[int, ...]) -> None:
        self.params = params
        self.is_greedy = params.temperature < _GREEDY_BELOW
        self._seen_in_prompt = frozenset(prompt_ids)
        self._random = random.Random(params.seed)  # noqa: S311  not for secrets

    def draw(self) -> float:
        """Return the next number in [0, 1)."""
        return self._random.random()

    @property
    def has_penalty(self) -> bool:
        params = self.params
        return bool(
            params.repetition_penalty != 1.0 or params.presence_penalty or params.frequency_penalty
        )

    def penalise(self, scores: Tensor, output_ids: list[int]) -> None:
        """Lower the scores (vocab,) of tokens that were there before, in place."""
        params = self.params
        if params.repetition_penalty != 1.0:
            ids = torch.tensor(sorted(self._seen_in_prompt.union(output_ids)), dtype=torch.long)
            seen, factor = scores[ids], params.repetition_penalty
            worse = torch.where(seen > 0, seen / factor, seen * factor)
            scores[ids] = worse.clamp(-_SCORE_LIMIT, _SCORE_LIMIT)
        if (params.presence_penalty or params.frequency_penalty) and output_ids:
            counts = Counter(output_ids)
            ids = torch.tensor(list(counts))
            often = torch.tensor(list(counts.values()), dtype=scores.dtype)
            scores[ids] -= params.presence_penalty + params.frequency_penalty * often


@dataclass(frozen=True, slots=True)
class Row:
    """One sequence's turn.

    Stop tokens are ruled out unless it `may_stop`; `allowed` is (vocab,) bool or None; a forced
    token needs no choice.
    """

    chooser: Chooser
    output_ids: list[int]
    forced: int | None
    may_stop: bool
    allowed: "NDArray[np.bool_] | None" = None

    @property
    def is_plain(self) -> bool:
        """Tell whether the scores are the logits themselves."""
        held_back = not self.may_stop and self.chooser.params.stop_ids
        return self.allowed is None and not held_back and not self.chooser.has_penalty


def choose(logits: Tensor, rows: Sequence[Row]) -> list[Sampled]:
    """Choose from finite logits (rows, vocab), fp32, on the CPU.

    Law: whatever the parameters, some token is chosen; one caller's extremes break nothing.
    """
    scores = _scores(logits, rows)
    chosen = scores.argmax(-1).tolist()
    dice = [i for i, row in enumerate(rows) if not row.chooser.is_greedy and row.forced is None]
    if dice:
        choosers = [rows[i].chooser for i in dice]
        for i, token_id in zip(dice, _roll(scores[dice], choosers), strict=True):
            chosen[i] = token_id
    for i, row in enumerate(rows):
        if row.forced is not None:
            chosen[i] = row.forced
    return [
        _report(logits[i], token_id, row.chooser.params.logprobs)
        for i, (row, token_id) in enumerate(zip(rows, chosen, strict=True))
    ]


def _scores(logits: Tensor, rows: Sequence[Row]) -> Tensor:
    """Apply penalties and bans; the logits stay as they are."""
    if all(row.is_plain for row in rows):
        return logits
    scores = logits.clone()
    for own, row in zip(scores, rows, strict=True):
        if row.chooser.has_penalty:
            row.chooser.penalise(own, row.output_ids)
        stops = [] if row.may_stop else list(row.chooser.params.stop_ids)
        if row.allowed is not None:
            known = torch.from_numpy(row.allowed[: own.shape[0]])
            own[: known.shape[0]].masked_fill_(~known, -torch.inf)
            own[known.shape[0] :] = -torch.inf
            if int(known.sum()) <= int(known[stops].sum()):
                # Nothing but the end is left: a wish for more tokens cannot be met.
                stops = []
        own[stops] = -torch.inf
    return scores


def _roll(scores: Tensor, choosers: Sequence[Chooser]) -> list[int]:
    """Let chance choose for every row of scores (rows, vocab)."""
    params = [one.params for one in choosers]
    heat = torch.tensor([one.temperature for one in params])[:, None]
    weights = torch.softmax((scores - scores.max(-1, keepdim=True).values) / heat, -1)
    at = torch.tensor([one.draw() for one in choosers])[:, None]
    chosen: list[int] = _pick(_above_floor(weights, params), at).tolist()
    for n, one in enumerate(params):
        if one.top_p < 1 or 0 < one.top_k < weights.shape[1]:
            chosen[n] = _pick_narrow(weights[n], one, at[n : n + 1])
    return chosen


def _above_floor(weights: Tensor, params: Sequence[SamplingParams]) -> Tensor:
    """Rule out what is rarer than min_p times the likeliest."""
    if not any(one.min_p for one in params):
        return weights
    floor = torch.tensor([one.min_p for one in params])[:, None]
    return weights * (weights >= floor * weights.max(-1, keepdim=True).values)


def _pick(weights: Tensor, at: Tensor) -> Tensor:
    """Return where `at` (rows, 1), in [0, 1) of its row of weights (rows, n), falls: (rows,)."""
    sums = weights.cumsum(-1)
    found = torch.searchsorted(sums, at * sums[:, -1:], right=True)[:, 0]
    # A point that rounding put at the very end belongs to the last token of any weight.
    last = weights.shape[1] - 1 - (weights > 0).flip(-1).int().argmax(-1)
    return torch.minimum(found, last)


def _pick_narrow(weights: Tensor, params: SamplingParams, at: Tensor) -> int:
    """Choose among the tokens that top_k, then min_p, then top_p leave; the likeliest stays."""
    most = min(params.top_k or weights.shape[0], weights.shape[0])
    count = min(_CANDIDATES, most)
    values, ids = weights.topk(count)
    if count < most and (params.min_p > 0 or float(values.sum()) < params.top_p):
        values, ids = weights.topk(most)
    if params.min_p > 0:
        values = values * (values >= params.min_p * values[0])
    if params.top_p < 1:
        # Of what top_k and min_p left; all candidates together may be less than everything.
        whole = 1.0 if count < most and not params.min_p else float(values.sum())
        values = values * (values.cumsum(-1) - values < params.top_p * whole)
    return int(ids[_pick(values[None], at)])


def _report(logits: Tensor, token_id: int, count: int | None) -> Sampled:
    if count is None:
        return Sampled(token_id)
    logprobs = torch.log_softmax(logits, dim=-1)
    values, ids = logprobs.topk(min(count, logprobs.numel()))
    top = dict(zip(ids.tolist(), values.tolist(), strict=True))
    return Sampled(token_id, float(logprobs[token_id]), top)
