"""What stands between the app and its storage, and can be told to stand in the way."""

from __future__ import annotations

import asyncio
import random
import threading
from collections import Counter

from aiohttp import ClientError, ClientSession, DummyCookieJar, web
from yarl import URL

WRITES = frozenset({"POST", "PUT", "MERGE", "PATCH", "DELETE"})
# What Azure Storage answers when it is busy, broken, switched off or out of space.
REFUSALS = {503: "ServerBusy", 500: "InternalError", 403: "AccountIsDisabled", 507: "OutOfCapacity"}
_HOP = frozenset({"connection", "transfer-encoding", "content-length", "keep-alive"})


class StorageProxy:
    """An HTTP proxy in front of one port of Azurite; `mode` says what becomes of requests.

    `pass` hands them through, `slow` after a while, `down` hangs up, `full` refuses writes, `lost`
    lets them take effect and hangs up, `half` sends half of the answer; `flaky` is any of them.
    """

    def __init__(self, backend: str, seed: int) -> None:
        self.mode = "pass"
        self.port = 0
        self.seen: Counter[str] = Counter()
        self._backend = backend
        self._dice = random.Random(seed)  # noqa: S311 - dice that can be thrown again
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> StorageProxy:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.run_forever()
        self._loop.run_until_complete(self._end())
        self._loop.close()

    async def _serve(self) -> None:
        self._session = ClientSession(cookie_jar=DummyCookieJar(), auto_decompress=False)
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_route("*", "/{tail:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]
        self._ready.set()

    async def _end(self) -> None:
        await self._runner.cleanup()
        await self._session.close()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        mode = self._mode()
        self.seen[mode] += 1
        if mode == "down":
            return _hang_up(request)
        if mode == "full" and request.method in WRITES:
            return self._refusal()
        if mode == "slow":
            await asyncio.sleep(self._dice.uniform(0.2, 1.0))
        status, headers, content = await self._forward(request, body)
        if mode == "lost":
            return _hang_up(request)
        if mode == "half":
            return await _half(request, status, headers, content)
        return web.Response(status=status, headers=headers, body=content)

    def _mode(self) -> str:
        if self.mode != "flaky":
            return self.mode
        modes = ["pass"] * 14 + ["down", "full", "lost", "half", "slow", "slow"]
        return self._dice.choice(modes)

    def _refusal(self) -> web.Response:
        status, code = self._dice.choice(list(REFUSALS.items()))
        error = {"odata.error": {"code": code, "message": {"lang": "en-US", "value": code}}}
        return web.json_response(error, status=status)

    async def _forward(
        self, request: web.Request, body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        headers = {k: v for k, v in request.headers.items() if k.lower() not in _HOP}
        url = f"{self._backend}{request.raw_path}"
        try:
            async with self._session.request(
                request.method,
                URL(url, encoded=True),
                headers=headers,
                data=body or None,
                skip_auto_headers=["Content-Type"],  # it is a part of what is signed
            ) as answer:
                content = await answer.read()
                kept = {k: v for k, v in answer.headers.items() if k.lower() not in _HOP}
                return answer.status, kept, content
        except (OSError, ClientError):  # Azurite itself is down
            return 503, {}, b""


def _hang_up(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


async def _half(
    request: web.Request, status: int, headers: dict[str, str], content: bytes
) -> web.StreamResponse:
    answer = web.StreamResponse(status=status, headers=headers)
    answer.content_length = len(content)
    await answer.prepare(request)
    await answer.write(content[: len(content) // 2])
    if request.transport is not None:
        request.transport.close()
    return answer
