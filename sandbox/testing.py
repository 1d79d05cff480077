"""Runs a sandbox inside a test: on a free port, in a thread, on a clock the test moves."""

import asyncio
import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from sandbox.app import make_app
from sandbox.clock import ManualClock
from sandbox.wire import Json
from sandbox.world import DEFAULT_TOKEN


@dataclass(frozen=True)
class Reply:
    """What came back over the wire."""

    status: int
    headers: dict[str, str]
    body: Any


class Sandbox:
    """A running sandbox and the means to script it."""

    def __init__(self, port: int, clock: ManualClock) -> None:
        self.clock = clock
        self.host = f"http://127.0.0.1:{port}"
        self._port = port

    def raw(
        self, method: str, path: str, body: Json | None = None, token: str | None = DEFAULT_TOKEN
    ) -> Reply:
        """Send one request without any SDK."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            connection.request(method, path, json.dumps(body) if body else None, headers)
            response = connection.getresponse()
            text = response.read()
            return Reply(response.status, dict(response.getheaders()), _parsed(text))
        finally:
            connection.close()

    def control(self, method: str, path: str, body: Json | None = None) -> Json:
        """Send a control request; it has to succeed.

        Raises:
            RuntimeError: The sandbox refused it.
        """
        reply = self.raw(method, f"/_sandbox/{path}", body, token=None)
        if reply.status != 200 or not isinstance(reply.body, dict):
            raise RuntimeError(f"{method} {path}: {reply}")
        return reply.body

    def script(self, path: str, /, **body: object) -> Json:
        """Post to a control endpoint."""
        return self.control("POST", path, body)

    def requests(self, path: str = "") -> list[Json]:
        """Return the log of requests whose path matches."""
        found = self.control("GET", f"requests?path={path}")["requests"]
        return list(found)

    def advance(self, seconds: float) -> None:
        """Move the sandbox's clock."""
        self.clock.advance(seconds)


@contextmanager
def running_sandbox() -> Iterator[Sandbox]:
    """Serve a sandbox while the context lasts."""
    clock = ManualClock()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    runner = asyncio.run_coroutine_threadsafe(_serve(clock), loop).result()
    try:
        yield Sandbox(runner.addresses[0][1], clock)
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _serve(clock: ManualClock) -> web.AppRunner:
    runner = web.AppRunner(make_app(clock), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return runner


def _parsed(text: bytes) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return text.decode(errors="replace")
