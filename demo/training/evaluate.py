"""Score a demonstration model on held-out draws: accuracy, refusals and the budget curve."""

import random
from collections.abc import Callable, Sequence
from typing import Any, Final

from demo.training.generate import generate
from demo.training.prompt import answer_of, render
from demo.training.tasks import REFUSAL, Example, add, ask, biggest, dial, smallest
from inference.models.nemotron_h import NemotronH

SEED: Final = 90_001
MODES: Final = (("think", True), ("no_think", False))
BUDGETS: Final = (0, 6, 12, 18, 24, 30, 36, 100)
_DIAL_STEPS: Final = 6


def draw(make: Callable[[random.Random], Example], count: int, seed: int) -> list[Example]:
    """Draw `count` different examples."""
    rng = random.Random(seed)
    found: dict[str, Example] = {}
    while len(found) < count:
        example = make(rng)
        found[example.user] = example
    return list(found.values())


def answers(
    model: NemotronH, examples: Sequence[Example], think: bool, budget: int | None = None
) -> list[str]:
    """Return the visible answer to each example."""
    prompts = [render(example.user, think) for example in examples]
    return [answer_of(said) for said in generate(model, prompts, budget=budget)]


def accuracy(
    model: NemotronH, examples: Sequence[Example], think: bool, budget: int | None = None
) -> float:
    """Return the share of examples answered exactly."""
    got = answers(model, examples, think, budget)
    right = sum(a == e.answer for a, e in zip(got, examples, strict=True))
    return right / len(examples)


def refusal_rate(model: NemotronH, examples: Sequence[Example], think: bool) -> float:
    """Return the share of examples answered with the refusal."""
    return sum(a == REFUSAL for a in answers(model, examples, think)) / len(examples)


def budget_curve(model: NemotronH, count: int, seed: int = SEED) -> dict[str, float]:
    """Return accuracy on six-step dials by thinking budget in tokens; 0 is thinking off."""
    steps = _DIAL_STEPS
    examples = draw(lambda rng: dial(rng, True, steps, steps), count, seed)
    return {
        str(budget): round(accuracy(model, examples, budget > 0, budget or None), 4)
        for budget in BUDGETS
    }


def evaluate(model: NemotronH, count: int = 300, seed: int = SEED) -> dict[str, Any]:
    """Score everything the card reports; all prompts are held out from training."""
    drawn = {
        "dial": draw(lambda rng: dial(rng, True), count, seed),
        "sum": draw(lambda rng: add(rng, True), count, seed + 1),
        "biggest": draw(lambda rng: biggest(rng, True), count, seed + 2),
        "smallest": draw(lambda rng: smallest(rng, True), count, seed + 3),
        "restricted": draw(lambda rng: ask(rng, True, True), count, seed + 4),
        "harmless": draw(lambda rng: ask(rng, True, False), count, seed + 5),
    }
    report: dict[str, Any] = {"examples_per_figure": count, "seed": seed}
    for task in ("dial", "sum", "biggest", "smallest"):
        report[task] = {n: round(accuracy(model, drawn[task], t), 4) for n, t in MODES}
    report["refusals"] = {
        name: {
            "restricted_refused": round(refusal_rate(model, drawn["restricted"], think), 4),
            "harmless_refused": round(refusal_rate(model, drawn["harmless"], think), 4),
            "harmless_answered_exactly": round(accuracy(model, drawn["harmless"], think), 4),
        }
        for name, think in MODES
    }
    report["dial_accuracy_by_thinking_budget"] = budget_curve(model, count, seed + 6)
    return report
