"""Await slow work without losing sight of the right to do it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

WATCH_SECONDS: Final = 0.25

T = TypeVar("T")


class ClientGone(Exception):  # noqa: N818  not a fault: nobody is left to answer
    """The caller hung up."""


class Watch:
    """Look, while work is awaited and silence lasts, whether it may go on.

    One timer for a whole request, not a task for each thing that is awaited: tokens come by the
    thousand. Use as `async with Watch(check) as watch: await watch.over(work)`.

    `check` raises when the right ends; `gone` says whether the caller hung up. Both are asked
    every `WATCH_SECONDS`.
    """

    def __init__(
        self,
        check: Callable[[], None],
        *,
        gone: Callable[[], Awaitable[bool]] | None = None,
    ) -> None:
        self._check = check
        self._gone = gone
        self._fault: Exception | None = None
        self._waiting: asyncio.Task[Any] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._asking: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Watch":
        self._timer = asyncio.get_running_loop().call_later(WATCH_SECONDS, self._look)
        if self._gone is not None:
            self._asking = asyncio.create_task(self._ask(self._gone))
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._asking is not None:
            await ended(self._asking)

    async def over(self, work: Awaitable[T]) -> T:
        """Await `work`; the right still stands when it returns.

        Raises: what `check` raises; ClientGone. The work is cancelled then.
        """
        # Not every consumer of a stream is the task that opened it.
        self._waiting = asyncio.current_task()
        try:
            if self._fault is None:
                result = await work
                self._check()
                return result
        except asyncio.CancelledError:
            if self._fault is None or self._waiting is None:
                raise
            if self._waiting.uncancel():
                # Somebody else cancelled too: theirs goes first.
                raise
        finally:
            self._waiting = None
        if asyncio.iscoroutine(work):
            work.close()
        raise self._fault

    def _look(self) -> None:
        try:
            self._check()
        except Exception as error:  # noqa: BLE001  it is raised where the work is awaited
            self._interrupt(error)
            return
        self._timer = asyncio.get_running_loop().call_later(WATCH_SECONDS, self._look)

    async def _ask(self, gone: Callable[[], Awaitable[bool]]) -> None:
        while not await gone():
            await asyncio.sleep(WATCH_SECONDS)
        self._interrupt(ClientGone())

    def _interrupt(self, fault: Exception) -> None:
        if self._fault is None:
            self._fault = fault
            if self._waiting is not None:
                self._waiting.cancel()


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
