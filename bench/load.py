"""Many clients at once on one event loop, each with a request under way all the time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import aiohttp
import msgspec

Json = dict[str, Any]
Send = Callable[[int], Awaitable[int]]

CLIENTS = 64
_TIMEOUT = aiohttp.ClientTimeout(total=120)


class Load(msgspec.Struct, frozen=True):
    """What came of a load: seconds in all, each answer's status and seconds."""

    seconds: float
    statuses: list[int]
    times: list[float]

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.statuses) / self.seconds

    def percentile(self, percent: float) -> float:
        """The time in seconds that `percent` of the answers do not exceed."""
        return percentile(self.times, percent)


def percentile(values: Sequence[float], percent: float) -> float:
    """The value that `percent` of the values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


async def drive(count: int, send: Send, clients: int = CLIENTS) -> Load:
    """Send the requests 0 to `count` - 1, `clients` of them at a time."""
    numbers = iter(range(count))
    statuses: list[int] = []
    times: list[float] = []

    async def client() -> None:
        for number in numbers:
            begin = time.perf_counter()
            statuses.append(await send(number))
            times.append(time.perf_counter() - begin)

    begin = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(clients)))
    return Load(time.perf_counter() - begin, statuses, times)


def post_all(url: str, key: str, bodies: Sequence[bytes], clients: int = CLIENTS) -> Load:
    """Post JSON bodies, each once, over connections that stay open."""

    async def run() -> Load:
        connector = aiohttp.TCPConnector(limit=clients)
        headers = {"X-API-Key": key, "Content-Type": "application/json"}
        async with aiohttp.ClientSession(
            connector=connector, headers=headers, timeout=_TIMEOUT
        ) as session:

            async def send(number: int) -> int:
                async with session.post(url, data=bodies[number]) as answer:
                    await answer.read()
                    return answer.status

            return await drive(len(bodies), send, clients)

    return asyncio.run(run())
