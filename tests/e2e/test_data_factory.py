"""Failed Data Factory runs, from alert to closed incident."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

from tests.e2e.world import RESET_ERROR, TIMEOUT_ERROR, World, actions, results

FAILED_AGAIN = {"status": "Failed", "activity": "Load", "error": TIMEOUT_ERROR}
FAILED_OTHERWISE = {"status": "Failed", "activity": "Load", "error": RESET_ERROR}


def test_gateway_timeout_is_rerun_from_its_failed_activity(world: World) -> None:
    pipeline = world.pipeline()
    run_id = world.failed_run(pipeline)

    incident = world.incident_of(world.send("/azure-monitor", world.alert_on((pipeline, run_id))))

    assert incident["state"] == "healed"
    assert incident["error_type"] == "GatewayTimeout"
    reruns = world.reruns(pipeline)
    assert len(reruns) == 1
    assert reruns[0]["query"]["referencePipelineRunId"] == [run_id]
    assert reruns[0]["query"]["isRecovery"] == ["true"]
    assert reruns[0]["query"]["startFromFailure"] == ["true"]
    assert actions(incident) == [
        "Incident Opened",
        "Failure Diagnosed",
        "Decision Made",
        "Auto-Remediation Attempted",
        "Action Taken",
        "Auto-Remediation Succeeded",
        "Incident Closed",
    ]
    assert incident["audit"] == {"whole": True, "count": 7, "problem": ""}


def test_the_same_error_again_takes_the_next_backoff(world: World) -> None:
    pipeline = world.pipeline(FAILED_AGAIN)
    run_id = world.failed_run(pipeline)

    incident = world.incident_of(world.send("/azure-monitor", world.alert_on((pipeline, run_id))))

    assert incident["state"] == "healed"
    assert len(world.reruns(pipeline)) == 2
    delays = [
        entry["details"]["delay_seconds"]
        for entry in incident["timeline"]
        if entry["action"] == "Decision Made"
    ]
    assert delays == [0.5, 1.5]
    first, second = world.reruns(pipeline)
    assert second["query"]["referencePipelineRunId"] == [incident["aliases"][1]]
    assert first["query"]["referencePipelineRunId"] == [run_id]


def test_another_error_is_diagnosed_anew(world: World) -> None:
    pipeline = world.pipeline(FAILED_OTHERWISE)
    run_id = world.failed_run(pipeline)

    incident = world.incident_of(world.send("/azure-monitor", world.alert_on((pipeline, run_id))))

    assert incident["state"] == "healed"
    assert [a["error_type"] for a in incident["attempts"]] == [
        "GatewayTimeout",
        "HttpConnectionFailed",
    ]
    assert results(incident, "Auto-Remediation Failed") == ["failed"]


def test_tries_used_up_goes_to_a_person(world: World) -> None:
    pipeline = world.pipeline(*[FAILED_AGAIN] * 5)
    run_id = world.failed_run(pipeline)

    incident = world.incident_of(world.send("/azure-monitor", world.alert_on((pipeline, run_id))))

    assert incident["state"] == "escalated"
    assert len(world.reruns(pipeline)) == 3
    assert actions(incident).count("Auto-Remediation Max Retries Reached") == 1
    assert actions(incident)[-1] == "Incident Escalated"
    assert incident["guidance"]


def test_what_nobody_knows_is_left_to_a_person(world: World) -> None:
    pipeline = world.pipeline()
    error = {"errorCode": "9999", "message": "Frobnication incomplete", "failureType": "UserError"}
    run_id = world.failed_run(pipeline, error)

    incident = world.incident_of(world.send("/azure-monitor", world.alert_on((pipeline, run_id))))

    assert incident["state"] == "escalated"
    assert incident["error_type"] == "Unknown"
    assert world.reruns(pipeline) == []


def test_one_alert_naming_three_runs_heals_them_side_by_side(world: World) -> None:
    pipelines = [world.pipeline() for _ in range(3)]
    runs = [(pipeline, world.failed_run(pipeline)) for pipeline in pipelines]

    incidents = world.incidents_of(world.send("/azure-monitor", world.alert_on(*runs)), 3)

    assert [incident["state"] for incident in incidents] == ["healed"] * 3
    assert {i["failure"]["resource"] for i in incidents} == set(pipelines)
    assert [len(world.reruns(pipeline)) for pipeline in pipelines] == [1, 1, 1]
    started = max(i["attempts"][0]["started_at"] for i in incidents)
    assert all(started < i["closed_at"] for i in incidents)


def test_a_metric_alert_names_no_run_and_finds_it(world: World) -> None:
    pipeline = world.pipeline()
    run_id = world.failed_run(pipeline)
    alert = world.alert_on((pipeline, run_id))
    now = datetime.now(UTC)
    alert["data"]["essentials"] |= {
        "signalType": "Metric",
        "alertTargetIDs": [world.factory_id.lower()],
        "firedDateTime": now.isoformat(),
    }
    alert["data"]["alertContext"]["condition"] = {
        "allOf": [
            {
                "metricName": "PipelineFailedRuns",
                "dimensions": [{"name": "Name", "value": pipeline}],
                "metricValue": 1.0,
            }
        ],
        "windowStartTime": (now - timedelta(minutes=5)).isoformat(),
        "windowEndTime": now.isoformat(),
    }

    incident = world.incident_of(world.send("/azure-monitor", alert))

    assert incident["state"] == "healed"
    assert incident["failure"]["occurrence"] == run_id


def test_the_same_alert_fifty_times_at_once(world: World) -> None:
    pipeline = world.pipeline()
    alert = world.alert_on((pipeline, world.failed_run(pipeline)))

    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda _: world.post("/azure-monitor", alert), range(50)))

    assert {answer.status_code for answer in answers} == {202}
    bodies = [answer.json() for answer in answers]
    assert len({body["alert_id"] for body in bodies}) == 1
    assert sum(not body["duplicate"] for body in bodies) == 1
    incidents = world.incidents_of(bodies[0]["alert_id"])
    assert [incident["state"] for incident in incidents] == ["healed"]
    assert len(world.reruns(pipeline)) == 1


def test_two_alerts_about_one_run_at_once(world: World) -> None:
    pipeline = world.pipeline()
    run = (pipeline, world.failed_run(pipeline))

    with ThreadPoolExecutor(2) as pool:
        ids = list(pool.map(lambda _: world.send("/azure-monitor", world.alert_on(run)), range(2)))

    first, second = (world.incident_of(alert_id) for alert_id in ids)
    assert ids[0] != ids[1]
    assert first["incident_id"] == second["incident_id"]
    assert set(first["alerts"]) == set(ids)
    assert len(world.reruns(pipeline)) == 1


def test_a_parent_and_its_child_are_one_rerun_of_the_parent(world: World) -> None:
    child = world.pipeline({"status": "Failed", "activity": "Load", "error": TIMEOUT_ERROR})
    parent = world.pipeline(children={"Run child": child})
    parent_run = world.script("adf/runs", factory=world.factory, pipeline=parent)["run_id"]

    child_id = world.until(lambda: world.failed_runs_of(child))[0]
    world.until(lambda: world.failed_runs_of(parent))
    alerts = [world.alert_on((parent, parent_run)), world.alert_on((child, child_id))]
    with ThreadPoolExecutor(2) as pool:
        ids = list(pool.map(lambda alert: world.send("/azure-monitor", alert), alerts))

    first, second = (world.incident_of(alert_id) for alert_id in ids)
    assert first["incident_id"] == second["incident_id"]
    assert first["state"] == "healed"
    assert first["failure"]["occurrence"] == parent_run
    assert len(world.reruns(parent)) == 1
    assert world.reruns(child) == []


def test_our_own_reruns_failure_joins_its_incident(world: World) -> None:
    pipeline = world.pipeline(FAILED_AGAIN)
    run_id = world.failed_run(pipeline)
    first = world.send("/azure-monitor", world.alert_on((pipeline, run_id)))
    incident = world.incident_of(first)
    own_rerun = incident["aliases"][1]

    late = world.send("/azure-monitor", world.alert_on((pipeline, own_rerun)))

    joined = world.incident_of(late)
    assert joined["incident_id"] == incident["incident_id"]
    assert late in joined["alerts"]
    assert len(world.reruns(pipeline)) == 2


def test_a_failure_after_the_incident_closed_is_a_new_incident(world: World) -> None:
    pipeline = world.pipeline()
    first = world.incident_of(
        world.send("/azure-monitor", world.alert_on((pipeline, world.failed_run(pipeline))))
    )
    second = world.incident_of(
        world.send("/azure-monitor", world.alert_on((pipeline, world.failed_run(pipeline))))
    )

    assert first["incident_id"] != second["incident_id"]
    assert second["state"] == "healed"


def test_create_run_answers_500_after_it_took_effect(world: World) -> None:
    pipeline = world.pipeline()
    run_id = world.failed_run(pipeline)
    world.script(
        "faults",
        name=f"lost-{pipeline}",
        method="POST",
        path=f"pipelines/{pipeline}/createRun",
        times=1,
        status=500,
        body={"error": {"code": "InternalServerError", "message": "lost"}},
        after_effect=True,
    )

    incident = world.incident_of(world.send("/azure-monitor", world.alert_on((pipeline, run_id))))

    assert incident["state"] == "healed"
    assert len(world.seen(f"pipelines/{pipeline}/createRun")) == 1
    assert "Action in Doubt" in actions(incident)
    assert "Action Found Already Taken" in actions(incident)


def test_create_run_answers_500_without_effect(world: World) -> None:
    pipeline = world.pipeline()
    run_id = world.failed_run(pipeline)
    world.script(
        "faults",
        name=f"refused-{pipeline}",
        method="POST",
        path=f"pipelines/{pipeline}/createRun",
        times=1,
        status=500,
        body={"error": {"code": "InternalServerError", "message": "no"}},
    )

    incident = world.incident_of(world.send("/azure-monitor", world.alert_on((pipeline, run_id))))

    assert incident["state"] == "healed"
    assert len(world.reruns(pipeline)) == 1
    assert len(world.seen(f"pipelines/{pipeline}/createRun")) == 2


def test_a_throttled_rerun_waits_as_long_as_it_was_told(world: World) -> None:
    pipeline = world.pipeline()
    run_id = world.failed_run(pipeline)
    world.script(
        "faults",
        name=f"slow-{pipeline}",
        method="POST",
        path=f"pipelines/{pipeline}/createRun",
        times=1,
        status=429,
        headers={"Retry-After": "2"},
        body={"error": {"code": "TooManyRequests", "message": "later"}},
    )

    incident = world.incident_of(world.send("/azure-monitor", world.alert_on((pipeline, run_id))))

    refused, made = world.seen(f"pipelines/{pipeline}/createRun")
    assert incident["state"] == "healed"
    assert refused["status"] == 429
    waited = datetime.fromisoformat(made["at"]) - datetime.fromisoformat(refused["at"])
    assert waited.total_seconds() >= 2


def test_a_tumbling_window_is_rerun_through_its_trigger(world: World) -> None:
    pipeline = world.pipeline()
    run_id = world.failed_run(
        pipeline, trigger={"name": "tr_hourly", "type": "TumblingWindowTrigger"}
    )

    incident = world.incident_of(world.send("/azure-monitor", world.alert_on((pipeline, run_id))))

    assert incident["state"] == "healed"
    assert world.reruns(pipeline) == []
    assert len(world.seen("triggers/tr_hourly/triggerRuns/.*/rerun", effect=True)) >= 1


def test_somebody_elses_rerun_that_succeeded_is_no_reason_to_act(world: World) -> None:
    pipeline = world.pipeline()
    run_id = world.failed_run(pipeline)
    world.arm(
        f"pipelines/{pipeline}/createRun", {}, referencePipelineRunId=run_id, isRecovery="true"
    )
    world.until(lambda: world.runs_of(pipeline, "Succeeded"))

    incident = world.incident_of(world.send("/azure-monitor", world.alert_on((pipeline, run_id))))

    assert incident["state"] == "observed"
    assert incident["decision"]["reason"] == "already_recovered"
    assert len(world.reruns(pipeline)) == 1
