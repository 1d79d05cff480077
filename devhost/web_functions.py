"""HTTP-triggered functions over aiohttp."""

import hmac
import logging
import os
from collections.abc import Iterable, Mapping

import azure.functions as func
from aiohttp import web
from azure.functions.http import HttpRequest
from multidict import CIMultiDict, MultiMapping

from devhost import routes
from devhost.invoke import Invoker
from devhost.loader import Function
from devhost.routes import Route

log = logging.getLogger("devhost.http")

FUNCTION_KEY = "DEVHOST_FUNCTION_KEY"


class WebFunctions:
    """Finds the function for a request and calls it."""

    def __init__(self, functions: Iterable[Function], prefix: str, invoker: Invoker) -> None:
        self._routes = routes.compile_routes(functions, prefix)
        self._invoker = invoker

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer a request as the real host does, with its emptiness."""
        # A slash that was sent encoded stays within its segment.
        path = request.rel_url.path_safe
        found = routes.find(self._routes, request.method, path)
        if not found:
            return web.Response(status=404)
        route, parameters = found
        if not is_allowed(route.function, request):
            return web.Response(status=401)
        values = {name: value.replace("%25", "%") for name, value in parameters.items()}
        return await self._call(route, request, values)

    async def _call(
        self, route: Route, request: web.Request, parameters: dict[str, str]
    ) -> web.Response:
        body = await request.read()
        try:
            result = await self._invoker.call(route.function, to_request(request, parameters, body))
            return to_response(result)
        except Exception:
            log.exception("HTTP function '%s' failed", route.function.name)
            return web.Response(status=500)


def is_allowed(function: Function, request: web.Request) -> bool:
    """Whether the request carries the key that the function's level asks for."""
    level = function.properties.get("authLevel")
    if str(getattr(level, "value", level)).lower() == "anonymous":
        return True
    expected = os.environ.get(FUNCTION_KEY, "")
    given = request.headers.get("x-functions-key") or request.query.get("code", "")
    return bool(expected) and hmac.compare_digest(expected.encode(), given.encode())


def to_request(
    request: web.Request, parameters: Mapping[str, str], body: bytes
) -> func.HttpRequest:
    """Build what a function gets."""
    return HttpRequest(
        method=request.method,
        url=str(request.url),
        headers=_joined(request.headers),
        params=_joined(request.query),
        route_params=parameters,
        body_type="bytes",
        body=body,
    )


def to_response(result: object) -> web.Response:
    """Turn what a function returned into an answer.

    Raises:
        TypeError: It is neither an HttpResponse nor text nor nothing.
    """
    if result is None:
        return web.Response(status=204)
    if isinstance(result, str):
        return web.Response(text=result)
    if isinstance(result, func.HttpResponse):
        headers = CIMultiDict(result.headers.items())
        headers.setdefault("Content-Type", _content_type(result))
        return web.Response(status=int(result.status_code), headers=headers, body=result.get_body())
    raise TypeError(f"an HTTP function cannot return {type(result).__name__}")


def _content_type(result: func.HttpResponse) -> str:
    if str(result.mimetype).startswith("text/"):
        return f"{result.mimetype}; charset={result.charset}"
    return str(result.mimetype)


def _joined(values: MultiMapping[str]) -> dict[str, str]:
    return {name: ",".join(values.getall(name)) for name in values}
