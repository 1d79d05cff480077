"""Pipelines, their updates and their event log."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from sandbox.clock import Timeline, iso
from sandbox.databricks.errors import conflict, not_found
from sandbox.databricks.models import Durations
from sandbox.databricks.pipeline_models import (
    COMPLETED,
    Pipeline,
    Update,
    check_request,
    check_spec,
    error_of,
    origin_of,
    steps_of,
    stored,
    verdict,
)
from sandbox.ids import Ids
from sandbox.outcomes import Script
from sandbox.wire import Json

Watcher = Callable[[str, str], None]
Told = Callable[[Pipeline, Update, str], list[Json]]


@dataclass
class UpdateRule:
    """How the next updates end of pipelines that need not be there yet."""

    match: re.Pattern[str]
    validate_only: bool
    script: Script
    left: int


class Pipelines:
    """All pipelines of the workspace."""

    def __init__(self, timeline: Timeline, ids: Ids, durations: Durations) -> None:
        self.all: dict[str, Pipeline] = {}
        self.watchers: list[Watcher] = []
        self.rules: list[UpdateRule] = []
        self.flows: Told = no_flows
        self._timeline = timeline
        self._ids = ids
        self._durations = durations
        self._sequence = 0

    def get(self, pipeline_id: str) -> Pipeline:
        """Return a pipeline or refuse."""
        pipeline = self.all.get(pipeline_id)
        if pipeline is None:
            raise not_found(f"The specified pipeline {pipeline_id} was not found.")
        return pipeline

    def create(self, spec: Json, pipeline_id: str | None = None) -> Pipeline:
        """Save a pipeline."""
        check_spec(spec)
        name = pipeline_id or self._ids.guid()
        taken = any(p.spec.get("name") == spec.get("name") for p in self.all.values())
        if taken and spec.get("name") and not spec.get("allow_duplicate_names"):
            raise conflict(f"The pipeline name '{spec['name']}' is already used.")
        pipeline = Pipeline(name, stored(spec, name), self._timeline.now_ms())
        self.all[name] = pipeline
        self._timeline.mark()
        return pipeline

    def edit(self, pipeline: Pipeline, spec: Json) -> None:
        """Replace the settings; refused if they changed since the caller read them."""
        expected = spec.get("expected_last_modified")
        if expected is not None and expected < pipeline.last_modified:
            raise conflict(
                f"Pipeline {pipeline.pipeline_id} was modified at {pipeline.last_modified}, "
                f"after the expected {expected}."
            )
        check_spec(spec)
        pipeline.spec = stored(spec, pipeline.pipeline_id)
        pipeline.last_modified = max(self._timeline.now_ms(), pipeline.last_modified + 1)
        self._timeline.mark()

    def delete(self, pipeline: Pipeline) -> None:
        """Delete a pipeline."""
        del self.all[pipeline.pipeline_id]
        self._timeline.mark()

    def start(
        self, pipeline_id: str, request: Json, cause: str, outcome: Json | None = None
    ) -> Update:
        """Start an update; 'if there is already an active update, the request will fail'."""
        pipeline = self.get(pipeline_id)
        active = pipeline.active_update()
        if active is not None:
            raise conflict(f"An active update {active.update_id} already exists.")
        check_request(pipeline, request)
        update = self._new_update(pipeline, request, cause, outcome)
        self._walk(pipeline, update, steps_of(pipeline.spec, update))
        return update

    def stop(self, pipeline: Pipeline) -> None:
        """Cancel the active update; without one this is a no-op."""
        update = pipeline.active_update()
        if update is None or update.state == "STOPPING":
            return
        self._enter(pipeline, update, "STOPPING")
        self._timeline.after(
            self._durations.update_step, lambda: self._end(pipeline, update, "CANCELED")
        )

    def cancel_update(self, update_id: str) -> None:
        """Stop the pipeline of an update, if that update is the active one."""
        for pipeline in self.all.values():
            active = pipeline.active_update()
            if active is not None and active.update_id == update_id:
                self.stop(pipeline)

    def finish(self, pipeline: Pipeline, update: Update) -> None:
        """Bring an update to its end at once; only control does this."""
        self._conclude(pipeline, update)

    def record(self, pipeline: Pipeline, event: Json, update: Update | None = None) -> None:
        """Write to the event log; the caller says what differs from a plain entry."""
        self._sequence += 1
        entry = {
            "id": self._ids.guid(),
            "sequence": {"control_plane_seq_no": self._sequence},
            "timestamp": iso(self._timeline.now()),
            "level": "INFO",
            "event_type": "update_progress",
            "maturity_level": "STABLE",
            "message": "",
        }
        origin = {**origin_of(pipeline, update), **event.get("origin", {})}
        pipeline.events.append({**entry, **event, "origin": origin})
        self._timeline.mark()

    def _new_update(
        self, pipeline: Pipeline, request: Json, cause: str, outcome: Json | None
    ) -> Update:
        update = Update(
            self._ids.guid(),
            pipeline.pipeline_id,
            cause,
            self._timeline.now_ms(),
            request,
            pipeline.spec,
            self._fate(pipeline, request) if outcome is None else outcome,
        )
        pipeline.updates.append(update)
        text = f"Update {update.update_id[:6]} started by {cause}."
        details = {"create_update": {"cause": cause, "full_refresh": update.resets()}}
        self.record(
            pipeline, {"event_type": "create_update", "message": text, "details": details}, update
        )
        return update

    def _fate(self, pipeline: Pipeline, request: Json) -> Json:
        """Say how the next update ends; what was scripted for runs is not for validations."""
        validating = bool(request.get("validate_only"))
        name = str(pipeline.spec.get("name", ""))
        for rule in self.rules:
            if rule.left and rule.validate_only is validating and rule.match.search(name):
                rule.left -= 1
                return rule.script.next()
        return COMPLETED if validating else pipeline.script.next()

    def _walk(self, pipeline: Pipeline, update: Update, steps: list[str]) -> None:
        if not update.active() or update.state == "STOPPING":
            return
        if not steps:
            self._run(pipeline, update)
            return
        self._enter(pipeline, update, steps[0])
        self._timeline.after(
            self._durations.update_step, lambda: self._walk(pipeline, update, steps[1:])
        )

    def _run(self, pipeline: Pipeline, update: Update) -> None:
        self._enter(pipeline, update, "RUNNING")
        self._tell_flows(pipeline, update, "RUNNING")
        failing = update.outcome.get("state") == "FAILED"
        if pipeline.spec.get("continuous") and not failing and not update.validates():
            self._tell_flows(pipeline, update, "COMPLETED")
            return
        seconds = update.outcome.get("duration_seconds", self._durations.update_run)
        self._timeline.after(seconds, lambda: self._conclude(pipeline, update))

    def _conclude(self, pipeline: Pipeline, update: Update) -> None:
        if not update.active() or update.state == "STOPPING":
            return
        if verdict(update) == "COMPLETED":
            self._tell_flows(pipeline, update, "COMPLETED")
            self._end(pipeline, update, "COMPLETED")
            return
        self._fail(pipeline, update)

    def _tell_flows(self, pipeline: Pipeline, update: Update, state: str) -> None:
        if not update.validates():
            for event in self.flows(pipeline, update, state):
                self.record(pipeline, event, update)

    def _fail(self, pipeline: Pipeline, update: Update) -> None:
        error = error_of(update.outcome)
        flow = update.outcome.get("flow", "flow")
        dataset = update.outcome.get("dataset", flow)
        self.record(
            pipeline,
            {
                "level": "ERROR",
                "event_type": "flow_progress",
                "origin": {"flow_name": flow, "dataset_name": dataset},
                "message": f"Flow '{flow}' has FAILED.",
                "error": error,
                "details": {"flow_progress": {"status": "FAILED"}},
            },
            update,
        )
        self._end(pipeline, update, "FAILED")
        if update.outcome.get("platform_retry"):
            self.start(pipeline.pipeline_id, update.request, "RETRY_ON_FAILURE")

    def _end(self, pipeline: Pipeline, update: Update, state: str) -> None:
        if update.active():
            self._enter(pipeline, update, state)
            for watcher in list(self.watchers):
                watcher(update.update_id, state)

    def _enter(self, pipeline: Pipeline, update: Update, state: str) -> None:
        update.state = state
        event: Json = {
            "message": f"Update {update.update_id[:6]} is {state}.",
            "details": {"update_progress": {"state": state}},
        }
        if state == "FAILED":
            event |= {"level": "ERROR", "error": error_of(update.outcome)}
        self.record(pipeline, event, update)


def no_flows(pipeline: Pipeline, update: Update, state: str) -> list[Json]:
    """Stand in until the workspace has said where the sources are."""
    del pipeline, update, state
    return []
