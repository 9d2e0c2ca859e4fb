"""Ask the served model held-out questions through the `openai` client, and keep count."""

import random
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from openai import OpenAI

from demo.training.tasks import dial

MODES: dict[str, dict[str, Any]] = {
    "reasoning on": {"reasoning": {"mode": "on"}},
    "reasoning off": {"reasoning": {"mode": "off"}},
    "budget 16 tokens": {"reasoning": {"mode": "on", "max_tokens": 16}},
}


def held_out_dials(count: int, *, seed: int) -> list[tuple[str, str]]:
    """Draw (question, right answer) pairs of the dial task that training never saw."""
    rng = random.Random(seed)
    examples = [dial(rng, held_out=True) for _ in range(count)]
    return [(example.user, example.answer) for example in examples]


@dataclass(frozen=True)
class Score:
    """Hold one mode's figures over all questions; latency in milliseconds per question."""

    mode: str
    right: int
    asked: int
    reasoning_tokens: float
    latency_ms: float

    @property
    def accuracy(self) -> float:
        return self.right / self.asked


def score(
    client: OpenAI, model: str, mode: str, questions: list[tuple[str, str]], *, at_once: int = 8
) -> Score:
    """Ask every (question, answer) in one mode, `at_once` at a time."""

    def ask(pair: tuple[str, str]) -> tuple[bool, int, float]:
        started = time.perf_counter()
        reply = client.chat.completions.create(
            model=model,
            messages=[{"role": "user", "content": pair[0]}],
            temperature=0,
            max_tokens=256,
            extra_body=MODES[mode],
        )
        took = time.perf_counter() - started
        details = reply.usage.completion_tokens_details if reply.usage else None
        thought = (details.reasoning_tokens if details else 0) or 0
        said = (reply.choices[0].message.content or "").strip()
        return said == pair[1], thought, took

    with ThreadPoolExecutor(at_once) as pool:
        answers = list(pool.map(ask, questions))
    return Score(
        mode,
        sum(is_right for is_right, _, _ in answers),
        len(answers),
        sum(thought for _, thought, _ in answers) / len(answers),
        1000 * sum(took for _, _, took in answers) / len(answers),
    )


@dataclass(frozen=True)
class Streamed:
    """Hold one streamed reply: what was thought, what was said, seconds to the first token."""

    reasoning: str
    content: str
    first_token_seconds: float
    seconds: float
    ran: dict[str, Any]


def stream(client: OpenAI, model: str, mode: str, question: str) -> Streamed:
    started = time.perf_counter()
    first: float | None = None
    reasoning, content = "", ""
    ran: dict[str, Any] = {}
    with client.chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": question}],
        temperature=0,
        max_tokens=256,
        stream=True,
        stream_options={"include_usage": True},
        extra_body=MODES[mode],
    ) as chunks:
        for chunk in chunks:
            extra = chunk.model_extra or {}
            ran = extra.get("reasoning") or ran
            for choice in chunk.choices:
                thought = getattr(choice.delta, "reasoning", None) or ""
                said = choice.delta.content or ""
                if (thought or said) and first is None:
                    first = time.perf_counter() - started
                reasoning += thought
                content += said
    return Streamed(
        reasoning.strip(), content.strip(), first or 0.0, time.perf_counter() - started, ran
    )
