"""Another node type, then rerun what failed; given back when the incident closes.

Needs: CAN_MANAGE on the cluster, or on the job for job clusters. Changes: `node_type_id` (and the
driver's where it was the same). Only types from the catalog's fallback list are taken that the
workspace offers and whose family has, as far as the workspace tells, cores left for all nodes; the
list names other families first, because on Azure quota counts per family. None is tried twice.
Once only: the cluster's (or job's) own node type tells whether it was done. Verified: the cluster
is RUNNING, then the rerun itself. Costs: the difference in price of the nodes.
"""

from __future__ import annotations

import math

from shared.errors import PlatformThrottled
from shared.models import Attempt, ClusterFacts, Json, Loan, TaskFacts
from shared.remedies import job_settings
from shared.remedies.base import (
    ABSENT,
    DONE,
    FAILED,
    MEMORY,
    PENDING,
    READY,
    Case,
    Look,
    Plan,
    Refusal,
    Visible,
    compute_target,
    workspace_of,
)
from shared.remedies.restart_cluster import (
    active_runs,
    read_cluster,
    shared_cluster,
    with_rerun,
)
from shared.remedies.scale_up import cluster_paths
from shared.vocabulary import ComputeKind


class ChangeNodeType:
    """The remedy `change_node_type`."""

    def plan(self, case: Case, tried: list[Attempt]) -> Plan | Refusal:
        """The next type of the list that was not tried and that the workspace offers."""
        evidence = case.evidence
        used = {name for attempt in tried for name in _tried(attempt)}
        cluster = shared_cluster(case)
        if cluster is not None:
            return _on_cluster(case, cluster, used)
        if evidence is not None and evidence.compute is ComputeKind.JOB_CLUSTER:
            return _in_job(case, evidence.job_id, evidence.tasks, used)
        return Refusal("there is no cluster whose node type could be changed")


def _tried(attempt: Attempt) -> set[str]:
    """The node types that an attempt went from and to."""
    edits = attempt.memo.get("edits") or []
    mine = [one for one in edits if one["path"][-1] == "node_type_id"]
    named = {attempt.memo.get(field) for field in ("node_type", "instead_of")}
    return {str(n) for n in named if n} | {str(e[side]) for e in mine for side in _SIDES}


_SIDES = ("before", "after")


def next_type(case: Case, current: str, used: set[str], nodes: int) -> str | None:
    """The first of the catalog's alternatives to `current` with room for `nodes`, not `used`."""
    listed = case.catalog.node_types.get(current, ())
    if not listed:
        return None
    offered = case.platforms.workspace(compute_target(case)).node_types()
    present = offered.get(current) or {}
    roomy = (t for t in listed if t in offered and has_room(offered[t], nodes))
    fitting = (t for t in roomy if _enough(case.more, offered[t], present))
    return next((t for t in fitting if t not in used), None)


def _enough(what: str, wanted: Json, present: Json) -> bool:
    """Whether a node type has enough more of what is short, as far as the workspace tells."""
    if not what:
        return True
    return _size_of(wanted, what) >= MORE * (_size_of(present, what) or math.inf)


MORE = 1.5  # a smaller step would be found short again


def _size_of(node_type: Json, what: str) -> float:
    if what == MEMORY:
        return float(node_type.get("memory_mb") or 0)
    disks = node_type.get("node_instance_type") or {}
    sizes = (disks.get(field) for field in ("local_disk_size_gb", "local_nvme_disk_size_gb"))
    return float(sum(size or 0 for size in sizes))


def has_room(node_type: Json, nodes: int) -> bool:
    """Whether a node type's family has cores left for so many nodes; yes where nobody tells.

    >>> has_room({"num_cores": 4, "node_info": {"available_core_quota": 8}}, 2)
    True
    >>> has_room({"num_cores": 4, "node_info": {"available_core_quota": 8}}, 3)
    False
    """
    left = (node_type.get("node_info") or {}).get("available_core_quota")
    return left is None or left >= (node_type.get("num_cores") or 0) * max(nodes, 1)


def _on_cluster(case: Case, cluster: ClusterFacts, used: set[str]) -> Plan | Refusal:
    first = _first_type(case, cluster)
    wanted = next_type(case, first, used | {cluster.node_type}, _nodes_of(cluster))
    name = cluster.name or cluster.cluster_id
    if wanted is None:
        return Refusal(f"no other node type with cores left is listed for {cluster.node_type}")
    if cluster.state not in {"TERMINATED", "RUNNING"}:
        return Refusal(f"cluster {name} is {cluster.state}", busy=cluster.state != "ERROR")
    if cluster.state == "RUNNING" and active_runs(case, compute_target(case), cluster.cluster_id):
        return Refusal(f"other runs are active on cluster {name}", busy=True)
    phases = ["set_node_type"] + (["start_cluster"] if cluster.state == "TERMINATED" else [])
    memo: Json = {
        "cluster_id": cluster.cluster_id,
        "terminated_time": cluster.terminated_time,
        "restarted_time": cluster.restarted_time,
        "node_type": wanted,
        "instead_of": cluster.node_type,
        "fields": _fields(cluster, wanted),
    }
    back = Loan(
        "node_type_back",
        {
            "cluster_id": cluster.cluster_id,
            "workspace": compute_target(case),
            "fields": _fields(cluster, cluster.node_type),
            "lent": [wanted],
        },
        f"cluster {name} back to {cluster.node_type}",
    )
    plan = with_rerun(case, phases, memo, f"change cluster {name} to {wanted}", cluster)
    if isinstance(plan, Refusal):
        return plan
    return Plan(plan.phases, plan.summary, plan.memo, plan.locks, [back])


