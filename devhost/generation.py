"""The state of one execution of an instance: what its records add up to."""

import json
from asyncio import TimerHandle
from collections import deque
from collections.abc import Iterator

from devhost import protocol
from devhost.protocol import Json
from devhost.records import Episode, Finished, Message, Record, Start, Suspension, Task


class Generation:
    """One execution of an instance, from its start to its end or its being replaced.

    Records are the only way to change it, when they happen and when they are read back, so that
    a restarted host stands where the killed one stood.
    """

    def __init__(self, start: Start) -> None:
        self.start = start
        self.history: list[str] = []
        self.inbox: deque[Message] = deque(start.carried)
        self.open: dict[int, Task] = {}
        self.actions: list[str] = []
        self.raised: list[Message] = []
        self.next_id = 0
        self.clock = start.created
        self.updated = start.created
        self.custom_status: str | None = None
        self.suspended = False
        self.finished: Finished | None = None
        self.timers: dict[int, TimerHandle] = {}
        self.queued = False

    @classmethod
    def of(cls, finished: Finished) -> "Generation":
        """Give a finished instance as read from the journal."""
        generation = cls(finished.start)
        generation.end(finished)
        return generation

    @property
    def instance(self) -> str:
        """The instance's id."""
        return self.start.instance

    @property
    def status(self) -> str:
        """The runtime status as the management API names it."""
        if self.finished:
            return self.finished.status
        if self.suspended:
            return "Suspended"
        return "Running" if self.history else "Pending"

    @property
    def has_work(self) -> bool:
        """Whether the orchestrator has to take a turn."""
        return not (self.finished or self.suspended) and (not self.history or bool(self.inbox))

    def batch(self) -> list[Message]:
        """Give the messages of the next turn.

        While a retry is open it is one at a time: the SDK takes task ids while it reads them.
        """
        if any(task.of_retry for task in self.open.values()):
            return [self.inbox[0]] if self.inbox else []
        return list(self.inbox)

    def events(self, at: str, batch: list[Message]) -> list[str]:
        """List the history events that a turn adds."""
        begun = [] if self.history else [protocol.execution_started(self.start)]
        return [protocol.orchestrator_started(at), *begun, *(message.text for message in batch)]

    def apply(self, record: Record) -> None:
        """Take in one record."""
        match record:
            case Message():
                self.inbox.append(record)
            case Episode():
                self._apply_episode(record)
            case Suspension():
                self.suspended = record.suspended
            case Start():
                raise ValueError(f"'{self.instance}' has started already")

    def end(self, finished: Finished) -> None:
        """Finish, and let go of what only a running instance needs."""
        self.finished = finished
        self.updated = finished.updated
        self.custom_status = finished.custom_status
        self.history, self.actions, self.raised = [], [], []
        self.inbox.clear()
        self.open.clear()
        self.cancel_timers()

    def cancel_timers(self) -> None:
        """Cancel all timers; their callbacks never come."""
        for handle in self.timers.values():
            handle.cancel()
        self.timers.clear()

    def unread(self) -> list[Message]:
        """List the external events that no wait took; the next generation gets them."""
        waits = [action for action in self.actions if action.startswith(_WAIT)]
        left = [message for message in self.inbox if message.name]
        return [*_without_waited(self.raised, waits), *left]

    def _apply_episode(self, episode: Episode) -> None:
        batch = [self.inbox.popleft() for _ in range(episode.taken)]
        self.history += self.events(episode.at, batch)
        self.raised += [message for message in batch if message.name]
        self.clock = self.updated = episode.at
        self.custom_status = episode.custom_status or self.custom_status
        self.next_id = episode.next_id
        self.actions += episode.actions
        self._apply_tasks(batch, episode)

    def _apply_tasks(self, batch: list[Message], episode: Episode) -> None:
        ended = [message.task for message in batch if message.task is not None]
        for task_id in (*ended, *episode.cancelled):
            self.open.pop(task_id, None)
        self.open.update((task.id, task) for task in episode.tasks)


_WAIT = protocol.ActionType.WAIT_FOR_EXTERNAL_EVENT.name.lower()


def _without_waited(raised: list[Message], waits: list[str]) -> Iterator[Message]:
    names = [wait.removeprefix(_WAIT).strip() for wait in waits]
    for message in raised:
        if message.name in names:
            names.remove(message.name)
        else:
            yield message


def status_json(generation: Generation, *, show_input: bool = True) -> dict[str, Json]:
    """Give an instance's status as the management API does."""
    start, finished = generation.start, generation.finished
    custom_status = generation.custom_status
    return {
        "name": start.name,
        "instanceId": start.instance,
        "runtimeStatus": generation.status,
        "input": start.input if show_input else None,
        "customStatus": _loads(custom_status),
        "output": _loads(finished.output) if finished else None,
        "createdTime": start.created,
        "lastUpdatedTime": generation.updated,
    }


def _loads(text: str | None) -> Json:
    return None if text is None else json.loads(text)
