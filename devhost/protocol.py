"""The JSON protocol of azure-functions-durable, without state and without input or output."""

import importlib
import json
import warnings
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from enum import IntEnum
from typing import Any

import msgspec
from azure.functions import OrchestrationContext

from devhost.records import Start, Task

Json = Any
Handle = Callable[[OrchestrationContext], str]

# V2 lists compounds once; V1 repeats tasks that are scheduled already.
UPPER_SCHEMA_VERSION = 2
ERROR_LABEL = "\n\n$OutOfProcData$:"
TIME_FORMAT = "%Y-%m-%dT%H:%M:%S.%fZ"


class EventType(IntEnum):
    """The history events that the SDK reads, and those that a status shows."""

    EXECUTION_STARTED = 0
    TASK_COMPLETED = 5
    TASK_FAILED = 6
    SUB_ORCHESTRATION_INSTANCE_COMPLETED = 8
    SUB_ORCHESTRATION_INSTANCE_FAILED = 9
    TIMER_FIRED = 11
    ORCHESTRATOR_STARTED = 12
    EVENT_RAISED = 15


class ActionType(IntEnum):
    """The requests of an orchestrator."""

    CALL_ACTIVITY = 0
    CALL_ACTIVITY_WITH_RETRY = 1
    CALL_SUB_ORCHESTRATOR = 2
    CALL_SUB_ORCHESTRATOR_WITH_RETRY = 3
    CONTINUE_AS_NEW = 4
    CREATE_TIMER = 5
    WAIT_FOR_EXTERNAL_EVENT = 6
    CALL_ENTITY = 7
    CALL_HTTP = 8
    SIGNAL_ENTITY = 9
    WHEN_ANY = 11
    WHEN_ALL = 12


COMPOUND = (ActionType.WHEN_ANY, ActionType.WHEN_ALL)
ACTIVITIES = (ActionType.CALL_ACTIVITY, ActionType.CALL_ACTIVITY_WITH_RETRY)
SUB_ORCHESTRATIONS = (
    ActionType.CALL_SUB_ORCHESTRATOR,
    ActionType.CALL_SUB_ORCHESTRATOR_WITH_RETRY,
)
# Waiting for an event takes no task id: the SDK finds the wait by the event's name.
WITHOUT_ID = (ActionType.WAIT_FOR_EXTERNAL_EVENT,)
UNSUPPORTED = (ActionType.CALL_ENTITY, ActionType.CALL_HTTP, ActionType.SIGNAL_ENTITY)


class Decision(msgspec.Struct):
    """What one turn of an orchestrator said; JSON values stay text."""

    done: bool
    actions: list[dict[str, Json]]
    output: str
    error: str | None = None
    custom_status: str | None = None

    @property
    def continue_as_new(self) -> dict[str, Json] | None:
        """The request to begin again, if there is one."""
        last = self.actions[-1] if self.actions else None
        return last if last and last["actionType"] == ActionType.CONTINUE_AS_NEW else None


class ProtocolError(Exception):
    """The orchestrator asked for what cannot be done; its text is the instance's output."""


def stamp(moment: datetime) -> str:
    """Print a moment in UTC as the SDK prints and reads it."""
    return moment.astimezone(UTC).strftime(TIME_FORMAT)


def moment(text: str) -> datetime:
    """Read a timestamp; one without a zone is UTC."""
    parsed = datetime.fromisoformat(text)
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def use_fast_timestamps() -> None:
    """Let the SDK read its history's timestamps without dateutil, most of a replay's cost."""
    module = importlib.import_module("azure.durable_functions.models.history.HistoryEvent")
    vars(module)["dt_parse"] = moment


def event(kind: EventType, at: str, **fields: Json) -> str:
    """Print one history event."""
    common = {"EventType": int(kind), "EventId": -1, "IsPlayed": False, "Timestamp": at}
    return json.dumps(common | fields)


def orchestrator_started(at: str) -> str:
    """Print the event that begins a turn and sets the orchestrator's clock."""
    return event(EventType.ORCHESTRATOR_STARTED, at)


def execution_started(start: Start) -> str:
    """Print the event that begins an execution."""
    return event(
        EventType.EXECUTION_STARTED,
        start.created,
        Name=start.name,
        Version=start.version,
        Input=start.input,
    )


def task_completed(task: Task, at: str, result: str | None) -> str:
    """Print the success of an activity or a sub-orchestration; `result` is JSON text."""
    return event(_COMPLETED[task.kind], at, TaskScheduledId=task.id, Result=result)


def task_failed(task: Task, at: str, reason: str, details: str) -> str:
    """Print the failure of an activity or a sub-orchestration."""
    return event(_FAILED[task.kind], at, TaskScheduledId=task.id, Reason=reason, Details=details)


def timer_fired(task: Task, at: str) -> str:
    """Print that a timer's time has come."""
    return event(EventType.TIMER_FIRED, at, TimerId=task.id, FireAt=task.fire_at)


def event_raised(name: str, at: str, value: str) -> str:
    """Print an external event; `value` is JSON text."""
    return event(EventType.EVENT_RAISED, at, Name=name, Input=value)


