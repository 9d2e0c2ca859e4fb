"""Guards for the tests: documents, and a real HTTP server that answers as guard models do."""

from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

REFUSAL = "The guard does not let this through."
WINDOW = 20


def rules(*patterns: str) -> dict[str, Any]:
    return {
        "kind": "rules",
        "patterns": [{"name": f"p{at}", "pattern": one} for at, one in enumerate(patterns)],
    }


def guard_of(
    *, given: list[dict[str, Any]] | None = None, said: list[dict[str, Any]] | None = None
) -> dict[str, Any]:
    """Return a document whose input stages are `given` and whose output stages are `said`."""
    return {
        "format": "lictor.guard/1",
        "name": "test-guard",
        "input": given or [],
        "output": said or [],
        "refusal": REFUSAL,
        "window_characters": WINDOW,
        "timeout_seconds": 1,
    }


def model_stage(url: str, **more: str) -> dict[str, Any]:
    return {
        "kind": "openai",
        "url": url + "/v1",
        "model": "watcher",
        "prompt": "Judge:\n{text}\nIs it safe?",
        "safe": "^safe",
        "unsafe": "^unsafe",
        **more,
    }


@dataclass
class GuardServer:
    """Judges a text by one forbidden word; `raw` is what it says instead, whatever it is."""

    forbidden: str = "forbidden"
    status: int = 200
    raw: Any = None
    asked: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/v1/chat/completions", self._judge, methods=["POST"]),
                Route("/v1/checks", self._check, methods=["POST"]),
            ]
        )

    async def _judge(self, request: Request) -> Response:
        body = await self._body(request)
        said = "unsafe\nS1" if self.forbidden in body["messages"][0]["content"] else "safe"
        if self.raw is not None:
            said = self.raw
        message = {"role": "assistant", "content": said}
        return JSONResponse({"choices": [{"index": 0, "message": message}]}, self.status)

    async def _check(self, request: Request) -> Response:
        body = await self._body(request)
        text = body["messages"][-1]["content"]
        status = "blocked" if self.forbidden in text else "passed"
        found = {"status": self.raw or status, "content": text}
        return JSONResponse({**found, "rail": "self check"}, self.status)

    async def _body(self, request: Request) -> dict[str, Any]:
        body: dict[str, Any] = await request.json()
        self.asked.append(body)
        self.keys.append(request.headers.get("authorization"))
        return body
