"""What a rollback takes away again: jobs, folders, the pipelines that were made to validate."""

from __future__ import annotations

from functools import partial

from shared.delivery import sources
from shared.delivery.mutations import repeatable
from shared.delivery.resolved import stamp_of
from shared.delivery.work import Work
from shared.errors import NothingChanged, PlatformMissing
from shared.models import Json


def remove_validations(work: Work) -> None:
    """The pipelines that were made only to validate a version."""
    for version in range(1, work.delivery.version + 1):
        name = sources.validation_name(work, version)
        for pipeline_id in work.api.pipelines_named(name):
            remove = partial(work.api.delete_pipeline, pipeline_id)
            repeatable(
                work, f"rollback-validation-{version}", f"remove the pipeline {name}", remove
            )


def jobs_of(work: Work) -> dict[str, int]:
    """The stage's jobs, with those that we made and had no time to write down."""
    known = dict(work.stage.jobs)
    if not work.stage.looked or work.plan.source == "pipeline":
        return known
    from shared.delivery.gates.l1 import job_name

    for key, settings in sources.load(work).jobs.items():
        for job in work.api.jobs_named(job_name(work, settings)):
            mine = stamp_of(job.get("settings") or {}).startswith(f"{work.delivery.delivery_id}.")
            if mine:
                known.setdefault(key, int(job["job_id"]))
    return known


def remove_job(work: Work, key: str, job_id: int) -> None:
    """A job that we made."""

    def remove() -> None:
        try:
            work.api.delete_job(job_id)
        except NothingChanged as error:
            if not isinstance(error, PlatformMissing) and "does not exist" not in str(error):
                raise

    repeatable(work, f"rollback-job-{key}", f"remove the job {job_id}", remove)


def remove_folders(work: Work, row: Json) -> None:
    """Our folders, unless the pipeline still reads from them."""
    used = str((row.get("spec") or {}).get("libraries") or "")
    for number, folder in enumerate(work.stage.folders):
        if folder not in used:
            remove = partial(work.api.remove_folder, folder)
            repeatable(work, f"rollback-folder-{number}", f"remove the folder {folder}", remove)
