"""The load generator, against a real socket that streams what a server would."""

import asyncio
import json

import pytest

from bench.load import StreamFailed, read_stream, run

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
USAGE = {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}


def event(data: object) -> bytes:
    body = b"data: " + (data if isinstance(data, bytes) else json.dumps(data).encode()) + b"\n\n"
    return f"{len(body):x}\r\n".encode() + body + b"\r\n"


def text(value: str) -> bytes:
    return event({"choices": [{"index": 0, "text": value}]})


WHOLE = [HEAD + text("a"), text("b"), event(USAGE), event(b"[DONE]") + b"0\r\n\r\n"]


def test_each_event_has_the_time_of_its_last_byte() -> None:
    cut = len(WHOLE[1]) // 2
    pieces = [WHOLE[0], WHOLE[1][:cut], WHOLE[1][cut:], *WHOLE[2:]]
    found = read_stream(pieces, [1.0, 2.0, 3.0, 4.0, 5.0], sent=0.5)
    assert (found.events, found.text) == ([1.0, 3.0], "ab")
    assert (found.prompt_tokens, found.completion_tokens) == (3, 2)


def test_two_events_in_one_piece_came_at_the_same_time() -> None:
    pieces = [WHOLE[0] + WHOLE[1], *WHOLE[2:]]
    assert read_stream(pieces, [1.0, 4.0, 5.0], sent=0.0).events == [1.0, 1.0]


@pytest.mark.parametrize(
    "pieces",
    [
        WHOLE[:2],
        [*WHOLE[:3], event(b"[DONE]")[:-9]],
        [HEAD.replace(b"200 OK", b"503 No")],
        [HEAD + event({"error": {"message": "broke"}}), *WHOLE[2:]],
    ],
    ids=["no usage", "cut", "refused", "error"],
)
def test_an_answer_that_is_not_whole_is_no_measurement(pieces: list[bytes]) -> None:
    with pytest.raises(StreamFailed):
        read_stream(pieces, [1.0] * len(pieces), sent=0.0)


async def test_all_requests_are_sent_before_any_answer_is_awaited() -> None:
    arrived = 0
    everyone = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal arrived
        await reader.readuntil(b"\r\n\r\n")
        arrived += 1
        if arrived == 4:
            everyone.set()
        await everyone.wait()
        writer.write(b"".join(WHOLE))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        spec = {"host": "127.0.0.1", "port": port, "path": "/", "timeout": 10}
        streams = await run({**spec, "bodies": [{"prompt": str(n)} for n in range(4)]})
    assert [one.text for one in streams] == ["ab"] * 4
    assert all(one.sent < one.events[0] for one in streams)
