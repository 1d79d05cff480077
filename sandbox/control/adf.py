"""Control of data factories."""

from sandbox.adf.factories import Factories
from sandbox.adf.models import (
    Factory,
    IntegrationRuntime,
    PipelineDefinition,
    PipelineRun,
    TriggerDefinition,
    TriggerRun,
)
from sandbox.adf.runs import Start
from sandbox.clock import Timeline
from sandbox.wire import Call, Json, Route, route


class AdfControl:
    """Sets factories up and scripts their runs."""

    def __init__(self, factories: Factories, timeline: Timeline) -> None:
        self._factories = factories
        self._timeline = timeline

    def routes(self) -> list[Route]:
        """Return what is served here."""
        return [
            route("POST", "/_sandbox/factories", self._factory),
            route("POST", "/_sandbox/adf/pipelines", self._pipeline),
            route("POST", "/_sandbox/adf/triggers", self._trigger),
            route("POST", "/_sandbox/adf/runs", self._run),
            route("POST", "/_sandbox/adf/outcomes", self._outcomes),
            route("POST", "/_sandbox/adf/paging", self._paging),
            route("POST", "/_sandbox/adf/integration-runtimes", self._runtime),
            route("POST", "/_sandbox/adf/linked-services", self._linked_service),
        ]

    def _factory(self, call: Call) -> Json:
        body = call.body
        group = (body["subscription_id"], body["resource_group"])
        return {"id": self._factories.create(*group, body["name"]).resource_id}

    def _pipeline(self, call: Call) -> Json:
        body = call.body
        pipeline = PipelineDefinition(
            body["name"],
            body.get("activities", []),
            body.get("duration_seconds", 2.0),
            body.get("parameters", {}),
        )
        self._factories.named(body["factory"]).pipelines[pipeline.name.lower()] = pipeline
        return {}

    def _trigger(self, call: Call) -> Json:
        body = call.body
        trigger = TriggerDefinition(
            body["name"],
            body.get("type", "ScheduleTrigger"),
            body.get("pipelines", []),
            body.get("state", "Started"),
            body.get("type_properties", {}),
        )
        self._factories.named(body["factory"]).triggers[trigger.name.lower()] = trigger
        return {}

    def _runtime(self, call: Call) -> Json:
        body = call.body
        runtime = IntegrationRuntime(
            body["name"],
            body.get("type", "SelfHosted"),
            body.get("state", "Online"),
            body.get("nodes", []),
        )
        self._factories.named(body["factory"]).runtimes[runtime.name.lower()] = runtime
        return {}

    def _linked_service(self, call: Call) -> Json:
        body = call.body
        factory = self._factories.named(body["factory"])
        factory.linked_services[body["name"]] = body["properties"]
        return {}

    def _outcomes(self, call: Call) -> Json:
        factory = self._factories.named(call.body["factory"])
        pipeline = factory.pipelines[call.body["pipeline"].lower()]
        pipeline.script.load(call.body.get("outcomes", []), call.body.get("then"))
        return {}

    def _paging(self, call: Call) -> Json:
        of_activities = call.body.get("of") == "activities"
        paging = self._factories.activity_paging if of_activities else self._factories.paging
        paging.page_size = call.body.get("page_size", paging.page_size)
        paging.empty_first_page = call.body.get("empty_first_page", paging.empty_first_page)
        return {}

    def _run(self, call: Call) -> Json:
        body = call.body
        factory = self._factories.named(body["factory"])
        pipeline = factory.pipelines[body["pipeline"].lower()]
        how = Start(body.get("parameters", {}), outcome=body.get("outcome"))
        how.run_id = body.get("run_id")
        engine = self._factories.engine
        begin = engine.place if body.get("finished") else engine.start
        run = begin(factory, pipeline, how)
        self._connect(factory, run, body)
        if body.get("finished"):
            engine.finish(factory, run)
        ago = body.get("ended_seconds_ago", 0) if run.over() else 0
        backdate(run, body.get("started_seconds_ago", 0), ago)
        return {"run_id": run.run_id, "trigger_run_id": run.trigger_run_id}

    def _connect(self, factory: Factory, run: PipelineRun, body: Json) -> None:
        trigger = body.get("trigger")
        if trigger is not None:
            self._fire(factory, run, trigger)
        parent = factory.runs.get(body.get("parent_run_id", ""))
        if parent is not None:
            self._factories.engine.link(parent, run)

    def _fire(self, factory: Factory, run: PipelineRun, trigger: Json) -> None:
        name, kind = trigger["name"], trigger["type"]
        fired_id = trigger.get("trigger_run_id") or f"08586{run.run_id.replace('-', '')[:20]}"
        fired = TriggerRun(fired_id, name, kind, self._timeline.now(), run.pipeline.name, run)
        factory.trigger_runs[fired_id] = fired
        run.trigger_run_id = fired_id
        run.invoked_by = {"id": fired_id, "name": name, "invokedByType": kind}


def backdate(run: PipelineRun, began: float, ended: float = 0) -> None:
    """Move a run's beginning, and its end if it has one, so many seconds into the past."""
    run.started -= began
    for activity in run.activities:
        activity.started -= began
    if not ended or run.ended is None:
        return
    run.ended -= ended
    run.last_updated -= ended
    for activity in run.activities:
        activity.ended = None if activity.ended is None else activity.ended - ended
