"""Asks the platforms what they know about a failure. Reads only.

Lines come inner causes first: a dead cluster before the task that it took along, a child pipeline's
activity before the parent's "Operation on target X failed".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from shared.clock import Clock, from_iso
from shared.diagnosis import databricks_facts as facts
from shared.diagnosis import libraries
from shared.errors import NothingChanged, PlatformMissing
from shared.models import ClusterFacts, Evidence, EvidenceLine, Failure, TaskFacts
from shared.platforms.data_factory import FactoryClient
from shared.platforms.databricks import WorkspaceApi
from shared.platforms.directory import Platforms
from shared.targets import Targets
from shared.vocabulary import ComputeKind, FailureKind, RunState

Row = dict[str, Any]

PIPELINE_STATES = {
    "Queued": RunState.ACTIVE,
    "InProgress": RunState.ACTIVE,
    "Canceling": RunState.ACTIVE,
    "Succeeded": RunState.SUCCEEDED,
    "Failed": RunState.FAILED,
    "Cancelled": RunState.CANCELLED,
}
UPDATE_STATES = {
    "COMPLETED": RunState.SUCCEEDED,
    "FAILED": RunState.FAILED,
    "CANCELED": RunState.CANCELLED,
}
_DEPTH = 5  # nested pipelines followed
_TEXT = 6_000  # characters of one message kept
_LINES = 12
_TASKS = 6  # failed tasks whose output is read
_SLACK = timedelta(minutes=10)


class _Below:
    """What was met below a pipeline run: how many activities, and the Databricks runs."""

    def __init__(self) -> None:
        self.activities = 0
        self.runs: list[tuple[str, Evidence]] = []


_RUN_PAGE = re.compile(r"#job/\d+/run/(\d+)|/jobs/\d+/runs/(\d+)|[?#/]runs?/(\d+)")


class Gatherer:
    """Gathers evidence about failures of every kind."""

    def __init__(self, platforms: Platforms, targets: Targets, clock: Clock) -> None:
        self._platforms = platforms
        self._targets = targets
        self._clock = clock

    def gather(self, failure: Failure, run_id: str, members: Sequence[Failure] = ()) -> Evidence:
        """What the platform says now about `failure`, following its run `run_id`.

        `members` are failures below it: what is known of the Databricks runs among them counts.

        Raises:
            NothingChanged: the platform could not be asked.
        """
        try:
            evidence = self._kinds[failure.kind](self, failure, run_id)
            if failure.kind is FailureKind.PIPELINE_RUN and evidence.state is RunState.FAILED:
                self._look_below(evidence, members)
        except PlatformMissing as error:
            line = EvidenceLine("platform", error.code, str(error))
            return Evidence(RunState.MISSING, run_id, [line])
        return evidence

    def _look_below(self, evidence: Evidence, members: Sequence[Failure]) -> None:
        """Adds what the Databricks runs of a pipeline say: causes, and the clusters they share."""
        for member in members[:_TASKS]:
            if member.kind is not FailureKind.JOB_RUN:
                continue
            api = self._platforms.workspace(member.target)
            try:
                below = self._run_evidence(api, api.run(member.occurrence.partition("/")[0]))
            except NothingChanged:
                continue
            evidence.lines = [*below.lines, *evidence.lines][:_LINES]
            _take_clusters(evidence, member.target, below)

    # Data Factory

    def _pipeline_run(self, failure: Failure, run_id: str) -> Evidence:
        client = self._platforms.factory(failure.target)
        run = client.run(run_id)
        group = self._group(client, run)
        newest = max([*group, run], key=run_order)
        state = PIPELINE_STATES.get(str(newest.get("status")), RunState.UNKNOWN)
        invoked = newest.get("invokedBy") or {}
        tumbling = invoked.get("invokedByType") == "TumblingWindowTrigger"
        below = _Below()
        failed = state is RunState.FAILED
        evidence = Evidence(
            state=state,
            run_id=str(newest["runId"]),
            lines=self._pipeline_lines(client, newest, below) if failed else [],
            pipeline=str(newest.get("pipelineName") or failure.resource),
            trigger=str(invoked.get("name") or "") if tumbling else "",
            trigger_run_id=str(invoked.get("id") or "") if tumbling else "",
            runs=sorted({str(r["runId"]) for r in [*group, run]}),
            parameters={k: str(v) for k, v in (newest.get("parameters") or {}).items()},
            started_at=_moment(newest.get("runStart")),
            ended_at=_moment(newest.get("runEnd")),
        )
        evidence.activity_runs = below.activities
        for workspace, found in below.runs:
            _take_clusters(evidence, workspace, found)
        return evidence

    def _group(self, client: FactoryClient, run: Row) -> list[Row]:
        group = str(run.get("runGroupId") or run["runId"])
        start = (_moment(run.get("runStart")) or self._clock.now()) - _SLACK
        return client.runs(start, self._clock.now() + _SLACK, RunGroupId=group)

    def _pipeline_lines(
        self, client: FactoryClient, run: Row, below: _Below, depth: int = 0
    ) -> list[EvidenceLine]:
        start = (_moment(run.get("runStart")) or self._clock.now()) - _SLACK
        activities = client.activities(str(run["runId"]), start, self._clock.now() + _SLACK)
        below.activities += len(activities)
        failed = [a for a in activities if a.get("status") == "Failed"]
        lines: list[EvidenceLine] = []
        for activity in failed[:_TASKS]:
            lines += self._inside(client, activity, below, depth)
            lines.append(_activity_line(activity))
        if run.get("message"):
            lines.append(EvidenceLine("pipeline run", "", str(run["message"])[:_TEXT]))
        return lines[:_LINES]

    def _inside(
        self, client: FactoryClient, activity: Row, below: _Below, depth: int
    ) -> list[EvidenceLine]:
        """What happened in the work that an activity started: a pipeline, a Databricks run."""
        output = activity.get("output")
        if not isinstance(output, dict) or depth >= _DEPTH:
            return []
        child = output.get("pipelineRunId")
        try:
            if activity.get("activityType") == "ExecutePipeline" and child:
                return self._pipeline_lines(client, client.run(str(child)), below, depth + 1)
            return self._databricks_lines(str(output.get("runPageUrl") or ""), below)
        except NothingChanged:
            return []

    def _databricks_lines(self, url: str, below: _Below) -> list[EvidenceLine]:
        """What a run page's run says; asked of a listed workspace only, whatever the URL says."""
        match = _RUN_PAGE.search(url)
        workspace = _workspace_at(self._targets, url)
        if match is None or workspace is None:
            return []
        run_id = next(group for group in match.groups() if group)
        api = self._platforms.workspace(workspace)
        found = self._run_evidence(api, api.run(run_id))
        below.runs.append((workspace, found))
        return found.lines

    # Databricks jobs

    def _job_run(self, failure: Failure, run_id: str) -> Evidence:
        api = self._platforms.workspace(failure.target)
        return self._run_evidence(api, api.run(run_id))

    def _run_evidence(self, api: WorkspaceApi, run: Row) -> Evidence:
        state = facts.run_state(run)
        failed = facts.failed_tasks(run) if state is RunState.FAILED else []
        tasks = [facts.task_facts(task) for task in failed]
        clusters = self._clusters(api, tasks)
        return Evidence(
            state=state,
            run_id=str(run.get("run_id") or ""),
            lines=self._job_lines(api, run, failed, clusters) if failed else _own_lines(run, state),
            platform_retrying=facts.waiting_for_retry(run),
            job_id=str(run.get("job_id") or ""),
            repair_ids=facts.repair_ids(run),
            tasks=tasks,
            clusters=clusters,
            one_time_run=run.get("run_type") == "SUBMIT_RUN",
            parameters=facts.parameters(run),
            started_at=_millis(run.get("start_time")),
            ended_at=_millis(run.get("end_time")),
        )

    def _clusters(self, api: WorkspaceApi, tasks: list[TaskFacts]) -> list[ClusterFacts]:
        wanted = list(dict.fromkeys(task.cluster_id for task in tasks if task.cluster_id))
        found = []
        for cluster_id in wanted[:_TASKS]:
            try:
                found.append(facts.cluster_facts(api.cluster(cluster_id)))
            except PlatformMissing:
                continue
        return found

    def _job_lines(
        self, api: WorkspaceApi, run: Row, failed: list[Row], clusters: list[ClusterFacts]
    ) -> list[EvidenceLine]:
        lines: list[EvidenceLine] = []
        for cluster in clusters:
            if _died_during(cluster, run):
                lines += facts.cluster_lines(cluster)
        for task in failed[:_TASKS]:
            lines += self._task_lines(api, task)
        return [*lines, *_own_lines(run, RunState.FAILED)][:_LINES]

    def _task_lines(self, api: WorkspaceApi, task: Row) -> list[EvidenceLine]:
        source = f"task {task.get('task_key')}"
        lines: list[EvidenceLine] = []
        pipeline_id = (task.get("pipeline_task") or {}).get("pipeline_id")
        if pipeline_id:
            lines += update_lines(api, str(pipeline_id), "", int(task.get("start_time") or 0))
        try:
            output = api.run_output(str(task["run_id"]))
        except NothingChanged:
            output = {}
        said = [str(output.get("error") or ""), str(output.get("error_trace") or "")]
        lines += [EvidenceLine(f"{source} output", "", text[:_TEXT]) for text in said if text]
        return [*lines, *facts.run_lines(task, source)]

    # Clusters and libraries

    def _cluster(self, failure: Failure, _run_id: str) -> Evidence:
        api = self._platforms.workspace(failure.target)
        cluster = facts.cluster_facts(api.cluster(failure.resource))
        state = facts.cluster_state(cluster)
        lines = facts.cluster_lines(cluster)
        if state is RunState.SUCCEEDED and (silent := _silent_driver(api, cluster)):
            state, lines = RunState.FAILED, [silent]
        return Evidence(state=state, lines=lines, clusters=[cluster])

    def _library(self, failure: Failure, _run_id: str) -> Evidence:
        api = self._platforms.workspace(failure.target)
        cluster = facts.cluster_facts(api.cluster(failure.resource))
        lines: list[EvidenceLine] = []
        state = RunState.FAILED
        for status in api.library_statuses(failure.resource):
            if not libraries.same_package(status.get("library") or {}, failure.library):
                continue
            state = LIBRARY_STATES.get(str(status.get("status")), RunState.FAILED)
            if state is not RunState.FAILED:
                break
            text = " ".join(str(m) for m in status.get("messages") or [])
            lines.append(EvidenceLine("library", "library.install_failed", text[:_TEXT]))
        return Evidence(state=state, lines=lines, clusters=[cluster])

    # Pipelines

    def _update(self, failure: Failure, run_id: str) -> Evidence:
        api = self._platforms.workspace(failure.target)
        known = api.updates(failure.resource)
        newest = known[0] if known else api.update(failure.resource, run_id)
        state = UPDATE_STATES.get(str(newest.get("state")), RunState.ACTIVE)
        update_id = str(newest.get("update_id") or run_id)
        lines = update_lines(api, failure.resource, update_id, 0)
        return Evidence(
            state=state,
            run_id=update_id,
            lines=lines if state is RunState.FAILED else [],
            platform_retrying=str(newest.get("cause")) == "RETRY_ON_FAILURE"
            and state is RunState.ACTIVE,
            pipeline=failure.resource,
            runs=[str(update.get("update_id")) for update in known],
            started_at=_millis(newest.get("creation_time")),
        )

    _kinds = {  # noqa: RUF012 - a table of methods, never changed
        FailureKind.PIPELINE_RUN: _pipeline_run,
        FailureKind.JOB_RUN: _job_run,
        FailureKind.CLUSTER: _cluster,
        FailureKind.LIBRARY: _library,
        FailureKind.UPDATE: _update,
    }


