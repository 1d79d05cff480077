"""What a delivery changes in a workspace: pipelines, jobs, folders, grants.

Every mutation is made once (see `shared.platforms.calls`); whoever makes it looks afterwards.

Source of the API rules: https://docs.databricks.com/api/azure/workspace/introduction
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from shared.clock import Clock
from shared.errors import PlatformMissing, PlatformUnavailable
from shared.platforms.calls import Translate, mutate, read
from shared.platforms.observed import observed

if TYPE_CHECKING:
    from databricks.sdk import WorkspaceClient

Row = dict[str, Any]

_MAX_PAGES = 200
_PIPELINES = "/api/2.0/pipelines"
_CATALOG = "/api/2.1/unity-catalog"
_EVENTS = 250  # of one page, the most that the API gives


@observed("databricks", "workspace")
class Deployments:
    """One workspace, as a delivery needs it."""

    def __init__(
        self, client: WorkspaceClient, translate: Translate, clock: Clock, workspace: str = ""
    ) -> None:
        self.workspace = workspace
        self._client = client
        self._translate = translate
        self._clock = clock

    # Whom and where

    def me(self) -> str:
        """Who we are there: also the shortest proof that signing in works."""
        return str(self._get("/api/2.0/preview/scim/v2/Me").get("userName") or "unknown")

    def catalog(self, name: str) -> Row:
        """A catalog of Unity Catalog."""
        return self._get(f"{_CATALOG}/catalogs/{quote(name, safe='')}")

    def schema(self, full_name: str) -> Row:
        """The schema `catalog.schema`, with owner and location."""
        return self._get(f"{_CATALOG}/schemas/{quote(full_name, safe='')}")

    def grants(self, kind: str, full_name: str) -> dict[str, set[str]]:
        """Privileges by principal on a `catalog` or `schema`."""
        path = f"{_CATALOG}/permissions/{kind}/{quote(full_name, safe='')}"
        rows = self._get(path).get("privilege_assignments") or []
        return {str(row["principal"]): set(row.get("privileges") or []) for row in rows}

    def table(self, full_name: str) -> Row | None:
        """The table `catalog.schema.name`, None if there is none."""
        try:
            return self._get(f"{_CATALOG}/tables/{quote(full_name, safe='')}")
        except PlatformMissing:
            return None

    def warehouse(self, warehouse_id: str) -> Row:
        """A SQL warehouse, with name and state."""
        return self._get(f"/api/2.0/sql/warehouses/{quote(warehouse_id, safe='')}")

    # Pipelines

    def pipelines_named(self, name: str) -> list[str]:
        """Ids of the pipelines with exactly this name."""
        # % and _ are wildcards of LIKE; what they let in too many is left out below.
        wanted = name.replace("'", "''")
        found: list[str] = []
        query: Row = {"filter": f"name LIKE '{wanted}'", "max_results": 100}
        for _ in range(_MAX_PAGES):
            page = self._get(_PIPELINES, **query)
            rows = page.get("statuses") or []
            found += [str(row["pipeline_id"]) for row in rows if row.get("name") == name]
            token = page.get("next_page_token")
            if not token:
                return found
            query["page_token"] = token
        raise PlatformUnavailable(f"{_PIPELINES} has more than {_MAX_PAGES} pages")

    def pipeline(self, pipeline_id: str) -> Row | None:
        """A pipeline with its specification and state, None if there is none."""
        try:
            return self._get(f"{_PIPELINES}/{pipeline_id}")
        except PlatformMissing:
            return None

    def create_pipeline(self, settings: Row) -> str:
        """Create a pipeline; refused if another one has its name. Returns its id."""
        return str(self._send("POST", _PIPELINES, settings)["pipeline_id"])

    def edit_pipeline(self, pipeline_id: str, settings: Row, last_modified: int) -> None:
        """Replace all settings; refused if they were changed after `last_modified`."""
        body = {**settings, "id": pipeline_id, "expected_last_modified": last_modified}
        self._send("PUT", f"{_PIPELINES}/{pipeline_id}", body)

    def delete_pipeline(self, pipeline_id: str) -> None:
        """Delete a pipeline, never its tables; no error if it is gone.

        Without `cascade=false` the platform deletes the tables in Unity Catalog along with it.
        """
        self._gone("DELETE", f"{_PIPELINES}/{pipeline_id}", {}, cascade="false")

    def stop_pipeline(self, pipeline_id: str) -> None:
        """Cancel the active update; without one nothing happens."""
        self._send("POST", f"{_PIPELINES}/{pipeline_id}/stop", {})

    def start_update(self, pipeline_id: str, request: Row) -> str:
        """Start an update; refused while one is active. Returns its id."""
        answer = self._send("POST", f"{_PIPELINES}/{pipeline_id}/updates", request)
        return str(answer["update_id"])

    def events(self, pipeline_id: str, since: str) -> list[Row]:
        """Events of a pipeline after a moment, oldest first.

        By hand, page after page from the last moment on: a page token excludes the filter.
        """
        found: dict[str, Row] = {}
        for _ in range(_MAX_PAGES):
            page = self._get(
                f"{_PIPELINES}/{pipeline_id}/events",
                filter=f"timestamp >= '{since}'",
                order_by="timestamp asc",
                max_results=_EVENTS,
            )
            rows = page.get("events") or []
            fresh = [row for row in rows if str(row.get("id")) not in found]
            found |= {str(row.get("id")): row for row in fresh}
            if len(rows) < _EVENTS or not fresh:
                return list(found.values())
            since = str(rows[-1]["timestamp"])
        raise PlatformUnavailable("the event log is longer than is read")

    # Jobs

    def jobs_named(self, name: str) -> list[Row]:
        """The jobs with exactly this name, with id and tags."""
        answer = self._get("/api/2.2/jobs/list", name=name, limit=25)
        rows = answer.get("jobs") or []
        return [row for row in rows if (row.get("settings") or {}).get("name") == name]

    def create_job(self, settings: Row) -> int:
        """Create a job; the platform does not mind a second one of its name. Returns its id."""
        return int(self._send("POST", "/api/2.2/jobs/create", settings)["job_id"])

    def reset_job(self, job_id: int, settings: Row) -> None:
        """Replace all settings of a job."""
        self._send("POST", "/api/2.2/jobs/reset", {"job_id": job_id, "new_settings": settings})

    def delete_job(self, job_id: int) -> None:
        """Delete a job; no error if it is gone."""
        self._gone("POST", "/api/2.2/jobs/delete", {"job_id": job_id})

    def is_running(self, job_id: int) -> bool:
        """Whether a run of a job goes on."""
        answer = self._get("/api/2.2/jobs/runs/list", job_id=job_id, active_only="true", limit=1)
        return bool(answer.get("runs"))

    def run_tasks(self, job_id: int, tasks: list[str], token: str) -> int:
        """Run only some tasks of a job; the same token gives the same run. Returns its id."""
        body = {"job_id": job_id, "only": tasks, "idempotency_token": token}
        return int(self._send("POST", "/api/2.2/jobs/run-now", body)["run_id"])

    def cancel_run(self, run_id: str) -> None:
        """Cancel a run; nothing happens where it is over, no error if it is gone."""
        self._gone("POST", "/api/2.2/jobs/runs/cancel", {"run_id": int(run_id)})

    # Folders and access

    def upload(self, folder: str, files: dict[str, str]) -> None:
        """Put files, text by relative path, into a folder; what is there is written over."""
        parents = {f"{folder}/{path}".rpartition("/")[0] for path in files}
        for parent in sorted(parents):
            self._send("POST", "/api/2.0/workspace/mkdirs", {"path": parent})
        for path, text in files.items():
            content = base64.b64encode(text.encode()).decode()
            body = {"path": f"{folder}/{path}", "format": "RAW", "overwrite": True}
            self._send("POST", "/api/2.0/workspace/import", {**body, "content": content})

    def listed(self, folder: str) -> set[str]:
        """Relative paths of all files in a folder, at any depth."""
        found: set[str] = set()
        left = [folder]
        while left:
            rows = self._get("/api/2.0/workspace/list", path=left.pop()).get("objects") or []
            left += [str(row["path"]) for row in rows if row.get("object_type") == "DIRECTORY"]
            files = [str(row["path"]) for row in rows if row.get("object_type") != "DIRECTORY"]
            found |= {path.removeprefix(f"{folder}/") for path in files}
        return found

    def folders(self, folder: str) -> list[str]:
        """Paths of the folders right below a folder; none if it is not there."""
        try:
            rows = self._get("/api/2.0/workspace/list", path=folder).get("objects") or []
        except PlatformMissing:
            return []
        return [str(row["path"]) for row in rows if row.get("object_type") == "DIRECTORY"]

    def remove_folder(self, folder: str) -> None:
        """Delete a folder with all that is in it; no error if it is gone."""
        self._gone("POST", "/api/2.0/workspace/delete", {"path": folder, "recursive": True})

    def give_access(self, pipeline_id: str, entries: list[Row]) -> None:
        """Let principals do something with a pipeline; what others may is left as it is."""
        path = f"/api/2.0/permissions/pipelines/{pipeline_id}"
        self._send("PATCH", path, {"access_control_list": entries})

    def _get(self, path: str, /, **query: Any) -> Row:  # noqa: ANN401 - query values
        do = self._client.api_client.do
        answer: Any = read(lambda: do("GET", path, query=query), self._translate, self._clock)
        return dict(answer)

    def _send(self, method: str, path: str, body: Row, **query: str) -> Row:
        do = self._client.api_client.do
        answer: Any = mutate(
            lambda: do(method, path, query=query or None, body=body or None), self._translate
        )
        return dict(answer or {})

    def _gone(self, method: str, path: str, body: Row, **query: str) -> None:
        try:
            self._send(method, path, body, **query)
        except PlatformMissing:
            return
