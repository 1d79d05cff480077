"""Deliveries of resolved bundles and of pipelines that are there already; modes and refusals."""

from __future__ import annotations

import base64
import json
import random
import time
import uuid

import pytest
import requests

from shared.composition import Composition
from shared.delivery.plan import read_plan
from shared.delivery.receiving import receive
from tests.e2e.hosts import StartHost
from tests.e2e.test_delivery import (
    GATES,
    LAUNCH,
    MEMORY,
    bad_data,
    deliver,
    delivery,
    ended,
    failing,
    folders,
    jobs,
    passed,
    pipelines,
    slow,
    specification,
    state,
    update_outcomes,
    zipped,
)
from tests.e2e.world import Json, World

BASE = "/Workspace/Users/somebody/.bundle/x/dev/files"
SOURCE = 'import dlt\n\n\n@dlt.table(name="orders")\ndef orders():\n    return None\n'


def bundle(world: World, **settings: object) -> tuple[Json, dict[str, str]]:
    """A resolved bundle, as the bundle's own tool prints it, and its sources."""
    spec = specification(world)
    pipeline = {
        "name": spec["name"],
        "catalog": "main",
        "schema": f"{spec['schema']}_dev",
        "serverless": True,
        "libraries": [{"glob": {"include": f"{BASE}/src/**"}}],
        "deployment": {"kind": "BUNDLE"},
    } | settings
    key = "${resources.pipelines.shop.id}"
    job = {
        "name": spec["name"],
        "tasks": [{"task_key": "run", "pipeline_task": {"pipeline_id": key}}],
    }
    resolved = {
        "workspace": {"file_path": BASE},
        "resources": {"pipelines": {"shop": pipeline}, "jobs": {"shop": job}},
    }
    return spec, {"bundle.json": json.dumps(resolved), "src/orders.py": SOURCE}


def send(world: World, **plan: object) -> str:
    answer = world.post("/api/deliveries", plan, "deployer")
    assert answer.status_code == 202, answer.text
    return str(answer.json()["delivery_id"])


def test_a_resolved_bundle_is_delivered(world: World) -> None:
    spec, files = bundle(world)

    found = ended(world, send(world, name=spec["name"], target="dev", bundle=zipped(files)))

    assert found["state"] == "succeeded", found["outcome"]
    (pipeline,) = pipelines(world, spec)
    folder = found["stages"][0]["folders"][0]
    assert pipeline["spec"]["libraries"] == [{"glob": {"include": f"{folder}/src/**"}}]
    assert "deployment" not in pipeline["spec"]
    (job,) = jobs(world, spec)
    task = job["settings"]["tasks"][0]
    assert task["pipeline_task"]["pipeline_id"] == pipeline["pipeline_id"]


def test_a_bundle_comes_as_a_form_too(world: World) -> None:
    spec, files = bundle(world)
    plan = json.dumps({"name": spec["name"], "target": "dev"}).encode()
    parts = {"plan": ("plan.json", plan), "bundle": ("b.zip", base64.b64decode(zipped(files)))}
    answer = requests.post(
        f"{world.base_url}/api/deliveries",
        files=parts,
        headers={"X-API-Key": world.keys["deployer"]},
        timeout=30,
    )
    assert answer.status_code == 202, answer.text
    assert ended(world, answer.json()["delivery_id"])["state"] == "succeeded"


@pytest.mark.parametrize(
    ("path", "text", "told"),
    [
        ("src/orders.py", "import dlt\ndef broken(:\n", "src/orders.py, line 2"),
        ("src/orders.py", "x = 1\n", "neither dlt nor pyspark.pipelines in src/orders.py"),
        ("src/orders.py", SOURCE.replace("import dlt", "import dlt as d, sys"), ""),
    ],
)
def test_what_does_not_make_sense_is_not_deployed(
    world: World, path: str, text: str, told: str
) -> None:
    spec, files = bundle(world)
    files[path] = text

    found = ended(world, send(world, name=spec["name"], target="dev", bundle=zipped(files)))

    assert found["state"] == ("rolled_back" if told else "succeeded")
    assert told in found["outcome"]
    assert len(pipelines(world, spec)) == (0 if told else 1)


