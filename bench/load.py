"""Load generator: `python -m bench.load < spec.json` streams from one server and prints what came.

A process of its own with the standard library only. While answers stream it does nothing but
stamp and keep the bytes; they are read when all is over, so that it takes little from a server that
shares its cores.

Input: {"host", "port", "path", "bodies": [...], "timeout"}. Output: {"streams": [...], "cpu_s"},
times in seconds from the moment the first request is sent.
"""

import asyncio
import bisect
import json
import resource
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any


class StreamFailed(RuntimeError):  # noqa: N818  the name says what happened
    """A server refused a request or its answer was cut."""


@dataclass(frozen=True, slots=True)
class Stream:
    """One answer: when each event with a choice came, the text, and the server's own count."""

    sent: float
    events: list[float]
    text: str
    prompt_tokens: int
    completion_tokens: int


class _Receiver(asyncio.Protocol):
    """Keep every piece that arrives, with its time."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.times: list[float] = []
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.times.append(time.perf_counter())
        self.pieces.append(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_result(None)


def request_bytes(host: str, path: str, body: dict[str, Any]) -> bytes:
    """Write one HTTP/1.1 request whose connection ends with its answer."""
    data = json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(data)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + data


async def run(spec: dict[str, Any]) -> list[Stream]:
    """Send every body at once, on connections opened before; return the answers in order.

    Raises: StreamFailed; TimeoutError.
    """
    loop = asyncio.get_running_loop()
    host, port = spec["host"], spec["port"]
    made = [await loop.create_connection(_Receiver, host, port) for _ in spec["bodies"]]
    requests = [request_bytes(host, spec["path"], body) for body in spec["bodies"]]
    began = time.perf_counter()
    sent = []
    for (transport, _), data in zip(made, requests, strict=True):
        sent.append(time.perf_counter())
        transport.write(data)
    async with asyncio.timeout(spec["timeout"]):
        await asyncio.gather(*(receiver.ended for _, receiver in made))
    return [
        read_stream(receiver.pieces, [at - began for at in receiver.times], sent=at - began)
        for (_, receiver), at in zip(made, sent, strict=True)
    ]


def read_stream(pieces: list[bytes], times: list[float], *, sent: float) -> Stream:
    """Read one streamed completion from the pieces it came in.

    Raises: StreamFailed if it is not a whole stream with a usage at its end.
    """
    events: list[float] = []
    text: list[str] = []
    usage: dict[str, int] | None = None
    done = False
    for at, data in _server_events(pieces, times):
        if data == b"[DONE]":
            done = True
            continue
        event = json.loads(data)
        if "choices" not in event:
            raise StreamFailed(f"the server broke off: {data[:300]!r}")
        for choice in event["choices"]:
            events.append(at)
            text.append(choice.get("text") or "")
        usage = event.get("usage") or usage
    if not done or usage is None or not events:
        raise StreamFailed("the stream ended without its usage or its [DONE]")
    return Stream(sent, events, "".join(text), usage["prompt_tokens"], usage["completion_tokens"])


def _server_events(pieces: list[bytes], times: list[float]) -> Iterator[tuple[float, bytes]]:
    """Yield (time, data) of each server-sent event; the time is when its last byte came."""
    pending = b""
    for at, body in _chunks(pieces, times):
        *whole, pending = (pending + body).replace(b"\r\n", b"\n").split(b"\n\n")
        for event in whole:
            for line in event.split(b"\n"):
                if line.startswith(b"data: "):
                    yield at, line.removeprefix(b"data: ")


def _chunks(pieces: list[bytes], times: list[float]) -> Iterator[tuple[float, bytes]]:
    """Undo HTTP's chunked coding: yield (time its last byte came, bytes) of each chunk.

    Raises: StreamFailed for a status that is not 200 or another coding.
    """
    raw = b"".join(pieces)
    ends: list[int] = []
    for piece in pieces:
        ends.append(len(piece) + (ends[-1] if ends else 0))
    head, _, _ = raw.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200") or b"transfer-encoding: chunked" not in head.lower():
        raise StreamFailed(f"not a streamed answer: {raw[:600]!r}")
    at = len(head) + 4
    while at < len(raw):
        line_end = raw.find(b"\r\n", at)
        if line_end < 0:
            raise StreamFailed("the answer was cut within a chunk")
        size = int(raw[at:line_end].split(b";")[0], 16)
        begin, end = line_end + 2, line_end + 2 + size
        if size == 0:
            return
        if end > len(raw):
            raise StreamFailed("the answer was cut within a chunk")
        yield times[bisect.bisect_left(ends, end)], raw[begin:end]
        at = end + 2


def main() -> int:
    spec = json.load(sys.stdin)
    try:
        streams = asyncio.run(run(spec))
    except (StreamFailed, TimeoutError, OSError) as error:
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}))
        return 1
    used = resource.getrusage(resource.RUSAGE_SELF)
    cpu_s = used.ru_utime + used.ru_stime
    print(json.dumps({"streams": [asdict(one) for one in streams], "cpu_s": cpu_s}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
