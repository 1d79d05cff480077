"""A pipeline delivered to the sandbox, from its specification to green and promoted."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
import requests
import yaml

from tests.e2e.deliveries import (
    GATES,
    LAUNCH,
    MEMORY,
    bad_data,
    classic,
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
from tests.e2e.world import Json, World

CLOSED = {"succeeded", "rolled_back", "cancelled", "failed"}


def deliver(world: World, spec: Json, **plan: Any) -> str:
    answer = world.post(
        "/api/deliveries", {"target": "dev", "specification": spec} | plan, "deployer"
    )
    assert answer.status_code == 202, answer.text
    return str(answer.json()["delivery_id"])


def delivery(world: World, delivery_id: str) -> Json:
    return dict(world.get(f"/api/deliveries/{delivery_id}", "deployer").json())


def ended(world: World, delivery_id: str) -> Json:
    def ready() -> Json:
        found = delivery(world, delivery_id)
        return found if found["state"] in CLOSED else {}

    found: Json = world.until(ready)
    assert found["audit"]["whole"]
    return found


def test_green_at_once(world: World) -> None:
    spec = specification(world, schedule={"daily_at": "17:00", "timezone": "America/New_York"})

    found = ended(world, deliver(world, spec, commit="abc123", clean=False))

    assert found["state"] == "succeeded", found["outcome"]
    assert passed(found) == GATES
    assert found["progress"]["flows_done"] == found["progress"]["flows_seen"] > 3
    (pipeline,) = pipelines(world, spec)
    assert pipeline["name"] == f"{spec['name']} (dev)"
    assert [u["validate_only"] for u in pipeline["updates"]] == [False]
    (job,) = jobs(world, spec)
    assert job["settings"]["schedule"]["pause_status"] == "UNPAUSED"
    assert "The source tree was not clean: commit what was delivered." in found["next_steps"]
    accepted = world.get(f"/api/pipelines/{pipeline['pipeline_id']}/readiness").json()["baseline"]
    assert (
        accepted["by"] == f"delivery {found['delivery_id']}, deployer"
    )  # drift is measured against it
    text = world.get(f"/api/deliveries/{found['delivery_id']}/summary", "reader").text
    assert text.startswith(f"# {spec['name']}: delivered")
    assert "| L4 data quality | dev | 1 | passed |" in text


def test_green_after_a_cluster_that_did_not_start(world: World) -> None:
    spec = specification(world)
    update_outcomes(world, spec, failing(LAUNCH, flow="flow"))

    found = ended(world, deliver(world, spec))

    assert found["state"] == "succeeded", found["outcome"]
    (finding,) = found["findings"]
    assert finding["error_type"] == "DatabricksClusterStartFailure"
    assert finding["resolved"]
    assert len(found["stages"][0]["updates"]) == 2
    assert found["version"] == 1


def test_green_after_scaling(world: World) -> None:
    spec = classic(world)
    outcome = failing(MEMORY, condition={"min_workers": 6})
    update_outcomes(world, spec, outcome, outcome)

    found = ended(world, deliver(world, spec))

    assert found["state"] == "succeeded", found["outcome"]
    assert found["findings"][0]["category"] == "resource"
    assert found["changes"] == [
        "up to 6 workers in place of 4 (because of DatabricksResourceExhausted)"
    ]
    assert passed(found) == [*GATES[:2], *GATES]
    (pipeline,) = pipelines(world, spec)
    assert pipeline["spec"]["clusters"][0]["autoscale"]["max_workers"] == 6
    assert pipeline["spec"]["tags"]["lakemend_delivery"] == f"{found['delivery_id']}.2"


def test_green_after_a_change_of_the_specification(world: World) -> None:
    spec = specification(world)
    value = "[CAST_INVALID_INPUT] The value '4711-secret' of the type"
    told = f'{value} "STRING" cannot be cast to "DOUBLE"'
    update_outcomes(world, spec, failing(told, flow="silver_orders"))

    found = ended(world, deliver(world, spec))

    assert found["state"] == "succeeded", found["outcome"]
    (change,) = found["changes"]
    assert change.startswith("Orders: amount cast by try, wrong values go to quarantine")
    folder = f"{found['delivery_id']}.2/src/pipeline/silver/silver_orders.py"
    text = next(text for path, text in state(world)["files"].items() if path.endswith(folder))
    assert "try_cast(`amount` AS DOUBLE)" in text
    assert "4711-secret" not in world.get(f"/api/deliveries/{found['delivery_id']}").text


def test_stopped_by_quality_the_previous_version_comes_back(world: World) -> None:
    spec = specification(world)
    bad_data(world, spec, first=False)
    first = ended(world, deliver(world, spec))
    before = pipelines(world, spec)[0]["spec"]
    settings = jobs(world, spec)[0]["settings"]

    found = ended(world, deliver(world, spec | {"description": "changed"}))

    assert found["state"] == "rolled_back", found["outcome"]
    (pipeline,) = pipelines(world, spec)
    assert pipeline["spec"] == before
    assert pipeline["updates"][-1]["state"] == "COMPLETED"
    assert len(pipeline["updates"]) == 3  # green, bad, and the one that shows it is good again
    assert jobs(world, spec)[0]["settings"] == settings
    assert folders(world, found["delivery_id"]) == []
    assert folders(world, first["delivery_id"]) != []
    assert "the previous version is back" in found["stages"][0]["rollback"]


def test_timed_out_and_rolled_back(world: World) -> None:
    spec = specification(world)
    update_outcomes(world, spec, {"state": "COMPLETED", "duration_seconds": 9999})

    found = ended(world, deliver(world, spec, timeout_minutes=0.05))

    assert found["state"] == "rolled_back"
    assert "not green within 0.05 minutes" in found["outcome"]
    assert pipelines(world, spec) == []


def test_promoted_to_the_next_target(world: World) -> None:
    spec = specification(world)

    found = ended(world, deliver(world, spec, promote_to={"target": "prod"}))

    assert found["state"] == "succeeded", found["outcome"]
    assert passed(found, "dev") == passed(found, "prod") == GATES
    made = {p["name"]: p["spec"] for p in pipelines(world, spec)}
    assert made.keys() == {f"{spec['name']} (dev)", spec["name"]}
    assert made[spec["name"]]["development"] is False
    assert made[spec["name"]]["schema"] == spec["schema"]


def test_cancelled_and_rolled_back(world: World) -> None:
    spec = specification(world)
    update_outcomes(world, spec, {"state": "COMPLETED", "duration_seconds": 9999})
    delivery_id = deliver(world, spec)
    world.until(lambda: (delivery(world, delivery_id)["progress"] or {}).get("state") == "RUNNING")

    answer = world.post(f"/api/deliveries/{delivery_id}/cancel", {"why": "wrong"}, "deployer")

    assert answer.status_code == 202
    found = ended(world, delivery_id)
    assert found["state"] == "cancelled"
    assert found["cancel"]["why"] == "wrong"
    assert pipelines(world, spec) == []
    again = world.post(f"/api/deliveries/{delivery_id}/cancel", {}, "deployer")
    assert again.status_code == 409


def test_taken_back_by_hand(world: World) -> None:
    spec = specification(world)
    delivery_id = ended(world, deliver(world, spec))["delivery_id"]

    answer = world.post(f"/api/deliveries/{delivery_id}/rollback", {"why": "a doubt"}, "deployer")

    assert answer.status_code == 202
    found = ended(world, delivery_id)
    assert found["state"] == "rolled_back"
    assert "a doubt" in found["outcome"]
    assert pipelines(world, spec) == []
    assert jobs(world, spec) == []


def test_one_key_is_one_delivery(world: World) -> None:
    spec = specification(world)
    key = uuid.uuid4().hex
    first = deliver(world, spec, delivery_key=key)

    assert deliver(world, spec, delivery_key=key) == first

    other = {"target": "dev", "specification": spec, "delivery_key": key, "retry_attempts": 1}
    assert world.post("/api/deliveries", other, "deployer").status_code == 409
    assert ended(world, first)["state"] == "succeeded"
    listed = world.get("/api/deliveries?limit=50", "deployer").json()["deliveries"]
    assert [d["delivery_id"] for d in listed].count(first) == 1


def test_a_healing_waits_while_its_pipeline_is_delivered(world: World) -> None:
    spec = specification(world)
    ended(world, deliver(world, spec))
    pipeline_id = pipelines(world, spec)[0]["pipeline_id"]
    slowly = {"state": "COMPLETED", "duration_seconds": 60}
    update_outcomes(world, spec, failing(LAUNCH, flow="flow"), slowly)
    broken = {"pipeline_id": pipeline_id, "finished": True, "cause": "USER_ACTION"}
    run_id = world.script("databricks/updates", **broken)["update_id"]
    second = deliver(world, spec | {"description": "second"})
    world.until(lambda: (delivery(world, second)["progress"] or {}).get("state") == "RUNNING")

    failure = {"kind": "update", "target": "databricks", "run_id": run_id, "pipeline": pipeline_id}
    alert = world.send("/api/alerts", {"failures": [failure]})

    assert ended(world, second)["state"] == "succeeded"
    incident = world.incident_of(alert)
    assert incident["state"] == "observed", incident["timeline"]
    assert incident["outcome"].endswith("it is good by now")
    assert len(world.seen(f"pipelines/{pipeline_id}/updates$")) == 2  # both by deliveries


def refused(world: World, **plan: Any) -> list[str]:
    answer = world.post("/api/deliveries", plan, "deployer")
    assert answer.status_code == 400, answer.text
    return [f"{p['field']}: {p['expected']}" for p in answer.json()["problems"]]


@pytest.mark.parametrize("path", ["../evil.py", "/etc/evil.py", "src/../../evil.py", "c:\\evil.py"])
def test_a_zip_that_leads_outside_is_refused(world: World, path: str) -> None:
    problems = refused(world, name="x", target="dev", bundle=zipped({path: "import dlt"}))
    assert ["leads outside" in p for p in problems] == [True]


def test_a_zip_with_a_link_is_refused(world: World) -> None:
    bundle = zipped({"bundle.json": "{}"}, links={"src/a.py": "/etc/passwd"})
    (problem,) = refused(world, name="x", target="dev", bundle=bundle)
    assert "is a link" in problem


def test_a_zip_bomb_is_refused(world: World) -> None:
    bundle = zipped({"bundle.json": "0" * 30_000_000})
    (problem,) = refused(world, name="x", target="dev", bundle=bundle)
    assert "at most 1000000 bytes" in problem


def test_all_that_is_wrong_with_a_plan_is_told_at_once(world: World) -> None:
    problems = refused(
        world, timeout_minutes="long", retry_attempts=99, commit="TODO", unheard=True
    )
    assert {problem.partition(":")[0] for problem in problems} == {
        "timeout_minutes",
        "retry_attempts",
        "commit",
        "unheard",
        "target",
        "specification",
        "name",
    }


def test_a_markdown_plan_is_delivered_or_refused(world: World) -> None:
    spec = specification(world)
    block = yaml.safe_dump({"target": "dev", "specification": spec})
    text = (
        "# Plan\n\n## All Needed Context\n\nOrders.\n\n## Implementation Blueprint\n\n"
        f"```yaml\n{block}```\n\n## Validation Loop\n\nAll four gates.\n"
    )
    headers = {"X-API-Key": world.keys["deployer"], "Content-Type": "text/markdown"}

    def send(body: str) -> requests.Response:
        url = f"{world.base_url}/api/deliveries"
        return requests.post(url, data=body.encode(), headers=headers, timeout=30)

    poor = send(text.replace("## Validation Loop", "## TODO")).json()["problems"]
    assert [p["field"] for p in poor] == ["Validation Loop", f"line {text.count(chr(10)) - 2}"]
    answer = send(text)
    assert answer.status_code == 202, answer.text
    assert ended(world, answer.json()["delivery_id"])["state"] == "succeeded"


def test_only_a_deployer_delivers(world: World) -> None:
    plan = {"target": "dev", "specification": specification(world)}
    for scope in ("sender", "reader", "approver"):
        assert world.post("/api/deliveries", plan, scope).status_code == 403
