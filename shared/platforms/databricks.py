"""Databricks, by databricks-sdk: the few calls that healing needs.

Reads keep the API's own JSON: the SDK's enumerations turn a code that they do not know into None,
and an unknown code is exactly what a person wants to see in the evidence.

Source of the API rules: https://docs.databricks.com/api/azure/workspace/introduction
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from shared.clock import Clock
from shared.errors import (
    ChangeInDoubt,
    PlatformError,
    PlatformMissing,
    PlatformRefused,
    PlatformThrottled,
    PlatformUnavailable,
)
from shared.platforms.calls import an_id, an_object, as_promised, mutate, objects, read
from shared.platforms.deployments import Deployments
from shared.platforms.observed import observed
from shared.targets import Workspace

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential
    from databricks.sdk import WorkspaceClient

Row = dict[str, Any]

_MAX_PAGES = 200
_QUERY_WAIT = "25s"  # a warehouse that has to start takes longer: the next sweep finds it up
_STATEMENT_WAIT = "10s"  # shorter than a call's own time-out, or every slow one would be in doubt
# The resource that Entra ID tokens for Azure Databricks are asked for.
# https://learn.microsoft.com/azure/databricks/dev-tools/auth/aad-token-manual
_ENTRA_SCOPE = "2ff814a6-3304-4ab8-86cb-caeb3e9a9e1d/.default"


@observed("databricks", "workspace.name")
class WorkspaceApi:
    """One workspace's clusters, libraries, jobs and pipelines."""

    def __init__(self, workspace: Workspace, client: WorkspaceClient, clock: Clock) -> None:
        self.workspace = workspace
        self._client = client
        self._clock = clock
        self.deployments = Deployments(client, translate, clock, workspace.name)

    # Clusters

    def cluster(self, cluster_id: str) -> Row:
        """A cluster; readable up to 60 days after it ended.

        Raises:
            PlatformMissing: no such cluster.
        """
        return self._get("/api/2.1/clusters/get", cluster_id=cluster_id)

    def clusters(self) -> Iterator[Row]:
        """All clusters that the workspace lists, running or ended in the last 30 days."""
        return self._paged("/api/2.1/clusters/list", "clusters", page_size=100)

    def cluster_events(self, cluster_id: str, limit: int = 50) -> list[Row]:
        """The newest events of a cluster, newest first."""
        body = {"cluster_id": cluster_id, "order": "DESC", "limit": limit}
        answer = self._read(
            lambda: self._client.api_client.do("POST", "/api/2.1/clusters/events", body=body)
        )
        return list(answer.get("events") or [])

    def start_cluster(self, cluster_id: str) -> None:
        """Start a TERMINATED cluster; it comes up asynchronously."""
        self._mutate(lambda: self._client.clusters.start(cluster_id))

    def restart_cluster(self, cluster_id: str) -> None:
        """Restart a RUNNING cluster; in any other state the platform does nothing."""
        self._mutate(lambda: self._client.clusters.restart(cluster_id))

    def resize_cluster(self, cluster_id: str, size: Row) -> None:
        """Resize a RUNNING cluster; `size` holds `num_workers` or `autoscale`."""
        self._post("/api/2.1/clusters/resize", {"cluster_id": cluster_id, **size})

    def update_cluster(self, cluster_id: str, change: Row) -> None:
        """Change the named fields of a RUNNING (restarts it) or TERMINATED cluster, no other."""
        body = {"cluster_id": cluster_id, "update_mask": ",".join(change), "cluster": change}
        self._post("/api/2.1/clusters/update", body)

    # Libraries

    def library_statuses(self, cluster_id: str) -> list[Row]:
        """Status of every library on a cluster: `library`, `status`, `messages`."""
        answer = self._get("/api/2.0/libraries/cluster-status", cluster_id=cluster_id)
        return list(answer.get("library_statuses") or [])

    def install_library(self, cluster_id: str, library: Row) -> None:
        """Install a library; asynchronous."""
        self._post("/api/2.0/libraries/install", {"cluster_id": cluster_id, "libraries": [library]})

    def uninstall_library(self, cluster_id: str, library: Row) -> None:
        """Mark a library for removal at the next restart."""
        self._post(
            "/api/2.0/libraries/uninstall", {"cluster_id": cluster_id, "libraries": [library]}
        )

    # Jobs

    def run(self, run_id: str) -> Row:
        """A job run with all its tasks and its repairs.

        Raises:
            PlatformMissing: no such run (runs are kept 60 days).
        """
        first = self._get("/api/2.2/jobs/runs/get", run_id=run_id, include_history="true")
        tasks = list(first.get("tasks") or [])
        token = first.get("next_page_token")
        for _ in range(_MAX_PAGES):
            if not token:
                break
            page = self._get(
                "/api/2.2/jobs/runs/get", run_id=run_id, include_history="true", page_token=token
            )
            tasks += page.get("tasks") or []
            token = page.get("next_page_token")
        return {**first, "tasks": tasks}

    def run_output(self, task_run_id: str) -> Row:
        """The output of one task's run: `error`, `error_trace`, `logs`."""
        return self._get("/api/2.2/jobs/runs/get-output", run_id=task_run_id)

    def runs(self, since_millis: int, **filters: str) -> Iterator[Row]:
        """Job runs started since a moment (epoch milliseconds), newest first, with their tasks."""
        return self._paged(
            "/api/2.2/jobs/runs/list",
            "runs",
            start_time_from=since_millis,
            expand_tasks="true",
            limit=25,
            **filters,
        )

    def job_named(self, name: str) -> str:
        """The id of the one job with this name, empty if there is none or more than one."""
        answer = self._get("/api/2.2/jobs/list", name=name, limit=25)
        jobs = [
            j for j in answer.get("jobs") or [] if (j.get("settings") or {}).get("name") == name
        ]
        return str(jobs[0]["job_id"]) if len(jobs) == 1 else ""

    def jobs(self) -> Iterator[Row]:
        """All jobs of the workspace, without their tasks."""
        return self._paged("/api/2.2/jobs/list", "jobs", limit=100)

    def jobs_with_tasks(self) -> Iterator[Row]:
        """All jobs of the workspace with their tasks, at most 100 of each job."""
        return self._paged("/api/2.2/jobs/list", "jobs", limit=100, expand_tasks="true")

    def node_types(self) -> dict[str, Row]:
        """The node types that may be taken here, by id: neither retired nor barred in the region.

        `num_cores` are one node's; `node_info.available_core_quota` are those that the type's
        family has left here, where the workspace tells that.
        """
        listed = self._get("/api/2.1/clusters/list-node-types").get("node_types") or []
        return {str(t["node_type_id"]): t for t in listed if _may_be_taken(t)}

    def execute(self, warehouse_id: str, statement: str) -> str:
        """Run one SQL statement on a warehouse, waiting a little; returns its id.

        A statement that takes longer (its warehouse may have to start) goes on.

        Raises:
            PlatformRefused: the statement failed; the platform answers 200 to that too.
        """
        answer = self._mutate(
            lambda: self._client.statement_execution.execute_statement(
                statement=statement, warehouse_id=warehouse_id, wait_timeout=_STATEMENT_WAIT
            )
        )
        wrong = _ended_badly(answer.as_dict())
        if wrong:
            raise PlatformRefused(wrong)
        return str(answer.statement_id)

    def query(self, warehouse_id: str, statement: str) -> list[Row]:
        """The rows of a reading SQL statement, each by column name; all values are texts.

        Raises:
            PlatformRefused: the statement failed.
            PlatformUnavailable: it did not end within the call's wait.
        """
        answer = self._read(
            lambda: self._client.statement_execution.execute_statement(
                statement=statement, warehouse_id=warehouse_id, wait_timeout=_QUERY_WAIT
            ).as_dict()
        )
        wrong = _ended_badly(answer)
        if wrong:
            raise PlatformRefused(wrong)
        if (answer.get("status") or {}).get("state") != "SUCCEEDED":
            raise PlatformUnavailable("the statement has not ended yet")
        return _rows(answer)

    def statement_failure(self, statement_id: str) -> str:
        """Why a statement failed, empty while it has not."""
        return _ended_badly(self._get(f"/api/2.0/sql/statements/{quote(statement_id, safe='')}"))

    def table_exists(self, full_name: str) -> bool:
        """Whether Unity Catalog has the table `catalog.schema.name`."""
        try:
            answer = self._get(f"/api/2.1/unity-catalog/tables/{quote(full_name, safe='')}/exists")
        except PlatformMissing:
            return False
        return bool(answer.get("table_exists"))

    def job(self, job_id: str) -> Row:
        """A job with its settings."""
        return self._get("/api/2.2/jobs/get", job_id=job_id)

    def update_job(self, job_id: str, settings: Row) -> None:
        """Replace the named top-level settings of a job; tasks and clusters are merged by key."""
        body = {"job_id": int(job_id), "new_settings": settings}
        self._post("/api/2.2/jobs/update", body)

    def repair_run(
        self, run_id: str, latest_repair_id: str, parameters: dict[str, str] | None = None
    ) -> str:
        """Rerun all failed tasks of a run and what depends on them; returns the repair's id.

        `latest_repair_id` must be given from the second repair on; `parameters` are job
        parameters that differ from the run's.
        """
        repair: Any = self._client.jobs.repair_run
        return str(
            self._mutate(
                lambda: an_id(
                    repair(
                        int(run_id),
                        latest_repair_id=int(latest_repair_id) if latest_repair_id else None,
                        rerun_all_failed_tasks=True,
                        rerun_dependent_tasks=True,
                        job_parameters=parameters,
                    ).response.repair_id
                )
            )
        )

    # Pipelines

    def pipeline(self, pipeline_id: str) -> Row:
        """A pipeline with its specification, state and newest updates."""
        return self._get(f"/api/2.0/pipelines/{pipeline_id}")

    def pipelines(self) -> Iterator[Row]:
        """All pipelines of the workspace with their newest updates, without specifications."""
        return self._paged("/api/2.0/pipelines", "statuses", max_results=100)

    def permissions(self, kind: str, identity: str) -> list[Row]:
        """Who may do what with an object; `kind` is `jobs`, `pipelines` or `clusters`."""
        answer = self._get(f"/api/2.0/permissions/{kind}/{quote(identity, safe='')}")
        return list(answer.get("access_control_list") or [])

    def tokens(self) -> list[Row]:
        """Our own personal access tokens: `comment`, `expiry_time` in milliseconds, -1 for never.

        Not the tokens of other people: that is an administrator's right.
        """
        return list(self._get("/api/2.0/token/list").get("token_infos") or [])

    def update(self, pipeline_id: str, update_id: str) -> Row:
        """One update of a pipeline."""
        answer = self._get(f"/api/2.0/pipelines/{pipeline_id}/updates/{update_id}")
        return dict(answer.get("update") or {})

    def updates(self, pipeline_id: str) -> list[Row]:
        """The newest updates of a pipeline, newest first."""
        answer = self._get(f"/api/2.0/pipelines/{pipeline_id}/updates", max_results=25)
        return list(answer.get("updates") or [])

    def error_events(self, pipeline_id: str, limit: int = 100) -> list[Row]:
        """The newest ERROR events of a pipeline, newest first.

        One page: a page token excludes the filter, so a filtered listing has no second page.
        """
        answer = self._get(
            f"/api/2.0/pipelines/{pipeline_id}/events",
            filter="level='ERROR'",
            order_by="timestamp desc",
            max_results=limit,
        )
        return list(answer.get("events") or [])

    def metric_events(self, pipeline_id: str, since: str, limit: int = 250) -> list[Row]:
        """The newest events of a pipeline that may carry figures, newest first; one page.

        `since` is an ISO 8601 moment.
        """
        answer = self._get(
            f"/api/2.0/pipelines/{pipeline_id}/events",
            filter=f"level in ('INFO', 'METRICS') AND timestamp >= '{since}'",
            order_by="timestamp desc",
            max_results=limit,
        )
        return list(answer.get("events") or [])

    def start_update(
        self, pipeline_id: str, *, reset: list[str] | None = None, full: list[str] | None = None
    ) -> str:
        """Start an update; returns its id. Refused while one is active.

        Args:
            pipeline_id: which pipeline.
            reset: flows whose checkpoint is reset; a table's own flow has its name. Data stays.
            full: tables that are emptied and computed anew.
        """
        start = self._client.pipelines.start_update
        return str(
            self._mutate(
                lambda: an_id(
                    start(
                        pipeline_id, reset_checkpoint_selection=reset, full_refresh_selection=full
                    ).update_id
                )
            )
        )

    def _get(self, path: str, **query: Any) -> Row:  # noqa: ANN401 - query values
        do = self._client.api_client.do
        return dict(self._read(lambda: an_object(do("GET", path, query=query))))

    def _post(self, path: str, body: Row) -> None:
        self._mutate(lambda: self._client.api_client.do("POST", path, body=body))

    def _paged(self, path: str, field: str, **query: Any) -> Iterator[Row]:  # noqa: ANN401 - query values
        for _ in range(_MAX_PAGES):
            page = self._get(path, **query)
            with as_promised():
                rows = objects(page.get(field))
            yield from rows
            token = page.get("next_page_token")
            if not token:
                return
            query["page_token"] = token
        raise PlatformUnavailable(f"{path} has more than {_MAX_PAGES} pages")

    def _read(self, call: Any) -> Any:  # noqa: ANN401 - the SDK's answers
        return read(call, translate, self._clock)

    def _mutate(self, call: Any) -> Any:  # noqa: ANN401 - the SDK's answers
        return mutate(call, translate)


