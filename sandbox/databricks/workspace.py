"""The workspace put together, with the few endpoints that belong to no service in particular."""

from sandbox.clock import Timeline
from sandbox.databricks.access import Access
from sandbox.databricks.clusters import Clusters
from sandbox.databricks.clusters_api import ClustersApi
from sandbox.databricks.errors import invalid_parameter, not_found
from sandbox.databricks.files import Files, FilesApi
from sandbox.databricks.flows import datasets_of, events_of, materialize, running_event
from sandbox.databricks.governance import Governance, GovernanceApi
from sandbox.databricks.jobs import Jobs
from sandbox.databricks.jobs_api import JobsApi
from sandbox.databricks.libraries import Libraries
from sandbox.databricks.models import Durations
from sandbox.databricks.node_types import NodeTypes
from sandbox.databricks.notifications_api import NotificationsApi
from sandbox.databricks.pipeline_models import Pipeline, Update
from sandbox.databricks.pipelines import Pipelines
from sandbox.databricks.pipelines_api import PipelinesApi
from sandbox.databricks.runs import Runs
from sandbox.databricks.runs_api import RunsApi
from sandbox.databricks.statements import Statements
from sandbox.databricks.statements_api import StatementsApi
from sandbox.databricks.tables import Tables, TablesApi
from sandbox.databricks.task_engine import TaskEngine
from sandbox.ids import Ids
from sandbox.wire import Call, Json, Route, route

KINDS = {
    "clusters": "cluster",
    "jobs": "job",
    "pipelines": "pipeline",
    "warehouses": "warehouse",
}
LEVELS = {
    "clusters": {"CAN_ATTACH_TO", "CAN_RESTART", "CAN_MANAGE"},
    "jobs": {"CAN_VIEW", "CAN_MANAGE_RUN", "CAN_MANAGE", "IS_OWNER"},
    "pipelines": {"CAN_VIEW", "CAN_RUN", "CAN_MANAGE", "IS_OWNER"},
    "warehouses": {"CAN_USE", "CAN_MONITOR", "CAN_MANAGE", "IS_OWNER"},
}


class Workspace:
    """Everything Databricks remembers."""

    def __init__(self, timeline: Timeline, ids: Ids, access: Access) -> None:
        durations = Durations()
        self.access = access
        self.node_types = NodeTypes()
        self.clusters = Clusters(timeline, ids, durations)
        self.clusters.check_node_type = self.node_types.check
        self.libraries = Libraries(self.clusters, timeline, durations)
        self.pipelines = Pipelines(timeline, ids, durations)
        self.jobs = Jobs(timeline, ids)
        self.tables = Tables(timeline, ids)
        self.files = Files(timeline)
        self.governance = Governance(timeline)
        self.pipelines.flows = self._flows
        self.statements = Statements(self.tables, timeline, ids, durations)
        engine = TaskEngine(self.clusters, self.libraries, self.pipelines, timeline, durations)
        engine.table_exists = self.tables.has
        self.runs = Runs(self.jobs, engine, timeline, ids, durations)
        self.own_tokens: list[Json] = []
        self._ids = ids
        self._granted: dict[tuple[str, str], dict[str, Json]] = {}

    def routes(self) -> list[Route]:
        """Return everything that is served."""
        jobs = JobsApi(self.jobs, self.access)
        return [
            *ClustersApi(self.clusters, self.libraries, self.access, self.node_types).routes(),
            *jobs.routes(),
            *RunsApi(self.runs, jobs, self.access, self._ids).routes(),
            *PipelinesApi(self.pipelines, self.access).routes(),
            *StatementsApi(self.statements, self.access).routes(),
            *TablesApi(self.tables, self.access).routes(),
            *FilesApi(self.files, self.access).routes(),
            *GovernanceApi(self.governance, self.access).routes(),
            *NotificationsApi(self._ids).routes(),
            route("GET", r"/api/2\.0/permissions/{kind}/{name}", self._permissions),
            route("PATCH", r"/api/2\.0/permissions/{kind}/{name}", self._grant),
            route("GET", r"/api/2\.0/preview/scim/v2/Me", me),
            route("GET", r"/api/2\.0/token/list", self._tokens),
        ]

    def _tokens(self, call: Call) -> Json:
        """Write the caller's own tokens; without one the field is left out, as the API does."""
        del call
        return {"token_infos": self.own_tokens} if self.own_tokens else {}

    def _flows(self, pipeline: Pipeline, update: Update, state: str) -> list[Json]:
        """Say what an update's flows tell; those that completed have made their tables."""
        datasets = datasets_of(pipeline, self.files)
        if state == "RUNNING":
            return [running_event(name) for name in datasets]
        materialize(pipeline, update, self.files, self.tables)
        return events_of(datasets, update.outcome)

    def _permissions(self, call: Call) -> Json:
        kind, name = call.params["kind"], call.params["name"]
        if not self._exists(kind, name):
            raise not_found(f"{kind} {name} does not exist.")
        self.access.check(KINDS[kind], name)
        granted = [{"permission_level": "CAN_MANAGE", "inherited": False}]
        entry = {"user_name": "sandbox@example.com", "all_permissions": granted}
        return {
            "object_id": f"/{kind}/{name}",
            "object_type": KINDS[kind],
            "access_control_list": [entry, *self._granted.get((kind, name), {}).values()],
        }

    def _grant(self, call: Call) -> Json:
        kind, name = call.params["kind"], call.params["name"]
        for wanted in call.body.get("access_control_list", []):
            level = wanted["permission_level"]
            if level not in LEVELS.get(kind, set()):
                raise invalid_parameter(f"{level} is not a permission level of {kind}.")
        answer = self._permissions(call)  # refuses what is not there or out of reach
        for wanted in call.body.get("access_control_list", []):
            who = {k: v for k, v in wanted.items() if k != "permission_level"}
            level = {"permission_level": wanted["permission_level"], "inherited": False}
            entry = {**who, "all_permissions": [level]}
            self._granted.setdefault((kind, name), {})[str(who)] = entry
        return answer if not call.body.get("access_control_list") else self._permissions(call)

    def _exists(self, kind: str, name: str) -> bool:
        books = {
            "clusters": {str(key) for key in self.clusters.all},
            "jobs": {str(key) for key in self.jobs.all},
            "pipelines": {str(key) for key in self.pipelines.all},
            "warehouses": set(self.statements.warehouses),
        }
        return name in books.get(kind, set())


def me(call: Call) -> Json:
    """Say who the token belongs to."""
    del call
    return {"id": "1000001", "userName": "sandbox@example.com", "active": True}
