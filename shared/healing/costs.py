"""What a remedy is estimated to cost here: the work's shape, priced by policy."""

from __future__ import annotations

from shared.models import ClusterFacts, Evidence
from shared.policy.cost import Load, estimate
from shared.policy.model import Policy
from shared.vocabulary import ComputeKind, FailureKind

_NODES = 5  # assumed where nothing tells; dear rather than cheap


def cost_of(
    policy: Policy,
    kind: FailureKind,
    evidence: Evidence,
    remedy: str,
    usual_seconds: float | None,
) -> float:
    """The estimated cost of one try of `remedy`, in USD."""
    seconds = policy.cost.assumed_run if usual_seconds is None else usual_seconds
    return estimate(policy.cost.prices, remedy, _load(kind, evidence, seconds))


def _load(kind: FailureKind, evidence: Evidence, seconds: float) -> Load:
    if kind is FailureKind.PIPELINE_RUN:
        return Load(seconds=seconds, activity_runs=max(evidence.activity_runs, 1))
    cluster = evidence.clusters[0] if evidence.clusters else None
    compute = evidence.compute
    if compute is ComputeKind.NONE:  # an update: it does not tell what it runs on
        compute = ComputeKind.JOB_CLUSTER
    return Load(
        compute=compute,
        node_type=cluster.node_type if cluster else "",
        nodes=_nodes(cluster) if cluster else _NODES,
        seconds=seconds,
    )


def _nodes(cluster: ClusterFacts) -> int:
    workers = cluster.max_workers if cluster.workers is None else cluster.workers
    return (workers or 0) + 1
