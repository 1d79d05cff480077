"""What a factory remembers."""

from dataclasses import dataclass, field

from sandbox.outcomes import Script
from sandbox.wire import Json

FINAL = {"Succeeded", "Failed", "Cancelled"}
SUCCEEDED: Json = {"status": "Succeeded"}


@dataclass
class PipelineDefinition:
    """One pipeline of a factory, and how its next runs end."""

    name: str
    activities: list[Json]
    duration_seconds: float
    parameters: Json
    script: Script = field(default_factory=lambda: Script(SUCCEEDED))

    def activity(self, name: str) -> Json | None:
        """Return an activity of that name."""
        return next((x for x in self.activities if x["name"] == name), None)


@dataclass
class ActivityRun:
    """One activity in one pipeline run."""

    activity_run_id: str
    spec: Json
    started: float
    status: str = "InProgress"
    ended: float | None = None
    error: Json | None = None
    output: Json = field(default_factory=dict)
    child_run_id: str | None = None

    @property
    def name(self) -> str:
        """Return the activity's name."""
        return str(self.spec["name"])


@dataclass
class PipelineRun:
    """One run of a pipeline."""

    run_id: str
    group_id: str
    pipeline: PipelineDefinition
    parameters: Json
    invoked_by: Json
    outcome: Json
    started: float
    last_updated: float
    status: str = "Queued"
    ended: float | None = None
    message: str = ""
    is_latest: bool = True
    activities: list[ActivityRun] = field(default_factory=list)
    carried_over: set[str] = field(default_factory=set)
    parent: "tuple[PipelineRun, ActivityRun] | None" = None
    trigger_run_id: str | None = None

    def over(self) -> bool:
        """Say whether it has ended."""
        return self.status in FINAL

    def ran(self, name: str) -> ActivityRun | None:
        """Return the run of an activity."""
        return next((x for x in self.activities if x.name == name), None)

    def succeeded(self) -> set[str]:
        """Return the activities that need no rerun."""
        return self.carried_over | {x.name for x in self.activities if x.status == "Succeeded"}


@dataclass
class TriggerRun:
    """One firing of a trigger; for a tumbling window, one window."""

    trigger_run_id: str
    name: str
    kind: str
    timestamp: float
    pipeline: str
    run: PipelineRun

    def status(self) -> str:
        """A window follows its run; any other trigger has succeeded once it has fired."""
        if self.kind != "TumblingWindowTrigger":
            return "Succeeded"
        return {"Succeeded": "Succeeded", "Failed": "Failed", "Cancelled": "Failed"}.get(
            self.run.status, "Inprogress"
        )


@dataclass(frozen=True)
class TriggerDefinition:
    """One trigger of a factory."""

    name: str
    kind: str
    pipelines: list[str]
    state: str
    type_properties: Json


@dataclass(frozen=True)
class IntegrationRuntime:
    """What activities run on; the nodes of a self-hosted one are `nodeName` and `status`."""

    name: str
    kind: str
    state: str
    nodes: list[Json]


@dataclass
class Factory:
    """One data factory."""

    subscription_id: str
    resource_group: str
    name: str
    pipelines: dict[str, PipelineDefinition] = field(default_factory=dict)
    runs: dict[str, PipelineRun] = field(default_factory=dict)
    triggers: dict[str, TriggerDefinition] = field(default_factory=dict)
    trigger_runs: dict[str, TriggerRun] = field(default_factory=dict)
    runtimes: dict[str, IntegrationRuntime] = field(default_factory=dict)
    linked_services: dict[str, Json] = field(default_factory=dict)  # their properties, by name

    @property
    def resource_id(self) -> str:
        """Return the ARM id."""
        return (
            f"/subscriptions/{self.subscription_id}/resourceGroups/{self.resource_group}"
            f"/providers/Microsoft.DataFactory/factories/{self.name}"
        )
