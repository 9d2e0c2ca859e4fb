"""A chat server in a thread, over real HTTP, that answers by a function and can be made to fail."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


def refuses_harm(prompt: str) -> str:
    return "I can't help with that." if prompt.startswith("harmful") else "Sure: it is simple."


@dataclass
class Answers:
    """`first` are the statuses and headers of the first answers, before it begins to work."""

    url: str = ""
    answer: Callable[[str], str] = refuses_harm
    first: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)


@contextmanager
def serving() -> Iterator[Answers]:
    answers = Answers()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._send(200, {"data": [{"id": "stand-in"}]})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if answers.first:
                status, headers = answers.first.pop(0)
                self._send(status, {"error": "not now"}, headers)
                return
            answers.bodies.append(body)
            answers.keys.append(self.headers.get("Authorization"))
            message = {"content": answers.answer(body["messages"][0]["content"])}
            usage = {"prompt_tokens": 11, "completion_tokens": 5}
            self._send(200, {"choices": [{"message": message}], "usage": usage})

        def log_message(self, *_: Any) -> None:
            return

        def _send(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
            data = json.dumps(body).encode()
            self.send_response(status)
            for name, value in {**(headers or {}), "Content-Length": str(len(data))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    answers.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield answers
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
