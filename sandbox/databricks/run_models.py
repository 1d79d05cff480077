"""What a workspace remembers about runs of jobs and tasks."""

from dataclasses import dataclass, field
from typing import Any

from sandbox.wire import Json

ALIVE = {"BLOCKED", "WAITING", "QUEUED", "PENDING", "RUNNING", "TERMINATING"}
GOOD = {"SUCCESS", "EXCLUDED"}
WORKLOAD_FAILED = "Workload failed, see run output for details"


@dataclass(frozen=True)
class Ending:
    """How a task ended, in both vocabularies of the API."""

    result: str
    code: str
    kind: str
    message: str = ""
    life: str = "TERMINATED"
    error: str | None = None
    trace: str | None = None


SUCCEEDED = Ending("SUCCESS", "SUCCESS", "SUCCESS")
CANCELED = Ending("CANCELED", "USER_CANCELED", "SUCCESS", "Run cancelled.")
UPSTREAM = Ending("UPSTREAM_FAILED", "SKIPPED", "CLIENT_ERROR", "An upstream task failed.")
EXCLUDED = Ending("EXCLUDED", "SKIPPED", "SUCCESS", "The run condition was not met.")
TIMED_OUT = Ending("TIMEDOUT", "CANCELED", "CLIENT_ERROR", "Run exceeded its timeout.")


@dataclass
class TaskRun:
    """One attempt at one task; `state` is the newer vocabulary's life cycle."""

    run_id: int
    task_key: str
    spec: Json
    attempt: int = 0
    state: str = "BLOCKED"
    start_time: int = 0
    end_time: int = 0
    cluster_id: str | None = None
    update_id: str | None = None
    outcome: Json = field(default_factory=dict)
    ending: Ending | None = None
    retries_used: int = 0

    def done(self) -> bool:
        """Say whether this attempt is over."""
        return self.ending is not None

    def good(self) -> bool:
        """Say whether it ended in a way that needs no repair."""
        return self.ending is not None and self.ending.result in GOOD

    def failed(self) -> bool:
        """Say whether it ended badly."""
        return self.done() and not self.good()

    def dependencies(self) -> list[str]:
        """Return the keys of the tasks it waits for."""
        return [entry["task_key"] for entry in self.spec.get("depends_on", [])]


@dataclass
class Repair:
    """One pass over a run: the original one or a repair."""

    repair_id: int | None
    start_time: int
    task_run_ids: list[int]
    end_time: int = 0
    ending: Ending | None = None


@dataclass
class JobRun:
    """One run of a job; repairs keep its id."""

    run_id: int
    job_id: int
    name: str
    run_type: str
    settings: Json
    start_time: int
    tasks: list[TaskRun] = field(default_factory=list)
    passes: list[Repair] = field(default_factory=list)
    state: str = "RUNNING"
    end_time: int = 0
    ending: Ending | None = None
    clusters: dict[str, str] = field(default_factory=dict)
    outcome: Json | None = None
    trigger: str = "ONE_TIME"
    parameters: dict[str, Any] = field(default_factory=dict)
    overriding: Json = field(default_factory=dict)
    only: list[str] | None = None

    def active(self) -> bool:
        """Say whether it is still going on."""
        return self.state in ALIVE

    def latest(self) -> dict[str, TaskRun]:
        """Return each task's latest attempt."""
        return {task.task_key: task for task in self.tasks}

    def latest_repair_id(self) -> int | None:
        """Return the id that the next repair has to name."""
        return self.passes[-1].repair_id if self.passes else None
