"""Jobs of the version before that a new version no longer holds.

They are not removed: their runs and what somebody built on them would go with them. Their schedule
is paused, because it would start the pipeline beside the new version's; a rollback lets them run
again, and a person decides what becomes of them.
"""

from __future__ import annotations

from functools import partial

from shared.delivery.mutations import repeatable
from shared.delivery.resolved import PAUSABLE, stamp_of
from shared.delivery.work import Work
from shared.delivery_models import Check
from shared.errors import LedgerMissing, NothingChanged, PlatformMissing
from shared.models import Json


def left_jobs(work: Work, spec: Json, kept: set[int]) -> dict[int, Json]:
    """Settings by id of the jobs that the delivery before made for this pipeline, but for `kept`.

    Only what that delivery's own record names and its tag marks: everything else is somebody's.
    """
    before = stamp_of(spec).rpartition(".")[0]
    try:
        earlier = work.context.deliveries.get(before) if before else None
    except LedgerMissing:
        earlier = None
    found: dict[int, Json] = {}
    for stage in earlier.stages if earlier else []:
        if (stage.workspace, stage.pipeline_id) != (work.stage.workspace, work.stage.pipeline_id):
            continue
        for job_id in set(stage.jobs.values()) - kept:
            settings = _settings(work, job_id)
            if stamp_of(settings).startswith(f"{before}."):
                found[job_id] = settings
    return found


def _settings(work: Work, job_id: int) -> Json:
    try:
        return dict(work.reads.job(str(job_id)).get("settings") or {})
    except NothingChanged as error:
        if isinstance(error, PlatformMissing) or "does not exist" in str(error):
            return {}
        raise


def pause_left_jobs(work: Work) -> list[Check]:
    """Pause their schedules; what is left for a person."""
    previous, told = work.stage.previous, []
    for key, job_id in work.stage.left.items():
        settings = previous.jobs[key] if previous else {}
        paused = {
            field: {**settings[field], "pause_status": "PAUSED"}
            for field in PAUSABLE
            if isinstance(settings.get(field), dict)
        }
        if paused:
            name, words = f"{work.version}-left-{job_id}", f"pause job {job_id}"
            repeatable(work, name, words, partial(work.reads.update_job, str(job_id), paused))
        what = "is paused" if paused else "has no schedule"
        note = f"job {job_id}, {settings.get('name')}: this version holds it no longer; it {what}"
        told.append(Check("left job", ok=None, note=note))
    return told
