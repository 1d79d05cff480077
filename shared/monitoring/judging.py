"""From runs and what is usual to findings. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from shared.clock import from_millis, iso
from shared.findings.model import FindingKind, Seen
from shared.models import ClusterFacts
from shared.monitoring.feed import Feed, Run
from shared.monitoring.pace import (
    Track,
    Usual,
    error_rate_rose,
    lately,
    overdue,
    span,
    usual_before,
)
from shared.monitoring.paces import Tracks, waiting_by_resource
from shared.notify.model import Severity
from shared.vocabulary import FailureKind

Row = dict[str, Any]

RUN_KINDS = frozenset(
    {
        FindingKind.SLOW_RUN,
        FindingKind.STUCK_RUN,
        FindingKind.ERROR_RATE,
        FindingKind.MISSING_RUNS,
        FindingKind.QUEUE_GROWING,
        FindingKind.RETRIES_PILING_UP,
    }
)
_QUEUED, _QUEUED_SECONDS = 3, 600.0
_RETRIES = 2  # attempts after the first one


def judged(
    target: str, feed: Feed, tracks: Tracks, now: datetime, until: datetime | None = None
) -> list[Seen]:
    """What is not as usual in a target now.

    `until` is how far the runs are known: what ran after it cannot be missing yet.
    """
    found = _active_runs(target, feed, tracks, now)
    slow = {seen.resource for seen in found}
    found += [s for s in _ended_runs(target, tracks) if s.resource not in slow]
    found += _rates(target, tracks, min(now, until or now))
    found += _queues(target, feed, now)
    return found + _retries(target, feed)


def _active_runs(target: str, feed: Feed, tracks: Tracks, now: datetime) -> list[Seen]:
    slowest: dict[str, tuple[float, Seen]] = {}
    for run in feed.active:
        track = tracks.get(run.resource)
        known = usual_before(track, run.started.timestamp()) if track else None
        took = run.seconds(now)
        # What waits in a queue has not begun: cancelling it would send it to the queue's end.
        if known is None or not run.working or took <= known.limit:
            continue
        if took > slowest.get(run.resource, (0.0, None))[0]:
            slowest[run.resource] = (took, _under_way(target, run, known, took))
    return [seen for _, seen in slowest.values()]


def _under_way(target: str, run: Run, known: Usual, took: float) -> Seen:
    stuck = took > known.stuck
    said = "seems stuck" if stuck else "is slow"
    proposal = "cancel it and rerun it" if stuck else _PROPOSAL
    return Seen(
        FindingKind.STUCK_RUN if stuck else FindingKind.SLOW_RUN,
        target,
        run.resource,
        run.name,
        Severity.CRITICAL if stuck else Severity.WARNING,
        f"{run.name} {said}: run {run.run_id} has been under way {_than(known)}",
        (*measure(known), f"run {run.run_id} began {iso(run.started)}", *_longest_task(run)),
        proposal,
        "rerun" if stuck else _remedy(run.kind),
        run.run_id,
    )


_PROPOSAL = "compare its steps with an earlier run; where the data has grown, scale up"


def _remedy(kind: FailureKind) -> str:
    return "scale_up" if kind is FailureKind.JOB_RUN else ""


def _than(known: Usual) -> str:
    return f"longer than {span(known.limit)}, usual is {span(known.median)}"


def measure(known: Usual) -> tuple[str, ...]:
    """What slow is measured against, in words."""
    spread = f"median {known.median:.0f} s, spread (MAD) {known.spread:.0f} s"
    return (f"{spread} over {known.runs} good runs; slow begins at {known.limit:.0f} s",)


def _longest_task(run: Run) -> tuple[str, ...]:
    """The task of a job run that has been under way longest."""
    tasks = [t for t in run.row.get("tasks") or [] if t.get("start_time") and not t.get("end_time")]
    if not tasks:
        return ()
    oldest = min(tasks, key=lambda task: int(task["start_time"]))
    since = iso(from_millis(int(oldest["start_time"])))
    return (f"task {oldest.get('task_key')} under way since {since}",)


def longest_activity(rows: Iterable[Row]) -> tuple[str, ...]:
    """The activity of a pipeline run that has been under way longest."""
    going = [r for r in rows if r.get("activityRunStart") and not r.get("activityRunEnd")]
    if not going:
        return ()
    oldest = min(going, key=lambda row: str(row["activityRunStart"]))
    name, kind = oldest.get("activityName"), oldest.get("activityType")
    return (f"activity {name} ({kind}) under way since {oldest['activityRunStart']}",)


def _ended_runs(target: str, tracks: Tracks) -> list[Seen]:
    """What was slow the last time that it ended well; the next usual run resolves it."""
    found: list[Seen] = []
    for resource, track in tracks.items():
        newest = _newest_good(track)
        known = usual_before(track, newest[0] - newest[1]) if newest else None
        if newest is None or known is None or newest[1] <= known.limit:
            continue
        name = track.name or resource
        took = f"took {span(newest[1])}, usual is {span(known.median)}"
        ended = iso(from_millis(newest[0] * 1000))
        found.append(
            Seen(
                FindingKind.SLOW_RUN,
                target,
                resource,
                name,
                Severity.WARNING,
                f"{name} was slow: its last run {took}",
                (*measure(known), f"the run took {newest[1]} s and ended {ended}"),
                _PROPOSAL,
            )
        )
    return found


def _newest_good(track: Track) -> tuple[int, int, int] | None:
    good = [sample for sample in track.samples if sample[2] and sample[1]]
    return good[-1] if good else None


def _rates(target: str, tracks: Tracks, until: datetime) -> list[Seen]:
    found: list[Seen] = []
    for resource, track in tracks.items():
        name = track.name or resource
        rose = error_rate_rose(track)
        if rose:
            failed, newest, before = rose
            summary = f"{name} fails more often: {failed} of the last {newest} runs"
            evidence = (f"before: {before:.0%} of {len(lately(track)) - newest} runs",)
            found.append(
                _warning(FindingKind.ERROR_RATE, target, resource, name, summary, evidence)
            )
        late = overdue(track, until.timestamp())
        if late:
            summary = f"{name} has not run for {span(late[0])}; its runs came regularly"
            evidence = (f"longest pause that is usual: {span(late[1])}",)
            found.append(
                _warning(FindingKind.MISSING_RUNS, target, resource, name, summary, evidence)
            )
    return found


def _warning(
    kind: FindingKind,
    target: str,
    resource: str,
    name: str,
    summary: str,
    evidence: tuple[str, ...],
) -> Seen:
    return Seen(kind, target, resource, name, Severity.WARNING, summary, evidence, _HELP[kind])


_HELP = {
    FindingKind.ERROR_RATE: "look at its incidents: the same error again and again has one cause",
    FindingKind.MISSING_RUNS: "look whether its trigger or schedule is stopped or paused",
    FindingKind.QUEUE_GROWING: "raise its limit of concurrent runs, or start it less often",
    FindingKind.RETRIES_PILING_UP: "look at the attempts: a retry that never helps hides a failure",
}


def _queues(target: str, feed: Feed, now: datetime) -> list[Seen]:
    found: list[Seen] = []
    for resource, runs in waiting_by_resource(feed.active).items():
        oldest = max(run.seconds(now) for run in runs)
        if len(runs) < _QUEUED or oldest < _QUEUED_SECONDS:
            continue
        name = runs[-1].name
        summary = f"{len(runs)} runs of {name} wait, the first for {span(oldest)}"
        evidence = tuple(f"run {run.run_id} since {iso(run.started)}" for run in runs[:5])
        found.append(_warning(FindingKind.QUEUE_GROWING, target, resource, name, summary, evidence))
    return found


def _retries(target: str, feed: Feed) -> list[Seen]:
    found: dict[str, Seen] = {}
    for run in feed.active:
        tasks = run.row.get("tasks") or []
        again = [t for t in tasks if int(t.get("attempt_number") or 0) >= _RETRIES]
        if not again:
            continue
        kind, most = FindingKind.RETRIES_PILING_UP, max(int(t["attempt_number"]) for t in again)
        summary = f"{run.name} is at attempt {most + 1} in run {run.run_id}"
        evidence = tuple(sorted({f"task {task.get('task_key')}" for task in again}))
        found[run.resource] = _warning(kind, target, run.resource, run.name, summary, evidence)
    return list(found.values())


def clusters_down(
    target: str, clusters: Iterable[ClusterFacts], active: Sequence[Run]
) -> list[Seen]:
    """Shared clusters that are not up although tasks wait for them."""
    waiting: dict[str, list[str]] = {}
    for run in active:
        for task in run.row.get("tasks") or []:
            cluster_id = str(task.get("existing_cluster_id") or "")
            life = str((task.get("state") or {}).get("life_cycle_state") or "")
            if cluster_id and life in _NOT_BEGUN:
                waiting.setdefault(cluster_id, []).append(
                    f"{run.name}, task {task.get('task_key')}"
                )
    found: list[Seen] = []
    for cluster in clusters:
        works = waiting.get(cluster.cluster_id)
        if not works or cluster.state not in {"ERROR", "TERMINATED"}:
            continue
        name = cluster.name or cluster.cluster_id
        summary = f"cluster {name} is {cluster.state} while {len(works)} tasks wait for it"
        evidence = (f"{cluster.code}: {cluster.message}", *works[:5])
        seen = _warning_of_cluster(target, cluster.cluster_id, name, summary, evidence)
        found.append(seen)
    return found


_NOT_BEGUN = frozenset({"PENDING", "BLOCKED", "QUEUED", "WAITING_FOR_RETRY"})


def _warning_of_cluster(
    target: str, cluster_id: str, name: str, summary: str, evidence: tuple[str, ...]
) -> Seen:
    kind, help_ = FindingKind.CLUSTER_DOWN, "start the cluster"
    severity = Severity.CRITICAL
    return Seen(kind, target, cluster_id, name, severity, summary, evidence, help_, "start_cluster")


def runtime_offline(target: str, name: str, status: Row) -> Seen | None:
    """An integration runtime that does not work; one that somebody stopped is no finding."""
    state = str(status.get("state") or "")
    details = status.get("typeProperties") or status
    nodes = details.get("nodes") or []
    down = [str(n.get("nodeName")) for n in nodes if n.get("status") not in {"Online", None}]
    if state not in _OFFLINE and not down:
        return None
    severity = Severity.CRITICAL if state in _OFFLINE else Severity.WARNING
    evidence = (f"state {state}", *(f"node {node} is not online" for node in down))
    summary = (
        f"integration runtime {name} is {state}"
        if state in _OFFLINE
        else (f"integration runtime {name}: {len(down)} of {len(nodes)} nodes are not online")
    )
    proposal = "look at the service on its machine: whether it runs and reaches Azure"
    kind = FindingKind.RUNTIME_OFFLINE
    return Seen(kind, target, name, name, severity, summary, evidence, proposal)


# https://learn.microsoft.com/rest/api/datafactory/integration-runtimes/get-status
_OFFLINE = frozenset({"Offline", "Limited", "NeedRegistration", "AccessDenied"})
