"""Listen for "refresh now" on a Redis channel. A hint, never an authority.

A message only sets an event; what is true is asked of the issuer afterwards. A broken or missing
server costs speed, nothing else.
"""

import asyncio
import logging

from inference.contract import HINT_CHANNEL

RETRY_SECONDS = 2.0
log = logging.getLogger(__name__)


async def listen(url: str, wake: asyncio.Event) -> None:
    """Set `wake` at each message, and after each reconnection; run until cancelled."""
    from redis import asyncio as redis
    from redis.exceptions import RedisError

    told = ""
    while True:
        try:
            async with redis.from_url(url) as client, client.pubsub() as channel:
                await channel.subscribe(HINT_CHANNEL)
                # What was published while the connection was down is lost: look once.
                wake.set()
                async for _message in channel.listen():
                    wake.set()
        except (RedisError, OSError, ValueError) as error:
            if str(error) != told:
                log.warning("no hints, so up to a second slower: %s", error)
            told = str(error)
        await asyncio.sleep(RETRY_SECONDS)


async def wait(wake: asyncio.Event, seconds: float) -> None:
    """Sleep until a hint comes or the time is over."""
    try:
        await asyncio.wait_for(wake.wait(), timeout=seconds)
    except TimeoutError:
        return
    finally:
        wake.clear()
