"""A model with seats in its cache: each seat has a slot and blocks, scattered over the cache."""

from typing import Any

import torch
from torch import Tensor

from inference.cache import blocks_for
from inference.models.nemotron_h import NemotronH, Pieces

BLOCK_TOKENS = 8


class Seats:
    """Seat 0 has slot 1; blocks of all seats are shuffled, so nothing works by being in order."""

    def __init__(self, model: NemotronH, count: int, tokens: int) -> None:
        each = blocks_for(tokens, BLOCK_TOKENS)
        self.model = model
        self.cache = model.make_cache(
            slots=count, blocks=count * each, block_tokens=BLOCK_TOKENS, dtype=torch.float32
        )
        order = torch.randperm(count * each, generator=torch.Generator().manual_seed(5)) + 1
        self.tables = order.view(count, each)

    def prefill(self, ids: Tensor, seat: int, start: int) -> Tensor:
        return self.prefill_rows((ids, seat, start))[0]

    def prefill_rows(self, *rows: tuple[Tensor, int, int]) -> Tensor:
        """Read several pieces in one go, the shorter padded with a token that means something."""
        width = max(len(ids) for ids, _, _ in rows)
        padded = torch.full((len(rows), width), 7)
        for row, (ids, _, _) in zip(padded, rows, strict=True):
            row[: len(ids)] = ids
        seats = torch.tensor([seat for _, seat, _ in rows])
        pieces = Pieces(
            ids=padded,
            lengths=torch.tensor([len(ids) for ids, _, _ in rows]),
            starts=torch.tensor([start for _, _, start in rows]),
            slots=seats + 1,
            tables=self.tables[seats],
        )
        return self.model.prefill(pieces, self.cache)

    def decode(self, ids: Tensor, seats: Tensor, positions: Tensor, run: Any = None) -> Tensor:
        step = run or self.model.decode
        return step(ids, seats + 1, positions, self.tables[seats], self.cache)

    def contents(self, seat: int) -> list[dict[str, Tensor]]:
        """Return what each layer holds for a seat, copied."""
        places = self.cache.places(self.tables[seat : seat + 1])[0]
        return [
            {
                name: (t[places] if name in "kv" else t[seat + 1]).clone()
                for name, t in vars(state).items()
            }
            for state in self.cache.layers
            if state is not None
        ]
