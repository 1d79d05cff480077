"""Refreshing named tables of a DLT pipeline: gently first, fully after that, only where allowed."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from devstack.processes import Stack
from tests.e2e.hosts import Host, running
from tests.e2e.test_databricks import job_failed
from tests.e2e.world import Json, World, actions

STALE = "DELTA_LOG_FILE_NOT_FOUND_FOR_STREAMING_SOURCE"
# Pipeline ids must be in the catalog before the host starts; one for each test.
NAMES = ("gentle", "full", "vain", "job", "refused", "lost", "busy")
PIPELINES = {name: str(uuid.uuid4()) for name in NAMES}
BRONZE = "main.sales.bronze"


@pytest.fixture(scope="module")
def host(
    stack: Stack | None, world: World, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Host]:
    def allow(catalog: Json) -> None:
        catalog["refreshable_tables"] = {pipeline: [BRONZE] for pipeline in PIPELINES.values()}

    with running(stack, world, tmp_path_factory.mktemp("refresh"), allow) as host:
        yield host


def stale(flow: str = BRONZE, **condition: list[str]) -> Json:
    """An update that fails until what `condition` names was selected."""
    message = f"[{STALE}] The log file of version 3 was not found. Choose a new checkpoint."
    error = {"exceptions": [{"class_name": "StreamingQueryException", "message": message}]}
    return {"state": "FAILED", "error": error, "flow": flow, "condition": condition}


def pipeline(world: World, name: str, outcome: Json, **more: Json | list[Json]) -> str:
    pipeline_id = PIPELINES.get(name) or str(uuid.uuid4())
    body = {"outcomes": [outcome], "then": outcome, "serverless": True} | more
    tables = [BRONZE, "main.sales.silver"]
    label = f"dlt {pipeline_id[:8]}"
    world.script("databricks/pipelines", pipeline_id=pipeline_id, name=label, tables=tables, **body)
    return pipeline_id


def failed_update(world: World, pipeline_id: str) -> Json:
    """Let an update fail; an alert on it."""
    body = {"pipeline_id": pipeline_id, "finished": True, "cause": "USER_ACTION"}
    update = world.script("databricks/updates", **body)["update_id"]
    failure = {"kind": "update", "target": "databricks", "run_id": update, "pipeline": pipeline_id}
    return {"failures": [failure]}


def healed_or_not(host: Host, alert: Json) -> Json:
    return host.world.incident_of(host.world.send("/api/alerts", alert))


def starts(world: World, pipeline_id: str) -> list[Json]:
    """What the pipeline was asked for, oldest first; defaults left out."""
    rows = world.seen(f"pipelines/{pipeline_id}/updates", effect=True)
    return [{k: v for k, v in (row["body"] or {}).items() if v} for row in rows]


def test_a_checkpoint_reset_that_helps_is_all_that_is_done(host: Host) -> None:
    world = host.world
    chosen = pipeline(world, "gentle", stale(reset_checkpoint=[BRONZE]))
    incident = healed_or_not(host, failed_update(world, chosen))
    assert incident["state"] == "healed", incident["timeline"]
    assert starts(world, chosen) == [{"reset_checkpoint_selection": [BRONZE]}]
    assert [a["remedy"] for a in incident["attempts"]] == ["full_refresh"]
    assert f"reset the checkpoint of {BRONZE}" in incident["outcome"]
    followed = incident["attempts"][0]["memo"]["new_run_id"]
    update = world.databricks(f"/api/2.0/pipelines/{chosen}/updates/{followed}")["update"]
    assert update["state"] == "COMPLETED"
    assert incident["audit"]["whole"]


def test_only_when_the_reset_did_not_help_the_table_is_computed_anew(host: Host) -> None:
    world = host.world
    chosen = pipeline(world, "full", stale(full_refresh=[BRONZE]))
    incident = healed_or_not(host, failed_update(world, chosen))
    assert incident["state"] == "healed", incident["timeline"]
    assert starts(world, chosen) == [
        {"reset_checkpoint_selection": [BRONZE]},
        {"full_refresh_selection": [BRONZE]},
    ]
    assert [a["verdict"] for a in incident["attempts"]] == ["failed", "healed"]
    assert f"compute anew {BRONZE}" in incident["outcome"]


def test_after_both_in_vain_it_goes_to_a_person(host: Host) -> None:
    world = host.world
    chosen = pipeline(world, "vain", stale())
    incident = healed_or_not(host, failed_update(world, chosen))
    assert incident["state"] == "escalated"
    assert incident["decision"]["reason"] == "attempts_used_up"
    assert len(starts(world, chosen)) == 2
    assert incident["guidance"]


def test_of_a_job_the_table_is_refreshed_then_its_run_repaired(host: Host) -> None:
    world = host.world
    chosen = pipeline(world, "job", {"state": "COMPLETED"})
    stuck = stale(reset_checkpoint=[BRONZE])
    world.script(
        "databricks/pipelines",
        pipeline_id=chosen,
        name=f"dlt {chosen}",
        tables=[BRONZE],
        # The job's update fails, the reset one is good by its condition, the repair's succeeds.
        outcomes=[stuck, stuck],
        then={"state": "COMPLETED"},
    )
    job = world.job({"task_key": "load", "pipeline_task": {"pipeline_id": chosen}})
    run = world.job_run(job)
    world.until(lambda: world.run_ended(run))
    incident = world.incident_of(world.send("/databricks-monitor", job_failed(run, job)))
    assert incident["state"] == "healed", incident["timeline"]
    assert incident["attempts"][0]["phases"] == ["refresh_tables", "repair_run"]
    assert starts(world, chosen) == [{"reset_checkpoint_selection": [BRONZE]}]
    repairs = [r for r in world.seen("runs/repair") if str(r["body"]["run_id"]) == run]
    assert len(repairs) == 1


@pytest.mark.parametrize("flow", ["main.sales.silver", "gold"])
def test_a_table_that_the_catalog_does_not_name_is_left_alone(host: Host, flow: str) -> None:
    world = host.world
    own = str(uuid.uuid4())
    name = "refused" if flow.endswith("silver") else own
    chosen = pipeline(world, name, stale(flow))
    incident = healed_or_not(host, failed_update(world, chosen))
    assert incident["state"] == "escalated"
    assert "the catalog allows no refresh" in incident["decision"]["note"]
    assert starts(world, chosen) == []


def test_a_reset_whose_answer_was_lost_is_found_and_not_repeated(host: Host) -> None:
    world = host.world
    chosen = pipeline(world, "lost", stale(full_refresh=[BRONZE]))
    alert = failed_update(world, chosen)
    world.script(
        "faults",
        name=f"lost-{chosen}",
        method="POST",
        path=f"pipelines/{chosen}/updates",
        times=1,
        disconnect=True,
        after_effect=True,
    )
    incident = healed_or_not(host, alert)
    assert incident["state"] == "healed", incident["timeline"]
    assert "Action Found Already Taken" in actions(incident)
    assert starts(world, chosen) == [
        {"reset_checkpoint_selection": [BRONZE]},
        {"full_refresh_selection": [BRONZE]},
    ]


def test_a_reset_that_was_refused_is_asked_for_again_before_a_full_refresh(host: Host) -> None:
    world = host.world
    chosen = pipeline(world, "busy", stale(reset_checkpoint=[BRONZE]))
    alert = failed_update(world, chosen)
    world.script(
        "faults",
        name=f"busy-{chosen}",
        method="POST",
        path=f"pipelines/{chosen}/updates",
        times=1,
        status=409,
        body={"error_code": "RESOURCE_CONFLICT", "message": "An active update exists."},
    )
    incident = healed_or_not(host, alert)
    assert incident["state"] == "healed", incident["timeline"]
    assert starts(world, chosen) == [{"reset_checkpoint_selection": [BRONZE]}]
    assert "Action Refused by Platform" in actions(incident)
