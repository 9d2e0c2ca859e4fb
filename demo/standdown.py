"""Hold a stream open while the right to serve ends, and time when its last token came."""

import threading
import time
from dataclasses import dataclass, field

import httpx
from openai import APIError, OpenAI


@dataclass
class OpenStream:
    """Read one long stream in a thread; wall-clock times are unix seconds of this host."""

    client: OpenAI
    model: str
    tokens: int = 0
    last_token_at: float = 0.0
    ended_by: str = ""
    started: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def open(self) -> None:
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        if not self.started.wait(15):
            raise TimeoutError(f"the stream did not start: {self.ended_by or 'no token came'}")

    def wait_end(self, seconds: float) -> bool:
        """Return whether the stream ended in time."""
        if self._thread is None:
            raise RuntimeError("open() comes first")
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _read(self) -> None:
        try:
            # One long answer: the model is told to go on past its own end of turn.
            chunks = self.client.chat.completions.create(
                model=self.model,
                messages=[{"role": "user", "content": "hello"}],
                temperature=0.7,
                seed=1,
                max_tokens=7000,
                stream=True,
                extra_body={"ignore_eos": True, "reasoning": {"mode": "off"}},
            )
            for _ in chunks:
                self.tokens += 1
                self.last_token_at = time.time()
                self.started.set()
            self.ended_by = "the model's own end"
        except (APIError, httpx.HTTPError) as error:
            self.ended_by = str(error)
