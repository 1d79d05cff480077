"""Puts the parts together: functions, engine, timers and the web server."""

import logging
import socket
from pathlib import Path

import msgspec
from aiohttp import web
from azure.durable_functions.models.utils import http_utils

from devhost import durable_api, loader, protocol
from devhost.durable_api import DurableApi
from devhost.engine import Engine
from devhost.eventgrid import EventGrid
from devhost.invoke import Invoker
from devhost.journal import Journal
from devhost.loader import Functions
from devhost.settings import HostSettings, SettingsError
from devhost.timers import Timers
from devhost.web_functions import WebFunctions

log = logging.getLogger("devhost")

# The limit of the real host.
MAX_BODY = 100 * 1024 * 1024
GRACE = 5.0
WILDCARDS = ("", "0.0.0.0", "::")  # noqa: S104 - compared with, not bound to


class Options(msgspec.Struct, frozen=True):
    """How the host runs."""

    host: str = "127.0.0.1"
    port: int = 7071
    journal: Path | None = None
    threads: int = 16
    time_scale: float = 1.0
    root: Path = Path()


class PortTakenError(SettingsError):
    """The host cannot listen where it was told to."""


class Host:
    """A running function app."""

    def __init__(self, functions: Functions, settings: HostSettings, options: Options) -> None:
        self.functions = functions
        self.url = ""
        self._settings = settings
        self._options = options
        self._invoker = Invoker(options.threads, self._client, options.root)
        self._timers = Timers(loader.by_type(functions, "timerTrigger"), self._invoker.call)
        http = loader.by_type(functions, "httpTrigger")
        self._web = WebFunctions(http, settings.route_prefix, self._invoker)
        self._activities = {
            each.durable_name: each for each in loader.by_type(functions, "activityTrigger")
        }

    async def start(self) -> None:
        """Listen, then take up what the journal holds; no request is answered before.

        Raises:
            PortTakenError: The address cannot be listened on.
            JournalError: The journal cannot be used.
        """
        protocol.use_fast_timestamps()
        listener = self._listen()
        try:
            self.journal = Journal(self._options.journal)
        except Exception:
            listener.close()
            raise
        self.engine = self._engine()
        self._runner = web.AppRunner(self._application(), access_log=None, shutdown_timeout=GRACE)
        await self._runner.setup()
        self._site = web.SockSite(self._runner, listener)
        await self._site.start()
        self.engine.recover()
        self._timers.start()

    async def stop(self) -> bool:
        """Stop within the grace time; say whether all activities have ended."""
        await self._site.stop()
        await self._timers.stop(GRACE)
        ended = await self.engine.stop(GRACE)
        await self._runner.cleanup()
        await http_utils._close_session()
        self._invoker.close()
        self.journal.close()
        return ended

    def _engine(self) -> Engine:
        orchestrators = {
            each.durable_name: each.call
            for each in loader.by_type(self.functions, "orchestrationTrigger")
        }
        return Engine(
            orchestrators,
            self._run_activity,
            self.journal,
            time_scale=self._options.time_scale,
            default_version=self._settings.default_version,
        )

    async def _run_activity(self, name: str, text: str | None) -> str:
        if name not in self._activities:
            raise LookupError(f"Activity function '{name}' does not exist.")
        return await self._invoker.activity(self._activities[name], text)

    def _client(self) -> str:
        return durable_api.client_json(f"{self.url}{durable_api.BASE}", self._settings.task_hub)

    def _application(self) -> web.Application:
        app = web.Application(client_max_size=MAX_BODY)
        app.router.add_get("/admin/host/status", _running)
        app.router.add_post("/admin/functions/{name}", self._run_by_hand)
        DurableApi(self.engine).add_routes(app)
        events = {each.name: each for each in loader.by_type(self.functions, "eventGridTrigger")}
        EventGrid(events, self._invoker.call).add_routes(app)
        app.router.add_route("*", r"/{tail:[\s\S]*}", self._web.handle)
        return app

    def _listen(self) -> socket.socket:
        host, port = self._options.host, self._options.port
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            listener = socket.create_server((host, port), family=family)
        except OSError as error:
            raise PortTakenError(f"cannot listen on {host}:{port}: {error.strerror}") from error
        name = "127.0.0.1" if host in WILDCARDS else host
        self.url = f"http://{name}:{listener.getsockname()[1]}"
        return listener

    async def _run_by_hand(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if self._timers.trigger(name):
            return web.Response(status=202)
        return web.Response(status=400 if name in self.functions else 404)


async def _running(_: web.Request) -> web.Response:
    return web.json_response({"state": "Running"})