LIBRARY_STATES = {
    "INSTALLED": RunState.SUCCEEDED,
    "RESTORED": RunState.SUCCEEDED,
    "PENDING": RunState.ACTIVE,
    "RESOLVING": RunState.ACTIVE,
    "INSTALLING": RunState.ACTIVE,
    "FAILED": RunState.FAILED,
    "SKIPPED": RunState.FAILED,
}


def update_lines(
    api: WorkspaceApi, pipeline_id: str, update_id: str, since_millis: int
) -> list[EvidenceLine]:
    """The errors of one update (or of all since a moment), the inner exceptions first."""
    lines: list[EvidenceLine] = []
    for event in api.error_events(pipeline_id):
        origin = event.get("origin") or {}
        if update_id and origin.get("update_id") not in (None, update_id):
            continue
        if since_millis and (_moment(event.get("timestamp")) or _NEVER).timestamp() * 1000 < (
            since_millis
        ):
            continue
        exceptions = (event.get("error") or {}).get("exceptions") or []
        source = f"flow {origin.get('flow_name') or pipeline_id}"
        lines += [_exception_line(source, e) for e in reversed(exceptions)]
        lines.append(EvidenceLine(source, "", str(event.get("message") or "")[:_TEXT]))
    return lines[:_LINES]


_NEVER = from_iso("1970-01-01T00:00:00Z")


