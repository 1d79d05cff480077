"""Phases on a cluster that others use too: never at the cost of somebody's run."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from shared.errors import PlatformRefused, PlatformThrottled
from shared.remedies.base import ABSENT, DONE, FAILED, Case, Plan
from shared.remedies.change_node_type import ChangeNodeType, NodeTypeBack, SetNodeType
from shared.remedies.scale_up import ScaleUp, SizeBack, UpdateSize
from shared.vocabulary import FailureKind
from tests.remedies.conftest import WORKSPACE, Bench

OLD, NEW = "Standard_DS3_v2", "Standard_D4ds_v5"
SPEC = {"spark_version": "15.4.x-scala2.12", "node_type_id": OLD, "num_workers": 4}
ENDED = {"code": "CLOUD_PROVIDER_SHUTDOWN", "type": "CLOUD_FAILURE", "parameters": {}}


def cluster(bench: Bench, state: str, **more: Any) -> str:
    body = SPEC | {"state": state, "cluster_source": "UI"} | more
    if state == "TERMINATED":
        body["termination_reason"] = ENDED
    return str(bench.sandbox.script("databricks/clusters", **body)["cluster_id"])


def somebodys_run(bench: Bench, cluster_id: str) -> None:
    task = {"task_key": "x", "existing_cluster_id": cluster_id}
    notebook = {"notebook_task": {"notebook_path": "/x"}}
    job = bench.sandbox.script("databricks/jobs", name="theirs", tasks=[task | notebook])["job_id"]
    bench.sandbox.script("databricks/runs", job_id=job, outcome={"result": "HANG"})
    bench.sandbox.advance(30)


def start(bench: Bench, cluster_id: str) -> None:
    bench.platforms.workspace(WORKSPACE).start_cluster(cluster_id)
    bench.sandbox.advance(60)


def planned(remedy: Any, case: Case) -> Plan:
    plan = remedy.plan(case, [])
    assert isinstance(plan, Plan), plan
    return plan


def mutations(bench: Bench) -> list[str]:
    return [r["path"] for r in bench.sandbox.requests("clusters/(update|resize|restart|edit)")]


@pytest.fixture
def offered(bench: Bench) -> Bench:
    bench.catalog = replace(bench.catalog, node_types={OLD: (NEW,)})
    return bench


def test_a_size_is_not_updated_once_somebody_started_the_cluster(bench: Bench) -> None:
    name = cluster(bench, "TERMINATED")
    case = bench.cluster_case(name)
    plan = planned(ScaleUp(), case)
    start(bench, name)
    with pytest.raises(PlatformRefused, match="RUNNING by now"):
        UpdateSize().act(case, plan.memo)
    assert mutations(bench) == []
    assert SizeBack().look(case, plan.loans[0].memo).status == DONE  # nothing was borrowed


def test_a_node_type_is_not_changed_under_somebodys_run(offered: Bench) -> None:
    name = cluster(offered, "RUNNING")
    case = offered.case(FailureKind.CLUSTER, name, "")
    plan = planned(ChangeNodeType(), case)
    somebodys_run(offered, name)
    with pytest.raises(PlatformThrottled, match="runs are active"):
        SetNodeType().act(case, plan.memo)
    assert mutations(offered) == []


def test_a_cluster_that_does_not_come_up_with_the_new_type_has_failed(offered: Bench) -> None:
    ends = {"state": "TERMINATED", "termination_reason": ENDED}
    name = cluster(offered, "RUNNING", on_start=[ends])
    case = offered.cluster_case(name)
    plan = planned(ChangeNodeType(), case)
    phase = SetNodeType()
    assert phase.look(case, plan.memo).status == ABSENT
    phase.act(case, plan.memo)
    offered.sandbox.advance(60)
    assert phase.look(case, plan.memo).status == FAILED
    back = NodeTypeBack()
    memo = plan.loans[0].memo
    assert back.look(case, memo).status == ABSENT
    back.act(case, memo)
    assert back.look(case, memo).status == DONE


def test_of_a_terminated_cluster_the_type_is_set_before_it_is_started(offered: Bench) -> None:
    name = cluster(offered, "TERMINATED")
    case = offered.cluster_case(name)
    plan = planned(ChangeNodeType(), case)
    assert plan.phases == ["set_node_type", "start_cluster"]
    phase = SetNodeType()
    phase.act(case, plan.memo)
    assert phase.look(case, plan.memo).status == DONE
    # A second copy of the activity finds it done: the same look tells it.
    assert phase.look(case, plan.memo).status == DONE


def test_what_somebody_else_has_set_is_not_given_back_over(offered: Bench) -> None:
    name = cluster(offered, "TERMINATED")
    case = offered.cluster_case(name)
    plan = planned(ChangeNodeType(), case)
    SetNodeType().act(case, plan.memo)
    api = offered.platforms.workspace(WORKSPACE)
    api.update_cluster(name, {"node_type_id": "Standard_E8ds_v5"})
    look = NodeTypeBack().look(case, plan.loans[0].memo)
    assert look.status == FAILED
    assert "left as it is" in look.note
