"""Bring the cluster back, then rerun what failed on it.

Needs: CAN_RESTART on the cluster. Changes: the cluster's Spark state; other work on it would be
lost, so a RUNNING cluster is only restarted when no other job's run is active on it (notebooks of
people are not seen). Once only: the cluster's own start and end times tell whether it was started
since. Verified: RUNNING within ten minutes, then the rerun itself. Costs: the start-up time of the
cluster.

Only a TERMINATED cluster can be started and only a RUNNING one restarted (on any other state the
platform does nothing, or refuses). A job cluster can be neither: the repair gets a fresh one. So
does serverless.
"""

from __future__ import annotations

from shared.diagnosis import databricks_facts as facts
from shared.errors import PlatformThrottled
from shared.models import Attempt, ClusterFacts, Json
from shared.remedies.base import (
    ABSENT,
    DONE,
    FAILED,
    PENDING,
    READY,
    Case,
    Look,
    Plan,
    Refusal,
    Visible,
    cluster_lock,
    compute_target,
    workspace_of,
)
from shared.remedies.rerun import rerun_locks, rerun_step
from shared.vocabulary import ComputeKind, FailureKind

_WITHOUT_RUN = frozenset({FailureKind.CLUSTER, FailureKind.LIBRARY, FailureKind.PROPOSAL})


class RestartCluster:
    """The remedy `restart_cluster`."""

    def plan(self, case: Case, tried: list[Attempt]) -> Plan | Refusal:
        """Start or restart the shared cluster, or nothing where a rerun gets a fresh one."""
        del tried
        cluster = shared_cluster(case)
        if cluster is None:
            return with_rerun(case, [], {}, "let the rerun bring fresh compute")
        step = cluster_step(case, cluster)
        if isinstance(step, Refusal):
            return step
        phases, words = step
        return with_rerun(case, phases, _memo(cluster), words, cluster)


def shared_cluster(case: Case) -> ClusterFacts | None:
    """The all-purpose cluster that the failed work ran on, None if it had its own or none."""
    evidence = case.evidence
    if evidence is None or not evidence.clusters:
        return None
    if evidence.tasks and evidence.compute is not ComputeKind.ALL_PURPOSE:
        return None
    cluster = evidence.clusters[0]
    return cluster if cluster.compute is ComputeKind.ALL_PURPOSE else None


def cluster_step(case: Case, cluster: ClusterFacts) -> tuple[list[str], str] | Refusal:
    """The phases that bring `cluster` up, and what they do in words."""
    name = cluster.name or cluster.cluster_id
    if cluster.state == "TERMINATED":
        return ["start_cluster"], f"start cluster {name}"
    if cluster.state != "RUNNING":
        return Refusal(
            f"cluster {name} is {cluster.state}: only TERMINATED ones can be started and RUNNING "
            "ones restarted",
            busy=cluster.state in {"PENDING", "RESTARTING", "RESIZING", "TERMINATING"},
        )
    if _came_back(case, cluster):
        return [], f"cluster {name} is running again"
    others = active_runs(case, compute_target(case), cluster.cluster_id)
    if others:
        return Refusal(f"{len(others)} other runs are active on cluster {name}", busy=True)
    return ["restart_cluster"], f"restart cluster {name}"


def _came_back(case: Case, cluster: ClusterFacts) -> bool:
    """Whether the cluster was started after the failed work ended on it."""
    ended = case.evidence.ended_at if case.evidence else None
    return ended is not None and cluster.restarted_time > ended.timestamp() * 1000


def active_runs(case: Case, target: str, cluster_id: str) -> list[str]:
    """Ids of other job runs that are active on a cluster now."""
    api = case.platforms.workspace(target)
    found = []
    for run in api.runs(0, active_only="true"):
        tasks = run.get("tasks") or []
        if str(run.get("run_id")) != case.run_id and any(_on(t, cluster_id) for t in tasks):
            found.append(str(run.get("run_id")))
    return found


def _on(task: Json, cluster_id: str) -> bool:
    instance = task.get("cluster_instance") or {}
    return cluster_id in (task.get("existing_cluster_id"), instance.get("cluster_id"))


def with_rerun(
    case: Case,
    phases: list[str],
    memo: Json,
    words: str,
    cluster: ClusterFacts | None = None,
) -> Plan | Refusal:
    """A plan of `phases` and, where a run failed, its rerun after them."""
    locks = [cluster_lock(compute_target(case), cluster.cluster_id)] if cluster else []
    memo = memo | ({"workspace": compute_target(case)} if cluster else {})
    if case.failure.kind in _WITHOUT_RUN:
        if not phases:
            return Refusal("no run failed on it and nothing is to be started")
        return Plan(phases, words, memo, locks)
    step = rerun_step(case)
    if isinstance(step, Refusal):
        return step
    phase, rerun_memo, rerun_words = step
    locks = list(dict.fromkeys([*locks, *rerun_locks(case)]))
    return Plan([*phases, phase], f"{words}, then {rerun_words}", memo | rerun_memo, locks)


def _memo(cluster: ClusterFacts) -> Json:
    return {
        "cluster_id": cluster.cluster_id,
        "terminated_time": cluster.terminated_time,
        "restarted_time": cluster.restarted_time,
    }


class StartCluster(Visible):
    """clusters/start of a TERMINATED cluster."""

    limit = READY

    def act(self, case: Case, memo: Json) -> Json:
        """Start it."""
        workspace_of(case, memo).start_cluster(memo["cluster_id"])
        return {}

    def look(self, case: Case, memo: Json) -> Look:
        """RUNNING, on the way, still as it was, or ended anew."""
        cluster = read_cluster(case, memo)
        if cluster.state == "RUNNING":
            return Look(DONE, f"cluster {cluster.cluster_id} is RUNNING")
        if cluster.state in {"TERMINATED", "ERROR"}:
            if cluster.terminated_time == memo["terminated_time"]:
                return Look(ABSENT)
            return Look(FAILED, f"the cluster ended again: {cluster.code} {cluster.message}"[:500])
        return Look(PENDING, f"cluster {cluster.cluster_id} is {cluster.state}")


class RestartPhase(Visible):
    """clusters/restart of a RUNNING cluster."""

    limit = READY

    def act(self, case: Case, memo: Json) -> Json:
        """Restart it, unless somebody's run has come to it meanwhile."""
        target = memo.get("workspace") or case.failure.target
        others = active_runs(case, target, memo["cluster_id"])
        if others:
            raise PlatformThrottled(f"{len(others)} other runs are active on the cluster")
        workspace_of(case, memo).restart_cluster(memo["cluster_id"])
        return {}

    def look(self, case: Case, memo: Json) -> Look:
        """RUNNING since later than before, on the way, still as it was, or ended."""
        cluster = read_cluster(case, memo)
        if cluster.state == "RUNNING":
            if cluster.restarted_time > memo["restarted_time"]:
                return Look(DONE, f"cluster {cluster.cluster_id} is RUNNING again")
            return Look(ABSENT)
        if cluster.state in {"TERMINATED", "ERROR"}:
            return Look(FAILED, f"the cluster ended: {cluster.code} {cluster.message}"[:500])
        return Look(PENDING, f"cluster {cluster.cluster_id} is {cluster.state}")


def read_cluster(case: Case, memo: Json) -> ClusterFacts:
    """The memo's cluster as it is now."""
    return facts.cluster_facts(workspace_of(case, memo).cluster(memo["cluster_id"]))