def _rows(statement: Row) -> list[Row]:
    """The first chunk of a result: 25 MiB at most, far more than we ask for."""
    columns = ((statement.get("manifest") or {}).get("schema") or {}).get("columns") or []
    names = [str(column.get("name")) for column in columns]
    listed = (statement.get("result") or {}).get("data_array") or []
    return [dict(zip(names, values, strict=True)) for values in listed]


def _ended_badly(statement: Row) -> str:
    status = statement.get("status") or {}
    if status.get("state") not in {"FAILED", "CANCELED", "CLOSED"}:
        return ""
    said = (status.get("error") or {}).get("message") or ""
    return f"the statement is {status['state']}: {said[:500]}"


def _may_be_taken(node_type: Row) -> bool:
    barred = (node_type.get("node_info") or {}).get("status")
    return not node_type.get("is_deprecated") and not barred


class _OneTry:
    """A clock for the SDK that ends its own repeating: whoever would sleep, gives up.

    The SDK has no switch for that (`retry_timeout_seconds=0` means 300), but takes a clock.
    """

    def time(self) -> float:
        return 0.0

    def sleep(self, _seconds: float) -> None:
        raise _WouldRetry


class _WouldRetry(Exception):
    """Raised while the SDK handles the real error, which is its context."""


def connect(
    workspace: Workspace,
    token: str,
    credential: TokenCredential | None,
    clock: Clock,
    timeout: float,
) -> WorkspaceApi:
    """A client for `workspace`, by its token or by our identity."""
    from databricks.sdk import WorkspaceClient
    from databricks.sdk.core import Config

    options: Row = {"token": token, "auth_type": "pat"} if token else {}
    if not token and credential is not None:
        options = {"credentials_strategy": _entra(credential)}
    config = Config(
        host=workspace.host,
        clock=_OneTry(),  # type: ignore[arg-type]  # the SDK's Clock is an abstract class
        http_timeout_seconds=timeout,
        retry_timeout_seconds=5,
        product="lakemend",
        product_version="0.1.0",
        **options,
    )
    return WorkspaceApi(workspace, WorkspaceClient(config=config), clock)


