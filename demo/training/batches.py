"""Training rows: several examples packed into each row, with the loss on what the model says."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from demo.training import words
from demo.training.prompt import END_THINK, PAD, completion, encode, render
from demo.training.tasks import Example, Mix, invented_word

IGNORED: Final = -100
_ARITHMETIC: Final = ("dial", "sum", "biggest", "smallest")


@dataclass(frozen=True)
class Piece:
    """One rendered example: its ids, and the same ids with unlearnt places set to IGNORED."""

    ids: list[int]
    targets: list[int]


@dataclass(frozen=True)
class Batch:
    """ids, targets, segments: each (rows, length) int64; targets are already shifted."""

    ids: Tensor
    targets: Tensor
    segments: Tensor


def render_example(example: Example, rng: random.Random, mix: Mix, progress: float) -> Piece:
    """Choose mode, system text, history and truncation for one example."""
    think = rng.random() < (0.75 if example.task in _ARITHMETIC else 0.5)
    history = []
    if rng.random() < 0.04:
        earlier = mix.draw(rng, progress)
        history = [(earlier.user, earlier.answer)]
    prompt = render(example.user, think, _system_text(rng), history)
    if think and rng.random() < 0.2:
        said, learnt = _cut_short(example, rng)
    else:
        said = completion(example.thought, example.answer, think)
        learnt = said
    return Piece(prompt + said, [IGNORED] * len(prompt) + learnt)


def _system_text(rng: random.Random) -> str:
    chance = rng.random()
    if chance < 0.82:
        return ""
    if chance < 0.95:
        return rng.choice(words.SYSTEM_TEXTS)
    return " ".join(invented_word(rng) for _ in range(rng.randint(1, 4)))


def _cut_short(example: Example, rng: random.Random) -> tuple[list[int], list[int]]:
    """End the thought early and answer all the same, as a spent budget would.

    The end marker itself is not learnt: the model must not stop thinking of its own accord.
    """
    kept = rng.randrange(len(example.thought))
    text = "".join(line + "\n" for line in example.thought[:kept])
    if rng.random() < 0.3:
        line = example.thought[kept]
        text += line[: rng.randint(1, len(line))] + rng.choice(("", "\n"))
    thought = encode(text)
    answer = completion((), example.answer, think=False)
    said = [*thought, END_THINK, *encode("\n\n"), *answer]
    return said, [*thought, IGNORED, IGNORED, IGNORED, *answer]


def stream(
    mix: Mix, rng: random.Random, rows: int, length: int, progress: "Progress"
) -> Iterator[Batch]:
    """Yield packed batches for ever; pieces that do not fit wait for the next batch."""
    waiting: list[Piece] = []
    while True:
        packed: list[list[Piece]] = [[] for _ in range(rows)]
        left = [length] * rows
        misses: list[Piece] = []
        while len(misses) < 8:
            piece = waiting.pop() if waiting else _fresh(mix, rng, progress.value, length)
            row = next((i for i in range(rows) if left[i] >= len(piece.ids)), None)
            if row is None:
                misses.append(piece)
                continue
            packed[row].append(piece)
            left[row] -= len(piece.ids)
        waiting = misses
        yield _to_tensors(packed, length)


@dataclass
class Progress:
    """How far the run has come, in [0, 1]; the trainer moves it."""

    value: float = 0.0


def _fresh(mix: Mix, rng: random.Random, progress: float, length: int) -> Piece:
    while True:
        piece = render_example(mix.draw(rng, progress), rng, mix, progress)
        if len(piece.ids) <= length:
            return piece


def _to_tensors(packed: list[list[Piece]], length: int) -> Batch:
    shape = (len(packed), length)
    ids = torch.full(shape, PAD)
    targets = torch.full(shape, IGNORED)
    segments = torch.zeros(shape, dtype=torch.int64)
    for row, pieces in enumerate(packed):
        at = 0
        for number, piece in enumerate(pieces, start=1):
            end = at + len(piece.ids)
            ids[row, at:end] = torch.tensor(piece.ids)
            targets[row, at : end - 1] = torch.tensor(piece.targets[1:])
            segments[row, at:end] = number
            at = end
    return Batch(ids, targets, segments)
