"""What the journal keeps: one record per thing that happened to an instance."""

from typing import Literal

import msgspec

Kind = Literal["activity", "orchestration", "timer"]
FinalStatus = Literal["Completed", "Failed", "Terminated"]


class Task(msgspec.Struct, omit_defaults=True):
    """Work that an orchestration waits for, under the id that the SDK gave it.

    A task with `attempts` left is retried after a failure: a timer follows whose `again` is the
    next try. The SDK takes ids for both, also for the timer after the last failure. `action` is
    the place among the orchestrator's actions; retries have none.
    """

    id: int
    kind: Kind
    name: str = ""
    input: str | None = None
    child: str = ""
    version: str | None = None
    fire_at: str = ""
    due: float = 0.0
    attempts: int = 0
    interval: float = 0.0
    again: "Task | None" = None
    of_retry: bool = False
    action: int = -1


class Parent(msgspec.Struct):
    """Who waits for a sub-orchestration."""

    instance: str
    execution: str
    task: int


class Message(msgspec.Struct, tag="message", omit_defaults=True):
    """A history event on its way to an orchestration.

    `text` is the event as the SDK reads it; `task` the open task that it ends; `name` the name
    of an external event.
    """

    text: str
    task: int | None = None
    failed: bool = False
    fired: str = ""
    name: str = ""


class Start(msgspec.Struct, tag="start", omit_defaults=True):
    """The beginning of one execution of an instance."""

    instance: str
    execution: str
    name: str
    created: str
    input: str | None = None
    version: str | None = None
    parent: Parent | None = None
    carried: list[Message] = []


class Episode(msgspec.Struct, tag="episode", omit_defaults=True):
    """One turn of the orchestrator: which messages it took and what it asked for."""

    at: str
    taken: int
    actions: list[str]
    tasks: list[Task]
    cancelled: list[int]
    next_id: int
    custom_status: str | None = None


class Suspension(msgspec.Struct, tag="suspension"):
    """Suspended, or resumed."""

    suspended: bool


Record = Start | Message | Episode | Suspension


class Finished(msgspec.Struct, omit_defaults=True):
    """What is kept of a finished instance besides its history."""

    start: Start
    status: FinalStatus
    output: str
    updated: str
    custom_status: str | None = None


encode = msgspec.json.Encoder().encode
decode_record = msgspec.json.Decoder(Record).decode
decode_finished = msgspec.json.Decoder(Finished).decode
