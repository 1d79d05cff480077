"""More workers, then rerun what failed; given back when the incident closes.

Needs: CAN_MANAGE on the cluster, or on the job for job clusters. Changes: the number of workers, or
both ends of the autoscale range, times 1.5, never above `AUTO_REMEDIATION_MAX_WORKERS`; nothing
else of the specification. Once only: the cluster's (or job's) own size tells whether it was done.
Verified: the cluster is RUNNING at the new size, then the rerun itself. Costs: the extra workers
while the rerun lasts.

A RUNNING cluster is resized, which keeps its work; a TERMINATED one is updated, then started. A job
cluster is changed in the job's settings, which the repair uses. Serverless has no such lever.
"""

from __future__ import annotations

import math

from shared.errors import PlatformRefused
from shared.models import Attempt, ClusterFacts, Json, Loan, TaskFacts
from shared.remedies import job_settings
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
    compute_target,
    workspace_of,
)
from shared.remedies.restart_cluster import read_cluster, shared_cluster, with_rerun
from shared.vocabulary import ComputeKind

FACTOR = 1.5


def grown(workers: int, ceiling: int) -> int:
    """`workers` times 1.5, rounded up, at most `ceiling`; never fewer than before.

    >>> [grown(n, 16) for n in (1, 2, 4, 12, 16, 20)]
    [2, 3, 6, 16, 16, 20]
    """
    return max(workers, min(math.ceil(workers * FACTOR), ceiling))


def grown_size(size: Json, ceiling: int) -> Json | None:
    """A cluster's size grown, None if it is at the ceiling or has no workers to grow.

    `size` holds `num_workers` or `autoscale`; the answer has the same form.
    """
    scale = size.get("autoscale")
    if scale:
        low = grown(int(scale.get("min_workers") or 0), ceiling)
        high = grown(int(scale.get("max_workers") or 0), ceiling)
        bigger: Json = {"autoscale": {"min_workers": min(low, high), "max_workers": high}}
    else:
        bigger = {"num_workers": grown(int(size.get("num_workers") or 0), ceiling)}
    return bigger if bigger != _plain(size) else None


def _plain(size: Json) -> Json:
    scale = size.get("autoscale")
    if scale:
        return {
            "autoscale": {
                "min_workers": int(scale.get("min_workers") or 0),
                "max_workers": int(scale.get("max_workers") or 0),
            }
        }
    return {"num_workers": int(size.get("num_workers") or 0)}


class ScaleUp:
    """The remedy `scale_up`."""

    def plan(self, case: Case, tried: list[Attempt]) -> Plan | Refusal:
        """Grow the compute that the failed work ran on."""
        del tried
        evidence = case.evidence
        cluster = shared_cluster(case)
        if cluster is not None:
            return _grow_cluster(case, cluster)
        if evidence is not None and evidence.compute is ComputeKind.JOB_CLUSTER:
            return _grow_job(case, evidence.job_id, evidence.tasks)
        return Refusal("there is no cluster that could be given more workers")


def _grow_cluster(case: Case, cluster: ClusterFacts) -> Plan | Refusal:
    before = _size(cluster)
    after = grown_size(before, case.max_workers)
    if after is None:
        return Refusal(f"{_words(before)} is the ceiling of {case.max_workers} or cannot grow")
    phases = {
        "RUNNING": ["resize_cluster"],
        "TERMINATED": ["update_size", "start_cluster"],
    }.get(cluster.state)
    if phases is None:
        return Refusal(f"the cluster is {cluster.state}", busy=cluster.state != "ERROR")
    name = cluster.name or cluster.cluster_id
    words = f"scale cluster {name} from {_words(before)} to {_words(after)}"
    memo: Json = {
        "cluster_id": cluster.cluster_id,
        "terminated_time": cluster.terminated_time,
        "restarted_time": cluster.restarted_time,
        "size": after,
    }
    back = Loan(
        "size_back",
        {
            "cluster_id": cluster.cluster_id,
            "workspace": compute_target(case),
            "size": before,
            "lent": [after],
        },
        f"cluster {name} back to {_words(before)}",
    )
    plan = with_rerun(case, phases, memo, words, cluster)
    return plan if isinstance(plan, Refusal) else _lent(plan, back)


def _lent(plan: Plan, back: Loan) -> Plan:
    return Plan(plan.phases, plan.summary, plan.memo, plan.locks, [back])


def _size(cluster: ClusterFacts) -> Json:
    if cluster.max_workers is not None:
        return {
            "autoscale": {
                "min_workers": cluster.min_workers or 0,
                "max_workers": cluster.max_workers,
            }
        }
    return {"num_workers": cluster.workers or 0}