def test_what_is_left_open_in_a_bundle_is_named(world: World) -> None:
    spec, files = bundle(world, configuration={"owner": "${var.owner}"})

    found = ended(world, send(world, name=spec["name"], target="dev", bundle=zipped(files)))

    assert found["state"] == "rolled_back"
    assert "left open: ${var.owner}" in found["outcome"]


def theirs(world: World, *outcomes: Json, **settings: object) -> str:
    name = f"theirs {uuid.uuid4().hex[:8]}"
    body = {"name": name, "catalog": "main", "schema": "their", "tables": None} | settings
    return str(world.script("databricks/pipelines", outcomes=list(outcomes), **body)["pipeline_id"])


def pipeline_of(world: World, pipeline_id: str) -> Json:
    return next(p for p in state(world)["pipelines"] if p["pipeline_id"] == pipeline_id)


def test_a_pipeline_that_is_there_begins_with_its_execution(world: World) -> None:
    pipeline_id = theirs(world, failing(LAUNCH, flow="flow"))

    found = ended(world, send(world, name="theirs", target="dev", pipeline_id=pipeline_id))

    assert found["state"] == "succeeded", found["outcome"]
    assert [g["state"] for g in found["gates"]] == ["passed", "skipped", "passed", "passed"]
    assert len(pipeline_of(world, pipeline_id)["updates"]) == 2


def test_a_pipeline_that_is_there_gets_its_settings_back(world: World) -> None:
    clusters = [{"label": "default", "autoscale": {"min_workers": 1, "max_workers": 4}}]
    more = failing(MEMORY, condition={"min_workers": 6})
    pipeline_id = theirs(world, more, more, failing("[UNHEARD_OF] nobody knows"), clusters=clusters)
    before = pipeline_of(world, pipeline_id)["spec"]

    found = ended(
        world,
        send(
            world,
            name="theirs",
            target="dev",
            pipeline_id=pipeline_id,
            quality={"min_rows": {"nothing": 1}},
        ),
    )

    assert found["findings"][0]["tried"] == "scaled: up to 6 workers in place of 4"
    after = pipeline_of(world, pipeline_id)
    assert after["spec"] == before
    assert found["state"] == "failed"  # its own settings do not make it green: a person is needed
    assert "but its update" in found["outcome"]


def test_a_continuous_pipeline_is_green_when_it_has_settled(world: World) -> None:
    spec = specification(world, mode="continuous")

    found = ended(world, deliver(world, spec, settle_seconds=1))

    assert found["state"] == "succeeded", found["outcome"]
    (pipeline,) = pipelines(world, spec)
    assert pipeline["state"] == "RUNNING"
    assert passed(found) == GATES


def test_a_stream_that_stopped_for_a_new_column_is_restarted(world: World) -> None:
    spec = specification(world)
    told = "[UNKNOWN_FIELD_EXCEPTION.NEW_FIELDS_IN_FILE] Encountered unknown fields: [channel]"
    update_outcomes(world, spec, failing(told))

    found = ended(world, deliver(world, spec))

    assert found["state"] == "succeeded", found["outcome"]
    assert found["findings"][0]["tried"] == "restarted the stream with the evolved schema"
    assert found["changes"] == []


def test_named_tables_are_refreshed_gently_before_fully(world: World) -> None:
    spec = specification(world)
    told = "[CANNOT_LOAD_STATE_STORE] The state store of the checkpoint cannot be loaded."
    outcome = failing(told, condition={"full_refresh": ["bronze_orders"]})
    update_outcomes(world, spec, *[outcome] * 3)

    found = ended(world, deliver(world, spec, refreshable_tables=["bronze_orders"]))

    assert found["state"] == "succeeded", found["outcome"]
    assert [f["tried"] for f in found["findings"]] == [
        "reset the checkpoint of bronze_orders",
        "computed anew: bronze_orders",
    ]


