"""From what an alert names to what can be rerun: the repair root of each failure.

The root is the topmost thing whose rerun cures the failure: an ADF child's parent run, the ADF run
that started a Databricks run, the job over a DLT update, the run on a crashed cluster. Failures
with one root are one incident.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import msgspec

from shared.clock import Clock
from shared.diagnosis import databricks_facts as facts
from shared.diagnosis import libraries
from shared.diagnosis.gather import PIPELINE_STATES
from shared.errors import PlatformMissing
from shared.models import ClusterFacts, EvidenceLine, Failure, Subject
from shared.platforms.data_factory import FactoryClient
from shared.platforms.databricks import WorkspaceApi
from shared.platforms.directory import Platforms
from shared.targets import Targets
from shared.vocabulary import FailureKind, RunState

Row = dict[str, Any]

_DEPTH = 8  # ExecutePipeline may be nested; a cycle is not possible, a long chain is a mistake
_MARGIN = timedelta(minutes=10)
_DAY_MILLIS = 86_400_000
_CLUSTER_MARGIN_MILLIS = 900_000  # a run is told failed some minutes after its cluster ended
_GUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


class Located(msgspec.Struct, frozen=True):
    """A root, the failures below it that the alert named, and what the alert said about them."""

    root: Failure
    members: tuple[Failure, ...]
    hints: tuple[EvidenceLine, ...] = ()


class Roots:
    """Finds roots by asking the platforms. Reads only."""

    def __init__(self, platforms: Platforms, targets: Targets, clock: Clock) -> None:
        self._platforms = platforms
        self._targets = targets
        self._clock = clock

    def locate(self, subject: Subject) -> list[Located]:
        """The roots of everything that `subject` means; empty if the platform knows no failure.

        Raises:
            NothingChanged: the platform could not be asked.
        """
        hint = EvidenceLine("alert", subject.code, subject.message)
        hints = (hint,) if subject.code or subject.message else ()
        found = self._kinds[subject.kind](self, subject)
        return [Located(root, members, hints) for root, members in found]

    # Data Factory

    def _pipeline_runs(self, subject: Subject) -> list[tuple[Failure, tuple[Failure, ...]]]:
        if subject.run_id:
            return self._named_run(subject)
        client = self._platforms.factory(subject.target)
        roots: dict[str, tuple[Failure, tuple[Failure, ...]]] = {}
        for run in self._failed_runs(client, subject):
            root, member = self._pipeline_root(client, run)
            _, members = roots.get(root.root_key, (root, ()))
            roots[root.root_key] = (root, (*members, member))
        return list(roots.values())

    def _named_run(self, subject: Subject) -> list[tuple[Failure, tuple[Failure, ...]]]:
        names = [subject.target] if subject.target else [f.name for f in self._targets.factories]
        for name in names:
            client = self._platforms.factory(name)
            try:
                run = client.run(subject.run_id)
            except PlatformMissing:
                continue
            root, member = self._pipeline_root(client, run)
            return [(root, (member,))]
        return []

    def _failed_runs(self, client: FactoryClient, subject: Subject) -> list[Row]:
        now = self._clock.now()
        after = (subject.window_start or now - timedelta(hours=1)) - _MARGIN
        before = (subject.window_end or now) + _MARGIN
        equal = {"Status": "Failed"}
        if subject.pipeline:
            equal["PipelineName"] = subject.pipeline
        return client.runs(after, before, **equal)

    def _pipeline_root(self, client: FactoryClient, run: Row) -> tuple[Failure, Failure]:
        member = pipeline_failure(client.factory.name, run)
        for _ in range(_DEPTH):
            parent = self._waiting_parent(client, run)
            if parent is None:
                break
            run = parent
        return pipeline_failure(client.factory.name, run), member

    def _waiting_parent(self, client: FactoryClient, run: Row) -> Row | None:
        """The run that started this one and fails with it, None if there is none."""
        invoked = run.get("invokedBy") or {}
        parent_id = invoked.get("pipelineRunId")
        if invoked.get("invokedByType") != "PipelineActivity" or not parent_id:
            return None
        try:
            parent = client.run(str(parent_id))
        except PlatformMissing:
            return None
        # A parent that goes on may yet fail with this child; one that does not wait for it is no
        # cure for it either way.
        state = PIPELINE_STATES.get(str(parent.get("status")))
        over = state in {RunState.FAILED, RunState.ACTIVE}
        waits = over and _waits_for(client, parent, str(run.get("pipelineName")))
        return parent if waits else None

    # Databricks

    def _job_runs(self, subject: Subject) -> list[tuple[Failure, tuple[Failure, ...]]]:
        api = self._platforms.workspace(subject.target)
        try:
            run = api.run(subject.run_id)
            parent = str(run.get("job_run_id") or "")
            if subject.task_run and parent and parent != subject.run_id:
                run = api.run(parent)
        except PlatformMissing:
            return []
        return [self._job_root(subject.target, run)]

    def _job_root(self, target: str, run: Row) -> tuple[Failure, tuple[Failure, ...]]:
        member = job_failure(target, run)
        root = self._data_factory_over(run) or member
        return root, (member,)

    def _data_factory_over(self, run: Row) -> Failure | None:
        """The ADF run that started this one. ADF names it `ADF_<factory>_<pipeline>_…_<run id>`."""
        name = str(run.get("run_name") or "")
        if not name.startswith("ADF_"):
            return None
        for factory in self._targets.factories:
            if not name.lower().startswith(f"adf_{factory.name.lower()}_"):
                continue
            for run_id in _GUID.findall(name):
                found = self._pipeline_if_known(factory.name, run_id)
                if found is not None:
                    return found
        return None

    def _pipeline_if_known(self, factory: str, run_id: str) -> Failure | None:
        client = self._platforms.factory(factory)
        try:
            return self._pipeline_root(client, client.run(run_id))[0]
        except PlatformMissing:
            return None

    def _clusters(self, subject: Subject) -> list[tuple[Failure, tuple[Failure, ...]]]:
        api = self._platforms.workspace(subject.target)
        cluster = self._cluster(api, subject)
        if cluster is None:
            return []
        member = cluster_failure(subject.target, subject.kind, cluster, subject.library)
        runs = self._runs_lost_with(api, cluster, subject)
        roots = [self._job_root(subject.target, run)[0] for run in runs]
        return [(root, (member,)) for root in roots] or [(member, (member,))]

    def _runs_lost_with(
        self, api: WorkspaceApi, cluster: ClusterFacts, subject: Subject
    ) -> list[Row]:
        """Job runs that failed on a cluster when it ended, or still hang on it.

        Of a cluster that runs, those that failed just now; of a library, those that speak of it.
        """
        now = int(self._clock.now().timestamp() * 1000)
        moment = now if cluster.state == "RUNNING" else cluster.terminated_time or now
        lost = []
        for run in _runs(api, max(moment - _DAY_MILLIS, 0)):
            tasks = [t for t in run.get("tasks") or [] if _was_on(t, cluster.cluster_id)]
            if not tasks or not _lost(run, tasks, cluster, moment):
                continue
            if subject.kind is not FailureKind.LIBRARY or _speaks_of_library(tasks, subject):
                lost.append(run)
        return lost

    def _cluster(self, api: WorkspaceApi, subject: Subject) -> ClusterFacts | None:
        if subject.cluster_id:
            try:
                return facts.cluster_facts(api.cluster(subject.cluster_id))
            except PlatformMissing:
                return None
        named = [c for c in api.clusters() if c.get("cluster_name") == subject.cluster_name]
        # A name is not unique; with two of them nothing says which one is meant.
        return facts.cluster_facts(named[0]) if len(named) == 1 else None

    def _updates(self, subject: Subject) -> list[tuple[Failure, tuple[Failure, ...]]]:
        api = self._platforms.workspace(subject.target)
        try:
            update = api.update(subject.pipeline, subject.run_id)
        except PlatformMissing:
            return []
        member = Failure(
            kind=FailureKind.UPDATE,
            target=subject.target,
            resource=subject.pipeline,
            occurrence=subject.run_id,
            group="pipeline",
        )
        run = _job_over(api, update, subject.pipeline)
        root = self._job_root(subject.target, run)[0] if run else member
        return [(root, (member,))]

    _kinds = {  # noqa: RUF012 - a table of methods, never changed
        FailureKind.PIPELINE_RUN: _pipeline_runs,
        FailureKind.JOB_RUN: _job_runs,
        FailureKind.CLUSTER: _clusters,
        FailureKind.LIBRARY: _clusters,
        FailureKind.UPDATE: _updates,
    }


def pipeline_failure(target: str, run: Row) -> Failure:
    """The failure that an ADF run is."""
    return Failure(
        kind=FailureKind.PIPELINE_RUN,
        target=target,
        resource=str(run.get("pipelineName") or ""),
        occurrence=str(run["runId"]),
        name=str(run.get("pipelineName") or ""),
        group=str(run.get("runGroupId") or run["runId"]),
    )


def cluster_failure(
    target: str, kind: FailureKind, cluster: ClusterFacts, library: str = ""
) -> Failure:
    """The failure that the end of a cluster, or a library on it, is."""
    return Failure(
        kind=kind,
        target=target,
        resource=cluster.cluster_id,
        occurrence=str(cluster.terminated_time or cluster.restarted_time or 0),
        name=cluster.name,
        group="cluster",
        library=library,
    )


def job_failure(target: str, run: Row) -> Failure:
    """The failure that a job run is; each repair is an occurrence of its own."""
    run_id = str(run.get("run_id") or "")
    repairs = facts.repair_ids(run)
    return Failure(
        kind=FailureKind.JOB_RUN,
        target=target,
        resource=str(run.get("job_id") or ""),
        occurrence="/".join([run_id, *repairs[-1:]]),
        name=str(run.get("run_name") or ""),
        group=run_id,
    )


def _waits_for(client: FactoryClient, parent: Row, child: str) -> bool:
    """Whether the parent waits for its child's end. True where its definition cannot be read."""
    try:
        definition = client.pipeline(str(parent.get("pipelineName")))
    except PlatformMissing:
        return True
    content = definition.get("properties") or definition
    for activity in _activities(content.get("activities") or []):
        details = activity.get("typeProperties") or {}
        called = (details.get("pipeline") or {}).get("referenceName")
        if activity.get("type") == "ExecutePipeline" and called == child:
            return details.get("waitOnCompletion") is not False
    return True