def _words(size: Json) -> str:
    scale = size.get("autoscale")
    if scale:
        return f"{scale['min_workers']} to {scale['max_workers']} workers"
    return f"{size['num_workers']} workers"


def _grow_job(case: Case, job_id: str, tasks: list[TaskFacts]) -> Plan | Refusal:
    settings = job_settings.read(case, job_id)
    edits: list[job_settings.Edit] = []
    words: list[str] = []
    for path in cluster_paths(settings, tasks):
        spec = job_settings.value_at(settings, path) or {}
        after = grown_size(spec, case.max_workers)
        if after is None:
            continue
        before = _plain(spec)
        field = next(iter(after))
        edits.append(job_settings.edit([*path, field], spec.get(field), after[field]))
        words.append(f"{path[1]} from {_words(before)} to {_words(after)}")
    if not edits:
        return Refusal(f"the job's clusters are at the ceiling of {case.max_workers} workers")
    changing = f"scale job {job_id}'s cluster {', '.join(words)}"
    returning = f"job {job_id}'s clusters back to their size"
    return job_settings.plan(case, job_id, edits, (changing, returning))


def cluster_paths(settings: Json, tasks: list[TaskFacts]) -> list[list[str]]:
    """Where the specifications of the failed tasks' clusters stand in the job's settings."""
    paths = []
    for task in tasks:
        if task.job_cluster_key:
            path = ["job_clusters", task.job_cluster_key, "new_cluster"]
        else:
            path = ["tasks", task.task_key, "new_cluster"]
        if path not in paths and job_settings.value_at(settings, path) is not None:
            paths.append(path)
    return paths


class ResizeCluster(Visible):
    """clusters/resize of a RUNNING cluster."""

    limit = READY

    def act(self, case: Case, memo: Json) -> Json:
        """Ask for the new size."""
        api = workspace_of(case, memo)
        api.resize_cluster(memo["cluster_id"], memo["size"])
        return {}

    def look(self, case: Case, memo: Json) -> Look:
        """At the new size, on the way, or still at the old one."""
        cluster = read_cluster(case, memo)
        if cluster.state in {"RESIZING", "PENDING", "RESTARTING"}:
            return Look(PENDING, f"cluster {cluster.cluster_id} is {cluster.state}")
        if cluster.state != "RUNNING":
            return Look(FAILED, f"the cluster is {cluster.state}: {cluster.code}")
        if _size(cluster) != memo["size"]:
            return Look(ABSENT)
        return Look(DONE, f"cluster {cluster.cluster_id} has {_words(memo['size'])}")


class UpdateSize(Visible):
    """clusters/update of the size of a TERMINATED cluster: no other field is named."""

    limit = READY

    def act(self, case: Case, memo: Json) -> Json:
        """Write the new size, unless somebody has started the cluster: it would restart."""
        api = workspace_of(case, memo)
        state = read_cluster(case, memo).state
        if state != "TERMINATED":
            raise PlatformRefused(f"the cluster is {state} by now; changing it would restart it")
        api.update_cluster(memo["cluster_id"], memo["size"])
        return {}

    def look(self, case: Case, memo: Json) -> Look:
        """At the new size or not."""
        cluster = read_cluster(case, memo)
        if _size(cluster) != memo["size"]:
            return Look(ABSENT)
        return Look(DONE, f"cluster {cluster.cluster_id} is set to {_words(memo['size'])}")


class SizeBack(Visible):
    """The way back: the size from before, unless somebody has set another since."""

    limit = READY

    def act(self, case: Case, memo: Json) -> Json:
        """Resize while RUNNING, update otherwise."""
        api = workspace_of(case, memo)
        cluster = read_cluster(case, memo)
        if cluster.state == "RUNNING":
            api.resize_cluster(memo["cluster_id"], memo["size"])
        else:
            api.update_cluster(memo["cluster_id"], memo["size"])
        return {}

    def look(self, case: Case, memo: Json) -> Look:
        """At the old size, on the way, at ours, or at somebody else's."""
        cluster = read_cluster(case, memo)
        size = _size(cluster)
        if size == memo["size"]:
            return Look(DONE, f"cluster {cluster.cluster_id} has {_words(size)} again")
        if cluster.state not in {"RUNNING", "TERMINATED"}:
            return Look(PENDING, f"cluster {cluster.cluster_id} is {cluster.state}")
        if size in memo["lent"]:
            return Look(ABSENT)
        note = f"somebody set it to {_words(size)} meanwhile; left as it is"
        return Look(FAILED, note)
