"""The jobs that start pipelines: which they are, whom they run as, who may do what with them."""

from __future__ import annotations

import logging
from collections import defaultdict
from typing import Any

from shared.errors import NothingChanged
from shared.monitoring.subject import RUNS_AS, STARTED_BY, each_task, job_name
from shared.platforms.calls import as_promised
from shared.platforms.databricks import WorkspaceApi

log = logging.getLogger("lakemend.sweeps")

Row = dict[str, Any]


def jobs_by_pipeline(api: WorkspaceApi) -> dict[str, dict[str, Row]]:
    """The settings of the jobs that start each pipeline, by pipeline and job."""
    listed: dict[str, Row] = {}
    starts: dict[str, set[str]] = defaultdict(set)  # which jobs start a job
    found: dict[str, set[str]] = defaultdict(set)  # and a pipeline
    for job in api.jobs_with_tasks():
        try:
            with as_promised():
                job_id, settings = str(job["job_id"]), dict(job.get("settings") or {})
                pipelines, jobs = _started(settings)
        except NothingChanged as error:
            log.warning("a job of %s: %s", api.workspace.name, error)
            continue
        listed[job_id] = settings
        for identity in pipelines:
            found[identity].add(job_id)
        for child in jobs:
            starts[child].add(job_id)
    return {
        identity: {
            job_id: listed[job_id] | {STARTED_BY: [listed[j] for j in _above(job_id, starts)]}
            for job_id in sorted(jobs)
        }
        for identity, jobs in found.items()
    }


def with_identity(api: WorkspaceApi, job_id: str, job: Row) -> Row:
    """A job with whom it runs as; where its settings do not say, only the job itself does."""
    if job.get("run_as"):
        return job
    try:
        return job | {RUNS_AS: str(api.job(job_id).get("run_as_user_name") or "")}
    except NothingChanged:  # the check leaves out what is not told
        return job


def rights_on_jobs(
    api: WorkspaceApi, jobs: dict[str, Row]
) -> tuple[tuple[str, tuple[Row, ...]], ...]:
    """The rights on each job by the job's name, of those that can be read."""
    read = [(job_name(job), rights(api, "jobs", job_id)) for job_id, job in jobs.items()]
    return tuple((name, acl) for name, acl in read if acl is not None)


def rights(api: WorkspaceApi, kind: str, identity: str) -> tuple[Row, ...] | None:
    """Who may do what with a job or pipeline, None where that cannot be read."""
    try:
        return tuple(api.permissions(kind, identity))
    except NothingChanged:  # reading them is a right of its own
        return None


def _started(settings: Row) -> tuple[set[str], set[str]]:
    """The pipelines and the jobs that the tasks of a job start."""
    pipelines, jobs = set(), set()
    for task in each_task(settings):
        pipelines.add(str((task.get("pipeline_task") or {}).get("pipeline_id") or ""))
        jobs.add(str((task.get("run_job_task") or {}).get("job_id") or ""))
    return pipelines - {""}, jobs - {""}


def _above(job_id: str, starts: dict[str, set[str]]) -> list[str]:
    """The jobs that start a job, over any number of others."""
    found: set[str] = set()
    fresh = set(starts.get(job_id, ()))
    while fresh:
        found |= fresh
        fresh = {above for one in fresh for above in starts.get(one, ())} - found
    return sorted(found - {job_id})
