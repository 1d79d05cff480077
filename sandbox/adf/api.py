"""Microsoft.DataFactory over HTTP; as with ARM, the case of a path does not matter."""

from sandbox.adf import views
from sandbox.adf.errors import api_version_missing, bad_request, entity_unknown, run_unknown
from sandbox.adf.factories import Factories
from sandbox.adf.models import Factory, PipelineDefinition, PipelineRun, TriggerRun
from sandbox.adf.queries import (
    ACTIVITY_OPERANDS,
    PIPELINE_OPERANDS,
    TRIGGER_OPERANDS,
    select,
    window,
)
from sandbox.adf.rules import Rerun
from sandbox.adf.runs import Start
from sandbox.wire import Answer, Call, Handler, Json, Route, route

GROUP = r"/subscriptions/{sub}/resourceGroups/{group}/providers/Microsoft\.DataFactory/factories"
FACTORY = GROUP + "/{factory}"


class FactoriesApi:
    """Answers for factories."""

    def __init__(self, factories: Factories) -> None:
        self._factories = factories

    def routes(self) -> list[Route]:
        """Return what is served here."""
        run = FACTORY + r"/pipelineruns/{run_id}"
        trigger = FACTORY + r"/triggers/{trigger}"
        runtime = FACTORY + r"/integrationRuntimes/{runtime}"
        return [
            self._route("GET", FACTORY, self._get),
            self._route("GET", FACTORY + "/pipelines", self._pipelines),
            self._route("GET", FACTORY + "/pipelines/{pipeline}", self._pipeline),
            self._route("POST", FACTORY + "/pipelines/{pipeline}/createRun", self._create_run),
            self._route("GET", run, self._run),
            self._route("POST", run + "/queryActivityruns", self._query_activities),
            self._route("POST", run + "/cancel", self._cancel),
            self._route("POST", FACTORY + "/queryPipelineRuns", self._query_runs),
            self._route("GET", FACTORY + "/triggers", self._triggers),
            self._route("GET", trigger, self._trigger),
            self._route("GET", FACTORY + "/integrationRuntimes", self._runtimes),
            self._route("POST", runtime + "/getStatus", self._runtime_status),
            self._route("GET", FACTORY + "/linkedservices", self._linked_services),
            self._route("POST", FACTORY + "/queryTriggerRuns", self._query_triggers),
            self._route("POST", trigger + "/triggerRuns/{fired}/rerun", self._rerun_trigger),
            self._route("POST", trigger + "/triggerRuns/{fired}/cancel", self._cancel_trigger),
        ]

    def _route(self, method: str, template: str, handler: Handler) -> Route:
        def checked(call: Call) -> Json | Answer:
            if call.text("api-version") is None:
                raise api_version_missing()
            return handler(call)

        return route(method, template, checked, ignore_case=True)

    def _factory(self, call: Call) -> Factory:
        names = call.params
        return self._factories.get(names["sub"], names["group"], names["factory"])

    def _definition(self, factory: Factory, call: Call) -> PipelineDefinition:
        name = call.params["pipeline"]
        pipeline = factory.pipelines.get(name.lower())
        if pipeline is None:
            raise entity_unknown("pipeline", name)
        return pipeline

    def _find_run(self, factory: Factory, call: Call) -> PipelineRun:
        run_id = call.params["run_id"]
        run = factory.runs.get(run_id)
        if run is None:
            raise run_unknown(run_id)
        return run

    def _get(self, call: Call) -> Json:
        return views.factory_view(self._factory(call))

    def _pipelines(self, call: Call) -> Json:
        factory = self._factory(call)
        return {"value": [views.pipeline_view(factory, x) for x in factory.pipelines.values()]}

    def _pipeline(self, call: Call) -> Json:
        factory = self._factory(call)
        return views.pipeline_view(factory, self._definition(factory, call))

    def _create_run(self, call: Call) -> Json:
        factory = self._factory(call)
        pipeline = self._definition(factory, call)
        reference = call.text("referencePipelineRunId")
        if reference is None:
            run = self._factories.engine.start(factory, pipeline, Start(call.body))
        else:
            run = self._factories.engine.rerun(factory, pipeline, rerun_asked(call, reference))
        return {"runId": run.run_id}

    def _run(self, call: Call) -> Json:
        return views.run_view(self._find_run(self._factory(call), call))

    def _query_activities(self, call: Call) -> Json:
        run = self._find_run(self._factory(call), call)
        after, before = window(call.body)
        shown = [
            views.activity_view(run, x)
            for x in run.activities
            if after <= (x.ended or x.started) <= before
        ]
        chosen = select(shown, call.body, ACTIVITY_OPERANDS)
        return self._factories.activity_paging.page(chosen, call.body.get("continuationToken"))

    def _query_runs(self, call: Call) -> Json:
        factory = self._factory(call)
        after, before = window(call.body)
        runs = [x for x in factory.runs.values() if after <= x.last_updated <= before]
        chosen = select(map(views.run_view, runs), call.body, PIPELINE_OPERANDS)
        return self._factories.paging.page(chosen, call.body.get("continuationToken"))

    def _query_triggers(self, call: Call) -> Json:
        factory = self._factory(call)
        after, before = window(call.body)
        fired = [x for x in factory.trigger_runs.values() if after <= x.timestamp <= before]
        chosen = select(map(views.trigger_run_view, fired), call.body, TRIGGER_OPERANDS)
        return self._factories.paging.page(chosen, call.body.get("continuationToken"))

    def _triggers(self, call: Call) -> Json:
        factory = self._factory(call)
        return {"value": [views.trigger_view(factory, x) for x in factory.triggers.values()]}

    def _trigger(self, call: Call) -> Json:
        factory, name = self._factory(call), call.params["trigger"]
        trigger = factory.triggers.get(name.lower())
        if trigger is None:
            raise entity_unknown("trigger", name)
        return views.trigger_view(factory, trigger)

    def _runtimes(self, call: Call) -> Json:
        factory = self._factory(call)
        return {"value": [views.runtime_view(factory, x) for x in factory.runtimes.values()]}

    def _runtime_status(self, call: Call) -> Json:
        factory, name = self._factory(call), call.params["runtime"]
        runtime = factory.runtimes.get(name.lower())
        if runtime is None:
            raise entity_unknown("integrationRuntime", name)
        return views.runtime_status_view(factory, runtime)

    def _linked_services(self, call: Call) -> Json:
        factory = self._factory(call)
        services = factory.linked_services
        return {"value": [views.linked_service_view(factory, *one) for one in services.items()]}

    def _cancel(self, call: Call) -> Json:
        factory = self._factory(call)
        run = self._find_run(factory, call)
        self._factories.engine.cancel(factory, run, recursive=call.flag("isRecursive"))
        return {}

    def _fired(self, factory: Factory, call: Call) -> TriggerRun:
        fired = factory.trigger_runs.get(call.params["fired"])
        if fired is None or fired.name.lower() != call.params["trigger"].lower():
            raise entity_unknown("triggerRun", call.params["fired"])
        if fired.kind != "TumblingWindowTrigger":
            raise bad_request(f"Trigger {fired.name} is no tumbling window trigger.")
        return fired

    def _rerun_trigger(self, call: Call) -> Json:
        factory = self._factory(call)
        self._factories.engine.rerun_trigger(factory, self._fired(factory, call))
        return {}

    def _cancel_trigger(self, call: Call) -> Json:
        factory = self._factory(call)
        run = self._fired(factory, call).run
        self._factories.engine.cancel(factory, run, recursive=False)
        return {}


def rerun_asked(call: Call, reference: str) -> Rerun:
    """Read what createRun says about an earlier run; the body's parameters do not count then."""
    return Rerun(
        reference,
        recovery=call.flag("isRecovery"),
        activity=call.text("startActivityName"),
        from_failure=call.flag("startFromFailure"),
    )
