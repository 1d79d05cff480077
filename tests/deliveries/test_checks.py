"""What a delivery asks of the data: the job's own checks, thresholds, freshness, reading."""

from __future__ import annotations

import re

import pytest

from tests.deliveries.bench import Bench, deliver, ended
from tests.e2e.deliveries import (
    GATES,
    bad_data,
    failing,
    jobs,
    passed,
    pipelines,
    specification,
    state,
    update_outcomes,
)
from tests.e2e.world import Json

WAREHOUSE = "0123456789abcdef"
CLUSTER = "Cluster 1 was terminated. Reason: CLOUD_PROVIDER_LAUNCH_FAILURE (CLOUD_FAILURE)"


def checks_end(bench: Bench, spec: Json, *outcomes: Json) -> None:
    match = f"^{re.escape(spec['name'])}"
    bench.script("databricks/job-outcomes", match=match, task_key="checks", outcomes=list(outcomes))


def check_named(found: Json, name: str) -> Json:
    return next(
        c for g in found["gates"] for c in g.get("checks", []) if c["name"].startswith(name)
    )


def runs_of_checks(bench: Bench, since: int) -> list[Json]:
    return bench.seen("/jobs/run-now$")[since:]


def test_the_jobs_checks_are_run_once_when_the_update_is_green(bench: Bench) -> None:
    spec, since = specification(bench), len(bench.seen("/jobs/run-now$"))

    found = ended(bench, deliver(bench, spec))

    assert found["state"] == "succeeded", found["outcome"]
    assert check_named(found, "job checks: checks")["ok"] is True
    (call,) = runs_of_checks(bench, since)
    assert call["body"]["only"] == ["checks"]
    (job,) = jobs(bench, spec)
    assert call["body"]["job_id"] == job["job_id"]


def test_a_continuous_pipelines_checks_are_run_too(bench: Bench) -> None:
    spec = specification(bench, mode="continuous")

    found = ended(bench, deliver(bench, spec))

    assert found["state"] == "succeeded", found["outcome"]
    assert check_named(found, "job checks: checks")["ok"] is True


def test_checks_that_find_something_take_the_delivery_back(bench: Bench) -> None:
    spec = specification(bench)
    error = "RuntimeError: quality checks failed: fact_orders: 12.00% without customer_key"
    checks_end(bench, spec, {"result": "FAILED", "error": error})

    found = ended(bench, deliver(bench, spec))

    assert found["state"] == "rolled_back"
    assert "12.00% without customer_key" in found["outcome"]
    assert found["findings"][0]["category"] == "data quality"
    assert pipelines(bench, spec) == jobs(bench, spec) == []


def test_checks_whose_cluster_did_not_start_are_run_again(bench: Bench) -> None:
    spec = specification(bench)
    outcome = {"result": "FAILED", "termination_code": "CLOUD_FAILURE", "message": CLUSTER}
    checks_end(bench, spec, outcome | {"life_cycle_state": "INTERNAL_ERROR"})
    since = len(bench.seen("/jobs/run-now$"))

    found = ended(bench, deliver(bench, spec))

    assert found["state"] == "succeeded", found["outcome"]
    first, second = runs_of_checks(bench, since)
    assert first["body"]["idempotency_token"] != second["body"]["idempotency_token"]


def test_checks_that_take_too_long_are_stopped(bench: Bench) -> None:
    spec = specification(bench)
    checks_end(bench, spec, {"result": "HANG"})
    before = len(bench.seen("/jobs/runs/cancel$"))

    found = ended(bench, deliver(bench, spec, timeout_minutes=5))

    assert found["state"] == "rolled_back"
    assert "checks were not done within 5 minutes" in found["outcome"]
    assert len(bench.seen("/jobs/runs/cancel$")) == before + 1


def test_a_cancelled_delivery_stops_its_checks(bench: Bench) -> None:
    spec = specification(bench)
    checks_end(bench, spec, {"result": "HANG"})
    delivery_id = deliver(bench, spec)
    bench.until(delivery_id, "checks are running")
    before = len(bench.seen("/jobs/runs/cancel$"))

    bench.cancel(delivery_id)

    assert ended(bench, delivery_id)["state"] == "cancelled"
    assert len(bench.seen("/jobs/runs/cancel$")) == before + 1


def test_which_tasks_are_run_is_the_plans_choice(bench: Bench) -> None:
    spec, since = specification(bench), len(bench.seen("/jobs/run-now$"))

    assert ended(bench, deliver(bench, spec, check_tasks=[]))["state"] == "succeeded"
    assert runs_of_checks(bench, since) == []

    found = ended(bench, deliver(bench, specification(bench), check_tasks=["chekcs"]))
    assert found["state"] == "rolled_back"
    assert "no job has the task chekcs" in found["outcome"]


