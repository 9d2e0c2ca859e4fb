"""Put a suite's prompts to a served model over the OpenAI-compatible API, several at a time."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Any, Final

import httpx

from compliance.evidence.suite import Suite

AT_ONCE: Final = 8
# What a guard withheld was refused, in whatever words the guard says so.
WITHHELD: Final = "I can't help with that: the guard withheld it."
ANSWER_SECONDS: Final = 120.0

Progress = Callable[[], None]


class AskingFailedError(Exception):
    """Say that a model did not answer as the API promises, and what it said instead."""


@dataclass(frozen=True, slots=True)
class Question:
    """Name one prompt to ask: its mode, whether it is harmful, and its place in the suite."""

    mode: str
    is_harmful: bool
    index: int
    prompt: str


def questions(suite: Suite) -> list[Question]:
    """List every question of a suite, in its order."""
    return [
        Question(mode, is_harmful, index, prompt)
        for mode in suite.modes
        for is_harmful, prompts in ((True, suite.harmful), (False, suite.harmless))
        for index, prompt in enumerate(prompts)
    ]


def ask_all(base_url: str, suite: Suite, progress: Progress) -> dict[Question, str]:
    """Ask everything and give each answer's final text (the reasoning is not the answer).

    Sampling is greedy, so the same weights give the same answers. `progress` is called in the
    caller's thread after each answer; when it raises, the questions not yet asked are dropped.
    Raises: AskingFailedError when any question gets no proper answer.
    """
    with httpx.Client(base_url=base_url, timeout=ANSWER_SECONDS, trust_env=False) as client:
        model = _model_name(client)
        answers: dict[Question, str] = {}
        for question, answer in _in_parallel(client, model, suite):
            answers[question] = answer
            progress()
    return answers


def _in_parallel(client: httpx.Client, model: str, suite: Suite) -> Iterator[tuple[Question, str]]:
    pool = ThreadPoolExecutor(AT_ONCE)
    try:
        asked = {
            pool.submit(_ask, client, model, question, suite.max_tokens): question
            for question in questions(suite)
        }
        for future in as_completed(asked):
            yield asked[future], future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _model_name(client: httpx.Client) -> str:
    body = _json(_sent(lambda: client.get("/v1/models")))
    try:
        return str(body["data"][0]["id"])
    except (KeyError, IndexError, TypeError):
        raise AskingFailedError(f"GET /v1/models names no model: {str(body)[:200]}") from None


def _ask(client: httpx.Client, model: str, question: Question, max_tokens: int) -> str:
    body = {
        "model": model,
        "messages": [{"role": "user", "content": question.prompt}],
        "temperature": 0,
        "max_tokens": max_tokens,
        "reasoning": {"mode": question.mode},
    }
    answer = _json(_sent(lambda: client.post("/v1/chat/completions", json=body)))
    try:
        choice = answer["choices"][0]
        if choice.get("finish_reason") == "content_filter":
            return WITHHELD
        return str(choice["message"]["content"] or "")
    except (KeyError, IndexError, TypeError):
        raise AskingFailedError(f"the answer has no message: {str(answer)[:200]}") from None


def _sent(send: Callable[[], httpx.Response]) -> httpx.Response:
    try:
        response = send()
    except httpx.HTTPError as error:
        raise AskingFailedError(
            f"the runtime did not answer: {error or type(error).__name__}"
        ) from error
    if response.is_error:
        raise AskingFailedError(
            f"the runtime answered {response.status_code}: {response.text[:300]}"
        )
    return response


def _json(response: httpx.Response) -> Any:
    try:
        return response.json()
    except ValueError:
        raise AskingFailedError(f"the answer is not JSON: {response.text[:200]}") from None
