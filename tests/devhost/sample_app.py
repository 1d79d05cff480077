"""A small app with one function of each kind that the devhost runs."""

# The Durable SDK publishes no types, so its decorators untype what they decorate.
# mypy: disable-error-code="untyped-decorator, no-untyped-call, no-any-return"

import asyncio
import json
import os
from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import azure.durable_functions as df
import azure.functions as func

Json = Any
Steps = Generator[Any, Any, Any]

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)

FOREVER = timedelta(hours=1)
MOMENT = timedelta(milliseconds=20)
failures: dict[str, int] = {}
calls: list[str] = []


def note(line: str) -> None:
    """Tell a test in another process what ran."""
    path = os.environ.get("DEVHOST_TEST_NOTES")
    if path:
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")


@app.activity_trigger(input_name="value")
def echo(value: Json) -> Json:
    note(f"echo {value}")
    calls.append(f"echo {value}")
    return value


@app.activity_trigger(input_name="value")
async def add_one(value: int) -> int:
    return value + 1


@app.activity_trigger(input_name="value")
def fail_first(value: dict[str, Any]) -> str:
    name = value["name"]
    failures[name] = failures.get(name, 0) + 1
    if failures[name] <= value["times"]:
        raise ValueError(f"try {failures[name]} ü")
    return f"ok after {failures[name]}"


@app.activity_trigger(input_name="value")
async def block_until(value: str) -> str:
    note(f"block {value}")
    while not os.path.exists(value):  # noqa: ASYNC110, ASYNC240, PTH110 - another process makes it
        await asyncio.sleep(0.01)
    return "unblocked"


@app.activity_trigger(input_name="value")
def unserializable(value: Json) -> Json:
    return object()


@app.orchestration_trigger(context_name="context")
def chain(context: df.DurableOrchestrationContext) -> Steps:
    value = context.get_input()
    for _ in range(3):
        value = yield context.call_activity("add_one", value)
    return value


@app.orchestration_trigger(context_name="context")
def echo_all(context: df.DurableOrchestrationContext) -> Steps:
    tasks = [context.call_activity("echo", value) for value in context.get_input()]
    results = yield context.task_all(tasks)
    return results


@app.orchestration_trigger(context_name="context")
def race(context: df.DurableOrchestrationContext) -> Steps:
    limit = FOREVER if context.get_input() == "long" else MOMENT
    timer = context.create_timer(context.current_utc_datetime + limit)
    answer = context.wait_for_external_event("answer")
    winner = yield context.task_any([answer, timer])
    if winner == timer:
        return "timeout"
    timer.cancel()
    after = yield context.call_activity("echo", "after")
    return [answer.result, after]


@app.orchestration_trigger(context_name="context")
def count_down(context: df.DurableOrchestrationContext) -> Steps:
    left = context.get_input()
    context.set_custom_status({"left": left})
    if left:
        yield context.call_activity("echo", left)
        context.continue_as_new(left - 1)
    return "landed"


@app.orchestration_trigger(context_name="context")
def collect(context: df.DurableOrchestrationContext) -> Steps:
    got = context.get_input() or []
    value = yield context.wait_for_external_event("value")
    got.append(value)
    if len(got) < 3:
        context.continue_as_new(got)
    return got


@app.orchestration_trigger(context_name="context")
def wait(context: df.DurableOrchestrationContext) -> Steps:
    value = yield context.wait_for_external_event("go")
    return {"value": value, "version": context.version}


@app.orchestration_trigger(context_name="context")
def wait_after_echo(context: df.DurableOrchestrationContext) -> Steps:
    yield context.call_activity("echo", context.instance_id)
    value = yield context.wait_for_external_event("go")
    return value


@app.orchestration_trigger(context_name="context")
def parent(context: df.DurableOrchestrationContext) -> Steps:
    given = context.get_input()
    result = yield context.call_sub_orchestrator(
        given["name"], given.get("input"), given.get("id"), given.get("version")
    )
    return {"child": result, "at": context.instance_id}


@app.orchestration_trigger(context_name="context")
def careful_parent(context: df.DurableOrchestrationContext) -> Steps:
    try:
        yield context.call_sub_orchestrator("broken", None)
    except Exception as error:  # noqa: BLE001 - the SDK raises nothing narrower
        return f"caught: {error}"
    return "nothing happened"


@app.orchestration_trigger(context_name="context")
def broken(context: df.DurableOrchestrationContext) -> Steps:
    yield context.call_activity("echo", "before")
    raise RuntimeError("kaputt ✗")


@app.orchestration_trigger(context_name="context")
def calls_failing(context: df.DurableOrchestrationContext) -> Steps:
    try:
        yield context.call_activity("fail_first", {"name": context.instance_id, "times": 9})
    except Exception as error:  # noqa: BLE001 - the SDK raises nothing narrower
        return str(error)
    return "no error"


@app.orchestration_trigger(context_name="context")
def calls_named(context: df.DurableOrchestrationContext) -> Steps:
    result = yield context.call_activity(context.get_input(), None)
    return result


@app.orchestration_trigger(context_name="context")
def retries(context: df.DurableOrchestrationContext) -> Steps:
    options = df.RetryOptions(10, 3)
    value = {"name": context.instance_id, "times": context.get_input()}
    result = yield context.call_activity_with_retry("fail_first", options, value)
    after = yield context.call_activity("echo", "after")
    return [result, after]


@app.orchestration_trigger(context_name="context")
def parallel_retries(context: df.DurableOrchestrationContext) -> Steps:
    options = df.RetryOptions(5, 4)
    tasks = [
        context.call_activity_with_retry(
            "fail_first", options, {"name": f"{context.instance_id}-{times}", "times": times}
        )
        for times in range(4)
    ]
    results = yield context.task_all([*tasks, context.call_activity("echo", "plain")])
    after = yield context.call_activity("echo", "after")
    return [*results, after]


