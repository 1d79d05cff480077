"""Checks of the jobs that start a pipeline. Pure; each answers what it found."""

from __future__ import annotations

from shared.monitoring.subject import Answer, Row, Subject, job_name


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


def _scheduled(subject: Subject) -> list[Row]:
    names = ("schedule", "trigger", "continuous")
    return [job for job in subject.jobs if any(job.get(name) for name in names)]


def schedule(subject: Subject) -> Answer:
    """A schedule that runs."""
    if subject.spec.get("continuous") or subject.spec.get("trigger") or not subject.jobs:
        return None, "not by a job"
    running = [job for job in _scheduled(subject) if not _paused(job)]
    said = f"{len(running)} of {len(subject.jobs)} jobs are scheduled and not paused"
    return bool(running), said


def _paused(job: Row) -> bool:
    parts = [job.get(name) or {} for name in ("schedule", "trigger", "continuous")]
    return any(part.get("pause_status") == "PAUSED" for part in parts)


def order(subject: Subject) -> Answer:
    """Other tasks beside the pipeline's that wait for nothing run whenever they like."""
    if not subject.jobs:
        return None, "no job"
    loose = [job_name(job) for job in subject.jobs if _unordered(job)]
    said = f"tasks of {', '.join(loose)} have no order" if loose else "tasks follow one another"
    return not loose, said


def _unordered(job: Row) -> bool:
    tasks = job.get("tasks") or []
    return len(tasks) > 1 and not any(task.get("depends_on") for task in tasks)


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
    return str(run_as.get("user_name") or run_as.get("service_principal_name") or "")
