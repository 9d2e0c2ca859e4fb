"""An engine without a model: it says what it was told to, one token a chunk, at a given pace."""

import asyncio
from collections.abc import AsyncIterator

from inference.protocol import EngineStats, GenerateRequest, Health, TokenChunk
from tests.inference.tiny import IDS

THOUGHT = [*b"\n2+2=4\n", IDS["</think>"], *"\n\nVier €\n".encode(), IDS["<SPECIAL_12>"]]
ANSWER = [*"Vier €\n".encode(), IDS["<SPECIAL_12>"]]


class FakeEngine:
    """Thinks when the prompt ends with the opener; honours budget, length and abort.

    `says` is answered instead of the usual four, after an empty thought.
    """

    def __init__(
        self, *, pause_seconds: float = 0.0, endless: bool = False, says: str = ""
    ) -> None:
        self.says = says
        self.pause_seconds = pause_seconds
        self.endless = endless
        self.requests: list[GenerateRequest] = []
        self.aborted: list[str] = []
        self.hold = asyncio.Event()
        self.hold.set()

    async def generate(self, request: GenerateRequest) -> AsyncIterator[TokenChunk]:
        self.requests.append(request)
        for count, (token_id, forced) in enumerate(self._script(request), start=1):
            await asyncio.sleep(self.pause_seconds)
            await self.hold.wait()
            last = token_id in request.sampling.stop_ids
            full = count == request.sampling.max_tokens
            wanted = None if last else request.sampling.logprobs
            yield TokenChunk(
                token_ids=() if last else (token_id,),
                logprobs=() if wanted is None else (-0.5,),
                top_logprobs=() if not wanted else ({token_id: -0.5},),
                finish_reason="stop" if last else "length" if full else None,
                forced_end="hard" if forced else None,
            )
            if last or full:
                return

    def stats(self) -> EngineStats:
        return EngineStats(slots_total=4)

    def health(self) -> Health:
        return Health("ready")

    async def start(self) -> None:
        return

    async def drain(self, deadline_seconds: float) -> None:
        return

    def stop(self) -> None:
        self.hold.clear()

    def abort(self, request_id: str) -> None:
        self.aborted.append(request_id)

    def _script(self, request: GenerateRequest) -> list[tuple[int, bool]]:
        if self.endless:
            return [(ord("x"), False)] * 100_000
        if self.says:
            opened = [*b"\n", IDS["</think>"]] if request.thinking is not None else []
            said = [*opened, *self.says.encode(), IDS["<SPECIAL_12>"]]
            return [(token, False) for token in said]
        if request.thinking is None:
            return [(token, False) for token in ANSWER]
        allowed = request.thinking.max_tokens
        end = THOUGHT.index(IDS["</think>"])
        if allowed >= end:
            return [(token, False) for token in THOUGHT]
        tail = [(token, token == IDS["</think>"]) for token in THOUGHT[end:]]
        return [(token, False) for token in THOUGHT[:allowed]] + tail
