"""Control of what concerns both platforms."""

from sandbox.adf.views import activity_view, factory_view, run_view, trigger_run_view
from sandbox.control.sql import statement_state
from sandbox.databricks.clusters_api import cluster_view, library_view
from sandbox.databricks.jobs_api import job_view
from sandbox.databricks.pipelines_api import list_view, update_view
from sandbox.databricks.run_views import run_view as job_run_view
from sandbox.databricks.run_views import task_view
from sandbox.wire import Call, Json, Route, route
from sandbox.world import World


class GeneralControl:
    """Tokens, faults, the log and the like."""

    def __init__(self, world: World) -> None:
        self._world = world

    def routes(self) -> list[Route]:
        """Return what is served here."""
        return [
            route("GET", "/_sandbox/health", health),
            route("POST", "/_sandbox/reset", self._reset),
            route("GET", "/_sandbox/state", self._state),
            route("POST", "/_sandbox/tokens", self._tokens),
            route("GET", "/_sandbox/requests", self._requests),
            route("DELETE", "/_sandbox/requests", self._clear_requests),
            route("POST", "/_sandbox/faults", self._add_fault),
            route("DELETE", "/_sandbox/faults", self._clear_faults),
            route("POST", "/_sandbox/forbid", self._forbid),
            route("GET", "/_sandbox/sink/{name}", self._sink),
        ]

    def _reset(self, call: Call) -> Json:
        del call
        self._world.reset()
        return {}

    def _tokens(self, call: Call) -> Json:
        self._world.valid_tokens = set(call.body.get("valid", []))
        self._world.expired_tokens = set(call.body.get("expired", []))
        return {}

    def _requests(self, call: Call) -> Json:
        since = int(call.text("since") or 0)
        return {"requests": self._world.log.select(call.text("method"), call.text("path"), since)}

    def _clear_requests(self, call: Call) -> Json:
        del call
        self._world.log.clear()
        return {}

    def _add_fault(self, call: Call) -> Json:
        self._world.faults.add(call.body)
        return {}

    def _clear_faults(self, call: Call) -> Json:
        del call
        self._world.faults.clear()
        return {}

    def _forbid(self, call: Call) -> Json:
        access = self._world.access
        change = access.allow if call.body.get("allow") else access.forbid
        change(call.body["kind"], str(call.body["id"]))
        return {}

    def _sink(self, call: Call) -> Json:
        return {"received": self._world.sinks.received.get(call.params["name"], [])}

    def _state(self, call: Call) -> Json:
        del call
        return {
            "databricks": self._databricks(),
            "factories": self._factories(),
            "playbooks": sorted(self._world.playbooks.all),
            "index": self._world.packages.versions,
        }

    def _databricks(self) -> Json:
        workspace = self._world.workspace
        clusters = list(workspace.clusters.all.values())
        return {
            "clusters": [{**cluster_view(x), "events": x.events} for x in clusters],
            "libraries": [library_view(cluster) for cluster in clusters],
            "jobs": [job_view(job) for job in workspace.jobs.all.values()],
            "runs": [
                {**job_run_view(run), "tasks": [task_view(run, task) for task in run.tasks]}
                for run in workspace.runs.all.values()
            ],
            "pipelines": [
                {
                    **list_view(x),
                    "spec": x.spec,
                    "updates": [{**update_view(u), "request": u.request} for u in x.updates],
                }
                for x in workspace.pipelines.all.values()
            ],
            "warehouses": workspace.statements.warehouses,
            "statements": [statement_state(x) for x in workspace.statements.all.values()],
            "tables": list(workspace.tables.all.values()),
            "schemas": list(workspace.governance.all.values()),
            "files": workspace.files.all,
        }

    def _factories(self) -> list[Json]:
        return [
            {
                **factory_view(factory),
                "pipelines": sorted(factory.pipelines),
                "runs": [
                    {**run_view(run), "activities": [activity_view(run, x) for x in run.activities]}
                    for run in factory.runs.values()
                ],
                "triggerRuns": [trigger_run_view(x) for x in factory.trigger_runs.values()],
            }
            for factory in self._world.factories.all
        ]


def health(call: Call) -> Json:
    """Say that the server is up."""
    del call
    return {"status": "ok"}
