"""A finding's proposal: worked out, shown, approved once, made under policy, taken back."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from tests.e2e.hosts import Host, StartHost
from tests.e2e.world import CLOSED, Json, World

WAREHOUSE = "0123456789abcdef"
COLUMNS = ["workspace_id", "what", "resource", "period", "began", "memory", "cpu", "disk_free"]
JOB_TASK = {
    "task_key": "load",
    "job_cluster_key": "main",
    "notebook_task": {"notebook_path": "/load"},
}
JOB_CLUSTER: Json = {
    "job_cluster_key": "main",
    "new_cluster": {
        "spark_version": "15.4.x-scala2.12",
        "node_type_id": "Standard_DS3_v2",
        "num_workers": 2,
    },
}


def used(world: World, what: str, resource: Any, *, memory: float = 40, cpu: float = 40) -> None:
    """Three days or runs of something, as the system tables tell them."""
    table = "job_task_run_timeline" if what == "job" else "SELECT n.workspace_id"
    rows = [
        ["1", what, str(resource), f"p{n}", f"2026-11-1{n}", str(memory), str(cpu), str(10**12)]
        for n in range(3)
    ]
    world.script("databricks/statements", match=table, columns=COLUMNS, rows=rows, times=1)


@pytest.fixture
def production(start_host: StartHost) -> Host:
    host = start_host(SYSTEM_TABLES_WAREHOUSE_ID=WAREHOUSE)
    host.world.script("databricks/warehouses", warehouse_id=WAREHOUSE)
    return host


def proposed(host: Host, resource: str) -> Json:
    """The finding about something, as soon as its change can be approved."""
    host.timer("nightly_sweep")

    def asked() -> Json | None:
        listed = host.world.get("/api/findings?limit=200").json()["findings"]
        mine = [f for f in listed if f["resource"] == resource and f["question"]]
        return mine[0] if mine else None

    return dict(host.world.until(asked))


def answer(world: World, finding: Json, **more: Any) -> Any:
    body = {"question_id": finding["question"]["question_id"], "approve": True} | more
    return world.post(f"/api/findings/{finding['finding_id']}/approval", body, "approver")


def read(world: World, finding: Json) -> Json:
    return dict(world.get(f"/api/findings/{finding['finding_id']}").json())


def ended(world: World, finding: Json, part: str = "") -> Json:
    """What became of the approved change, or of its way back."""

    def done() -> Json | None:
        change = read(world, finding)["change"]
        change = change and change[part] if part else change
        return change if change and change["state"] in CLOSED else None

    return dict(world.until(done))


def workers(world: World, cluster_id: str) -> int:
    return int(world.databricks("/api/2.1/clusters/get", cluster_id=cluster_id)["num_workers"])


def node_type(world: World, job_id: int) -> str:
    settings = world.databricks("/api/2.2/jobs/get", job_id=job_id)["settings"]
    return str(settings["job_clusters"][0]["new_cluster"]["node_type_id"])


def edit_job(world: World, job_id: int, name: str) -> None:
    """What somebody does by hand."""
    spec: Json = {**JOB_CLUSTER["new_cluster"], "node_type_id": name}
    settings = {"job_clusters": [{**JOB_CLUSTER, "new_cluster": spec}]}
    done = requests.post(
        f"{world.sandbox_url}/api/2.2/jobs/update",
        json={"job_id": job_id, "new_settings": settings},
        headers={"Authorization": "Bearer sandbox-token"},
        timeout=10,
    )
    assert done.ok, done.text


def test_an_approved_change_is_made_stays_and_can_be_taken_back(production: Host) -> None:
    world = production.world
    cluster_id = world.cluster()
    used(world, "cluster", cluster_id, cpu=97)
    finding = proposed(production, f"cluster {cluster_id}")
    question = finding["question"]
    assert (finding["kind"], question["said"]) == ("cpu_high", None)
    assert "from 4 workers to 6 workers" in question["summary"]
    assert workers(world, cluster_id) == 4  # asked is not done

    assert answer(world, finding, question_id="another").status_code == 409
    refused = answer(world, {**finding, "finding_id": "0" * 32})
    assert refused.status_code == 404
    body = {"question_id": question["question_id"], "approve": True}
    path = f"/api/findings/{finding['finding_id']}/approval"
    assert world.post(path, body, "reader").status_code == 403
    assert world.post(path, {"approve": True}, "approver").status_code == 400
    path = f"/api/findings/{finding['finding_id']}/reversal"
    early = world.post(path, {"why": "changed my mind"}, "approver")
    assert (early.status_code, early.json()["error"]) == (
        409, "no approved change of this finding has ended",
    )  # fmt: skip

    with ThreadPoolExecutor(4) as pool:
        said = list(pool.map(lambda _: answer(world, finding), range(4)))
    assert sorted(a.status_code for a in said) == [202, 409, 409, 409]
    change = ended(world, finding)
    assert change["state"] == "healed", change
    assert workers(world, cluster_id) == 6
    assert len(world.seen("clusters/resize", effect=True)) == 1
    told = read(world, finding)
    assert told["question"]["answered_by"] == "approver"
    assert [row["what"] for row in told["history"]] == ["Approval Given", "Approval Requested"]
    timeline = world.get(f"/api/incidents/{change['incident_id']}").json()
    assert timeline["attempts"][0]["approved_by"] == "approver"

    assert world.post(path, {"why": " "}, "approver").status_code == 400
    world.post("/api/pause", {"why": "release", "minutes": 5}, "approver")
    assert "paused" in world.post(path, {"why": "dear"}, "approver").json()["error"]
    world.delete("/api/pause")
    with ThreadPoolExecutor(2) as pool:
        back = list(pool.map(lambda _: world.post(path, {"why": "dear"}, "approver"), range(2)))
    assert {a.status_code for a in back} <= {202, 409}
    assert ended(world, finding, "reversal")["state"] == "healed"
    assert workers(world, cluster_id) == 4
    assert world.post(path, {"why": "again"}, "approver").status_code == 409
    assert read(world, finding)["history"][0]["what"] == "Approved Change Taken Back"


def test_a_job_gets_a_larger_node_type_once_and_only_as_it_was_shown(production: Host) -> None:
    world = production.world
    job_id = world.job(JOB_TASK, job_clusters=[JOB_CLUSTER])
    used(world, "job", job_id, memory=95)
    finding = proposed(production, f"job {job_id}")
    # The first of the list has hardly more memory than the present one.
    assert "Standard_DS4_v2" in finding["question"]["summary"]

    edit_job(world, job_id, "Standard_D4ds_v5")
    changed = answer(world, finding)
    assert changed.status_code == 409
    assert "has changed since it was shown" in changed.json()["error"]
    fresh = read(world, finding)
    assert fresh["question"]["question_id"] != finding["question"]["question_id"]

    assert answer(world, fresh).status_code == 202
    assert ended(world, fresh)["state"] == "healed"
    assert node_type(world, job_id) == "Standard_E4ds_v5"
    assert read(world, fresh)["question"]["said"] == "approved"


def test_what_is_refused_or_only_observed_changes_nothing(
    start_host: StartHost, production: Host
) -> None:
    world = production.world
    cluster_id = world.cluster()
    used(world, "cluster", cluster_id, cpu=97)
    finding = proposed(production, f"cluster {cluster_id}")
    said = answer(world, finding, approve=False, note="it is a one-off")
    assert (said.status_code, said.json()["outlook"]) == (202, "nothing is changed")
    row = read(world, finding)["history"][0]
    assert (row["what"], row["who"]) == ("Approval Refused", "approver")
    assert "it is a one-off" in row["summary"]

    watching = start_host(SYSTEM_TABLES_WAREHOUSE_ID=WAREHOUSE, AUTO_REMEDIATION_MODE="observe")
    used(world, "cluster", cluster_id, cpu=97)
    finding = proposed(watching, f"cluster {cluster_id}")
    said = answer(watching.world, finding)
    assert "observe mode: nothing is changed" in said.json()["outlook"]
    change = ended(watching.world, finding)
    assert (change["state"], change["reason"]) == ("observed", "observe_mode")
    path = f"/api/findings/{finding['finding_id']}/reversal"
    assert watching.world.post(path, {"why": "x"}, "approver").status_code == 409
    assert workers(world, cluster_id) == 4


def test_silences_leave_rows(production: Host) -> None:
    world = production.world
    cluster_id = world.cluster()
    used(world, "cluster", cluster_id, cpu=97)
    finding = proposed(production, f"cluster {cluster_id}")
    path = f"/api/findings/{finding['finding_id']}/silence"
    body = {"why": "backfill until Monday", "minutes": 60, "who": "night shift"}
    until = world.post(path, body, "approver").json()["silence"]["until"]
    world.delete(path, "approver")

    end, silence = read(world, finding)["history"][:2]

    assert (silence["what"], silence["who"]) == ("Finding Silenced", "approver (night shift)")
    assert silence["why"] == "backfill until Monday"
    assert until in silence["summary"]
    assert (end["what"], end["who"]) == ("Finding Silence Ended", "approver")
