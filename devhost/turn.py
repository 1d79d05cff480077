"""One turn of an orchestrator: from its history and new messages to what is to be done."""

import uuid
from collections.abc import Callable
from datetime import datetime, timedelta

import msgspec

from devhost import protocol
from devhost.generation import Generation
from devhost.protocol import Decision, Handle, Json, ProtocolError
from devhost.records import Episode, Message, Task

Due = Callable[[str, str], float]


class Turn(msgspec.Struct):
    """What a turn came to."""

    episode: Episode
    decision: Decision


def take(generation: Generation, handle: Handle, now: datetime, due: Due) -> Turn:
    """Let the orchestrator take its turn; nothing is changed yet.

    `due` gives the wall clock's second for a timer, from the orchestrator's time and its fire-at
    time.
    """
    batch = generation.batch()
    at = _clock(generation, batch, now)
    events = generation.history + generation.events(at, batch)
    decision = protocol.replay(handle, protocol.body(generation.start, events))
    episode = Episode(at, len(batch), [], [], [], generation.next_id, decision.custom_status)
    try:
        protocol.check_deterministic(generation.actions, decision.actions)
        _fill(episode, generation, batch, decision)
    except (ProtocolError, ValueError, KeyError) as error:
        decision.done, decision.error, decision.actions = True, str(error), []
    for task in episode.tasks:
        _complete(task, at, due)
    return Turn(episode, decision)


def _clock(generation: Generation, batch: list[Message], now: datetime) -> str:
    """Give the orchestrator's time: it never goes back and a fired timer's time has come.

    With compressed timers it runs ahead of the wall clock, as the orchestrator expects.
    """
    fired = (message.fired for message in batch if message.fired)
    return max(protocol.stamp(now), generation.clock, *fired)


def _fill(
    episode: Episode, generation: Generation, batch: list[Message], decision: Decision
) -> None:
    for message in batch:
        _retry(episode, generation, message)
    known = len(generation.actions)
    for index, action in enumerate(decision.actions[known:], known):
        _schedule(episode, index, action)
    episode.cancelled = _cancelled(generation, decision)


def _schedule(episode: Episode, index: int, action: dict[str, Json]) -> None:
    episode.actions.append(protocol.fingerprint(action))
    task = protocol.to_task(action, episode.next_id)
    if action["actionType"] not in protocol.WITHOUT_ID:
        episode.next_id += 1
    if task and not action.get("isCanceled"):
        task.action = index
        episode.tasks.append(task)


def _retry(episode: Episode, generation: Generation, message: Message) -> None:
    """Take the ids that the SDK took for a retry while it read this message."""
    task = generation.open.get(-1 if message.task is None else message.task)
    if task is None:
        return
    if message.failed and task.of_retry:
        _add(episode, _retry_timer(task, episode.at))
    elif task.again:
        _add(episode, msgspec.structs.replace(task.again))


def _add(episode: Episode, task: Task) -> None:
    task.id = episode.next_id
    episode.next_id += 1
    episode.tasks.append(task)


def _retry_timer(task: Task, at: str) -> Task:
    fire_at = protocol.moment(at) + timedelta(seconds=task.interval)
    again = msgspec.structs.replace(task, attempts=task.attempts - 1, action=-1)
    return Task(
        0,
        "timer",
        fire_at=protocol.stamp(fire_at),
        again=again if task.attempts else None,
        of_retry=True,
    )


def _cancelled(generation: Generation, decision: Decision) -> list[int]:
    """List the timers that the orchestrator has cancelled by now."""
    cancelled = {i for i, action in enumerate(decision.actions) if action.get("isCanceled")}
    return [task.id for task in generation.open.values() if task.action in cancelled]


def _complete(task: Task, at: str, due: Due) -> None:
    if task.kind == "timer":
        task.due = due(at, task.fire_at)
    elif task.kind == "orchestration":
        task.child = task.child or uuid.uuid4().hex
