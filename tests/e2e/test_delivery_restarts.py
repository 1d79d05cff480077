"""Deliveries on a host that is killed, paused, or never told of them; one host for all."""

from __future__ import annotations

import base64
import json
import random
import time
from collections.abc import Iterator

import pytest
import requests

from devstack.processes import Stack
from shared.composition import Composition
from shared.delivery.plan import read_plan
from shared.delivery.receiving import receive
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
    slow,
    specification,
    update_outcomes,
    zipped,
)
from tests.e2e.hosts import Host
from tests.e2e.test_delivery import deliver, delivery, ended
from tests.e2e.world import World


@pytest.fixture(scope="module")
def host(
    stack: Stack | None, world: World, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Host]:
    if stack is None:
        pytest.fail("these tests kill a host of their own: leave --base-url away")
    host = Host(stack, world, tmp_path_factory.mktemp("host"), {})
    host.service.start()
    yield host
    host.service.stop()


def hangs(world: World, faults: list[str]) -> bool:
    """Whether a call hangs in each of the faults."""
    calls = [*world.seen("/api/"), *world.seen("/api/", "DELETE")]
    return set(faults) <= {str(row["fault"]) for row in calls}


def test_a_bundle_comes_as_a_form_too(host: Host) -> None:
    world = host.world
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


CALLS = ["/pipelines$", "/pipelines/[^/]+/updates$", "/jobs/create$", "/jobs/run-now$"]


def test_killed_in_the_middle_and_finished_after_the_restart(host: Host) -> None:
    """One delivery hangs in each of the calls, once before and once after it took effect."""
    world = host.world
    specs = [specification(world) for _ in range(2 * len(CALLS))]
    since = len(world.seen("/jobs/run-now$"))
    faults = [slow(world, "POST", path, takes_effect=bool(n)) for path in CALLS for n in (0, 1)]
    ids = [deliver(world, spec) for spec in specs]
    world.until(lambda: hangs(world, faults))

    host.service.kill()
    host.service.start()

    for spec, delivery_id in zip(specs, ids, strict=True):
        found = ended(world, delivery_id)
        assert found["state"] == "succeeded", found["outcome"]
        (pipeline,) = pipelines(world, spec)
        assert len(pipeline["updates"]) == 1
        assert len(jobs(world, spec)) == 1
        assert passed(found) == GATES
    made = world.seen("/jobs/run-now$")[since:]
    assert len({row["body"]["idempotency_token"] for row in made}) == len(specs)


UNDOING = [
    ("POST", "/jobs/delete$"),
    ("DELETE", "/pipelines/[^/]+$"),
    ("POST", "/workspace/delete$"),
]


def test_killed_in_the_middle_of_a_rollback(host: Host) -> None:
    world = host.world
    specs = [specification(world) for _ in UNDOING]
    ids = [deliver(world, spec) for spec in specs]
    for delivery_id in ids:
        assert ended(world, delivery_id)["state"] == "succeeded"
    faults = [slow(world, method, path, takes_effect=True) for method, path in UNDOING]
    for delivery_id in ids:
        world.post(f"/api/deliveries/{delivery_id}/rollback", {}, "deployer")
    world.until(lambda: hangs(world, faults))

    host.service.kill()
    host.service.start()

    for spec, delivery_id in zip(specs, ids, strict=True):
        found = ended(world, delivery_id)
        assert found["state"] == "rolled_back", found["outcome"]
        assert pipelines(world, spec) == jobs(world, spec) == []
        assert folders(world, delivery_id) == []


def test_a_paused_delivery_waits(host: Host) -> None:
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


def test_killed_at_random_moments(host: Host) -> None:
    world = host.world
    moments = random.Random(11)  # noqa: S311 - the same moments every time
    specs = [specification(world) for _ in range(3)]
    update_outcomes(world, specs[1], failing(LAUNCH, flow="flow"))
    bad_data(world, specs[2], first=True)
    ids = [deliver(world, spec) for spec in specs]
    for _ in range(2):
        time.sleep(moments.uniform(0.2, 1.2))  # the moments are the test
        host.service.kill()
        host.service.start()

    found = [ended(world, delivery_id) for delivery_id in ids]

    assert [f["state"] for f in found] == ["succeeded", "succeeded", "rolled_back"]
    assert [len(pipelines(world, spec)) for spec in specs] == [1, 1, 0]
    assert [len(pipelines(world, spec)[0]["updates"]) for spec in specs[:2]] == [1, 2]
    assert [len(jobs(world, spec)) for spec in specs] == [1, 1, 0]
    assert folders(world, ids[2]) == []


def test_what_was_stored_and_never_started_is_found(host: Host) -> None:
    world = host.world
    composition = Composition(host.environment)
    asked = read_plan({"target": "dev", "specification": specification(world)})
    delivery_id = receive(composition.context, asked, "somebody").delivery_id
    assert delivery(world, delivery_id)["state"] == "received"

    time.sleep(0.6)  # longer than the quick catalog lets an alert or a delivery lie
    host.timer("dispatch_sweep")

    assert ended(world, delivery_id)["state"] == "succeeded"
