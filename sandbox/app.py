"""HTTP: reads requests, logs them, lets faults strike, and hands the rest to the domain."""

import asyncio
import json
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs

from aiohttp import web

from sandbox.adf.errors import no_such_path
from sandbox.auth import check_access, is_databricks
from sandbox.clock import Clock, SystemClock, iso
from sandbox.control.router import control_routes
from sandbox.databricks.errors import invalid_parameter, no_such_endpoint
from sandbox.faults import Fault
from sandbox.request_log import Entry
from sandbox.wire import Answer, ApiError, Call, Json, Route
from sandbox.world import World

CONTROL = "/_sandbox/"
MAX_BODY = 16 * 1024 * 1024
WORLD = web.AppKey("world", World)


def make_app(clock: Clock | None = None, speed: float = 1.0) -> web.Application:
    """Build the application."""
    app = web.Application(client_max_size=MAX_BODY)
    app[WORLD] = World(clock or SystemClock(), speed)
    app.router.add_route("*", "/{tail:.*}", serve)
    return app


async def serve(request: web.Request) -> web.StreamResponse:
    """Answer any request."""
    world = request.app[WORLD]
    world.timeline.catch_up()
    raw = await request.read()
    query = parse_qs(request.rel_url.query_string, keep_blank_values=True)
    if request.path.startswith(CONTROL):
        return respond(control(world, request, raw, query))
    at = iso(world.timeline.now())
    entry = world.log.open(at, request.method, request.path, query)
    return await serve_api(world, request, raw, entry)


async def serve_api(
    world: World, request: web.Request, raw: bytes, entry: Entry
) -> web.StreamResponse:
    """Answer a request to one of the platforms, disturbed where that is scripted."""
    call = call_of(request, entry.query)
    fault = world.faults.strike(call)
    entry.fault = fault.name if fault else None
    entry.body = readable(raw)
    answer = Answer(200, {})
    if fault is None or fault.keeps_effect():
        before = world.timeline.changes
        answer = dispatch(world, call, raw)
        entry.effect = world.timeline.changes != before
    entry.status = answer.status
    return respond(answer) if fault is None else await disturb(request, fault, answer, entry)


def call_of(request: web.Request, query: dict[str, list[str]]) -> Call:
    """Take a request apart, but for its body."""
    headers = request.headers
    return Call(
        request.method,
        request.path,
        query,
        authorization=headers.get("Authorization"),
        accept=headers.get("Accept", "*/*"),
    )


def dispatch(world: World, call: Call, raw: bytes) -> Answer:
    """Let the domain answer."""
    try:
        check_access(world, call)
        return answer_from(world.routes, call, raw)
    except ApiError as error:
        return Answer(error.status, error.body, error.headers)


def answer_from(routes: list[Route], call: Call, raw: bytes) -> Answer:
    """Find who answers and ask."""
    for candidate in routes:
        params = candidate.match(call.method, call.path)
        if params is not None:
            said = candidate.handler(replace(call, body=body_of(raw), params=params))
            return said if isinstance(said, Answer) else Answer(200, said)
    if is_databricks(call.path):
        raise no_such_endpoint(call.method, call.path)
    raise no_such_path(call.path)


def control(world: World, request: web.Request, raw: bytes, query: dict[str, list[str]]) -> Answer:
    """Answer a control request; mistakes in it are 400 with their reason."""
    call = Call(request.method, request.path, query)
    try:
        return answer_from(control_routes(world), call, raw)
    except ApiError as error:
        return Answer(error.status, error.body, error.headers)
    except (KeyError, ValueError, TypeError) as error:
        return Answer(400, {"error": f"{type(error).__name__}: {error}"})


def body_of(raw: bytes) -> Json:
    """Read a JSON object; an empty body, and JSON's null, are an empty object."""
    parsed = readable(raw)
    if parsed is None:
        return {}
    if not isinstance(parsed, dict):
        raise invalid_parameter("The request body must be a JSON object.")
    return parsed


def readable(raw: bytes) -> Any:  # noqa: ANN401 - whatever JSON the client sent
    """Read a body; what is no JSON is kept as text."""
    if not raw:
        return None
    try:
        return json.loads(raw)
    except ValueError:
        return raw.decode(errors="replace")


def respond(answer: Answer) -> web.Response:
    """Write an answer."""
    status, body, headers = answer.status, answer.body, answer.headers
    if "Content-Type" in headers:
        text = body if isinstance(body, str) else json.dumps(body)
        return web.Response(status=status, body=text.encode(), headers=headers)
    if body is None or isinstance(body, str):
        return web.Response(status=status, text=body, headers=headers)
    return web.json_response(body, status=status, headers=headers)


async def disturb(
    request: web.Request, fault: Fault, answer: Answer, entry: Entry
) -> web.StreamResponse:
    """Let a fault have its way with an answer."""
    if fault.delay_seconds:
        await asyncio.sleep(fault.delay_seconds)
    if fault.disconnect:
        entry.status = None
        return hang_up(request)
    if fault.stale or fault.garble:
        answer = replace(answer, body=distorted(fault, entry, answer))
    response = faulty(fault, answer)
    entry.status = response.status
    return await cut_short(request, response) if fault.truncate else response


def distorted(fault: Fault, entry: Entry, answer: Answer) -> Json | str | None:
    """Return what the fault makes of the body, if that is JSON."""
    if not isinstance(answer.body, dict):
        return answer.body
    question = json.dumps([entry.method, entry.path, entry.query, entry.body])
    return fault.distorted(question, answer.body)


def faulty(fault: Fault, answer: Answer) -> web.Response:
    """Return the scripted answer, or the real one where the fault only delays or truncates."""
    if fault.status is None:
        return respond(answer)
    if isinstance(fault.body, str):
        return web.Response(status=fault.status, text=fault.body, headers=fault.headers)
    body = fault.body if fault.body is not None else {"message": fault.name}
    return respond(Answer(fault.status, body, fault.headers))


def hang_up(request: web.Request) -> web.Response:
    """Break the connection off without an answer."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


async def cut_short(request: web.Request, whole: web.Response) -> web.StreamResponse:
    """Promise the whole answer, send half of it and hang up."""
    body = bytes(whole.body) if isinstance(whole.body, bytes | bytearray) else b""
    half = web.StreamResponse(status=whole.status, headers=whole.headers)
    half.content_length = len(body)
    await half.prepare(request)
    await half.write(body[: len(body) // 2])
    if request.transport is not None:
        request.transport.close()
    return half
