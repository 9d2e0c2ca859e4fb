"""Await slow work without losing sight of the right to do it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

WATCH_SECONDS: Final = 0.25

T = TypeVar("T")


class ClientGone(Exception):  # noqa: N818  not a fault: nobody is left to answer
    """The caller hung up."""


async def watched(
    work: Awaitable[T],
    check: Callable[[], None],
    *,
    gone: Callable[[], Awaitable[bool]] | None = None,
) -> T:
    """Await `work`, looking every `WATCH_SECONDS`, and once it is done, whether it may go on.

    Silence is watched too: the end of a right does not wait for the next token.

    Raises: what `check` raises; ClientGone when `gone()` says so. The work is cancelled then.
    """
    task = asyncio.ensure_future(work)
    try:
        while not task.done():
            await asyncio.wait({task}, timeout=WATCH_SECONDS)
            check()
            if gone is not None and not task.done() and await gone():
                raise ClientGone
        return task.result()
    finally:
        await ended(task)


async def ended(*tasks: asyncio.Future[Any]) -> None:
    """Cancel tasks and wait until they are over; what they say on their way out is dropped.

    By `asyncio.wait`, not `await task`: if we are cancelled ourselves while waiting, that would
    cancel the task a second time, in the middle of its cleaning up, and a connection or a running
    generation would be left behind.
    """
    for task in tasks:
        task.cancel()
        task.add_done_callback(_forget)
    if tasks:
        await asyncio.wait(tasks)


def _forget(task: asyncio.Future[Any]) -> None:
    if not task.cancelled():
        task.exception()
