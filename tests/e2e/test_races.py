"""Two of us at once, stopped in the middle, failures that come back: nothing is done twice."""

from __future__ import annotations

import re
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from shared.composition import Composition
from shared.healing.closing import begin_closing
from shared.healing.context import Context
from shared.healing.diagnose import diagnose
from shared.healing.remediate import remediate
from shared.healing.verify import verify
from shared.models import Incident
from shared.telemetry import signals
from shared.telemetry.metrics import ATTEMPTS, COST, HEALINGS
from shared.vocabulary import IncidentState
from tests.e2e.hosts import StartHost
from tests.e2e.test_databricks import NOTEBOOK, OUT_OF_MEMORY, job_failed, terminated
from tests.e2e.world import Json, World, actions
from tests.heard import Heard


def test_two_copies_of_one_activity_make_one_rerun(start_host: StartHost) -> None:
    host = start_host(AUTO_REMEDIATION_ENABLED="false")
    world = host.world
    pipeline = world.pipeline()
    alert = world.send("/azure-monitor", world.alert_on((pipeline, world.failed_run(pipeline))))
    incident_id = world.until(lambda: world.get(f"/api/alerts/{alert}").json()["incidents"])[0][
        "incident_id"
    ]
    world.until(lambda: world.incident(incident_id)["state"] == "waiting")
    host.service.stop()
    context = Composition(host.environment | {"AUTO_REMEDIATION_ENABLED": "true"}).context
    context.incidents.change(incident_id, _plan)

    heard = Heard()
    with signals.heard_by(heard):
        together(lambda: remediate(context, incident_id), copies=4)

    assert len(world.reruns(pipeline)) == 1
    assert context.audit.verify(incident_id).whole
    assert (heard.count(ATTEMPTS), heard.count(COST)) == (1, 1)

    stale = context.incidents.get(incident_id)
    with signals.heard_by(heard):
        together(lambda: give_up(context, stale), copies=4)
    assert context.incidents.get(incident_id).state is IncidentState.ESCALATED
    assert heard.count(HEALINGS) == 1
    assert sum(span["name"] == "heal_failure" for span in heard.spans) == 1


def give_up(context: Context, stale: Incident) -> None:
    """Close an incident as it was read before, as an activity does that runs once more."""
    begin_closing(context, stale, IncidentState.ESCALATED, None, "nobody is left")


def _plan(incident: Incident) -> None:
    incident.planned = "rerun"


