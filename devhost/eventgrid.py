"""The Event Grid webhook of the Functions host."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web
from azure.functions.eventgrid import EventGridEventInConverter
from azure.functions.meta import Datum

from devhost.loader import Function

log = logging.getLogger("devhost.eventgrid")

Run = Callable[[Function, object], Awaitable[object]]
PATH = "/runtime/webhooks/eventgrid"
EVENT_TYPE = "aeg-event-type"


class EventGrid:
    """Takes deliveries and calls an Event Grid function for each event."""

    def __init__(self, functions: Mapping[str, Function], run: Run) -> None:
        self._functions = functions
        self._run = run

    def add_routes(self, app: web.Application) -> None:
        """Serve the webhook."""
        app.router.add_route("OPTIONS", PATH, self._options)
        app.router.add_post(PATH, self._post)

    async def _options(self, request: web.Request) -> web.Response:
        """Agree to CloudEvents deliveries."""
        origin = request.headers.get("WebHook-Request-Origin", "eventgrid.azure.net")
        headers = {"WebHook-Allowed-Origin": origin, "WebHook-Allowed-Rate": "*"}
        return web.Response(headers=headers)

    async def _post(self, request: web.Request) -> web.Response:
        function = self._functions.get(request.query.get("functionName", ""))
        if function is None:
            return web.Response(status=404)
        try:
            events = _events(await request.read())
        except ValueError:
            return web.Response(status=400)
        return await self._answer(function, request.headers.get(EVENT_TYPE, ""), events)

    async def _answer(
        self, function: Function, kind: str, events: list[dict[str, Any]]
    ) -> web.Response:
        if kind == "SubscriptionValidation":
            return _validation(events)
        if kind == "Unsubscribe":
            return web.Response(status=202)
        if kind != "Notification" and not _are_cloud_events(events):
            return web.Response(status=400)
        return await self._deliver(function, events)

    async def _deliver(self, function: Function, events: list[dict[str, Any]]) -> web.Response:
        calls = [self._run(function, _decode(event)) for event in events]
        results = await asyncio.gather(*calls, return_exceptions=True)
        failures = [each for each in results if isinstance(each, BaseException)]
        for failure in failures:
            log.error("Event Grid function '%s' failed", function.name, exc_info=failure)
        return web.Response(status=500 if failures else 202)


def _events(body: bytes) -> list[dict[str, Any]]:
    content = json.loads(body)
    events = content if isinstance(content, list) else [content]
    if not all(isinstance(event, dict) for event in events):
        raise ValueError("an event is a JSON object")
    return events


def _are_cloud_events(events: list[dict[str, Any]]) -> bool:
    return bool(events) and all("specversion" in event for event in events)


def _validation(events: list[dict[str, Any]]) -> web.Response:
    data = events[0].get("data") if events else None
    if not isinstance(data, dict) or "validationCode" not in data:
        return web.Response(status=400)
    return web.json_response({"validationResponse": data["validationCode"]})


def _decode(event: dict[str, Any]) -> object:
    return EventGridEventInConverter.decode(Datum(json.dumps(event), "json"), trigger_metadata=None)
