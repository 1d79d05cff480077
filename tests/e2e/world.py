"""The outside of a running Lakemend: alerts sent over HTTP, and what the platforms saw of it."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import Any

import msgspec
import requests

Json = dict[str, Any]

TIMEOUT_ERROR = {
    "errorCode": "2200",
    "message": "ErrorCode=GatewayTimeout,'Type=X,Message=504 Gateway Timeout after 30 seconds,'",
    "failureType": "SystemError",
}
RESET_ERROR = {
    "errorCode": "2200",
    "message": "The underlying connection was closed: A connection was reset.",
    "failureType": "SystemError",
}
CLOSED = frozenset({"healed", "escalated", "observed", "cancelled"})


class World(msgspec.Struct, frozen=True):
    """One running system and its sandbox; names made here are unique, so tests share it."""

    base_url: str
    sandbox_url: str
    keys: dict[str, str]
    factory_id: str
    deadline: float = 60.0

    @property
    def factory(self) -> str:
        return self.factory_id.rpartition("/")[2]

    # The sandbox

    def script(self, path: str, /, **body: Any) -> Json:
        answer = requests.post(f"{self.sandbox_url}/_sandbox/{path}", json=body, timeout=10)
        assert answer.ok, f"{path}: {answer.text}"
        return dict(answer.json())

    def seen(self, path: str, method: str = "POST", *, effect: bool | None = None) -> list[Json]:
        """Requests that the platforms saw, by a regular expression on their path."""
        query = {"method": method, "path": path}
        answer = requests.get(f"{self.sandbox_url}/_sandbox/requests", query, timeout=10)
        rows = answer.json()["requests"]
        return [row for row in rows if effect is None or row["effect"] is effect]

    def pipeline(self, *outcomes: Json, children: dict[str, str] | None = None) -> str:
        name = f"pl_{uuid.uuid4().hex[:10]}"
        activities: list[Json] = [
            {"name": "Extract", "type": "Copy"},
            {"name": "Load", "type": "Copy", "depends_on": ["Extract"]},
        ]
        if children:
            activities = [
                {"name": activity, "type": "ExecutePipeline", "pipeline": child}
                for activity, child in children.items()
            ]
        self.script(
            "adf/pipelines",
            factory=self.factory,
            name=name,
            activities=activities,
            duration_seconds=1,
        )
        if outcomes:
            self.script(
                "adf/outcomes", factory=self.factory, pipeline=name, outcomes=list(outcomes)
            )
        return name

    def failed_run(self, pipeline: str, error: Json = TIMEOUT_ERROR, **more: Any) -> str:
        outcome = {"status": "Failed", "activity": "Load", "error": error}
        body = {"factory": self.factory, "pipeline": pipeline, "finished": True} | more
        return str(self.script("adf/runs", outcome=outcome, **body)["run_id"])

    def arm(self, path: str, body: Json, **query: str) -> Json:
        """A call to the factory as somebody else would make it."""
        answer = requests.post(
            f"{self.sandbox_url}{self.factory_id}/{path}",
            json=body,
            params={"api-version": "2018-06-01"} | query,
            headers={"Authorization": "Bearer sandbox-token"},
            timeout=10,
        )
        assert answer.ok, answer.text
        return dict(answer.json())

    def runs_of(self, pipeline: str, status: str) -> list[str]:
        body = {
            "lastUpdatedAfter": "2020-01-01T00:00:00Z",
            "lastUpdatedBefore": "2100-01-01T00:00:00Z",
            "filters": [
                {"operand": "PipelineName", "operator": "Equals", "values": [pipeline]},
                {"operand": "Status", "operator": "Equals", "values": [status]},
            ],
        }
        return [run["runId"] for run in self.arm("queryPipelineRuns", body)["value"]]

    def failed_runs_of(self, pipeline: str) -> list[str]:
        return self.runs_of(pipeline, "Failed")

    def reruns(self, pipeline: str) -> list[Json]:
        return self.seen(f"pipelines/{pipeline}/createRun", effect=True)

    def cluster(self, **spec: Any) -> str:
        cluster_id = f"c-{uuid.uuid4().hex[:10]}"
        body = {
            "cluster_id": cluster_id,
            "cluster_name": f"shared {cluster_id}",
            "spark_version": "15.4.x-scala2.12",
            "node_type_id": "Standard_DS3_v2",
            "num_workers": 4,
            "custom_tags": {"team": "data"},
        } | spec
        if "autoscale" in spec:
            del body["num_workers"]
        self.script("databricks/clusters", **body)
        return cluster_id

    def terminate(self, cluster_id: str, code: str, kind: str = "CLOUD_FAILURE") -> None:
        reason = {"code": code, "type": kind, "parameters": {}}
        self.script(
            f"databricks/clusters/{cluster_id}/break", termination_reason=reason, state="TERMINATED"
        )

    def job(self, *tasks: Json, **settings: Any) -> int:
        body = {"name": f"job {uuid.uuid4().hex[:8]}", "tasks": list(tasks)} | settings
        return int(self.script("databricks/jobs", **body)["job_id"])

    def job_run(self, job_id: int, **more: Any) -> str:
        return str(self.script("databricks/runs", job_id=job_id, **more)["run_id"])

    def databricks(self, path: str, **query: Any) -> Json:
        """A reading call to the workspace as somebody else would make it."""
        headers = {"Authorization": "Bearer sandbox-token"}
        answer = requests.get(f"{self.sandbox_url}{path}", query, headers=headers, timeout=10)
        assert answer.ok, answer.text
        return dict(answer.json())

    def run_ended(self, run_id: str) -> bool:
        run = self.databricks("/api/2.2/jobs/runs/get", run_id=run_id)
        return run["state"]["life_cycle_state"] in {"TERMINATED", "INTERNAL_ERROR", "SKIPPED"}

    # Lakemend

    def post(
        self, path: str, body: Any, scope: str = "sender", **headers: str
    ) -> requests.Response:
        named = {"X-API-Key": self.keys[scope]} | headers
        return requests.post(f"{self.base_url}{path}", json=body, headers=named, timeout=30)

    def delete(self, path: str, scope: str = "approver") -> requests.Response:
        headers = {"X-API-Key": self.keys[scope]}
        return requests.delete(f"{self.base_url}{path}", headers=headers, timeout=30)

    def get(self, path: str, scope: str = "reader") -> requests.Response:
        headers = {"X-API-Key": self.keys[scope]}
        return requests.get(f"{self.base_url}{path}", headers=headers, timeout=30)

    def send(self, path: str, body: Any) -> str:
        answer = self.post(path, body)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["alert_id"])

    def alert_on(self, *runs: tuple[str, str], **essentials: str) -> Json:
        """A log alert of Azure Monitor that names runs, each as (pipeline, run id)."""
        return {
            "schemaId": "azureMonitorCommonAlertSchema",
            "data": {
                "essentials": {
                    "alertId": f"/subscriptions/s/providers/alerts/{uuid.uuid4()}",
                    "alertRule": "failed-runs",
                    "severity": "Sev2",
                    "signalType": "Log",
                    "monitorCondition": "Fired",
                    "monitoringService": "Log Alerts V2",
                    "alertTargetIDs": ["/subscriptions/s/workspaces/law"],
                    "firedDateTime": "2026-11-20T03:12:00.1234567Z",
                }
                | essentials,
                "alertContext": {"condition": {"allOf": [self._criterion(*run) for run in runs]}},
            },
        }

    def _criterion(self, pipeline: str, run_id: str) -> Json:
        named = {"PipelineName": pipeline, "RunId": run_id, "_ResourceId": self.factory_id.lower()}
        return {
            "dimensions": [{"name": name, "value": value} for name, value in named.items()],
            "metricValue": 1.0,
        }

    def incidents_of(self, alert_id: str, count: int = 1) -> list[Json]:
        """The incidents of an alert, once there are `count` and all are closed."""

        def ready() -> list[Json]:
            listed = self.get(f"/api/alerts/{alert_id}").json()["incidents"]
            found = [self.incident(entry["incident_id"]) for entry in listed]
            closed = all(incident["state"] in CLOSED for incident in found)
            return found if len(found) >= count and closed else []

        found: list[Json] = self.until(ready)
        return found

    def incident(self, incident_id: str) -> Json:
        return dict(self.get(f"/api/incidents/{incident_id}").json())

    def incident_of(self, alert_id: str) -> Json:
        return self.incidents_of(alert_id)[0]

    def until(self, ready: Callable[[], Any]) -> Any:
        """What `ready` answers, as soon as it is something."""
        end = time.monotonic() + self.deadline
        while time.monotonic() < end:
            found = ready()
            if found:
                return found
            time.sleep(0.1)
        raise AssertionError(f"not within {self.deadline} s: {ready.__qualname__}")


def actions(incident: Json) -> list[str]:
    return [entry["action"] for entry in incident["timeline"]]


def results(incident: Json, action: str) -> list[str]:
    return [e.get("result", "") for e in incident["timeline"] if e["action"] == action]
