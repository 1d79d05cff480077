"""Everything as it was before: the previous settings and sources, or nothing where nothing was.

Stage by stage, the last one first. Only what is still as this delivery left it is touched. Data is
never rewound: tables that were written stay, and how to restore them is said step by step
(`shared.delivery.guide`).
"""

from __future__ import annotations

from functools import partial

from shared.delivery import undoing
from shared.delivery.checks import stop_checks
from shared.delivery.deployed import untouched
from shared.delivery.leaving import Later
from shared.delivery.mutations import repeatable
from shared.delivery.previous import restore, same
from shared.delivery.resolved import stamp_of
from shared.delivery.work import Work
from shared.delivery_models import Delivery, Stage
from shared.models import Json
from shared.vocabulary import Action


def roll_back(work: Work) -> str:
    """Take the next stage back; what is left over for a person, empty if all is as it was.

    Raises:
        Later: it goes on.
        NothingChanged: the platform refused it.
    """
    while (number := _next(work.delivery)) is not None:
        work.change(partial(_turn_to, number))
        note = _stage(work)
        _done(work, number, note)
    return "; ".join(s.rollback_note for s in work.delivery.stages if _bad(s))


def _next(delivery: Delivery) -> int | None:
    """The last stage that was begun, is not taken back, and was not delivered for good."""
    for number in range(len(delivery.stages) - 1, -1, -1):
        stage = delivery.stages[number]
        keep = stage.delivered_at is not None and not _everything(delivery)
        if stage.rolled_back_at is None and not keep and (stage.looked or stage.folders):
            return number
    return None


def _everything(delivery: Delivery) -> bool:
    """Whether what was delivered is taken back too: somebody asked for it, after the end."""
    return delivery.cancel is not None and delivery.closed_at is not None


def _turn_to(number: int, fresh: Delivery) -> None:
    fresh.stage_number = number


def _bad(stage: Stage) -> bool:
    return bool(stage.rollback_note) and not stage.rollback_note.startswith("ok: ")


def _stage(work: Work) -> str:
    undoing.remove_validations(work)
    stop_checks(work)
    stage, pipeline_id = work.stage, work.stage.pipeline_id or _made(work)
    row = work.api.pipeline(pipeline_id) if pipeline_id else None
    if row is not None and not _ours(work, row):
        undoing.remove_folders(work, row)
        return "somebody has changed the pipeline since, and it is left as it is" * stage.looked
    if row is not None:
        _stop(work, pipeline_id)
    if stage.previous is None:
        return _remove(work, pipeline_id)
    return restore(work, pipeline_id, row)


def _made(work: Work) -> str:
    """The pipeline that we made and had no time to write down."""
    for pipeline_id in work.api.pipelines_named(work.stage.pipeline_name):
        spec = (work.api.pipeline(pipeline_id) or {}).get("spec") or {}
        if stamp_of(spec).startswith(f"{work.delivery.delivery_id}."):
            return pipeline_id
    return ""


def _ours(work: Work, row: Json) -> bool:
    """Whether the pipeline is as this delivery left it, or as it was before."""
    spec, previous = row.get("spec") or {}, work.stage.previous
    if previous is not None and same(spec, previous.pipeline):
        return True
    if untouched(work, spec):
        return True
    scaled = any("-scale-" in name and i.made for name, i in work.delivery.intents.items())
    return work.plan.source == "pipeline" and scaled and not work.stage.deployed


def _stop(work: Work, pipeline_id: str) -> None:
    """End the update that is under way, and wait until it has ended."""
    if f"{work.stage.target}-rollback-verify" in work.delivery.intents:
        return  # what runs now is the update that shows that it is good
    words = f"stop pipeline {pipeline_id}"
    repeatable(work, "rollback-stop", words, lambda: work.api.stop_pipeline(pipeline_id))
    row = work.api.pipeline(pipeline_id) or {}
    if row.get("state") in {"RUNNING", "STOPPING", "STARTING", "RESETTING"}:
        raise Later(work.context.timings.verify_first, "the update is being stopped")


def _remove(work: Work, pipeline_id: str) -> str:
    """There was nothing: what we made goes."""
    for key, job_id in undoing.jobs_of(work).items():
        undoing.remove_job(work, key, job_id)
    if pipeline_id:
        words = f"remove the pipeline {pipeline_id}"
        remove = partial(work.api.delete_pipeline, pipeline_id)
        repeatable(work, "rollback-pipeline", words, remove)
    undoing.remove_folders(work, {})
    name = work.stage.pipeline_name
    return f"ok: nothing was there before, what {name} had made of it is removed"


def _done(work: Work, number: int, note: str) -> None:
    now = work.now

    def done(fresh: Delivery) -> None:
        stage = fresh.stages[number]
        stage.rolled_back_at, stage.rollback_note = now, note

    words = f"{work.delivery.stages[number].target}: {note.removeprefix('ok: ')}"
    work.change(done, work.entry(Action.ROLLED_BACK, words, f"rolled-back-{number}"))