def test_tables_that_nobody_named_are_not_refreshed(world: World) -> None:
    spec = specification(world)
    told = "[CANNOT_LOAD_STATE_STORE] The state store of the checkpoint cannot be loaded."
    update_outcomes(world, spec, failing(told))

    found = ended(world, deliver(world, spec))

    assert found["state"] == "rolled_back"
    assert world.seen("/updates$", effect=True)
    assert "for a person" in world.get(f"/api/deliveries/{found['delivery_id']}/summary").text


def test_left_as_it_is_where_that_was_asked_for_and_taken_back_later(world: World) -> None:
    spec = specification(world)
    bad_data(world, spec, first=True)

    found = ended(world, deliver(world, spec, rollback="manual"))

    assert found["state"] == "failed"
    assert len(pipelines(world, spec)) == 1
    path = f"/api/deliveries/{found['delivery_id']}/rollback"
    assert world.post(path, {}, "deployer").status_code == 202
    assert ended(world, found["delivery_id"])["state"] == "rolled_back"
    assert pipelines(world, spec) == []


def test_what_somebody_changed_meanwhile_is_left_alone(world: World) -> None:
    spec = specification(world)
    first = ended(world, deliver(world, spec))
    (pipeline,) = pipelines(world, spec)
    changed = {**pipeline["spec"], "tags": {"theirs": "now"}}
    url = f"{world.sandbox_url}/api/2.0/pipelines/{pipeline['pipeline_id']}"
    headers = {"Authorization": "Bearer sandbox-token"}
    assert requests.put(url, json=changed, headers=headers, timeout=10).ok

    path = f"/api/deliveries/{first['delivery_id']}/rollback"
    world.post(path, {}, "deployer")

    found = ended(world, first["delivery_id"])
    assert found["state"] == "failed"
    assert "somebody has changed the pipeline since" in found["outcome"]
    assert pipelines(world, spec)[0]["spec"]["tags"] == {"theirs": "now"}
    assert folders(world, first["delivery_id"]) != []  # it still reads from there


@pytest.mark.parametrize("path", ["/jobs/delete$", "/pipelines/[^/]+$", "/workspace/delete$"])
def test_killed_in_the_middle_of_a_rollback(start_host: StartHost, path: str) -> None:
    host = start_host()
    world = host.world
    spec = specification(world)
    delivery_id = ended(world, deliver(world, spec))["delivery_id"]
    method = "DELETE" if path.startswith("/pipelines") else "POST"
    already = len(world.seen(path, method))
    slow(world, method, path, takes_effect=True)
    world.post(f"/api/deliveries/{delivery_id}/rollback", {}, "deployer")
    world.until(lambda: len(world.seen(path, method)) > already)

    host.service.kill()
    host.service.start()

    found = ended(world, delivery_id)
    assert found["state"] == "rolled_back", found["outcome"]
    assert pipelines(world, spec) == jobs(world, spec) == []
    assert folders(world, delivery_id) == []


def test_a_paused_delivery_waits(start_host: StartHost) -> None:
    host = start_host()
    world = host.world
    spec = specification(world)
    world.post("/api/pause", {"why": "a freeze", "minutes": 10}, "approver")
    delivery_id = deliver(world, spec)

    world.until(lambda: "a freeze" in str(delivery(world, delivery_id).get("waiting_for")))
    assert pipelines(world, spec) == []

    requests.delete(
        f"{world.base_url}/api/pause", headers={"X-API-Key": world.keys["approver"]}, timeout=10
    )
    assert ended(world, delivery_id)["state"] == "succeeded"


def test_a_validation_that_failed_for_a_passing_reason_is_made_again(world: World) -> None:
    spec = specification(world)
    world.script(
        "databricks/update-outcomes",
        match=f"^{spec['name']}",
        validate_only=True,
        outcomes=[failing(LAUNCH, flow="flow")],
    )

    found = ended(world, deliver(world, spec))

    assert found["state"] == "succeeded", found["outcome"]
    assert found["findings"][0]["gate"] == GATES[0]
    assert len(pipelines(world, spec)) == 1


