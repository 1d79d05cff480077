"""What does not become green: named, given up at the right moment, and taken back."""

from __future__ import annotations

import re

import pytest

from tests.deliveries.bench import Bench, deliver, ended
from tests.e2e.deliveries import (
    GATES,
    LAUNCH,
    bad_data,
    bundle,
    failing,
    folders,
    jobs,
    passed,
    pipelines,
    specification,
    update_outcomes,
    zipped,
)
from tests.e2e.world import Json


def test_what_only_a_person_can_repair_names_the_line(bench: Bench) -> None:
    spec = specification(bench)
    told = "NameError: name 'rows' is not defined\n  File \"/x/silver_orders.py\", line 12"
    update_outcomes(bench, spec, failing(told, flow="silver_orders"))

    found = ended(bench, deliver(bench, spec))

    assert found["state"] == "rolled_back"
    assert found["findings"][0]["where"] == "/x/silver_orders.py, line 12"
    assert "Look at /x/silver_orders.py, line 12." in found["next_steps"]
    assert pipelines(bench, spec) == []
    assert jobs(bench, spec) == []
    assert folders(bench, found["delivery_id"]) == []


def test_attempts_are_used_up(bench: Bench) -> None:
    spec = specification(bench)
    update_outcomes(bench, spec, *[failing(LAUNCH, flow="flow")] * 3)

    found = ended(bench, deliver(bench, spec, retry_attempts=1))

    assert found["state"] == "rolled_back"
    assert "the attempts are used up" in found["outcome"]
    assert len(found["stages"][0]["updates"]) == 2


def test_a_first_delivery_of_bad_data_leaves_nothing(bench: Bench) -> None:
    spec = specification(bench)
    bad_data(bench, spec, first=True)

    found = ended(bench, deliver(bench, spec))

    assert found["state"] == "rolled_back"
    assert "amount is there: 70.00% of 100 records, wanted 95.00%" in found["outcome"]
    assert passed(found) == GATES[:3]
    assert pipelines(bench, spec) == []
    assert jobs(bench, spec) == []
    assert folders(bench, found["delivery_id"]) == []
    assert any("RESTORE TABLE" in step for step in found["next_steps"])


def test_a_promotion_that_fails_leaves_the_first_target(bench: Bench) -> None:
    spec = specification(bench)
    update_outcomes(bench, spec, failing("[UNHEARD_OF] nobody knows"), suffix="$")

    found = ended(bench, deliver(bench, spec, promote_to={"target": "prod"}))

    assert found["state"] == "rolled_back"
    assert [p["name"] for p in pipelines(bench, spec)] == [f"{spec['name']} (dev)"]


def test_a_pipeline_that_is_not_ours_is_left_alone(bench: Bench) -> None:
    spec = specification(bench)
    name = f"{spec['name']} (dev)"
    theirs = bench.script("databricks/pipelines", name=name, catalog="main", schema="other")

    found = ended(bench, deliver(bench, spec))

    assert found["state"] == "rolled_back"
    assert "belongs to a pipeline that was not delivered from here" in found["outcome"]
    reported(found, "configuration", "pipeline name: ", "pipeline_id")
    (pipeline,) = pipelines(bench, spec)
    assert pipeline["pipeline_id"] == theirs["pipeline_id"]
    assert pipeline["updates"] == []


def test_what_the_platform_does_not_validate_is_not_deployed(bench: Bench) -> None:
    spec = specification(bench)
    bench.script(
        "databricks/update-outcomes",
        match=re.escape(spec["name"]),
        validate_only=True,
        outcomes=[failing("[TABLE_OR_VIEW_NOT_FOUND] The table or view `nowhere` cannot be found")],
    )

    found = ended(bench, deliver(bench, spec))

    assert found["state"] == "rolled_back"
    assert passed(found) == []
    assert pipelines(bench, spec) == []
    assert jobs(bench, spec) == []
    reported(found, "configuration", "TABLE_OR_VIEW_NOT_FOUND", "whether nowhere is there")


def reported(found: Json, category: str, cause: str, step: str) -> None:
    """The failure report names the cause, and what a person does about it."""
    finding = found["findings"][0]
    assert finding["category"] == category
    assert cause in finding["root_cause"]
    assert any(step in each for each in finding["guidance"])
    assert any(step in each for each in found["next_steps"])
    assert not finding.get("resolved")


def test_a_schema_that_is_missing_is_in_the_failure_report(bench: Bench) -> None:
    spec = specification(bench) | {"schema": "nowhere"}
    found = ended(bench, deliver(bench, spec))
    assert found["state"] == "rolled_back"
    reported(found, "configuration", "schema: ", "CREATE SCHEMA")


@pytest.mark.parametrize(
    ("path", "text", "cause", "step"),
    [
        ("src/orders.py", "import dlt\ndef x(:\n", "src/orders.py, line 2", "file and line"),
        ("src/orders.py", "x = 1\n", "pipeline import: ", "Import dlt"),
    ],
)
def test_python_that_is_wrong_is_in_the_failure_report(
    bench: Bench, path: str, text: str, cause: str, step: str
) -> None:
    spec, files = bundle(bench)
    packed = zipped(files | {path: text})
    found = ended(bench, bench.deliver(name=spec["name"], bundle=packed))
    reported(found, "configuration", cause, step)


def test_a_bundle_without_a_source_is_in_the_failure_report(bench: Bench) -> None:
    spec, files = bundle(bench, libraries=[])
    found = ended(bench, bench.deliver(name=spec["name"], bundle=zipped(files)))
    reported(found, "configuration", "bundle structure: ", "at least one source")


def test_an_unknown_pipeline_is_in_the_failure_report(bench: Bench) -> None:
    found = ended(bench, bench.deliver(name="x", pipeline_id="nobody"))
    reported(found, "configuration", "there is no such pipeline", "under this id")


def test_a_timeout_is_in_the_failure_report(bench: Bench) -> None:
    spec = specification(bench)
    update_outcomes(bench, spec, {"state": "COMPLETED", "duration_seconds": 4000})
    found = ended(bench, deliver(bench, spec, timeout_minutes=1))
    assert found["state"] == "rolled_back"
    reported(found, "resource", "not green within 1 minutes; update", "timeout_minutes")
    assert found["findings"][0]["tried"] == "1 update started and followed"


def test_a_second_cancel_changes_nothing(bench: Bench) -> None:
    delivery_id = deliver(bench, specification(bench))
    bench.cancel(delivery_id)
    bench.cancel(delivery_id)

    assert ended(bench, delivery_id)["state"] == "cancelled"
    assert "a doubt" in bench.told(delivery_id)
    entries, _ = bench.parts.context.audit.read(delivery_id, 0, "")
    assert sum("Stopped by somebody" in str(entry) for entry in entries) == 1
