"""Put a suite's prompts to an OpenAI-compatible endpoint, several at a time, and read the answers.

Answers are read at once and thrown away: what is kept, also in the journal, is whether each one
refused, and what it cost. A run that was cut off goes on from its journal.
"""

import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Any, Final, Literal

import httpx

from compliance.evidence.journal import Journal
from compliance.evidence.reading import Reading, read_message
from compliance.evidence.suite import Suite

AT_ONCE: Final = 8
ANSWER_SECONDS: Final = 120.0
TRIES: Final = 5
# Worth another try: too many at once, or a server that is not there for a moment.
TRANSIENT: Final = frozenset({408, 425, 429, 502, 503, 504})
FIRST_WAIT_SECONDS: Final = 0.5
LONGEST_WAIT_SECONDS: Final = 30.0

Progress = Callable[[], None]
Sleep = Callable[[float], None]
Spelling = Literal["reasoning", "chat_template_kwargs", "none"]


class AskingFailedError(Exception):
    """Say that a model did not answer as the API promises, and what it said instead."""


@dataclass(frozen=True, slots=True)
class Question:
    """Name one prompt to ask: its mode, whether it is harmful, and its place in the suite."""

    mode: str
    is_harmful: bool
    index: int
    prompt: str
    category: str = ""

    @property
    def key(self) -> str:
        return f"{self.mode}/{'harmful' if self.is_harmful else 'harmless'}/{self.index}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Name an endpoint: `model` None takes the first it lists; `spelling` says how it is told
    whether to reason (`none`: not at all, so a suite must ask in the mode "off" alone).
    """

    base_url: str
    model: str | None = None
    api_key: str = ""
    spelling: Spelling = "reasoning"
    at_once: int = AT_ONCE
    answer_seconds: float = ANSWER_SECONDS


def questions(suite: Suite) -> list[Question]:
    """List every question of a suite, in its order."""
    sides = (
        (True, suite.harmful, suite.harmful_categories),
        (False, suite.harmless, suite.harmless_categories),
    )
    return [
        Question(mode, is_harmful, index, prompt, category)
        for mode in suite.modes
        for is_harmful, prompts, categories in sides
        for index, (prompt, category) in enumerate(zip(prompts, categories, strict=True))
    ]


def ask_all(
    server: str | Server,
    suite: Suite,
    progress: Progress,
    *,
    journal: Journal | None = None,
    sleep: Sleep = time.sleep,
) -> dict[Question, Reading]:
    """Ask everything that the journal does not answer yet, greedily, and read each answer.

    `progress` is called in the caller's thread after each answer, those of the journal too; when
    it raises, the questions not yet asked are dropped. A busy or absent server is asked again, up
    to `TRIES` times, at the time that it names.
    Raises: AskingFailedError when any question gets no proper answer.
    """
    where = Server(base_url=server) if isinstance(server, str) else server
    if where.spelling == "none" and set(suite.modes) != {"off"}:
        raise AskingFailedError("this server is not told whether to reason; ask in mode off alone")
    told = journal.readings() if journal is not None else {}
    readings: dict[Question, Reading] = {}
    left = []
    for question in questions(suite):
        if question.key in told:
            readings[question] = told[question.key]
            progress()
        else:
            left.append(question)
    if not left:
        return readings
    headers = {"Authorization": f"Bearer {where.api_key}"} if where.api_key else {}
    with httpx.Client(
        base_url=where.base_url, timeout=where.answer_seconds, trust_env=False, headers=headers
    ) as client:
        asking = _Asking(client, where, suite.max_tokens, sleep)
        for question, reading in asking.in_parallel(left):
            if journal is not None:
                journal.add(question.key, reading)
            readings[question] = reading
            progress()
    return readings


class _Asking:
    def __init__(self, client: httpx.Client, where: Server, max_tokens: int, sleep: Sleep) -> None:
        self._client = client
        self._where = where
        self._max_tokens = max_tokens
        self._sleep = sleep
        self._model = where.model or self._first_model()

    def in_parallel(self, left: list[Question]) -> Iterator[tuple[Question, Reading]]:
        pool = ThreadPoolExecutor(self._where.at_once)
        try:
            asked = {pool.submit(self._ask, question): question for question in left}
            for future in as_completed(asked):
                yield asked[future], future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _first_model(self) -> str:
        body = _json(self._sent(lambda: self._client.get("/v1/models")))
        try:
            return str(body["data"][0]["id"])
        except (KeyError, IndexError, TypeError):
            raise AskingFailedError(f"GET /v1/models names no model: {str(body)[:200]}") from None

    def _ask(self, question: Question) -> Reading:
        body: dict[str, Any] = {
            "model": self._model,
            "messages": [{"role": "user", "content": question.prompt}],
            "temperature": 0,
            "max_tokens": self._max_tokens,
        }
        if self._where.spelling == "reasoning":
            body["reasoning"] = {"mode": question.mode}
        elif self._where.spelling == "chat_template_kwargs":
            body["chat_template_kwargs"] = {"enable_thinking": question.mode == "on"}
        answer = _json(self._sent(lambda: self._client.post("/v1/chat/completions", json=body)))
        try:
            return read_message(answer["choices"][0], answer.get("usage"))
        except (KeyError, IndexError, TypeError, AttributeError):
            raise AskingFailedError(f"the answer has no message: {str(answer)[:200]}") from None

    def _sent(self, send: Callable[[], httpx.Response]) -> httpx.Response:
        for tried in range(1, TRIES + 1):
            wait = min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2 ** (tried - 1))
            # Jitter, so that the questions of one batch do not come back in step.
            wait *= random.uniform(0.8, 1.2)  # noqa: S311
            try:
                response = send()
            except httpx.TransportError as error:
                if tried == TRIES:
                    said = str(error) or type(error).__name__
                    raise AskingFailedError(f"the server did not answer: {said}") from error
            else:
                if response.status_code not in TRANSIENT or tried == TRIES:
                    return _proper(response)
                wait = max(wait, _named_wait(response))
            self._sleep(wait)
        raise AssertionError("the last try returns or raises")


def _named_wait(response: httpx.Response) -> float:
    """Read Retry-After in seconds; 0 where it says nothing of use."""
    text = response.headers.get("retry-after", "")
    return min(LONGEST_WAIT_SECONDS, float(text)) if text.isdigit() else 0.0


def _proper(response: httpx.Response) -> httpx.Response:
    if response.is_error:
        raise AskingFailedError(
            f"the server answered {response.status_code}: {response.text[:300]}"
        )
    return response


def _json(response: httpx.Response) -> Any:
    try:
        return response.json()
    except ValueError:
        raise AskingFailedError(f"the answer is not JSON: {response.text[:200]}") from None
