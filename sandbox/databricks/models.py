"""What a workspace remembers about clusters and libraries."""

from dataclasses import dataclass, field
from typing import Literal

from sandbox.wire import Json

ClusterState = Literal[
    "PENDING", "RUNNING", "RESTARTING", "RESIZING", "TERMINATING", "TERMINATED", "ERROR"
]


@dataclass
class ClusterLibrary:
    """One library on one cluster."""

    spec: Json
    status: str
    messages: list[str] = field(default_factory=list)


@dataclass
class Cluster:
    """One cluster; `epoch` goes up with every transition and outdates planned ones."""

    cluster_id: str
    spec: Json
    source: str
    state: ClusterState
    start_time: int
    state_message: str = ""
    workers: int = 0
    terminated_time: int | None = None
    last_restarted_time: int | None = None
    termination_reason: Json | None = None
    events: list[Json] = field(default_factory=list)
    on_start: list[Json] = field(default_factory=list)
    libraries: list[ClusterLibrary] = field(default_factory=list)
    epoch: int = 0
    pinned: bool = False
    run_name: str | None = None

    def usable(self) -> bool:
        """A cluster that is being resized goes on working."""
        return self.state in {"RUNNING", "RESIZING"}

    def dead(self) -> bool:
        """Say whether it will not come up by itself."""
        return self.state in {"TERMINATING", "TERMINATED", "ERROR"}


@dataclass(frozen=True)
class Durations:
    """How long transitions take, in seconds before the speed is applied."""

    start: float = 3.0
    restart: float = 3.0
    resize: float = 2.0
    terminate: float = 1.0
    library_step: float = 0.3
    task: float = 1.5
    cancel: float = 0.5
    update_step: float = 0.3
    update_run: float = 1.5


def desired_workers(spec: Json) -> int:
    """Return the size at start: an autoscaling cluster starts with the minimum number of nodes."""
    autoscale = spec.get("autoscale")
    size = autoscale["min_workers"] if autoscale else spec.get("num_workers", 0)
    return int(size)


def size_of(spec: Json) -> Json:
    """Return the part of a specification that speaks of size."""
    return {key: spec[key] for key in ("num_workers", "autoscale") if key in spec}


def describe_reason(cluster_id: str, reason: Json) -> str:
    """Word a termination the way run messages do."""
    kind = f" ({reason['type']})" if reason.get("type") else ""
    text = f"Cluster {cluster_id} was terminated. Reason: {reason.get('code', 'UNKNOWN')}{kind}."
    parameters = ", ".join(f"{k}:{v}" for k, v in (reason.get("parameters") or {}).items())
    return f"{text} Parameters: {parameters}" if parameters else text