def _entra(credential: TokenCredential) -> Any:  # noqa: ANN401 - made where its base is imported
    from databricks.sdk.credentials_provider import credentials_strategy

    @credentials_strategy("lakemend-identity", ["host"])  # type: ignore[untyped-decorator]  # the SDK publishes no type
    def strategy(_config: Any) -> Any:  # noqa: ANN401 - the SDK's own types
        return lambda: {"Authorization": f"Bearer {credential.get_token(_ENTRA_SCOPE).token}"}

    return strategy


def translate(error: Exception, *, changing: bool) -> PlatformError | None:
    """The SDK's and requests' exceptions as ours."""
    import requests
    from databricks.sdk.errors.base import DatabricksError

    if isinstance(error, _WouldRetry) and isinstance(error.__context__, Exception):
        error = error.__context__
    if isinstance(error, DatabricksError):
        return _answered(error, changing=changing)
    if isinstance(error, requests.ConnectTimeout) or never_connected(error):
        return PlatformUnavailable(f"Databricks was not reached: {type(error).__name__}")
    if isinstance(error, requests.RequestException | TimeoutError):
        text = f"Databricks did not answer: {type(error).__name__}"
        return ChangeInDoubt(text) if changing else PlatformUnavailable(text)
    if isinstance(error, ValueError | KeyError | TypeError | AttributeError):
        text = "Databricks' answer is not what the API promises"
        return ChangeInDoubt(text) if changing else PlatformUnavailable(text)
    return None


def never_connected(error: Exception) -> bool:
    """Whether a call by `requests` never reached the other side."""
    import requests
    from urllib3.exceptions import NewConnectionError

    if not isinstance(error, requests.ConnectionError) or not error.args:
        return False
    return isinstance(getattr(error.args[0], "reason", None), NewConnectionError)


def _answered(error: Any, *, changing: bool) -> PlatformError:  # noqa: ANN401 - lazy type
    from databricks.sdk import errors as dbx

    code = str(error.error_code or "")
    text = (
        f"Databricks answered {type(error).__name__} {code}: {' '.join(str(error).split())[:500]}"
    )
    if isinstance(error, dbx.TooManyRequests):
        return PlatformThrottled(text, error.retry_after_secs, code)
    if isinstance(error, dbx.NotFound):
        return PlatformMissing(text, 404, code)
    for kind, status in (
        (dbx.BadRequest, 400),
        (dbx.Unauthenticated, 401),
        (dbx.PermissionDenied, 403),
        (dbx.ResourceConflict, 409),
    ):
        if isinstance(error, kind):
            return PlatformRefused(text, status, code)
    return ChangeInDoubt(text, 500, code) if changing else PlatformUnavailable(text, 500, code)
