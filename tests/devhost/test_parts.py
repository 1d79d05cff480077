# The Durable SDK publishes no types, so its decorators untype what they decorate.
# mypy: disable-error-code="untyped-decorator"

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path

import azure.durable_functions as df
import azure.functions as func
import pytest

from devhost import invoke, loader, routes, settings, timers
from devhost.journal import Journal
from devhost.records import Finished, Message, Start, Suspension
from devhost.settings import HostSettings, SettingsError

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
START = Start("i", "e", "o", "2026-01-02T03:04:05.000000Z")


def read(app: df.DFApp) -> dict[str, loader.Function]:
    return dict(loader.read(app))


def test_an_unknown_trigger_is_named() -> None:
    app = df.DFApp()

    @app.queue_trigger(arg_name="message", queue_name="q", connection="c")
    def takes_queue(message: func.QueueMessage) -> None: ...

    with pytest.raises(SettingsError, match=r"'takes_queue' .* queueTrigger"):
        loader.read(app)


def test_an_unknown_binding_is_named() -> None:
    app = df.DFApp()

    @app.route("x")
    @app.blob_input(arg_name="blob", path="p", connection="c")
    def takes_blob(req: func.HttpRequest, blob: str) -> str:
        return ""

    with pytest.raises(SettingsError, match=r"'takes_blob' .*'blob'"):
        loader.read(app)


def test_blueprints_and_clients_are_read() -> None:
    app, blueprint = df.DFApp(), df.Blueprint()

    @blueprint.activity_trigger(input_name="value", activity="renamed")
    @blueprint.durable_client_input(client_name="client")
    async def work(value: str, client: str) -> str:
        return value

    app.register_functions(blueprint)
    function = read(app)["work"]
    assert (function.durable_name, function.clients) == ("renamed", ("client",))
    assert function.is_async


def schedule(text: str) -> str:
    app = df.DFApp()

    @app.timer_trigger(arg_name="timer", schedule=text)
    def tick(timer: func.TimerRequest) -> None: ...

    return timers.schedule(read(app)["tick"])


def test_schedules_have_seconds_and_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVERY", "*/10 * * * * *")
    assert timers.following(schedule("%EVERY%"), NOW) == NOW.replace(second=10)
    weekday = timers.following(schedule("0 30 9 * * Mon-Fri"), NOW)
    assert weekday == datetime(2026, 1, 2, 9, 30, tzinfo=UTC)


async def test_a_timer_function_follows_its_schedule_and_survives_its_errors() -> None:
    app = df.DFApp()
    ran: list[str] = []
    twice = asyncio.Event()

    @app.timer_trigger(arg_name="timer", schedule="* * * * * *", run_on_startup=True)
    def tick(timer: func.TimerRequest) -> None: ...

    async def run(function: loader.Function, request: object) -> None:
        ran.append(function.name)
        if len(ran) == 2:
            twice.set()
        raise RuntimeError("tick")

    running = timers.Timers(read(app).values(), run)
    running.start()
    await asyncio.wait_for(twice.wait(), 5)
    await running.stop(1)
    assert ran == ["tick", "tick"]


async def test_a_disabled_timer_function_runs_by_hand_only(monkeypatch: pytest.MonkeyPatch) -> None:
    app = df.DFApp()
    ran: list[str] = []
    called = asyncio.Event()

    @app.timer_trigger(arg_name="timer", schedule="0 0 0 1 1 *", run_on_startup=True)
    def quiet(timer: func.TimerRequest) -> None: ...

    @app.timer_trigger(arg_name="timer", schedule="0 0 0 1 1 *", run_on_startup=True)
    def loud(timer: func.TimerRequest) -> None: ...

    async def run(function: loader.Function, request: object) -> None:
        ran.append(function.name)
        called.set()

    monkeypatch.setenv("AzureWebJobs.quiet.Disabled", "true")
    running = timers.Timers(read(app).values(), run)
    running.start()
    await asyncio.wait_for(called.wait(), 5)
    assert ran == ["loud"]

    called.clear()
    assert running.trigger("quiet")
    await asyncio.wait_for(called.wait(), 5)
    await running.stop(1)
    assert ran == ["loud", "quiet"]


@pytest.mark.parametrize("text", ["* * * * *", "nonsense", "%NOT_SET_ANYWHERE%", "61 * * * * *"])
def test_bad_schedules_are_refused(text: str) -> None:
    with pytest.raises(SettingsError):
        schedule(text)


def test_an_unknown_constraint_is_refused() -> None:
    app = df.DFApp()

    @app.route("x/{id:odd}")
    def handler(req: func.HttpRequest) -> str:
        return ""

    with pytest.raises(SettingsError, match="constraint"):
        routes.compile_routes(read(app).values(), "")


def test_a_prefix_and_an_optional_parameter() -> None:
    app = df.DFApp()

    @app.route("x/{id?}", methods=["GET"])
    def handler(req: func.HttpRequest) -> str:
        return ""

    compiled = routes.compile_routes(read(app).values(), "api")
    assert routes.find(compiled, "GET", "/api/x") == (compiled[0], {})
    assert routes.find(compiled, "GET", "/api/x/1/") == (compiled[0], {"id": "1"})
    assert routes.find(compiled, "GET", "/x/1") is None
    assert routes.find(compiled, "POST", "/api/x/1") is None


@pytest.mark.parametrize("value", [None, "text", '"quoted"', {"ü": [1.5, True]}, "\ud800"])
def test_activity_values_survive_both_ways(value: object) -> None:
    assert invoke.decode(invoke.encode(value)) == value


def test_settings_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SET_ALREADY", "old")
    monkeypatch.setenv("NEW_ONE", "to be removed")
    monkeypatch.delenv("NEW_ONE")
    path = tmp_path / "local.settings.json"
    path.write_text(json.dumps({"Values": {"SET_ALREADY": "new", "NEW_ONE": 1}}))
    settings.load_local(path)
    assert settings.expand("%SET_ALREADY% %NEW_ONE%") == "old 1"
    assert settings.load_host(tmp_path / "none.json") == HostSettings()
    path.write_text("[]")
    with pytest.raises(SettingsError):
        settings.load_local(path)


def test_the_project_s_host_json() -> None:
    found = settings.load_host(Path(__file__).parents[2] / "host.json")
    assert (found.route_prefix, found.default_version) == ("", "1.0")


async def test_the_journal_gives_back_what_was_committed(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "journal"
    journal = Journal(path)
    journal.begin(START)
    journal.append("i", Message("{}", name="go"))
    journal.append("i", Suspension(suspended=True))
    await journal.committed()
    journal.append("i", Message("{}", name="last"))
    journal.close()
    journal = Journal(path)
    kept = [record for _, record in journal.running()]
    assert kept == [START, Message("{}", name="go"), Suspension(True), Message("{}", name="last")]
    finished = Finished(START, "Completed", "1", START.created)
    journal.finish(finished, ['{"a": 1}'])
    journal.flush()
    assert (list(journal.running()), list(journal.finished())) == ([], [finished])
    assert journal.history("i") == '[{"a": 1}]'
    journal.purge("i")
    journal.close()
