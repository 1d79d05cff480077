"""Pure rules of pipeline runs: what may start, what a recovery keeps, who called whom."""

from dataclasses import dataclass

from sandbox.adf.errors import bad_request
from sandbox.adf.models import ActivityRun, PipelineDefinition, PipelineRun
from sandbox.outcomes import at_most
from sandbox.wire import Json


@dataclass(frozen=True)
class Rerun:
    """The query parameters of createRun that concern an earlier run."""

    reference: str
    recovery: bool
    activity: str | None
    from_failure: bool


def called_by(run: PipelineRun, activity: ActivityRun) -> Json:
    """Return the caller of a child run."""
    return {
        "id": activity.activity_run_id,
        "name": activity.name,
        "invokedByType": "PipelineActivity",
        "pipelineName": run.pipeline.name,
        "pipelineRunId": run.run_id,
    }


def defaults(pipeline: PipelineDefinition) -> Json:
    """Return the default values of a pipeline's parameters."""
    typed = ((k, v) for k, v in pipeline.parameters.items() if isinstance(v, dict))
    return {name: spec["defaultValue"] for name, spec in typed if "defaultValue" in spec}


def outcome_for(outcome: Json, parameters: Json) -> Json:
    """Return how a run ends; `unless_parameter_max` saves one with a small enough parameter."""
    wanted = outcome.get("unless_parameter_max")
    if wanted is None or not at_most(parameters.get(wanted["name"]), wanted["value"]):
        return outcome
    kept = {k: v for k, v in outcome.items() if k == "duration_seconds"}
    return {**kept, "status": "Succeeded"}


def ready(run: PipelineRun) -> list[Json]:
    """Return the activities whose dependencies have succeeded and that did not run yet."""
    done = run.succeeded()
    started = {activity.name for activity in run.activities} | run.carried_over
    return [
        spec
        for spec in run.pipeline.activities
        if spec["name"] not in started and done.issuperset(dependencies(spec))
    ]


def dependencies(spec: Json) -> list[str]:
    """Return the names of the activities before this one; all wait for success."""
    entries = spec.get("depends_on", [])
    return [x if isinstance(x, str) else x["activity"] for x in entries]


def carried_over(old: PipelineRun, asked: Rerun) -> set[str]:
    """Return what a recovery does not run again; startActivityName goes before startFromFailure."""
    if asked.activity is not None:
        if old.pipeline.activity(asked.activity) is None:
            raise bad_request(
                f"Activity {asked.activity} does not exist in pipeline {old.pipeline.name}.",
                f"pipeline/{old.pipeline.name}",
            )
        return upstream_of(old.pipeline, asked.activity)
    return old.succeeded() if asked.from_failure else set()


def upstream_of(pipeline: PipelineDefinition, name: str) -> set[str]:
    """Return every activity before this one, however indirectly."""
    spec = pipeline.activity(name) or {}
    direct = set(dependencies(spec))
    return direct.union(*(upstream_of(pipeline, other) for other in direct))
