"""The management API of the Durable extension, which the SDK's client calls."""

import json
from collections.abc import Awaitable, Callable, Iterator
from http import HTTPStatus
from typing import Any

from aiohttp import web

from devhost import errors, protocol
from devhost.engine import Engine
from devhost.generation import Generation, status_json
from devhost.protocol import EventType

BASE = "/runtime/webhooks/durabletask/"
CONTINUATION = "x-ms-continuation-token"
UNFINISHED = ("Pending", "Running", "Suspended")
REFUSALS: dict[type[Exception], HTTPStatus] = {
    errors.UnknownInstanceError: HTTPStatus.NOT_FOUND,
    errors.FinishedInstanceError: HTTPStatus.GONE,
    errors.AlreadyRunningError: HTTPStatus.CONFLICT,
    errors.UnknownOrchestratorError: HTTPStatus.BAD_REQUEST,
}

Handler = Callable[[web.Request], Awaitable[web.Response]]


def client_json(base: str, hub: str) -> str:
    """Give what a durable client binding gets: the starter that the SDK turns into a client."""
    return json.dumps(
        {
            "taskHubName": hub,
            "creationUrls": {
                "createNewInstancePostUri": f"{base}orchestrators/{{functionName}}[/{{instanceId}}]"
            },
            "managementUrls": management_urls(base, "INSTANCEID"),
            "rpcBaseUrl": base,
            "baseUrl": base,
            "requiredQueryStringParameters": "",
        }
    )


def management_urls(base: str, instance: str) -> dict[str, str]:
    """List the URLs by which an instance is managed."""
    url = f"{base}instances/{instance}"
    return {
        "id": instance,
        "statusQueryGetUri": url,
        "sendEventPostUri": f"{url}/raiseEvent/{{eventName}}",
        "terminatePostUri": f"{url}/terminate?reason={{text}}",
        "rewindPostUri": f"{url}/rewind?reason={{text}}",
        "purgeHistoryDeleteUri": url,
        "restartPostUri": f"{url}/restart",
        "suspendPostUri": f"{url}/suspend?reason={{text}}",
        "resumePostUri": f"{url}/resume?reason={{text}}",
    }