@app.orchestration_trigger(context_name="context")
def fails_at_first(context: df.DurableOrchestrationContext) -> Steps:
    result = yield context.call_activity("fail_first", context.get_input())
    return result


@app.orchestration_trigger(context_name="context")
def retried_child(context: df.DurableOrchestrationContext) -> Steps:
    value = {"name": context.instance_id, "times": context.get_input()}
    child = context.call_sub_orchestrator_with_retry(
        "fails_at_first", df.RetryOptions(5, 3), value, f"{context.instance_id}-child"
    )
    never = context.wait_for_external_event("never")
    winner = yield context.task_any([child, never])
    after = yield context.call_activity("echo", "after")
    return [winner.result, after]


@app.orchestration_trigger(context_name="context")
def sleep_long(context: df.DurableOrchestrationContext) -> Steps:
    deadline = context.current_utc_datetime + timedelta(seconds=context.get_input())
    yield context.create_timer(deadline)
    return context.current_utc_datetime >= deadline


@app.orchestration_trigger(context_name="context")
def blocked(context: df.DurableOrchestrationContext) -> Steps:
    first = yield context.call_activity("echo", context.instance_id)
    second = yield context.call_activity("block_until", context.get_input())
    return [first, second]


@app.orchestration_trigger(context_name="context")
def uses_http(context: df.DurableOrchestrationContext) -> Steps:
    yield context.call_http("GET", "http://localhost")


@app.route(route="things/{id:int}", methods=["GET"])
def thing(req: func.HttpRequest) -> func.HttpResponse:
    body = {"id": req.route_params["id"], "params": dict(req.params), "url": req.url}
    return func.HttpResponse(json.dumps(body), mimetype="application/json", status_code=203)


@app.route(route="things/{id:guid}", methods=["GET"])
def thing_by_guid(req: func.HttpRequest) -> str:
    return f"guid {req.route_params['id']}"


@app.route(route="things/special")
def special(req: func.HttpRequest) -> str:
    return "special"


@app.route(route="things/{name}", methods=["PUT"])
async def put_thing(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
    headers = {"X-Size": str(len(req.get_body())), "X-Function": context.function_name}
    return func.HttpResponse(req.get_body(), headers=headers, mimetype="application/octet-stream")


@app.route(route="files/{*rest}")
def files(req: func.HttpRequest) -> str:
    return req.route_params.get("rest", "")


@app.route(route="explode")
def explode(req: func.HttpRequest) -> str:
    raise RuntimeError("boom")


@app.route(route="locked", auth_level=func.AuthLevel.FUNCTION)
def locked(req: func.HttpRequest) -> str:
    return "open"


@app.route(route="client/{operation}/{id}", methods=["POST"])
@app.durable_client_input(client_name="client")
async def through_client(
    req: func.HttpRequest, client: df.DurableOrchestrationClient
) -> func.HttpResponse:
    instance, body = req.route_params["id"], req.get_json()
    try:
        result = await OPERATIONS[req.route_params["operation"]](client, instance, body)
    except Exception as error:  # noqa: BLE001 - the SDK raises nothing narrower
        return func.HttpResponse(str(error), status_code=418)
    return func.HttpResponse(json.dumps(result), mimetype="application/json")


async def _start(client: Json, instance: str, body: Json) -> Json:
    return await client.start_new(body["name"], instance, body.get("input"), body.get("version"))


async def _status(client: Json, instance: str, body: Json) -> Json:
    status = await client.get_status(instance, show_history=True, show_input=True)
    shown = status.to_json() if status else None
    return {"status": shown, "input": status.input_, "events": len(status.history or [])}


async def _event(client: Json, instance: str, body: Json) -> Json:
    return await client.raise_event(instance, body["name"], body["value"])


async def _list(client: Json, instance: str, body: Json) -> Json:
    statuses = [df.OrchestrationRuntimeStatus(each) for each in body]
    found = await client.get_status_by(runtime_status=statuses, instance_id_prefix=instance)
    return sorted(each.instance_id for each in found)


async def _purge(client: Json, instance: str, body: Json) -> Json:
    return (await client.purge_instance_history(instance)).instances_deleted


async def _purge_all(client: Json, instance: str, body: Json) -> Json:
    result = await client.purge_instance_history_by(
        datetime(2020, 1, 1, tzinfo=UTC),
        datetime(2100, 1, 1, tzinfo=UTC),
        [df.OrchestrationRuntimeStatus.Completed],
    )
    return result.instances_deleted


OPERATIONS = {
    "start": _start,
    "status": _status,
    "event": _event,
    "list": _list,
    "purge": _purge,
    "purge_all": _purge_all,
    "terminate": lambda client, instance, body: client.terminate(instance, body),
    "suspend": lambda client, instance, body: client.suspend(instance, body),
    "resume": lambda client, instance, body: client.resume(instance, body),
    "restart": lambda client, instance, body: client.restart(instance, body),
    "rewind": lambda client, instance, body: client.rewind(instance, body),
}


@app.timer_trigger(arg_name="timer", schedule="%SWEEP_SCHEDULE%", run_on_startup=False)
@app.durable_client_input(client_name="client")
async def sweep(timer: func.TimerRequest, client: df.DurableOrchestrationClient) -> None:
    await client.start_new("echo_all", "from-timer", ["tick"])


@app.event_grid_trigger(arg_name="event")
def on_event(event: func.EventGridEvent) -> None:
    if event.get_json() == "bad":
        raise ValueError("bad event")
    calls.append(f"event {event.id}")
