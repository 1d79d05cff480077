"""Pipeline runs: started, rerun, cancelled, and advanced activity by activity."""

from dataclasses import dataclass, field

from sandbox.adf.errors import bad_request, reference_invalid
from sandbox.adf.models import ActivityRun, Factory, PipelineDefinition, PipelineRun, TriggerRun
from sandbox.adf.rules import Rerun, called_by, carried_over, defaults, outcome_for, ready
from sandbox.clock import Timeline
from sandbox.ids import Ids
from sandbox.wire import Json

QUEUED_SHARE = 0.1
CANCEL_SECONDS = 0.5
DEFAULT_ERROR: Json = {
    "errorCode": "2200",
    "message": "The activity failed.",
    "failureType": "UserError",
}


@dataclass
class Start:
    """How a run comes to be; what is not said takes its default."""

    parameters: Json = field(default_factory=dict)
    invoked_by: Json | None = None
    outcome: Json | None = None
    group_id: str | None = None
    run_id: str | None = None
    carried_over: set[str] = field(default_factory=set)
    parent: tuple[PipelineRun, ActivityRun] | None = None


class Engine:
    """Drives the runs of all factories."""

    def __init__(self, timeline: Timeline, ids: Ids) -> None:
        self._timeline = timeline
        self._ids = ids

    def start(self, factory: Factory, pipeline: PipelineDefinition, how: Start) -> PipelineRun:
        """Queue a run."""
        run = self.place(factory, pipeline, how)
        wait = QUEUED_SHARE * self._duration(run)
        self._timeline.after(wait, lambda: self._begin(factory, run))
        return run

    def place(self, factory: Factory, pipeline: PipelineDefinition, how: Start) -> PipelineRun:
        """Add a run without setting it in motion."""
        now, run_id = self._timeline.now(), how.run_id or self._ids.guid()
        parameters = {**defaults(pipeline), **how.parameters}
        outcome = pipeline.script.next() if how.outcome is None else how.outcome
        run = PipelineRun(
            run_id=run_id,
            group_id=how.group_id or run_id,
            pipeline=pipeline,
            parameters=parameters,
            invoked_by=how.invoked_by or self.manual(),
            outcome=outcome_for(outcome, parameters),
            started=now,
            last_updated=now,
            carried_over=how.carried_over,
            parent=how.parent,
        )
        for other in factory.runs.values():
            other.is_latest = other.is_latest and other.group_id != run.group_id
        factory.runs[run_id] = run
        self._timeline.mark()
        return run

    def manual(self) -> Json:
        """Return the caller of a run that was asked for by hand or through the API."""
        return {
            "id": self._ids.guid().replace("-", ""),
            "name": "Manual",
            "invokedByType": "Manual",
        }

    def rerun(self, factory: Factory, pipeline: PipelineDefinition, asked: Rerun) -> PipelineRun:
        """Run again what a referenced run did, with that run's parameters."""
        old = factory.runs.get(asked.reference)
        if old is None or old.pipeline.name != pipeline.name:
            raise reference_invalid(asked.reference, pipeline.name)
        how = Start(parameters=old.parameters)
        if asked.recovery:
            how.group_id = old.group_id
            how.carried_over = carried_over(old, asked)
        return self.start(factory, pipeline, how)

    def rerun_trigger(self, factory: Factory, fired: TriggerRun) -> PipelineRun:
        """Run a window again: a new run in the same group, with the window's parameters."""
        old = fired.run
        if not old.over():
            raise bad_request(f"Trigger run {fired.trigger_run_id} is still in progress.")
        how = Start(old.parameters, old.invoked_by, group_id=old.group_id)
        fired.run = self.start(factory, old.pipeline, how)
        fired.run.trigger_run_id = fired.trigger_run_id
        return fired.run

    def cancel(self, factory: Factory, run: PipelineRun, *, recursive: bool) -> None:
        """Cancel; the run is Canceling for a moment. A finished run stays as it is."""
        if run.over():
            return
        self._touch(run, "Canceling")
        self._timeline.after(CANCEL_SECONDS, lambda: self._cancelled(factory, run))
        for activity in run.activities if recursive else []:
            child = factory.runs.get(activity.child_run_id or "")
            if child is not None:
                self.cancel(factory, child, recursive=True)

    def finish(self, factory: Factory, run: PipelineRun) -> None:
        """Bring a run to its end at once; only control does this."""
        self._touch(run, "InProgress")
        if run.outcome["status"] == "Cancelled":
            self._cancelled(factory, run)
            return
        while todo := ready(run):
            for spec in todo:
                self._finish_activity(factory, run, self._new_activity(run, spec))
        if run.pipeline.activities:
            self._settle(factory, run)
        else:
            self._close_empty(factory, run)

    def _finish_activity(self, factory: Factory, run: PipelineRun, activity: ActivityRun) -> None:
        child = factory.pipelines.get(str(activity.spec.get("pipeline", "")).lower())
        if activity.spec["type"] == "ExecutePipeline" and child is not None:
            how = self._child_start((run, activity))
            self.finish(factory, self._adopt(activity, self.place(factory, child, how)))
        if activity.status == "InProgress":
            self._end_activity(run, activity, self._scripted(run, activity.spec))

    def link(self, parent: PipelineRun, child: PipelineRun) -> None:
        """Make a run the child of the activity that executes its pipeline; only control does."""
        for activity in parent.activities:
            called = str(activity.spec.get("pipeline", "")).lower()
            if called == child.pipeline.name.lower():
                self._adopt(activity, child)
                child.invoked_by = called_by(parent, activity)
                child.parent = (parent, activity)

    def _begin(self, factory: Factory, run: PipelineRun) -> None:
        if run.status == "Queued":
            self._touch(run, "InProgress")
            self._advance(factory, run)

    def _advance(self, factory: Factory, run: PipelineRun) -> None:
        if run.status != "InProgress":
            return
        for spec in ready(run):
            self._start_activity(factory, run, self._new_activity(run, spec))
        if not self._hangs(run):
            self._settle(factory, run)

    def _hangs(self, run: PipelineRun) -> bool:
        return run.outcome.get("status") == "InProgress"

    def _settle(self, factory: Factory, run: PipelineRun) -> None:
        """Close a run in which nothing goes on and nothing can start."""
        if ready(run) or any(x.status == "InProgress" for x in run.activities):
            return
        if not run.pipeline.activities:
            delay = (1 - QUEUED_SHARE) * self._duration(run)
            self._timeline.after(delay, lambda: self._close_empty(factory, run))
            run.status = "InProgress" if run.ended is None else run.status
            return
        failed = next((x for x in run.activities if x.status in {"Failed", "Cancelled"}), None)
        if failed is None:
            self._close(factory, run, "Succeeded", "")
            return
        text = (failed.error or {}).get("message", "")
        self._close(factory, run, "Failed", f"Operation on target {failed.name} failed: {text}")

    def _close_empty(self, factory: Factory, run: PipelineRun) -> None:
        if run.status == "InProgress":
            error = run.outcome.get("error", DEFAULT_ERROR)
            failed = run.outcome["status"] == "Failed"
            self._close(factory, run, run.outcome["status"], error["message"] if failed else "")

    def _start_activity(self, factory: Factory, run: PipelineRun, activity: ActivityRun) -> None:
        child = factory.pipelines.get(str(activity.spec.get("pipeline", "")).lower())
        if activity.spec["type"] == "ExecutePipeline" and child is not None:
            self._adopt(activity, self.start(factory, child, self._child_start((run, activity))))
            if activity.spec.get("wait_on_completion", True):
                return
            seconds = 0.0
        else:
            seconds = (1 - QUEUED_SHARE) * self._duration(run) / len(run.pipeline.activities)
        if not self._hangs(run):
            self._timeline.after(seconds, lambda: self._activity_done(factory, run, activity))

    def _child_start(self, parent: tuple[PipelineRun, ActivityRun]) -> Start:
        run, activity = parent
        own = self._scripted(run, activity.spec)
        outcome = {"status": "Failed", "error": own} if own else None
        how = Start(activity.spec.get("parameters", {}), called_by(run, activity), outcome)
        how.parent = parent if activity.spec.get("wait_on_completion", True) else None
        return how

    def _adopt(self, activity: ActivityRun, child: PipelineRun) -> PipelineRun:
        activity.child_run_id = child.run_id
        activity.output = {"pipelineName": child.pipeline.name, "pipelineRunId": child.run_id}
        return child

    def _activity_done(self, factory: Factory, run: PipelineRun, activity: ActivityRun) -> None:
        if activity.status == "InProgress" and run.status == "InProgress":
            waited_for = activity.child_run_id is not None
            error = None if waited_for else self._scripted(run, activity.spec)
            self._end_activity(run, activity, error)
            self._advance(factory, run)

    def _child_done(self, factory: Factory, child: PipelineRun) -> None:
        if child.parent is None:
            return
        run, activity = child.parent
        if activity.status != "InProgress" or run.status != "InProgress":
            return
        error = None
        if child.status != "Succeeded":
            error = {
                "errorCode": "BadRequest",
                "message": child.message,
                "failureType": "UserError",
            }
        self._end_activity(run, activity, error)
        self._advance(factory, run)

    def _new_activity(self, run: PipelineRun, spec: Json) -> ActivityRun:
        activity = ActivityRun(self._ids.guid(), spec, self._timeline.now())
        run.activities.append(activity)
        self._touch(run, run.status)
        return activity

    def _end_activity(self, run: PipelineRun, activity: ActivityRun, error: Json | None) -> None:
        activity.status = "Failed" if error else "Succeeded"
        activity.ended = self._timeline.now()
        if error:
            activity.error = {
                "errorCode": error.get("errorCode", "2200"),
                "message": error.get("message", ""),
                "failureType": error.get("failureType", "UserError"),
                "target": activity.name,
                "details": error.get("details", []),
            }
        self._touch(run, run.status)

    def _scripted(self, run: PipelineRun, spec: Json) -> Json | None:
        """Return the error the outcome has in store for an activity."""
        if run.outcome.get("status") != "Failed":
            return None
        first = run.pipeline.activities[0]["name"]
        wanted = run.outcome.get("activity", first)
        return run.outcome.get("error", DEFAULT_ERROR) if spec["name"] == wanted else None

    def _cancelled(self, factory: Factory, run: PipelineRun) -> None:
        if run.over():
            return
        for activity in run.activities:
            if activity.status == "InProgress":
                activity.status, activity.ended = "Cancelled", self._timeline.now()
        self._close(factory, run, "Cancelled", "Pipeline run was cancelled.")

    def _close(self, factory: Factory, run: PipelineRun, status: str, message: str) -> None:
        run.ended, run.message = self._timeline.now(), message
        self._touch(run, status)
        self._child_done(factory, run)

    def _touch(self, run: PipelineRun, status: str) -> None:
        run.status = status
        run.last_updated = self._timeline.now()
        self._timeline.mark()

    def _duration(self, run: PipelineRun) -> float:
        return float(run.outcome.get("duration_seconds", run.pipeline.duration_seconds))
