"""Deliveries of resolved bundles and of pipelines that are there already; modes and refusals."""

from __future__ import annotations

import uuid

import pytest
import requests

from tests.deliveries.bench import Bench, deliver, ended
from tests.e2e.deliveries import (
    GATES,
    LAUNCH,
    MEMORY,
    SOURCE,
    bad_data,
    bundle,
    failing,
    folders,
    jobs,
    passed,
    pipelines,
    specification,
    state,
    update_outcomes,
    zipped,
)
from tests.e2e.world import Json


def send(bench: Bench, **plan: object) -> str:
    return bench.deliver(**plan)


def test_a_resolved_bundle_is_delivered(bench: Bench) -> None:
    spec, files = bundle(bench)

    found = ended(bench, send(bench, name=spec["name"], target="dev", bundle=zipped(files)))

    assert found["state"] == "succeeded", found["outcome"]
    (pipeline,) = pipelines(bench, spec)
    folder = found["stages"][0]["folders"][0]
    assert pipeline["spec"]["libraries"] == [{"glob": {"include": f"{folder}/src/**"}}]
    assert "deployment" not in pipeline["spec"]
    (job,) = jobs(bench, spec)
    task = job["settings"]["tasks"][0]
    assert task["pipeline_task"]["pipeline_id"] == pipeline["pipeline_id"]


@pytest.mark.parametrize(
    ("path", "text", "told"),
    [
        ("src/orders.py", "import dlt\ndef broken(:\n", "src/orders.py, line 2"),
        ("src/orders.py", "x = 1\n", "neither dlt nor pyspark.pipelines in src/orders.py"),
        ("src/orders.py", SOURCE.replace("import dlt", "import dlt as d, sys"), ""),
    ],
)
def test_what_does_not_make_sense_is_not_deployed(
    bench: Bench, path: str, text: str, told: str
) -> None:
    spec, files = bundle(bench)
    files[path] = text

    found = ended(bench, send(bench, name=spec["name"], target="dev", bundle=zipped(files)))

    assert found["state"] == ("rolled_back" if told else "succeeded")
    assert told in found["outcome"]
    assert len(pipelines(bench, spec)) == (0 if told else 1)


def test_what_is_left_open_in_a_bundle_is_named(bench: Bench) -> None:
    spec, files = bundle(bench, configuration={"owner": "${var.owner}"})

    found = ended(bench, send(bench, name=spec["name"], target="dev", bundle=zipped(files)))

    assert found["state"] == "rolled_back"
    assert "left open: ${var.owner}" in found["outcome"]


def theirs(bench: Bench, *outcomes: Json, **settings: object) -> str:
    name = f"theirs {uuid.uuid4().hex[:8]}"
    body = {"name": name, "catalog": "main", "schema": "their", "tables": None} | settings
    return str(bench.script("databricks/pipelines", outcomes=list(outcomes), **body)["pipeline_id"])


def pipeline_of(bench: Bench, pipeline_id: str) -> Json:
    return next(p for p in state(bench)["pipelines"] if p["pipeline_id"] == pipeline_id)


def test_a_pipeline_that_is_there_begins_with_its_execution(bench: Bench) -> None:
    pipeline_id = theirs(bench, failing(LAUNCH, flow="flow"))
    bench.script("databricks/tables", full_name="main.their.orders")

    plan = {"name": "theirs", "target": "dev", "pipeline_id": pipeline_id}
    found = ended(bench, send(bench, expected_tables=["orders"], **plan))

    assert found["state"] == "succeeded", found["outcome"]
    assert [g["state"] for g in found["gates"]] == ["passed", "skipped", "passed", "passed"]
    assert len(pipeline_of(bench, pipeline_id)["updates"]) == 2


def test_a_pipeline_of_which_no_table_is_known_is_not_green(bench: Bench) -> None:
    found = ended(bench, send(bench, name="theirs", target="dev", pipeline_id=theirs(bench)))

    assert found["state"] == "rolled_back"
    assert "name them (expected_tables)" in found["findings"][0]["root_cause"]