def _first_type(case: Case, cluster: ClusterFacts) -> str:
    """The type whose alternatives are listed: the present one, or one that lists the present."""
    if cluster.node_type in case.catalog.node_types:
        return cluster.node_type
    listing = (k for k, v in case.catalog.node_types.items() if cluster.node_type in v)
    return next(listing, cluster.node_type)


def _nodes_of(cluster: ClusterFacts) -> int:
    """The nodes that a cluster comes up with, its driver included."""
    return 1 + int(cluster.min_workers or cluster.workers or 0)


def _fields(cluster: ClusterFacts, node_type: str) -> Json:
    fields = {"node_type_id": node_type}
    if cluster.driver_type in {"", cluster.node_type}:
        fields["driver_node_type_id"] = node_type
    return fields


def _in_job(case: Case, job_id: str, tasks: list[TaskFacts], used: set[str]) -> Plan | Refusal:
    settings = job_settings.read(case, job_id)
    edits: list[job_settings.Edit] = []
    for path in cluster_paths(settings, tasks):
        edits += _edits(case, path, job_settings.value_at(settings, path) or {}, used)
    if not edits:
        return Refusal("no other node type with cores left is listed for the job's clusters")
    taken = str(edits[0]["after"])
    changing = f"change job {job_id}'s cluster to {taken}"
    returning = f"job {job_id}'s clusters back to their node type"
    return job_settings.plan(case, job_id, edits, (changing, returning), node_type=taken)


def _edits(case: Case, path: list[str], spec: Json, used: set[str]) -> list[job_settings.Edit]:
    """Another node type for one of the job's clusters, none if there is none."""
    current = str(spec.get("node_type_id") or "")
    scale = spec.get("autoscale") or {}
    nodes = 1 + int(scale.get("min_workers") or spec.get("num_workers") or 0)
    wanted = next_type(case, current, used | {current}, nodes)
    if wanted is None:
        return []
    fields = ["node_type_id"]
    if spec.get("driver_node_type_id") == current:
        fields.append("driver_node_type_id")
    return [job_settings.edit([*path, field], current, wanted) for field in fields]


class SetNodeType(Visible):
    """clusters/update of the node type: no other field is named. A RUNNING cluster restarts."""

    limit = READY

    def act(self, case: Case, memo: Json) -> Json:
        """Write the new type, unless somebody's run has come to the cluster meanwhile."""
        api = workspace_of(case, memo)
        if _busy(case, memo, read_cluster(case, memo)):
            raise PlatformThrottled("runs are active on the cluster, which would restart")
        api.update_cluster(memo["cluster_id"], memo["fields"])
        return {}

    def look(self, case: Case, memo: Json) -> Look:
        """Set and settled, on the way, not set, or ended with the new type."""
        cluster = read_cluster(case, memo)
        wanted = memo["fields"]["node_type_id"]
        if cluster.node_type != wanted:
            return Look(ABSENT)
        if cluster.state in {"PENDING", "RESTARTING", "RESIZING", "TERMINATING"}:
            return Look(PENDING, f"cluster {cluster.cluster_id} is {cluster.state}")
        ended = cluster.terminated_time != memo.get("terminated_time", cluster.terminated_time)
        if cluster.state == "ERROR" or (cluster.state == "TERMINATED" and ended):
            return Look(FAILED, f"the cluster ended: {cluster.code} {cluster.message}"[:500])
        return Look(DONE, f"cluster {cluster.cluster_id} is set to {wanted}")


def _busy(case: Case, memo: Json, cluster: ClusterFacts) -> bool:
    """Whether a change, which restarts a RUNNING cluster, would end somebody's run."""
    target = memo.get("workspace") or case.failure.target
    return cluster.state == "RUNNING" and bool(active_runs(case, target, cluster.cluster_id))


class NodeTypeBack(SetNodeType):
    """The way back, when nobody's run is active on the cluster: a RUNNING one restarts for it."""

    def look(self, case: Case, memo: Json) -> Look:
        """At the old type, at ours, waiting for others, or at somebody else's."""
        cluster = read_cluster(case, memo)
        before = memo["fields"]["node_type_id"]
        if cluster.node_type == before:
            return Look(DONE, f"cluster {cluster.cluster_id} has {before} again")
        if cluster.node_type not in memo["lent"]:
            return Look(FAILED, f"somebody set it to {cluster.node_type} meanwhile; left as it is")
        if cluster.state not in {"RUNNING", "TERMINATED"}:
            return Look(PENDING, f"cluster {cluster.cluster_id} is {cluster.state}")
        if _busy(case, memo, cluster):
            return Look(PENDING, "runs are active on the cluster, which would restart")
        return Look(ABSENT)
