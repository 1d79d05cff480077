"""What a workspace remembers about pipelines, and the pure rules of their updates."""

from dataclasses import dataclass, field

from sandbox.databricks.errors import invalid_parameter
from sandbox.outcomes import Script
from sandbox.wire import ApiError, Json

OVER = {"COMPLETED", "FAILED", "CANCELED"}
COMPLETED: Json = {"state": "COMPLETED"}


@dataclass
class Update:
    """One update of a pipeline."""

    update_id: str
    pipeline_id: str
    cause: str
    creation_time: int
    request: Json
    config: Json
    outcome: Json
    state: str = "QUEUED"

    def active(self) -> bool:
        """Say whether it is still going on."""
        return self.state not in OVER

    def validates(self) -> bool:
        """Say whether it only checks the sources and touches no table."""
        return bool(self.request.get("validate_only"))

    def resets(self) -> bool:
        """Say whether tables are emptied first."""
        return bool(self.request.get("full_refresh") or self.request.get("full_refresh_selection"))


@dataclass
class Pipeline:
    """One pipeline and everything that happened to it."""

    pipeline_id: str
    spec: Json
    last_modified: int
    updates: list[Update] = field(default_factory=list)
    events: list[Json] = field(default_factory=list)
    script: Script = field(default_factory=lambda: Script(COMPLETED))
    tables: list[str] | None = None
    run_as: str = "sandbox@example.com"

    def active_update(self) -> Update | None:
        """Return the update that is going on."""
        return next((x for x in self.updates if x.active()), None)

    def state(self) -> str:
        """Return the pipeline's own state, which follows its latest update."""
        if self.active_update() is not None:
            return "RUNNING"
        failed = bool(self.updates) and self.updates[-1].state == "FAILED"
        return "FAILED" if failed else "IDLE"


def steps_of(spec: Json, update: Update) -> list[str]:
    """Return the states before RUNNING; serverless waits for no resources of its own."""
    steps = ["QUEUED", "CREATED"]
    if not spec.get("serverless"):
        steps.append("WAITING_FOR_RESOURCES")
    steps.append("INITIALIZING")
    if update.resets():
        steps.append("RESETTING")
    return [*steps, "SETTING_UP_TABLES"]


def verdict(update: Update) -> str:
    """Say how an update ends; a condition may ask for a full refresh or a checkpoint reset."""
    condition, request = update.outcome.get("condition", {}), update.request
    fresh, reset = condition.get("full_refresh"), condition.get("reset_checkpoint")
    helped = (
        bool(fresh and request.get("full_refresh"))
        or covers(fresh, request.get("full_refresh_selection"))
        or covers(reset, request.get("reset_checkpoint_selection"))
        or workers_of(update.config) >= condition.get("min_workers", float("inf"))
    )
    return "COMPLETED" if helped else str(update.outcome.get("state", "COMPLETED"))


def workers_of(spec: Json) -> int:
    """Return the most workers that a pipeline's clusters may have."""
    clusters = spec.get("clusters") or [{}]
    scale = clusters[0].get("autoscale") or {}
    return int(scale.get("max_workers") or clusters[0].get("num_workers") or 0)


def covers(wanted: bool | list[str] | None, chosen: list[str] | None) -> bool:  # noqa: FBT001 - a value from a script
    """Say whether a selection holds what a condition names, or anything where it names nothing."""
    if not wanted or not chosen:
        return False
    return wanted is True or {plain(x) for x in wanted} <= {plain(x) for x in chosen}


def plain(name: str) -> str:
    """Write a name of a table or flow so that names can be compared."""
    return name.replace("`", "").lower()


def error_of(outcome: Json) -> Json:
    """Return the error of a failing update in the shape of the event log."""
    default = {"fatal": True, "exceptions": [{"class_name": "Exception", "message": "failed"}]}
    error = outcome.get("error", default)
    return {"fatal": True, **error}


def origin_of(pipeline: Pipeline, update: Update | None) -> Json:
    """Say where an event comes from."""
    origin: Json = {
        "cloud": "Azure",
        "region": "westeurope",
        "pipeline_id": pipeline.pipeline_id,
        "pipeline_name": pipeline.spec.get("name", ""),
    }
    return {**origin, "update_id": update.update_id} if update else origin


def stored(spec: Json, pipeline_id: str) -> Json:
    """Return the settings as they are kept: what only steers the request is left out."""
    passing = {"expected_last_modified", "allow_duplicate_names", "pipeline_id", "dry_run"}
    return {**{k: v for k, v in spec.items() if k not in passing}, "id": pipeline_id}


def check_spec(spec: Json) -> None:
    """Refuse settings that contradict each other."""
    if spec.get("serverless") and spec.get("clusters"):
        raise invalid_parameter(
            "You cannot provide cluster settings when using serverless compute."
        )


def check_request(pipeline: Pipeline, request: Json) -> None:
    """Refuse a selection on a continuous pipeline, or of what the pipeline does not have."""
    names = ("refresh_selection", "full_refresh_selection")
    if pipeline.spec.get("continuous") and any(request.get(name) for name in names):
        raise selection_refused(
            "CONTINUOUS_PIPELINE_NOT_SUPPORTED",
            "Refresh selection is not supported for continuous mode.",
        )
    for table in (table for name in names for table in request.get(name) or []):
        if not has(pipeline, table):
            raise selection_refused(
                "TABLE_NOT_FOUND",
                "The refresh selection parameters specified for this update are invalid because "
                f"one of the selected tables '{table}' is not part of this pipeline.\n"
                f"Table {table} does not exist in the graph.",
            )
    for flow in request.get("reset_checkpoint_selection") or []:
        if not has(pipeline, flow):
            raise selection_refused(
                "FLOW_NOT_FOUND",
                "The refresh flow selection parameters specified for this update are invalid "
                f"because the flow '{flow}' is not part of this pipeline.",
            )


def has(pipeline: Pipeline, name: str) -> bool:
    """Say whether a pipeline has a table or flow; without scripted tables it has them all."""
    known = [plain(table) for table in pipeline.tables or []]
    short = plain(name)
    return pipeline.tables is None or any(x == short or x.endswith(f".{short}") for x in known)


def selection_refused(condition: str, message: str) -> ApiError:
    """Build the refusal of a selection (error condition INVALID_REFRESH_SELECTION)."""
    return invalid_parameter(f"[INVALID_REFRESH_SELECTION.{condition}] {message}")