def test_a_pipeline_that_is_there_gets_its_settings_back(bench: Bench) -> None:
    clusters = [{"label": "default", "autoscale": {"min_workers": 1, "max_workers": 4}}]
    more = failing(MEMORY, condition={"min_workers": 6})
    pipeline_id = theirs(bench, more, more, failing("[UNHEARD_OF] nobody knows"), clusters=clusters)
    before = pipeline_of(bench, pipeline_id)["spec"]

    found = ended(
        bench,
        send(
            bench,
            name="theirs",
            target="dev",
            pipeline_id=pipeline_id,
            quality={"min_rows": {"nothing": 1}},
        ),
    )

    assert found["findings"][0]["tried"] == "scaled: up to 6 workers in place of 4"
    after = pipeline_of(bench, pipeline_id)
    assert after["spec"] == before
    assert found["state"] == "failed"  # its own settings do not make it green: a person is needed
    assert "but its update" in found["outcome"]


def test_a_continuous_pipeline_is_green_when_it_has_settled(bench: Bench) -> None:
    spec = specification(bench, mode="continuous")

    found = ended(bench, deliver(bench, spec, settle_seconds=1))

    assert found["state"] == "succeeded", found["outcome"]
    (pipeline,) = pipelines(bench, spec)
    assert pipeline["state"] == "RUNNING"
    assert passed(found) == GATES


@pytest.mark.parametrize("comes_back", [True, False])
def test_a_continuous_pipeline_with_an_error_is_started_again_to_run_clean(
    bench: Bench, *, comes_back: bool
) -> None:
    spec = specification(bench, mode="continuous")
    delivery_id = deliver(bench, spec, settle_seconds=300)
    bench.until(delivery_id, "settling")
    (pipeline,) = pipelines(bench, spec)
    origin = {"flow_name": "bronze_orders", "dataset_name": "bronze_orders"}
    origin["update_id"] = pipeline["updates"][0]["update_id"]
    error = {"exceptions": [{"class_name": "Exception", "message": LAUNCH if comes_back else "?"}]}
    events: list[Json] = [progressed(origin, "FAILED", level="ERROR", error=error)]
    events += [progressed(origin, "RUNNING")] if comes_back else []
    bench.script("databricks/events", pipeline_id=pipeline["pipeline_id"], events=events)

    found = ended(bench, delivery_id)

    assert found["state"] == ("succeeded" if comes_back else "rolled_back"), found["outcome"]
    updates = [update["state"] for p in pipelines(bench, spec) for update in p["updates"]]
    assert updates == (["CANCELED", "RUNNING"] if comes_back else [])


def progressed(origin: Json, status: str, **more: object) -> Json:
    details = {"flow_progress": {"status": status}}
    return {"event_type": "flow_progress", "origin": origin, "details": details} | more


def test_a_stream_that_stopped_for_a_new_column_is_restarted(bench: Bench) -> None:
    spec = specification(bench)
    told = "[UNKNOWN_FIELD_EXCEPTION.NEW_FIELDS_IN_FILE] Encountered unknown fields: [channel]"
    update_outcomes(bench, spec, failing(told))

    found = ended(bench, deliver(bench, spec))

    assert found["state"] == "succeeded", found["outcome"]
    assert found["findings"][0]["tried"] == "restarted the stream with the evolved schema"
    assert found["changes"] == []


def test_named_tables_are_refreshed_gently_before_fully(bench: Bench) -> None:
    spec = specification(bench)
    told = "[CANNOT_LOAD_STATE_STORE] The state store of the checkpoint cannot be loaded."
    outcome = failing(told, condition={"full_refresh": ["bronze_orders"]})
    update_outcomes(bench, spec, *[outcome] * 3)

    found = ended(bench, deliver(bench, spec, refreshable_tables=["bronze_orders"]))

    assert found["state"] == "succeeded", found["outcome"]
    assert [f["tried"] for f in found["findings"]] == [
        "reset the checkpoint of bronze_orders",
        "computed anew: bronze_orders",
    ]


def test_tables_that_nobody_named_are_not_refreshed(bench: Bench) -> None:
    spec = specification(bench)
    told = "[CANNOT_LOAD_STATE_STORE] The state store of the checkpoint cannot be loaded."
    update_outcomes(bench, spec, failing(told))

    found = ended(bench, deliver(bench, spec))

    assert found["state"] == "rolled_back"
    assert "for a person" in bench.told(found["delivery_id"])


