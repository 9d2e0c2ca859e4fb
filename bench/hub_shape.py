"""Make a synthetic registry in the shape of the Hugging Face Hub.

Nothing here is a real model. The shape follows what is published about the Hub (Laufer, Oderinwale
and Kleinberg, "Anatomy of a Machine Learning Ecosystem", 2025: 1.86 million models, families that
vary widely in size, licences that drift away from those of their parents): most models name no
parent; the others choose one by preferential attachment, so that a few families hold tens of
thousands; chains are short with a thin tail of deep ones; few are merges of several. The shares
below are this project's assumptions, not measurements. A seed makes it reproducible.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass

from compliance.rules.facts import DatasetFact, ModelFacts, ParentLink

LICENCES = (
    (None, 38.0), ("apache-2.0", 31.0), ("mit", 11.0), ("llama3.1", 2.6), ("llama3.2", 1.8),
    ("llama3", 1.6), ("llama2", 1.5), ("gemma", 2.0), ("cc-by-nc-4.0", 2.4), ("cc-by-4.0", 1.0),
    ("cc-by-sa-4.0", 0.6), ("cc-by-nc-sa-4.0", 0.7), ("openrail", 0.9), ("agpl-3.0", 0.3),
    ("creativeml-openrail-m", 2.1), ("gpl-3.0", 0.4), ("bigscience-bloom-rail-1.0", 0.2),
    ("other", 1.4), ("unknown", 0.3), ("bsd-3-clause", 0.2),
)  # fmt: skip
NAMES = (
    "nvidia-open-model-license", "qwen", "tongyi-qianwen", "gemma-terms-of-use", "mrl",
    "flux-1-dev-non-commercial-license", "deepseek", "my own licence", "yi-license", None,
)  # fmt: skip
RELATIONS = ("finetune",) * 46 + ("adapter",) * 27 + ("quantized",) * 22 + ("distilled",) * 1
DATASET_LICENCES = ("cc-by-4.0", "apache-2.0", "cc-by-nc-4.0", None, "mit", "odc-by")


@dataclass(frozen=True)
class Shape:
    """Shares of models, 0 to 1. `keeps` is how often a child declares its parent's licence."""

    with_parent: float = 0.42
    merges: float = 0.02
    missing_parent: float = 0.03
    keeps: float = 0.62
    with_datasets: float = 0.08
    newest_first: float = 0.25


def make_models(count: int, *, seed: int = 1, shape: Shape | None = None) -> Iterator[ModelFacts]:
    """Yield models, parents before children. `newest_first` children take a recent parent, which
    makes chains; the others take one in proportion to the children it has."""
    shape = shape or Shape()
    draw = random.Random(seed)
    ids, weights = zip(*LICENCES, strict=True)
    bases: list[int] = []
    declared: list[tuple[str | None, str | None]] = []
    for number in range(count):
        licence = draw.choices(ids, weights)[0]
        name = draw.choice(NAMES) if licence == "other" else None
        links: tuple[ParentLink, ...] = ()
        if number > 100 and draw.random() < shape.with_parent:
            parents = _parents(draw, shape, number, bases)
            if draw.random() < shape.keeps:
                licence, name = declared[parents[0]]
            relation = "merge" if len(parents) > 1 else draw.choice(RELATIONS)
            links = tuple(ParentLink(id=_id(at), relation=relation) for at in parents)
            bases.extend(parents)
        elif draw.random() < shape.missing_parent:
            links = (ParentLink(id=f"gone/m{draw.randrange(count)}"),)
        bases.append(number)
        declared.append((licence, name))
        yield ModelFacts(
            id=_id(number),
            license=licence,
            license_name=name,
            parents=links,
            datasets=_datasets(draw, shape),
        )


def _parents(draw: random.Random, shape: Shape, number: int, bases: list[int]) -> list[int]:
    several = draw.randint(2, 4) if draw.random() < shape.merges else 1
    chosen = set()
    for _ in range(several):
        if draw.random() < shape.newest_first:
            chosen.add(number - 1 - int(draw.expovariate(1 / 50)) % 100)
        else:
            # Each model stands in the list once, and once more for each child it has; the power
            # leans towards those that were there first, so that a few families grow large.
            chosen.add(bases[int(len(bases) * draw.random() ** 8)])
    return sorted(chosen)


def _datasets(draw: random.Random, shape: Shape) -> tuple[DatasetFact, ...]:
    if draw.random() >= shape.with_datasets:
        return ()
    licence = draw.choice(DATASET_LICENCES)
    return (DatasetFact(id=f"data/{licence or 'unstated'}", license=licence),)


def _id(number: int) -> str:
    return f"org{number % 9973}/m{number}"
