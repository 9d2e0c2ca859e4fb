"""Ask the stages of a guard about one text, in their order; the first that refuses decides.

Knows nothing about requests or streams. A stage that is late, cannot be reached, or says what is
not understood has failed, and so has the guard.
"""

import asyncio
import logging
import os
import unicodedata
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Literal

import httpx

from inference.contract import GuardFailed, Json
from registry.artifact.guard import Guard, Pattern, Stage, compile_pattern

Side = Literal["input", "output"]
MAX_VERDICT_TOKENS: Final = 512
MAX_VERDICT_BYTES: Final = 1024 * 1024
# Above this a scan is given to a thread, so that other streams go on meanwhile.
LONG_TEXT_CHARACTERS: Final = 20_000
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Withheld:
    """Name what refused: `stage` counts from 0; `name` is the pattern's or the rail's."""

    side: Side
    stage: int
    name: str


class GuardRunner:
    """One guard, ready to be asked. `client` is used without credentials of its environment."""

    def __init__(
        self,
        guard: Guard,
        client: httpx.AsyncClient,
        *,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        self.guard = guard
        self._client = client
        self._environment = environment
        self._ask: dict[str, Callable[[Stage, Side, str], Awaitable[str | None]]] = {
            "rules": self._rules,
            "openai": self._openai,
            "nemo": self._nemo,
        }

    def reads(self, side: Side) -> bool:
        """Say whether this guard has anything to say about that side."""
        return bool(self._stages(side))

    async def check(self, side: Side, text: str) -> Withheld | None:
        """Return what refused the text; None: every stage let it pass.

        Raises: GuardFailed.
        """
        for at, stage in enumerate(self._stages(side)):
            name = await self._within_time(at, stage, side, text)
            if name is not None:
                log.info("guard %s withheld an %s: stage %d, %s", self.guard.name, side, at, name)
                return Withheld(side, at, name)
        return None

    def _stages(self, side: Side) -> tuple[Stage, ...]:
        return self.guard.input if side == "input" else self.guard.output

    async def _within_time(self, at: int, stage: Stage, side: Side, text: str) -> str | None:
        place = f"stage {at} ({stage.kind}) of guard {self.guard.name}"
        try:
            async with asyncio.timeout(self.guard.timeout_seconds):
                return await self._ask[stage.kind](stage, side, text)
        except TimeoutError:
            fault = f"{place} did not answer within {self.guard.timeout_seconds} s"
        except httpx.HTTPError as error:
            fault = f"{place} cannot be reached: {type(error).__name__}"
        except _NotUnderstoodError as error:
            fault = f"{place} {error}"
        log.warning("%s", fault)
        raise GuardFailed(f"{fault}; nothing passes without it", retry_after=2)

    async def _rules(self, stage: Stage, _side: Side, text: str) -> str | None:
        if len(text) <= LONG_TEXT_CHARACTERS:
            return first_match(stage.patterns, text)
        return await asyncio.to_thread(first_match, stage.patterns, text)

    async def _openai(self, stage: Stage, _side: Side, text: str) -> str | None:
        body = {
            "model": stage.model,
            "messages": [{"role": "user", "content": stage.prompt.replace("{text}", text)}],
            "temperature": 0,
            "max_tokens": MAX_VERDICT_TOKENS,
        }
        answer = await self._post(stage, "/chat/completions", body)
        try:
            said = answer["choices"][0]["message"]["content"]
        except (KeyError, IndexError, TypeError):
            said = None
        if not isinstance(said, str):
            raise _NotUnderstoodError("gave no answer in its message")
        safe, unsafe = (_compiled(one).search(said) for one in (stage.safe, stage.unsafe))
        if bool(safe) == bool(unsafe):
            raise _NotUnderstoodError(
                "said neither safe nor unsafe" if safe is None else "said both safe and unsafe"
            )
        return stage.model if unsafe else None

    async def _nemo(self, stage: Stage, side: Side, text: str) -> str | None:
        said = {"role": "assistant", "content": text}
        asked = {"role": "user", "content": text if side == "input" else "-"}
        body = {
            "model": stage.config_id,
            "messages": [asked] if side == "input" else [asked, said],
            "guardrails": {"config_id": stage.config_id, "rail_types": [side]},
        }
        answer = await self._post(stage, "/v1/checks", body)
        status = answer.get("status")
        if status == "passed":
            return None
        if status not in ("blocked", "modified"):
            raise _NotUnderstoodError(f"gave the status {str(status)[:80]!r}")
        return str(answer.get("rail") or stage.config_id)[:200]

    async def _post(self, stage: Stage, path: str, body: Json) -> Json:
        headers = {}
        if stage.api_key_env:
            key = self._environment.get(stage.api_key_env, "")
            if not key:
                raise _NotUnderstoodError(f"needs {stage.api_key_env}, which is not set")
            headers["Authorization"] = f"Bearer {key}"
        answer = await self._client.post(
            stage.url.rstrip("/") + path,
            json=body,
            headers=headers,
            timeout=self.guard.timeout_seconds,
        )
        if answer.status_code != 200 or len(answer.content) > MAX_VERDICT_BYTES:
            raise _NotUnderstoodError(f"answered {answer.status_code}")
        try:
            value: Any = answer.json()
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise _NotUnderstoodError("gave no JSON object")
        return value


class _NotUnderstoodError(Exception):
    """A stage answered, but not in a way that can be relied upon."""


def first_match(patterns: tuple[Pattern, ...], text: str) -> str | None:
    """Return the name of the first pattern found in a text as a reader would see it.

    The text is put in Unicode's form NFKC and invisible characters are left out, so that neither
    full-width letters nor zero-width spaces hide a word.
    """
    seen = plain(text)
    for one in patterns:
        if _compiled(one.pattern).search(seen) is not None:
            return one.name
    return None


def plain(text: str) -> str:
    """Return NFKC without format characters (category Cf). Law: plain(plain(t)) == plain(t)."""
    if text.isascii():
        return text
    before = None
    while before != text:
        # Leaving a character out may bring two together that NFKC makes one.
        before = text
        text = unicodedata.normalize("NFKC", text)
        text = "".join(char for char in text if unicodedata.category(char) != "Cf")
    return text


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> Any:
    return compile_pattern(pattern)
