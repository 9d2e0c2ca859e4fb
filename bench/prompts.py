"""Prompts of an exact length, never the same twice; pure.

Every model here reads bytes: `length` ASCII characters are `length` tokens. The text is of the kind
that nano-base was trained on, so that its answers are not noise.
"""

import random


def prompts(*, seed: str, count: int, length: int) -> list[str]:
    """Return `count` different prompts of `length` characters; the same for the same seed."""
    draw = random.Random(seed)
    return [_prompt(draw, length) for _ in range(count)]


def _prompt(draw: random.Random, length: int) -> str:
    text = f"dial start {draw.randint(0, 9)}"
    while len(text) < length:
        text += f" {draw.choice('+-*')}{draw.randint(1, 9)}"
    return text[:length]
