"""Which node type is taken next: listed, offered, with cores left, and not tried before."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec.structs import replace

from shared.models import Attempt
from shared.remedies.base import Plan, Refusal
from shared.remedies.change_node_type import ChangeNodeType, has_room
from tests.remedies.conftest import Bench

FIRST, SECOND, THIRD, OLD = (
    "Standard_D4ds_v5",
    "Standard_D4s_v3",
    "Standard_E4ds_v4",
    "Standard_DS3_v2",
)
QUOTA = "The operation could not be completed as it results in exceeding approved quota"
SPEC = {"spark_version": "15.4.x-scala2.12", "node_type_id": OLD, "num_workers": 3}


@pytest.fixture
def bench(bench: Bench) -> Bench:
    """All of the alternatives offered, each a 4-core node."""
    lists = {OLD: (FIRST, SECOND, THIRD), FIRST: (THIRD, OLD)}
    bench.catalog = replace(bench.catalog, node_types=lists)
    return bench


def offer(bench: Bench, *listed: str | dict[str, Any]) -> None:
    bench.sandbox.script("databricks/node-types", node_types=[OLD, *listed])


def left(name: str, cores: int | None, **more: Any) -> dict[str, Any]:
    return {"node_type_id": name, "num_cores": 4.0, "available_core_quota": cores} | more


def sized(spec: dict[str, Any]) -> dict[str, Any]:
    """A cluster's specification; it has a number of workers or a range."""
    whole = SPEC | spec
    return {k: v for k, v in whole.items() if k != "num_workers" or "autoscale" not in spec}


def plan_for_cluster(bench: Bench, tried: list[Attempt] | None = None, **spec: Any) -> Any:
    body = sized(spec) | {"state": "TERMINATED", "cluster_source": "UI"}
    reason = {"code": "AZURE_QUOTA_EXCEEDED_EXCEPTION", "type": "CLIENT_ERROR"}
    body |= {"termination_reason": reason | {"parameters": {}}}
    cluster = bench.sandbox.script("databricks/clusters", **body)["cluster_id"]
    return ChangeNodeType().plan(bench.cluster_case(cluster), tried or [])


def plan_for_job(bench: Bench, tried: list[Attempt] | None = None, **spec: Any) -> Any:
    clusters = [{"job_cluster_key": "main", "new_cluster": sized(spec)}]
    case = bench.failed_job({"job_cluster_key": "main"}, QUOTA, job_clusters=clusters)
    return ChangeNodeType().plan(case, tried or [])


def taken(plan: Any) -> str:
    assert isinstance(plan, Plan), plan
    return str(plan.memo["node_type"])


@pytest.mark.parametrize("plan", [plan_for_cluster, plan_for_job])
@pytest.mark.parametrize(
    ("first", "expected"),
    [
        (left(FIRST, 16), FIRST),  # 3 workers and the driver, 4 cores each
        (left(FIRST, 15), SECOND),
        (left(FIRST, 0), SECOND),
        (left(FIRST, None), FIRST),
        (left(FIRST, 350, status=["NotAvailableInRegion"]), SECOND),
        (left(FIRST, 350, is_deprecated=True), SECOND),
    ],
)
def test_a_type_whose_family_has_no_cores_left_is_skipped(
    bench: Bench, plan: Any, first: dict[str, Any], expected: str
) -> None:
    offer(bench, first, left(SECOND, 350))
    assert taken(plan(bench)) == expected


@pytest.mark.parametrize("plan", [plan_for_cluster, plan_for_job])
def test_where_no_family_has_cores_left_nothing_is_changed(bench: Bench, plan: Any) -> None:
    offer(bench, left(FIRST, 4), left(SECOND, 0), left(THIRD, 15))
    refused = plan(bench)
    assert isinstance(refused, Refusal)
    assert "no other node type with cores left" in refused.reason


@pytest.mark.parametrize("plan", [plan_for_cluster, plan_for_job])
def test_an_autoscaling_cluster_needs_room_for_its_minimum(bench: Bench, plan: Any) -> None:
    offer(bench, left(FIRST, 8), left(SECOND, 350))
    scale = {"min_workers": 1, "max_workers": 40}
    assert taken(plan(bench, autoscale=scale)) == FIRST


@pytest.mark.parametrize("plan", [plan_for_cluster, plan_for_job])
def test_the_type_that_failed_first_is_not_taken_again(bench: Bench, plan: Any) -> None:
    offer(bench, left(FIRST, 350))
    before = plan(bench)
    assert isinstance(before, Plan)
    now = datetime(2026, 11, 20, tzinfo=UTC)
    attempt = Attempt(1, "x", "change_node_type", before.phases, now, memo=before.memo)
    assert isinstance(plan(bench, [attempt], node_type_id=FIRST), Refusal)


def test_a_jobs_driver_follows_where_it_was_of_the_same_type(bench: Bench) -> None:
    offer(bench, left(FIRST, 350))
    both = plan_for_job(bench, driver_node_type_id=OLD)
    changed = {edit["path"][-1]: edit["after"] for edit in both.memo["edits"]}
    assert changed == {"node_type_id": FIRST, "driver_node_type_id": FIRST}
    apart = plan_for_job(bench, driver_node_type_id="Standard_F4s")
    assert [edit["path"][-1] for edit in apart.memo["edits"]] == ["node_type_id"]


def test_room_is_there_where_nobody_tells() -> None:
    assert has_room({"num_cores": 4}, 100)
    assert not has_room({"num_cores": 4, "node_info": {"available_core_quota": 0}}, 0)