def _activities(listed: list[Row]) -> list[Row]:
    """All activities, those inside loops and branches included."""
    found: list[Row] = []
    for activity in listed:
        found.append(activity)
        details = activity.get("typeProperties") or {}
        for inner in ("activities", "ifTrueActivities", "ifFalseActivities", "defaultActivities"):
            found += _activities(details.get(inner) or [])
        for case in details.get("cases") or []:
            found += _activities(case.get("activities") or [])
    return found


def _runs(api: WorkspaceApi, since: int) -> list[Row]:
    try:
        return list(api.runs(since))
    except PlatformMissing:
        return []


def _was_on(task: Row, cluster_id: str) -> bool:
    instance = task.get("cluster_instance") or {}
    return cluster_id in (task.get("existing_cluster_id"), instance.get("cluster_id"))


def _speaks_of_library(tasks: list[Row], subject: Subject) -> bool:
    said = " ".join(line.message for task in tasks for line in facts.run_lines(task, "task"))
    package = libraries.package_of(libraries.decode(subject.library)) if subject.library else ""
    return "librar" in said.lower() or bool(package and package.lower() in said.lower())


def _lost(run: Row, tasks: list[Row], cluster: ClusterFacts, moment: int) -> bool:
    if facts.run_state(run) is RunState.ACTIVE:
        return cluster.state != "RUNNING"  # on a cluster that is back it is a new run
    failed = any(facts.run_state(task) is RunState.FAILED for task in tasks)
    return failed and abs(int(run.get("end_time") or 0) - moment) <= _CLUSTER_MARGIN_MILLIS


def _job_over(api: WorkspaceApi, update: Row, pipeline_id: str) -> Row | None:
    """The job run whose pipeline task made this update."""
    if update.get("cause") != "JOB_TASK":
        return None
    created = int(update.get("creation_time") or 0)
    for run in _runs(api, max(created - _DAY_MILLIS, 0)):
        for task in run.get("tasks") or []:
            if (task.get("pipeline_task") or {}).get("pipeline_id") != pipeline_id:
                continue
            start, end = int(task.get("start_time") or 0), int(task.get("end_time") or 0)
            if start <= created and (not end or created <= end):
                return run
    return None