def _exception_line(source: str, exception: Row) -> EvidenceLine:
    return EvidenceLine(
        source,
        "",
        str(exception.get("message") or "")[:_TEXT],
        str(exception.get("class_name") or ""),
    )


def _activity_line(activity: Row) -> EvidenceLine:
    error = activity.get("error")
    detail = error if isinstance(error, dict) else {"message": str(error or "")}
    return EvidenceLine(
        source=f"activity {activity.get('activityName')}",
        code=str(detail.get("errorCode") or ""),
        message=str(detail.get("message") or "")[:_TEXT],
        kind=str(detail.get("failureType") or ""),
    )


def _own_lines(run: Row, state: RunState) -> list[EvidenceLine]:
    if state not in {RunState.FAILED, RunState.CANCELLED}:
        return []
    return facts.run_lines(run, "job run")


def _died_during(cluster: ClusterFacts, run: Row) -> bool:
    """Whether a cluster was lost while the run was on it, not before and not long after."""
    if cluster.code in facts.PLANNED_ENDS:
        return False
    if not cluster.terminated_time or cluster.state == "RUNNING":
        return cluster.state == "ERROR"
    started = int(run.get("start_time") or 0)
    ended = int(run.get("end_time") or 0)
    slack = _SLACK.total_seconds() * 1000
    return cluster.terminated_time >= started and (
        not ended or cluster.terminated_time <= ended + slack
    )