def together(call: Callable[[], object], copies: int) -> None:
    barrier = threading.Barrier(copies)

    def run() -> None:
        barrier.wait()
        call()

    threads = [threading.Thread(target=run) for _ in range(copies)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def started(world: World, cluster: str) -> list[Json]:
    return [r for r in world.seen("clusters/start") if r["body"]["cluster_id"] == cluster]


def test_the_kill_switch_stops_a_healing_in_the_middle(start_host: StartHost) -> None:
    host = start_host()
    world = host.world
    cluster = world.cluster()
    job = world.job({"task_key": "load", "existing_cluster_id": cluster} | NOTEBOOK)
    world.script("databricks/outcomes", job_id=job, outcomes=[{"result": "HANG"}])
    run = world.job_run(job)
    world.terminate(cluster, "DRIVER_UNREACHABLE")
    world.until(lambda: world.run_ended(run))
    alert = world.send("/databricks-monitor", job_failed(run, job))
    world.until(
        lambda: [r for r in world.seen("clusters/start") if r["body"]["cluster_id"] == cluster]
    )

    host.service.kill()
    host.service.env = host.environment | {"AUTO_REMEDIATION_ENABLED": "false"}
    host.service.start()
    incident_id = world.until(lambda: world.get(f"/api/alerts/{alert}").json()["incidents"])[0][
        "incident_id"
    ]
    world.until(lambda: "Held" in (world.incident(incident_id)["waiting_for"] or ""))
    repairs = [r for r in world.seen("runs/repair") if str(r["body"]["run_id"]) == run]
    assert repairs == []

    host.service.kill()
    host.service.env = host.environment
    host.service.start()
    assert world.incident_of(alert)["state"] == "healed"


def _healed(start_host: StartHost) -> tuple[World, Context, str, str]:
    """A host that healed a cluster and was stopped: its parts, the cluster, the incident's id."""
    host = start_host()
    cluster = host.world.cluster()
    host.world.terminate(cluster, "DRIVER_NOT_RESPONDING")
    alert = terminated(cluster, "DRIVER_NOT_RESPONDING")
    incident = host.world.incident_of(host.world.send("/databricks-monitor", alert))
    host.service.stop()
    return host.world, Composition(host.environment).context, cluster, incident["incident_id"]


@pytest.mark.parametrize("step", [diagnose, verify])
def test_a_healing_that_was_cut_off_after_its_verdict_ends_as_healed(
    start_host: StartHost, step: Callable[[Context, str], object]
) -> None:
    world, context, cluster, identity = _healed(start_host)

    def before_its_end(incident: Incident) -> None:
        incident.state, incident.closed_at, incident.outcome = IncidentState.VERIFYING, None, ""

    context.incidents.change(identity, before_its_end)
    step(context, identity)

    incident = context.incidents.get(identity)
    assert incident.state is IncidentState.HEALED
    assert len(incident.attempts) == 1
    assert len(started(world, cluster)) == 1


def test_what_is_gone_while_it_is_in_doubt_goes_to_a_person(start_host: StartHost) -> None:
    world, context, cluster, identity = _healed(start_host)

    def in_doubt(incident: Incident) -> None:
        attempt = incident.attempts[-1]
        incident.state, incident.closed_at, incident.outcome = IncidentState.REMEDIATING, None, ""
        attempt.verdict, attempt.ended_at, attempt.intents[-1].outcome = None, None, "doubt"
        attempt.memo["cluster_id"] = "gone"

    context.incidents.change(identity, in_doubt)
    remediate(context, identity)
    assert context.incidents.get(identity).state is IncidentState.REMEDIATING

    def long_ago(incident: Incident) -> None:
        incident.attempts[-1].started_at -= timedelta(minutes=3)
        incident.attempts[-1].phase_started_at = None

    context.incidents.change(identity, long_ago)
    remediate(context, identity)
    assert context.incidents.get(identity).state is IncidentState.ESCALATED
    assert len(started(world, cluster)) == 1


def test_the_same_words_about_a_new_crash_heal_it_too(world: World) -> None:
    cluster = world.cluster()
    alert = terminated(cluster, "DRIVER_NOT_RESPONDING")
    world.terminate(cluster, "DRIVER_NOT_RESPONDING")
    first = world.incident_of(world.send("/databricks-monitor", alert))
    world.terminate(cluster, "DRIVER_NOT_RESPONDING")

    def running() -> bool:
        world.send("/databricks-monitor", alert)
        spec = world.databricks("/api/2.1/clusters/get", cluster_id=cluster)
        return bool(spec["state"] == "RUNNING")

    world.until(running)

    assert first["state"] == "healed"
    assert len(started(world, cluster)) == 2


def test_a_job_that_takes_its_cluster_down_each_time_is_one_incident(world: World) -> None:
    cluster = world.cluster()
    job = world.job({"task_key": "load", "existing_cluster_id": cluster} | NOTEBOOK)
    world.script(
        "databricks/outcomes",
        job_id=job,
        outcomes=[{"result": "HANG"}] * 9,
        then={"result": "HANG"},
    )
    run = world.job_run(job)
    world.terminate(cluster, "DRIVER_UNREACHABLE")
    world.until(lambda: world.run_ended(run))
    alert = world.send("/databricks-monitor", job_failed(run, job))

    def repaired() -> list[Json]:
        return [r for r in world.seen("runs/repair") if str(r["body"]["run_id"]) == run]

    world.until(repaired)
    world.terminate(cluster, "DRIVER_UNREACHABLE")
    incident = world.incident_of(alert)
    assert incident["state"] == "escalated"

    again = world.send("/databricks-monitor", terminated(cluster, "DRIVER_UNREACHABLE"))

    assert world.incident_of(again)["incident_id"] == incident["incident_id"]
    assert len(repaired()) == 1


def test_a_second_scale_up_that_is_refused_still_gives_the_first_back(world: World) -> None:
    cluster = world.cluster(num_workers=4)
    job = world.job({"task_key": "load", "existing_cluster_id": cluster} | NOTEBOOK)
    world.script("databricks/outcomes", job_id=job, outcomes=[OUT_OF_MEMORY] * 3)
    world.script(
        "faults",
        name=f"quota-{cluster}",
        method="POST",
        path="clusters/resize",
        skip=1,
        times=1,
        status=400,
        body={"error_code": "INVALID_PARAMETER_VALUE", "message": "quota"},
    )
    run = world.job_run(job)
    world.until(lambda: world.run_ended(run))

    incident = world.incident_of(world.send("/databricks-monitor", job_failed(run, job)))

    refused = [r for r in world.seen("clusters/resize") if r["fault"]]
    spec = world.databricks("/api/2.1/clusters/get", cluster_id=cluster)
    assert [r["body"]["num_workers"] for r in refused] == [9]
    assert (spec["num_workers"], spec["node_type_id"]) == (4, "Standard_DS3_v2")
    assert "Borrowed Setting Given Back" in actions(incident)


def test_a_child_whose_parent_does_not_wait_is_healed_itself(world: World) -> None:
    child = world.pipeline()
    parent = world.pipeline()
    world.script(
        "adf/pipelines",
        factory=world.factory,
        name=parent,
        activities=[
            {
                "name": "Start child",
                "type": "ExecutePipeline",
                "pipeline": child,
                "wait_on_completion": False,
            }
        ],
        duration_seconds=1,
    )
    parent_run = world.failed_run(parent)
    child_run = world.failed_run(child, parent_run_id=parent_run)

    incident = world.incident_of(world.send("/azure-monitor", world.alert_on((child, child_run))))

    assert incident["failure"]["occurrence"] == child_run
    assert len(world.reruns(child)) == 1


def test_one_alert_too_large_to_store_harms_nobody_else(world: World) -> None:
    message = "x" * 1900
    failures = [
        {"kind": "job_run", "target": "databricks", "run_id": str(n), "error_message": message}
        for n in range(1, 101)
    ]
    answer = world.post("/api/alerts", {"failures": failures})
    assert answer.status_code == 202
    failures.append(failures[0] | {"run_id": "101"})
    assert world.post("/api/alerts", {"failures": failures}).status_code == 400


def test_many_alerts_at_once_about_a_few_failures(start_host: StartHost) -> None:
    host = start_host()
    world = host.world
    pipelines = [world.pipeline() for _ in range(3)]
    runs = [(pipeline, world.failed_run(pipeline)) for pipeline in pipelines]
    bodies = [world.alert_on(runs[number % 3]) for number in range(45)]
    with ThreadPoolExecutor(45) as senders:
        ids = list(senders.map(lambda body: world.send("/azure-monitor", body), bodies))

    incidents = [world.incident_of(alert_id) for alert_id in ids]

    by_pipeline = {i["failure"]["resource"]: i for i in incidents}
    assert len({i["incident_id"] for i in incidents}) == len(by_pipeline) == 3
    assert {i["state"] for i in incidents} == {"healed"}
    assert [len(world.reruns(pipeline)) for pipeline in pipelines] == [1] * 3
    for incident in by_pipeline.values():
        assert incident["audit"]["whole"]
        assert _joined(incident) == 14


def _joined(incident: Json) -> int:
    """How many alerts have joined, as the timeline tells it: one by one or many at once."""
    told = [e["summary"] for e in incident["timeline"] if e["action"] == "Alert Joined"]
    counts = [re.match(r"Another (\d+) alerts? ", summary) for summary in told]
    return sum(int(count[1]) if count else 1 for count in counts)


def test_what_a_burst_does_not_find_is_looked_up_again(start_host: StartHost) -> None:
    world = start_host().world
    pipeline = world.pipeline()
    known, unknown = (pipeline, world.failed_run(pipeline)), ("nowhere", str(uuid.uuid4()))
    bodies = [world.alert_on(run) for run in (known, unknown) * 8]
    with ThreadPoolExecutor(16) as senders:
        ids = list(senders.map(lambda body: world.send("/azure-monitor", body), bodies))

    def settled() -> list[str]:
        found = [world.get(f"/api/alerts/{alert_id}").json()["disposition"] for alert_id in ids]
        return [] if "accepted" in found else found

    assert world.until(settled) == ["dispatched", "nothing_found"] * 8
    assert world.incident_of(ids[0])["state"] == "healed"
    assert len(world.reruns(pipeline)) == 1