def test_a_continuous_pipeline_is_delivered_a_second_time(world: World) -> None:
    spec = specification(world, mode="continuous")
    first = ended(world, deliver(world, spec, settle_seconds=0))

    found = ended(world, deliver(world, spec | {"description": "new"}, settle_seconds=0))

    assert found["state"] == "succeeded", found["outcome"]
    (pipeline,) = pipelines(world, spec)
    assert [u["state"] for u in pipeline["updates"]] == ["CANCELED", "RUNNING"]
    stamp = pipeline["updates"][1]["config"]["tags"]["lakemend_delivery"]
    assert stamp == f"{found['delivery_id']}.1"
    assert first["stages"][0]["pipeline_id"] == pipeline["pipeline_id"]


def test_somebodys_update_ends_before_anything_is_changed(world: World) -> None:
    spec = specification(world)
    ended(world, deliver(world, spec))
    (pipeline,) = pipelines(world, spec)
    outcome = {"state": "COMPLETED", "duration_seconds": 15}
    world.script("databricks/updates", pipeline_id=pipeline["pipeline_id"], outcome=outcome)

    found = ended(world, deliver(world, spec | {"description": "new"}))

    assert found["state"] == "succeeded", found["outcome"]
    (pipeline,) = pipelines(world, spec)
    assert [u["state"] for u in pipeline["updates"]] == ["COMPLETED"] * 3


def test_two_deliveries_of_one_pipeline_go_one_after_the_other(world: World) -> None:
    spec = specification(world)
    both = [deliver(world, spec), deliver(world, spec | {"description": "second"})]

    found = [ended(world, delivery_id) for delivery_id in both]

    assert [f["state"] for f in found] == ["succeeded", "succeeded"]
    (pipeline,) = pipelines(world, spec)
    assert len(pipeline["updates"]) == 2
    assert len(jobs(world, spec)) == 1


def test_a_gate_without_access_says_so(world: World) -> None:
    spec = specification(world)
    world.script("forbid", kind="schema", id=f"main.{spec['schema']}_dev")

    found = ended(world, deliver(world, spec))

    assert found["state"] == "rolled_back"
    assert "does not have permissions on schema" in found["outcome"]
    assert pipelines(world, spec) == []


def test_killed_at_random_moments(start_host: StartHost) -> None:
    host = start_host()
    world = host.world
    moments = random.Random(11)  # noqa: S311 - the same moments every time
    specs = [specification(world) for _ in range(3)]
    update_outcomes(world, specs[1], failing(LAUNCH, flow="flow"))
    bad_data(world, specs[2], first=True)
    ids = [deliver(world, spec) for spec in specs]
    for _ in range(5):
        time.sleep(moments.uniform(0.2, 1.2))  # the moments are the test
        host.service.kill()
        host.service.start()

    found = [ended(world, delivery_id) for delivery_id in ids]

    assert [f["state"] for f in found] == ["succeeded", "succeeded", "rolled_back"]
    assert [len(pipelines(world, spec)) for spec in specs] == [1, 1, 0]
    assert [len(pipelines(world, spec)[0]["updates"]) for spec in specs[:2]] == [1, 2]
    assert [len(jobs(world, spec)) for spec in specs] == [1, 1, 0]
    assert folders(world, ids[2]) == []


def test_what_was_stored_and_never_started_is_found(start_host: StartHost) -> None:
    host = start_host()
    world = host.world
    composition = Composition(host.environment)
    asked = read_plan({"target": "dev", "specification": specification(world)})
    delivery_id = receive(composition.context, asked, "somebody").delivery_id
    assert delivery(world, delivery_id)["state"] == "received"

    def taken_up() -> bool:
        host.timer("dispatch_sweep")
        return bool(delivery(world, delivery_id)["state"] != "received")

    world.until(taken_up)

    assert ended(world, delivery_id)["state"] == "succeeded"