def _silent_driver(api: WorkspaceApi, cluster: ClusterFacts) -> EvidenceLine | None:
    """The newest word about the driver of a RUNNING cluster, if it is that it does not answer."""
    for event in api.cluster_events(cluster.cluster_id):
        kind = str(event.get("type") or "")
        if kind == "DRIVER_NOT_RESPONDING":
            return EvidenceLine(f"cluster {cluster.cluster_id}", kind, "the driver does not answer")
        if kind in {"DRIVER_HEALTHY", "RUNNING", "STARTING", "RESTARTING"}:
            return None
    return None


def _take_clusters(evidence: Evidence, workspace: str, below: Evidence) -> None:
    """Note the shared clusters of a Databricks run as those of the pipeline run above it."""
    shared = [c for c in below.clusters if c.compute is ComputeKind.ALL_PURPOSE]
    if shared and not evidence.clusters:
        evidence.clusters, evidence.workspace = shared, workspace


def _workspace_at(targets: Targets, url: str) -> str | None:
    try:
        host = urlsplit(url).hostname
    except ValueError:
        return None
    for workspace in targets.workspaces:
        if host and urlsplit(workspace.host).hostname == host:
            return workspace.name
    return None


def run_order(run: Row) -> float:
    """Sorts pipeline runs by their start; one that is still queued is the newest."""
    started = run.get("runStart")
    return from_iso(str(started)).timestamp() if started else float("inf")


def _moment(value: Any) -> datetime | None:  # noqa: ANN401 - a JSON value
    return from_iso(str(value)) if value else None


def _millis(value: Any) -> datetime | None:  # noqa: ANN401 - a JSON value
    from shared.clock import from_millis

    return from_millis(int(value)) if value else None
