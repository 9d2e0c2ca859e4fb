"""Turn one sequence's logits into its next token.

Each request has a random generator of its own, so a seeded request gives the same tokens whoever
else is in the batch.
"""

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from inference.protocol import SamplingParams

# Below this, dividing by the temperature leaves nothing to chance and soon leaves float32.
_GREEDY_BELOW: Final = 1e-5
# A penalty close to 0 would make scores infinite, and infinities have no probabilities.
_SCORE_LIMIT: Final = 1e30


@dataclass(frozen=True, slots=True)
class Sampled:
    """Hold a chosen token, its log-probability, and the most likely ones where asked for."""

    token_id: int
    logprob: float | None
    top: dict[int, float]


class Sampler:
    """Choose the tokens of one request."""

    def __init__(self, params: SamplingParams, prompt_ids: tuple[int, ...]) -> None:
        self._params = params
        self._seen_in_prompt = prompt_ids
        self._generator = torch.Generator()
        if params.seed is None:
            self._generator.seed()
        else:
            self._generator.manual_seed(params.seed)

    def choose(
        self, logits: Tensor, output_ids: list[int], *, forced: int | None, may_stop: bool
    ) -> Sampled:
        """Choose from finite logits (vocab,) fp32; a forced token is taken whatever they say.

        Law: whatever the parameters, some token is chosen; one caller's extremes break nothing.
        """
        params = self._params
        if forced is not None:
            return self._report(logits, forced)
        scores = self._penalised(logits, output_ids)
        if not may_stop and params.stop_ids:
            scores = scores.clone()
            scores[list(params.stop_ids)] = -torch.inf
        if params.temperature < _GREEDY_BELOW:
            return self._report(logits, int(scores.argmax()))
        scores = _filtered((scores - scores.max()) / params.temperature, params)
        weights = torch.softmax(scores, dim=-1)
        return self._report(logits, int(torch.multinomial(weights, 1, generator=self._generator)))

    def _penalised(self, logits: Tensor, output_ids: list[int]) -> Tensor:
        params = self._params
        scores = logits
        if params.repetition_penalty != 1.0:
            ids = torch.tensor(sorted({*self._seen_in_prompt, *output_ids}), dtype=torch.long)
            seen = scores[ids]
            factor = params.repetition_penalty
            scores = scores.clone()
            scores[ids] = torch.where(seen > 0, seen / factor, seen * factor).clamp(
                -_SCORE_LIMIT, _SCORE_LIMIT
            )
        if (params.presence_penalty or params.frequency_penalty) and output_ids:
            ids, counts = torch.unique(torch.tensor(output_ids), return_counts=True)
            scores = scores.clone()
            scores[ids] -= params.presence_penalty + params.frequency_penalty * counts
        return scores

    def _report(self, logits: Tensor, token_id: int) -> Sampled:
        count = self._params.logprobs
        if count is None:
            return Sampled(token_id, None, {})
        logprobs = torch.log_softmax(logits, dim=-1)
        values, ids = logprobs.topk(min(count, logprobs.numel()))
        top = dict(zip(ids.tolist(), values.tolist(), strict=True))
        return Sampled(token_id, float(logprobs[token_id]), top)


def _filtered(scores: Tensor, params: SamplingParams) -> Tensor:
    """Rule out tokens by top_k, then min_p, then top_p; the likeliest always stays."""
    if 0 < params.top_k < scores.numel():
        floor = scores.topk(params.top_k).values[-1]
        scores = scores.masked_fill(scores < floor, -torch.inf)
    if params.min_p > 0:
        probabilities = torch.softmax(scores, dim=-1)
        too_rare = probabilities < params.min_p * probabilities.max()
        scores = scores.masked_fill(too_rare, -torch.inf)
    if params.top_p < 1:
        ordered, ids = torch.softmax(scores, dim=-1).sort(descending=True)
        beyond = ordered.cumsum(-1) - ordered >= params.top_p
        beyond[0] = False
        scores = scores.index_fill(-1, ids[beyond], -torch.inf)
    return scores