class DurableApi:
    """Serves the engine over HTTP; changes are answered when the journal has them."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add_routes(self, app: web.Application) -> None:
        """Serve the API."""
        start, one = f"{BASE}orchestrators/{{name}}", f"{BASE}instances/{{id}}"
        for path in (start, f"{start}/{{id}}"):
            app.router.add_post(path, self._refusing(self._start))
        for path in (f"{BASE}instances", f"{BASE}instances/"):
            app.router.add_get(path, self._refusing(self._list))
            app.router.add_delete(path, self._refusing(self._purge_many))
        app.router.add_get(one, self._refusing(self._status))
        app.router.add_delete(one, self._refusing(self._purge))
        app.router.add_post(f"{one}/raiseEvent/{{event}}", self._refusing(self._raise_event))
        app.router.add_post(f"{one}/{{operation}}", self._refusing(self._operate))

    def _refusing(self, handler: Handler) -> Handler:
        """Answer what the engine refuses in JSON: other bodies crash the SDK's client."""

        async def handle(request: web.Request) -> web.Response:
            try:
                response = await handler(request)
            except errors.EngineError as error:
                return _refusal(REFUSALS[type(error)], str(error))
            except ValueError as error:
                return _refusal(HTTPStatus.BAD_REQUEST, str(error))
            await self._engine.journal.committed()
            return response

        return handle

    async def _start(self, request: web.Request) -> web.Response:
        name, instance = request.match_info["name"], request.match_info.get("id")
        text = await _json_body(request)
        started = self._engine.start(name, text, instance, request.query.get("version"))
        urls = management_urls(_base(request), started)
        headers = {"Location": urls["statusQueryGetUri"], "Retry-After": "10"}
        return web.json_response(urls, status=HTTPStatus.ACCEPTED, headers=headers)

    async def _status(self, request: web.Request) -> web.Response:
        generation = self._engine.instances.get(request.match_info["id"])
        if not generation:
            return web.Response(status=HTTPStatus.NOT_FOUND)
        content = status_json(generation, show_input=_flag(request, "showInput", "true"))
        if _flag(request, "showHistory"):
            content["historyEvents"] = content["history"] = self._history(request, generation)
        return web.json_response(content, status=_status_code(request, generation))

    def _history(self, request: web.Request, generation: Generation) -> list[dict[str, Any]]:
        if generation.finished:
            events = json.loads(self._engine.journal.history(generation.instance))
        else:
            events = [json.loads(text) for text in generation.history]
        with_output = _flag(request, "showHistoryOutput")
        return [_shown(event, with_output=with_output) for event in events]

    async def _list(self, request: web.Request) -> web.Response:
        found = list(self._matching(request))
        top = int(request.query.get("top", "0"))
        page = found[:top] if top else found
        show_input = _flag(request, "showInput", "true")
        content = [status_json(each, show_input=show_input) for each in page]
        more = len(page) < len(found)
        headers = {CONTINUATION: page[-1].instance} if more else {}
        return web.json_response(content, headers=headers)

    async def _purge(self, request: web.Request) -> web.Response:
        return _purged(int(self._engine.purge(request.match_info["id"])))

    async def _purge_many(self, request: web.Request) -> web.Response:
        found = [generation.instance for generation in self._matching(request)]
        return _purged(sum(self._engine.purge(instance) for instance in found))

    async def _raise_event(self, request: web.Request) -> web.Response:
        instance, name = request.match_info["id"], request.match_info["event"]
        self._engine.raise_event(instance, name, await _json_body(request) or "null")
        return web.Response(status=HTTPStatus.ACCEPTED)

    async def _operate(self, request: web.Request) -> web.Response:
        instance, reason = request.match_info["id"], request.query.get("reason", "")
        match request.match_info["operation"]:
            case "terminate":
                self._engine.terminate(instance, reason)
            case "suspend" | "resume" as operation:
                self._engine.suspend(instance, suspended=operation == "suspend")
            case "restart":
                new_id = _flag(request, "restartWithNewInstanceId", "true")
                restarted = self._engine.restart(instance, new_id=new_id)
                return web.json_response(restarted, status=HTTPStatus.ACCEPTED)
            case "rewind":
                return _refusal(HTTPStatus.NOT_IMPLEMENTED, "the devhost does not rewind")
            case _:
                return web.Response(status=HTTPStatus.NOT_FOUND)
        return web.Response(status=HTTPStatus.ACCEPTED)

    def _matching(self, request: web.Request) -> Iterator[Generation]:
        query = request.query
        created_from, created_to = query.get("createdTimeFrom"), query.get("createdTimeTo")
        low = protocol.stamp(protocol.moment(created_from)) if created_from else ""
        high = protocol.stamp(protocol.moment(created_to)) if created_to else "~"
        statuses = {each for each in query.get("runtimeStatus", "").split(",") if each}
        prefix, after = query.get("instanceIdPrefix", ""), request.headers.get(CONTINUATION, "")
        for instance, generation in sorted(self._engine.instances.items()):
            in_time = low <= generation.start.created <= high
            in_page = instance > after and instance.startswith(prefix)
            if in_time and in_page and (not statuses or generation.status in statuses):
                yield generation


async def _json_body(request: web.Request) -> str | None:
    body = await request.read()
    return protocol.json_text(json.loads(body)) if body.strip() else None


def _base(request: web.Request) -> str:
    return f"{request.url.origin()}{BASE}"


def _flag(request: web.Request, name: str, default: str = "false") -> bool:
    return request.query.get(name, default).lower() == "true"


def _status_code(request: web.Request, generation: Generation) -> int:
    if generation.status in UNFINISHED:
        return HTTPStatus.ACCEPTED
    as_error = _flag(request, "returnInternalServerErrorOnFailure")
    failed = as_error and generation.status == "Failed"
    return HTTPStatus.INTERNAL_SERVER_ERROR if failed else HTTPStatus.OK


def _shown(event: dict[str, Any], *, with_output: bool) -> dict[str, Any]:
    hidden = {"EventId", "IsPlayed"} | (set() if with_output else {"Result", "Input"})
    shown = {name: value for name, value in event.items() if name not in hidden}
    kind = EventType(event["EventType"]).name
    shown["EventType"] = "".join(word.capitalize() for word in kind.split("_"))
    return shown


def _purged(count: int) -> web.Response:
    status = HTTPStatus.OK if count else HTTPStatus.NOT_FOUND
    return web.json_response({"instancesDeleted": count}, status=status)


def _refusal(status: HTTPStatus, message: str) -> web.Response:
    # The SDK reads ExceptionMessage of a 400, and shows other bodies as they are.
    return web.json_response({"Message": message, "ExceptionMessage": message}, status=status)