def test_left_as_it_is_where_that_was_asked_for_and_taken_back_later(bench: Bench) -> None:
    spec = specification(bench)
    bad_data(bench, spec, first=True)

    found = ended(bench, deliver(bench, spec, rollback="manual"))

    assert found["state"] == "failed"
    assert len(pipelines(bench, spec)) == 1
    bench.take_back(found["delivery_id"])
    assert ended(bench, found["delivery_id"])["state"] == "rolled_back"
    assert pipelines(bench, spec) == []


def test_what_somebody_changed_meanwhile_is_left_alone(bench: Bench) -> None:
    spec = specification(bench)
    first = ended(bench, deliver(bench, spec))
    (pipeline,) = pipelines(bench, spec)
    changed = {**pipeline["spec"], "tags": {"theirs": "now"}}
    url = f"{bench.sandbox_url}/api/2.0/pipelines/{pipeline['pipeline_id']}"
    headers = {"Authorization": "Bearer sandbox-token"}
    assert requests.put(url, json=changed, headers=headers, timeout=10).ok

    bench.take_back(first["delivery_id"])

    found = ended(bench, first["delivery_id"])
    assert found["state"] == "failed"
    assert "somebody has changed the pipeline since" in found["outcome"]
    assert pipelines(bench, spec)[0]["spec"]["tags"] == {"theirs": "now"}
    assert folders(bench, first["delivery_id"]) != []  # it still reads from there


def test_a_validation_that_failed_for_a_passing_reason_is_made_again(bench: Bench) -> None:
    spec = specification(bench)
    bench.script(
        "databricks/update-outcomes",
        match=f"^{spec['name']}",
        validate_only=True,
        outcomes=[failing(LAUNCH, flow="flow")],
    )

    found = ended(bench, deliver(bench, spec))

    assert found["state"] == "succeeded", found["outcome"]
    assert found["findings"][0]["gate"] == GATES[0]
    assert len(pipelines(bench, spec)) == 1


def test_a_continuous_pipeline_is_delivered_a_second_time(bench: Bench) -> None:
    spec = specification(bench, mode="continuous")
    first = ended(bench, deliver(bench, spec, settle_seconds=0))

    found = ended(bench, deliver(bench, spec | {"description": "new"}, settle_seconds=0))

    assert found["state"] == "succeeded", found["outcome"]
    (pipeline,) = pipelines(bench, spec)
    assert [u["state"] for u in pipeline["updates"]] == ["CANCELED", "RUNNING"]
    stamp = pipeline["updates"][1]["config"]["tags"]["lakemend_delivery"]
    assert stamp == f"{found['delivery_id']}.1"
    assert first["stages"][0]["pipeline_id"] == pipeline["pipeline_id"]


def test_somebodys_update_ends_before_anything_is_changed(bench: Bench) -> None:
    spec = specification(bench)
    ended(bench, deliver(bench, spec))
    (pipeline,) = pipelines(bench, spec)
    outcome = {"state": "COMPLETED", "duration_seconds": 15}
    bench.script("databricks/updates", pipeline_id=pipeline["pipeline_id"], outcome=outcome)

    found = ended(bench, deliver(bench, spec | {"description": "new"}))

    assert found["state"] == "succeeded", found["outcome"]
    (pipeline,) = pipelines(bench, spec)
    assert [u["state"] for u in pipeline["updates"]] == ["COMPLETED"] * 3


def test_two_deliveries_of_one_pipeline_go_one_after_the_other(bench: Bench) -> None:
    spec = specification(bench)
    both = [deliver(bench, spec), deliver(bench, spec | {"description": "second"})]

    found = [ended(bench, delivery_id) for delivery_id in both]

    assert [f["state"] for f in found] == ["succeeded", "succeeded"]
    (pipeline,) = pipelines(bench, spec)
    assert len(pipeline["updates"]) == 2
    assert len(jobs(bench, spec)) == 1


def test_a_gate_without_access_says_so(bench: Bench) -> None:
    spec = specification(bench)
    bench.script("forbid", kind="schema", id=f"main.{spec['schema']}_dev")

    found = ended(bench, deliver(bench, spec))

    assert found["state"] == "rolled_back"
    assert "does not have permissions on schema" in found["outcome"]
    assert pipelines(bench, spec) == []
