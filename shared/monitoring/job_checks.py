"""Checks of the jobs that start a pipeline. Pure; each answers what it found."""

from __future__ import annotations

from shared.monitoring.subject import RUNS_AS, STARTED_BY, Answer, Row, Subject, job_name


def job_tells(job: Row) -> bool:
    """Whether a job tells somebody of a failure."""
    ways = ("email_notifications", "webhook_notifications")
    return any((job.get(way) or {}).get("on_failure") for way in ways)


def timeouts(subject: Subject) -> Answer:
    """No run that hangs for ever."""
    if not subject.jobs:
        return None, "no job"
    without = [job_name(job) for job in subject.jobs if not _has_timeout(job)]
    return not without, f"without a time-out: {', '.join(without)}" if without else "all have one"


def _has_timeout(job: Row) -> bool:
    tasks = job.get("tasks") or []
    return bool(job.get("timeout_seconds")) or (
        bool(tasks) and all(task.get("timeout_seconds") for task in tasks)
    )


def schedule(subject: Subject) -> Answer:
    """A schedule that runs, of the job itself or of one that starts it."""
    if subject.spec.get("continuous") or subject.spec.get("trigger") or not subject.jobs:
        return None, "not by a job"
    running = [job for job in subject.jobs if any(map(_runs, (job, *job.get(STARTED_BY, ()))))]
    said = f"{len(running)} of {len(subject.jobs)} jobs are scheduled and not paused"
    return bool(running), said


def _runs(job: Row) -> bool:
    parts = [job.get(name) for name in ("schedule", "trigger", "continuous")]
    return any(parts) and not any(part.get("pause_status") == "PAUSED" for part in parts if part)


def order(subject: Subject) -> Answer:
    """Tasks that no dependency ties to the pipeline's run whenever they like."""
    if not subject.jobs:
        return None, "no job"
    loose = [job_name(job) for job in subject.jobs if _unordered(job, subject.pipeline_id)]
    said = f"tasks of {', '.join(loose)} have no order" if loose else "tasks follow one another"
    return not loose, said


def _unordered(job: Row, pipeline_id: str) -> bool:
    tasks = job.get("tasks") or []
    own = {str(task.get("task_key")) for task in tasks if _starts(task, pipeline_id)}
    if not own:  # listings leave tasks of large jobs out
        return len(tasks) > 1 and not any(task.get("depends_on") for task in tasks)
    return bool({str(task.get("task_key")) for task in tasks} - _tied(tasks, own))


def _starts(task: Row, pipeline_id: str) -> bool:
    inner = (task.get("for_each_task") or {}).get("task") or {}
    started = [(one.get("pipeline_task") or {}).get("pipeline_id") for one in (task, inner)]
    return bool(pipeline_id) and pipeline_id in started


def _tied(tasks: list[Row], own: set[str]) -> set[str]:
    """The tasks that dependencies tie to these, over any number of others."""
    ties = {
        str(task.get("task_key")): {str(d.get("task_key")) for d in task.get("depends_on") or []}
        for task in tasks
    }
    found, grown = set(own), True
    while grown:
        before = len(found)
        for key, needed in ties.items():
            if key in found or needed & found:
                found |= needed | {key}
        grown = len(found) > before
    return found


def concurrency(subject: Subject) -> Answer:
    """One run at a time."""
    if not subject.jobs:
        return None, "no job"
    many = [job_name(j) for j in subject.jobs if int(j.get("max_concurrent_runs") or 1) > 1]
    said = f"{', '.join(many)} may run more than once at a time" if many else "one run at a time"
    return not many, said


def job_identity(job: Row) -> str:
    """Whom a job runs as, empty where it does not say."""
    run_as = job.get("run_as") or {}
    named = run_as.get("user_name") or run_as.get("service_principal_name")
    return str(named or job.get(RUNS_AS) or "")