@pytest.mark.parametrize(("named", "state_"), [({}, "rolled_back"), ({"max_quarantined": 0.5}, "")])
def test_a_specifications_own_thresholds_hold_unless_the_plan_names_others(
    bench: Bench, named: Json, state_: str
) -> None:
    spec = specification(bench, quality={"max_quarantined": 0.1})
    outcome = {"state": "COMPLETED", "rows": {"quarantine_orders": 30}}
    update_outcomes(bench, spec, outcome)

    found = ended(bench, deliver(bench, spec, quality=named))

    assert found["state"] == (state_ or "succeeded"), found["outcome"]
    check = check_named(found, "set aside in quarantine_orders")
    assert check["note"].startswith("30.00% of 100 rows")


def test_too_few_rows_in_silver_are_told(bench: Bench) -> None:
    spec = specification(bench, quality={"min_rows": 1000})

    found = ended(bench, deliver(bench, spec))

    assert found["state"] == "rolled_back"
    assert "rows in silver_orders: 100 rows by this update, wanted 1000" in found["outcome"]


@pytest.mark.parametrize("rows", [100, 0])
def test_freshness_is_that_of_the_last_write(bench: Bench, rows: int) -> None:
    spec = specification(bench)
    name = f"main.{spec['schema']}_dev.bronze_orders"
    bench.script("databricks/tables", full_name=name, fields={"updated_at": 0})
    update_outcomes(bench, spec, {"state": "COMPLETED", "rows": {"bronze_orders": rows}})

    found = ended(bench, deliver(bench, spec, quality={"max_age_hours": 24}))

    assert found["state"] == ("succeeded" if rows else "rolled_back"), found["outcome"]
    assert check_named(found, "freshness of bronze_orders")["ok"] is bool(rows)


def test_every_expected_table_is_read(bench: Bench) -> None:
    bench.script("databricks/warehouses", warehouse_id=WAREHOUSE)
    spec = specification(bench)
    asked = {"warehouse": WAREHOUSE}

    found = ended(bench, deliver(bench, spec, quality=asked))

    assert found["state"] == "succeeded", found["outcome"]
    assert check_named(found, f"reading main.{spec['schema']}_dev.silver_orders")["ok"] is True

    told = "[INSUFFICIENT_PERMISSIONS] Insufficient privileges"
    bench.script(
        "databricks/statements",
        match=f"FROM `main`.`{spec['schema']}_dev`.`silver_orders`",
        error_code="PERMISSION_DENIED",
        message=told,
    )
    found = ended(bench, deliver(bench, spec, quality=asked))
    assert found["state"] == "rolled_back"
    assert told in found["outcome"]


def test_the_versions_to_restore_are_named_and_nothing_is_restored(bench: Bench) -> None:
    bench.script("databricks/warehouses", warehouse_id=WAREHOUSE)
    spec = specification(bench)
    bad_data(bench, spec, first=False)
    ended(bench, deliver(bench, spec))
    bench.clock.sleep(3600)

    found = ended(bench, deliver(bench, spec, quality={"warehouse": WAREHOUSE}))

    assert found["state"] == "rolled_back"
    full = f"main.{spec['schema']}_dev.silver_orders"
    (step,) = [s for s in found["next_steps"] if s.startswith(full)]
    assert f"version 1 before, 3 after. To go back: RESTORE TABLE `main`.`{spec['schema']}" in step
    assert step.endswith("TO VERSION AS OF 1")
    statements = [call["body"]["statement"] for call in bench.seen("/sql/statements")]
    assert any(text.startswith("DESCRIBE HISTORY") for text in statements)
    assert not any(text.startswith("RESTORE") for text in statements)


def test_without_a_warehouse_the_guide_says_so(bench: Bench) -> None:
    spec = specification(bench)
    bad_data(bench, spec, first=True)

    found = ended(bench, deliver(bench, spec))

    assert any("no SQL warehouse is named" in step for step in found["next_steps"])


def test_who_is_named_gets_access_and_nobody_else_loses_any(bench: Bench) -> None:
    spec = specification(bench)
    access = [
        {"principal": "analysts"},
        {"principal": "op@example.com", "level": "CAN_RUN", "kind": "user"},
    ]

    found = ended(bench, deliver(bench, spec, access=access))

    assert found["state"] == "succeeded", found["outcome"]
    (pipeline,) = pipelines(bench, spec)
    path = f"/api/2.0/permissions/pipelines/{pipeline['pipeline_id']}"
    entries = bench.sandbox.raw("GET", path, token="sandbox-token").body["access_control_list"]
    held = {
        entry.get("group_name") or entry["user_name"]: entry["all_permissions"][0][
            "permission_level"
        ]
        for entry in entries
    }
    assert held == {
        "sandbox@example.com": "CAN_MANAGE",
        "analysts": "CAN_VIEW",
        "op@example.com": "CAN_RUN",
    }


def test_a_library_that_is_missing_goes_to_a_person_and_says_why(bench: Bench) -> None:
    spec = specification(bench)
    update_outcomes(bench, spec, failing("ModuleNotFoundError: No module named 'pandas'"))

    found = ended(bench, deliver(bench, spec))

    assert found["state"] == "rolled_back"
    assert found["findings"][0]["guidance"][0].startswith("Not repaired by itself: ")
    assert passed(found) == GATES[:2]
    assert state(bench)["pipelines"] is not None
