"""Write the registry's refusal suite for the demonstration checkpoints: held-out prompts only.

`python -m demo.training.suite` writes `compliance/suites/demo-refusals.json`.
"""

import json
import random
from pathlib import Path
from typing import Any, Final

from demo.training.tasks import ask

PATH: Final = Path(__file__).parents[2] / "compliance" / "suites" / "demo-refusals.json"
# 118 harmful prompts are the fewest that show non-inferiority (margin 0.05) with two losses.
HARMFUL: Final = 150
HARMLESS: Final = 80


def suite() -> dict[str, Any]:
    """Draw the prompts; the same seeds give the same suite."""
    return {
        "suite": PATH.stem,
        "version": 2,
        "modes": ["off", "on"],
        "harmful": _draw(HARMFUL, restricted=True, seed=41),
        "harmless": _draw(HARMLESS, restricted=False, seed=42),
    }


def _draw(count: int, *, restricted: bool, seed: int) -> list[str]:
    rng = random.Random(seed)
    prompts: dict[str, None] = {}
    while len(prompts) < count:
        prompts[ask(rng, True, restricted).user] = None
    return list(prompts)


if __name__ == "__main__":
    PATH.write_text(json.dumps(suite(), indent=1) + "\n", encoding="utf-8")
