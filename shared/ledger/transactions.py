"""Transactions of Table Storage, sent by the SDK's asynchronous client on an event loop of its own.

The synchronous client prepares the rows of a transaction, and reads each part of its answer, in
pools of threads that it makes and ends each time (azure-core 1.41); that takes half as much again
of the processor, and under load much more time. Callers wait in their own threads as before.
"""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from azure.core.credentials import AccessToken, TokenCredential
    from azure.data.tables.aio import TableServiceClient

Operations = Sequence[tuple[Any, ...]]
Answers = Sequence[Mapping[str, Any]]

_CONNECTIONS = 64
_IDLE = 4.0  # seconds that a connection is kept: servers close theirs after 5 s and more


class Transactions:
    """Sends transactions for the threads of this process; closes its connections when dropped."""

    def __init__(self, client: Callable[[Any], TableServiceClient]) -> None:
        """`client` makes the client when it is first needed; it is given its transport."""
        self._make = client
        self._opened: list[TableServiceClient] = []
        weakref.finalize(self, _close, self._opened)

    def submit(self, table: str, operations: Operations) -> Answers:
        """Send one transaction and wait for its answer; errors are those of the SDK."""
        return asyncio.run_coroutine_threadsafe(self._sent(table, operations), _loop()).result()

    async def _sent(self, table: str, operations: Operations) -> Answers:
        if not self._opened:
            self._opened.append(self._make(_transport()))
        return await self._opened[0].get_table_client(table).submit_transaction(operations)


_starting = threading.Lock()


def _loop() -> asyncio.AbstractEventLoop:
    with _starting:
        return _started()


@lru_cache(maxsize=1)
def _started() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="transactions", daemon=True).start()
    return loop


def _close(opened: list[TableServiceClient]) -> None:
    for client in opened:
        asyncio.run_coroutine_threadsafe(client.close(), _loop())


class InThreads:
    """A credential for the asynchronous client: the synchronous one, asked in a thread."""

    def __init__(self, credential: TokenCredential) -> None:
        self._credential = credential

    async def get_token(self, *scopes: str, **options: Any) -> AccessToken:  # noqa: ANN401 - as the SDK calls it
        """A token for the scopes."""
        return await asyncio.to_thread(self._credential.get_token, *scopes, **options)

    async def close(self) -> None:
        """Nothing: the credential is not ours."""

    async def __aenter__(self) -> InThreads:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None


def _transport() -> Any:  # noqa: ANN401 - lazy type
    import aiohttp
    from azure.core.pipeline.transport import AioHttpTransport

    connector = aiohttp.TCPConnector(limit=_CONNECTIONS, keepalive_timeout=_IDLE)
    session = aiohttp.ClientSession(  # but for its connector as the SDK makes its own
        connector=connector,
        trust_env=True,
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
    )
    return AioHttpTransport(session=session, session_owner=True)
