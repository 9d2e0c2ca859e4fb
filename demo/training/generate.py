"""Greedy answers of a demonstration model to many prompts at once, with a thinking budget."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from demo.training.prompt import END, END_THINK
from inference.cache import BLOCK_TOKENS, blocks_for
from inference.models.nemotron_h import Cache, NemotronH, Pieces

MAX_NEW_TOKENS = 160


@dataclass
class _Row:
    number: int
    position: int
    token: int
    thinking: bool
    said: list[int] = field(default_factory=list)

    def accept(self, budget: int | None) -> None:
        """Take the next token, or the end of the thought where the budget is spent."""
        if self.thinking and budget is not None and len(self.said) >= budget:
            self.token = END_THINK
        self.thinking = self.thinking and self.token != END_THINK
        self.said.append(self.token)


@torch.no_grad()
def generate(
    model: NemotronH,
    prompts: Sequence[Sequence[int]],
    *,
    budget: int | None = None,
    max_new_tokens: int = MAX_NEW_TOKENS,
) -> list[list[int]]:
    """Answer every prompt; `budget` bounds the tokens of a thought, None leaves it open."""
    longest = max(len(prompt) for prompt in prompts)
    each = blocks_for(longest + max_new_tokens)
    cache = model.make_cache(
        slots=len(prompts),
        blocks=len(prompts) * each,
        block_tokens=BLOCK_TOKENS,
        dtype=torch.float32,
    )
    tables = torch.arange(1, len(prompts) * each + 1).view(len(prompts), each)
    rows = []
    for number, prompt in enumerate(prompts):
        piece = Pieces(
            ids=torch.tensor([prompt]),
            lengths=torch.tensor([len(prompt)]),
            starts=torch.tensor([0]),
            slots=torch.tensor([number + 1]),
            tables=tables[number : number + 1],
        )
        first = int(model.prefill(piece, cache).argmax())
        rows.append(_Row(number, len(prompt), first, thinking=END_THINK not in prompt[-1:]))
    for row in rows:
        row.accept(budget)
    active = rows
    for _ in range(max_new_tokens - 1):
        active = [row for row in active if row.token != END]
        if not active:
            break
        _advance(model, active, cache, tables, budget)
    return [row.said for row in rows]


def _advance(
    model: NemotronH, active: list[_Row], cache: Cache, tables: torch.Tensor, budget: int | None
) -> None:
    numbers = torch.tensor([row.number for row in active])
    logits = model.decode(
        torch.tensor([row.token for row in active]),
        numbers + 1,
        torch.tensor([row.position for row in active]),
        tables[numbers],
        cache,
    )
    for row, token in zip(active, logits.argmax(-1).tolist(), strict=True):
        row.token = token
        row.position += 1
        row.accept(budget)