_COMPLETED = {
    "activity": EventType.TASK_COMPLETED,
    "orchestration": EventType.SUB_ORCHESTRATION_INSTANCE_COMPLETED,
}
_FAILED = {
    "activity": EventType.TASK_FAILED,
    "orchestration": EventType.SUB_ORCHESTRATION_INSTANCE_FAILED,
}


def body(start: Start, history: Sequence[str]) -> str:
    """Join what an orchestrator is called with; events are printed once and kept as text."""
    head = {
        "instanceId": start.instance,
        "isReplaying": False,
        "parentInstanceId": start.parent.instance if start.parent else None,
        "input": start.input,
        "upperSchemaVersion": UPPER_SCHEMA_VERSION,
    }
    return f'{json.dumps(head)[:-1]}, "history": [{",".join(history)}]}}'


def replay(handle: Handle, text: str) -> Decision:
    """Run the orchestrator over its history and read what it says."""
    with warnings.catch_warnings():
        # The SDK warns of every event that comes before its wait.
        warnings.simplefilter("ignore")
        try:
            return interpret(handle(OrchestrationContext(text)))
        except Exception as error:  # noqa: BLE001 - whatever user code raises fails its instance
            return interpret_error(str(error) or repr(error))


def interpret(reply: str) -> Decision:
    """Read an orchestrator's answer."""
    state = json.loads(reply)
    return Decision(
        done=state.get("isDone", False),
        actions=list(flatten(state.get("actions", []))),
        output=json.dumps(state.get("output")),
        error=state.get("error"),
        custom_status=json.dumps(state["customStatus"]) if "customStatus" in state else None,
    )


def interpret_error(text: str) -> Decision:
    """Read the exception by which the SDK reports a failed orchestrator."""
    message, label, state = text.rpartition(ERROR_LABEL)
    if not label:
        return Decision(done=True, actions=[], output="null", error=text)
    decision = interpret(state)
    decision.error = message
    return decision


def flatten(actions: list[Json]) -> Iterator[dict[str, Json]]:
    """List the actions inside lists and compounds in the order of their task ids."""
    for action in actions:
        if isinstance(action, list):
            yield from flatten(action)
        elif action["actionType"] in COMPOUND:
            yield from flatten(action["compoundActions"])
        else:
            yield action


def fingerprint(action: dict[str, Json]) -> str:
    """Say what an action is, so that a replay can be compared with what was recorded."""
    kind = ActionType(action["actionType"]).name.lower()
    return f"{kind} {action.get('functionName') or action.get('externalEventName') or ''}".rstrip()


def check_deterministic(recorded: Sequence[str], actions: Sequence[dict[str, Json]]) -> None:
    """Refuse a replay that asks for something else than it did before.

    Raises:
        ProtocolError: The orchestrator's code and its history do not agree.
    """
    for index, before in enumerate(recorded):
        now = fingerprint(actions[index]) if index < len(actions) else None
        if now != before:
            raise ProtocolError(_non_deterministic(index, before, now))


def _non_deterministic(index: int, before: str, now: str | None) -> str:
    instead = f"instead scheduled '{now}'" if now else "hasn't (yet?) scheduled this task"
    return (
        "Non-Deterministic workflow detected: A previous execution of this orchestration "
        f"scheduled '{before}' with sequence ID {index}, but the current replay execution "
        f"{instead}. Was a change made to the orchestrator code after this instance had "
        "already started running?"
    )


def to_task(action: dict[str, Json], task_id: int) -> Task | None:
    """Read the work that an action asks for; None for what only takes an id or waits.

    Raises:
        ProtocolError: The action is one that this host does not know.
    """
    kind = action["actionType"]
    if kind in UNSUPPORTED:
        raise ProtocolError(f"The devhost does not support '{fingerprint(action)}'.")
    if kind == ActionType.CREATE_TIMER:
        return Task(task_id, "timer", fire_at=action["fireAt"])
    if kind in ACTIVITIES:
        return _with_retry(Task(task_id, "activity", **_call(action)), action)
    if kind in SUB_ORCHESTRATIONS:
        task = Task(task_id, "orchestration", **_call(action))
        task.child = action.get("instanceId") or ""
        task.version = action.get("version")
        return _with_retry(task, action)
    return None


def _call(action: dict[str, Json]) -> dict[str, Json]:
    return {"name": action["functionName"], "input": action.get("input")}


def _with_retry(task: Task, action: dict[str, Json]) -> Task:
    options = action.get("retryOptions")
    if options:
        task.of_retry = True
        task.attempts = options["maxNumberOfAttempts"] - 1
        task.interval = options["firstRetryIntervalInMilliseconds"] / 1000
    return task


def json_text(value: Json) -> str:
    """Give a decoded HTTP body as the JSON text that orchestrators read.

    The SDK's client encodes bodies twice, so what it sent is still JSON text here; what others
    post is a plain value.
    """
    return value if isinstance(value, str) and _is_json(value) else json.dumps(value)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True
