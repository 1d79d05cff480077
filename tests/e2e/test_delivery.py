"""A pipeline delivered to the sandbox, from its specification to green and promoted."""

from __future__ import annotations

import base64
import io
import re
import stat
import uuid
import zipfile
from typing import Any

import pytest
import requests

from tests.e2e.hosts import StartHost
from tests.e2e.world import Json, World

CLOSED = {"succeeded", "rolled_back", "cancelled", "failed"}
GATES = ["L1 configuration", "L2 deployment", "L3 execution", "L4 data quality"]
LAUNCH = "[DLT ERROR CODE: CLUSTER_LAUNCH_FAILURE] Failed to launch pipeline cluster"
MEMORY = "java.lang.OutOfMemoryError: Java heap space"


def specification(world: World, **more: Any) -> Json:
    """A small specification of its own; its schemas are made in the sandbox."""
    name = f"Shop {uuid.uuid4().hex[:8]}"
    schema = name.lower().replace(" ", "_")
    for suffix in ("_dev", "_staging", ""):
        world.script("databricks/schemas", full_name=f"main.{schema}{suffix}")
    table = {
        "name": "Orders",
        "format": "json",
        "path": "/Volumes/main/landing/orders",
        "key": ["order_id"],
        "columns": [
            {"name": "order_id", "type": "long"},
            {"name": "amount", "type": "double", "cast": "strict"},
        ],
        "measures": ["amount"],
        "expectations": [
            {"name": "amount is there", "column": "amount", "not_null": True, "action": "warn"}
        ],
    }
    return {"name": name, "catalog": "main", "schema": schema, "tables": [table]} | more


def classic(world: World) -> Json:
    compute = {"min_workers": 1, "max_workers": 4}
    return specification(world, serverless=False, compute=compute)


def update_outcomes(world: World, spec: Json, *outcomes: Json, suffix: str = " \\(dev\\)$") -> None:
    world.script(
        "databricks/update-outcomes",
        match=f"^{re.escape(spec['name'])}{suffix}",
        outcomes=list(outcomes),
    )


def failing(message: str, flow: str = "bronze_orders", **more: Any) -> Json:
    error = {"exceptions": [{"class_name": "Exception", "message": message}]}
    return {"state": "FAILED", "flow": flow, "error": error} | more


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


def passed(found: Json, target: str = "dev") -> list[str]:
    gates = [g for g in found["gates"] if g["target"] == target]
    return [g["name"] for g in gates if g["state"] == "passed"]


def state(world: World) -> Json:
    return dict(requests.get(f"{world.sandbox_url}/_sandbox/state", timeout=10).json())["databricks"]


def pipelines(world: World, spec: Json) -> list[Json]:
    """Everything in the workspace whose name begins with the pipeline's."""
    return [p for p in state(world)["pipelines"] if p["name"].startswith(spec["name"])]


def jobs(world: World, spec: Json) -> list[Json]:
    return [j for j in state(world)["jobs"] if j["settings"]["name"].startswith(spec["name"])]


def folders(world: World, delivery_id: str) -> list[str]:
    return [path for path in state(world)["files"] if delivery_id in path]


def test_green_at_once(world: World) -> None:
    spec = specification(
        world, schedule={"daily_at": "17:00", "timezone": "America/New_York"}
    )

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
    text = world.get(f"/api/deliveries/{found['delivery_id']}/summary", "reader").text
    assert text.startswith(f"# {spec['name']}: delivered")
    assert "| L4 data quality | dev | 1 | passed |" in text
