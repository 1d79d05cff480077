"""Everything as it was before: the previous settings and sources, or nothing where nothing was.

Stage by stage, the last one first. Only what is still as this delivery left it is touched. Data is
never rewound: tables that were written stay, and how to restore them is said step by step.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from shared.delivery import sources
from shared.delivery.resolved import stamp_of
from shared.delivery.work import Later, Mutation, Work
from shared.delivery_models import Delivery, Stage
from shared.errors import NothingChanged, PlatformMissing, PlatformRefused
from shared.models import Json
from shared.vocabulary import Action

_OVER = frozenset({"COMPLETED", "FAILED", "CANCELED"})


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
    _remove_validations(work)
    stage, pipeline_id = work.stage, work.stage.pipeline_id or _made(work)
    row = work.api.pipeline(pipeline_id) if pipeline_id else None
    if row is not None and not _ours(work, row):
        _remove_folders(work, row)
        return "somebody has changed the pipeline since, and it is left as it is" * stage.looked
    if row is not None:
        _stop(work, pipeline_id)
    if stage.previous is None:
        return _remove(work, pipeline_id)
    return _restore(work, pipeline_id, row)


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
    if stamp_of(spec).startswith(f"{work.delivery.delivery_id}."):
        return True
    if previous is None:
        return False
    scaled = any("-scale-" in name and i.made for name, i in work.delivery.intents.items())
    return _same(spec, previous.pipeline) or (work.plan.source == "pipeline" and scaled)


def _same(spec: Json, other: Json) -> bool:
    """Whether two specifications are one, but for what the platform adds."""
    return {k: v for k, v in spec.items() if k != "id"} == other


def _remove_validations(work: Work) -> None:
    for version in range(1, work.delivery.version + 1):
        name = sources.validation_name(work, version)
        for pipeline_id in work.api.pipelines_named(name):
            words = f"remove the pipeline {name}"
            key = f"{work.stage.target}-rollback-validation-{version}"
            work.once(Mutation(key, words, partial(_deleted, work, pipeline_id)))


def _deleted(work: Work, pipeline_id: str) -> Json:
    work.api.delete_pipeline(pipeline_id)
    return {"pipeline_id": pipeline_id}


def _stop(work: Work, pipeline_id: str) -> None:
    """End the update that is under way, and wait until it has ended."""

    def act() -> Json:
        work.api.stop_pipeline(pipeline_id)
        return {}

    key = f"{work.stage.target}-rollback"
    if f"{key}-verify" in work.delivery.intents:
        return  # what runs now is the update that shows that it is good
    work.once(Mutation(f"{key}-stop", f"stop pipeline {pipeline_id}", act))
    row = work.api.pipeline(pipeline_id) or {}
    if row.get("state") in {"RUNNING", "STOPPING", "STARTING", "RESETTING"}:
        raise Later(work.context.timings.verify_first, "the update is being stopped")


def _remove(work: Work, pipeline_id: str) -> str:
    """There was nothing: what we made goes."""
    stage, target = work.stage, work.stage.target
    for key, job_id in _jobs(work).items():
        words = f"remove the job {job_id}"
        name = f"{target}-rollback-job-{key}"
        work.once(Mutation(name, words, partial(_job_deleted, work, job_id)))
    if pipeline_id:
        words = f"remove the pipeline {pipeline_id}"
        name = f"{target}-rollback-pipeline"
        work.once(Mutation(name, words, lambda: _deleted(work, pipeline_id)))
    _remove_folders(work, {})
    return f"ok: nothing was there before, what {stage.pipeline_name} had made of it is removed"


def _jobs(work: Work) -> dict[str, int]:
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


def _job_deleted(work: Work, job_id: int) -> Json:
    try:
        work.api.delete_job(job_id)
    except NothingChanged as error:
        if not isinstance(error, PlatformMissing) and "does not exist" not in str(error):
            raise
    return {"job_id": job_id}


def _restore(work: Work, pipeline_id: str, row: Json | None) -> str:
    """The previous settings and sources; then an update shows that they are good."""
    previous, target = work.stage.previous, work.stage.target
    if row is None or previous is None:
        return "the pipeline is gone, its previous settings are in the record"
    if not _same(row.get("spec") or {}, previous.pipeline):
        _edit(work, pipeline_id, row)
    _restore_jobs(work)
    _remove_folders(work, work.api.pipeline(pipeline_id) or {})
    changed = f"{target}-rollback-settings" in work.delivery.intents
    if not changed and not any(run.update_id for run in work.stage.runs):
        return "ok: nothing had been changed"
    return _verify(work, pipeline_id)


def _edit(work: Work, pipeline_id: str, row: Json) -> None:
    previous = work.stage.previous
    settings = previous.pipeline if previous else {}
    modified = int(row.get("last_modified") or 0)

    def look(_memo: Json) -> Json | None:
        spec = (work.api.pipeline(pipeline_id) or {}).get("spec") or {}
        return {} if _same(spec, settings) else None

    def act() -> Json:
        work.api.edit_pipeline(pipeline_id, settings, modified)
        return {}

    name = f"{work.stage.target}-rollback-settings"
    words = f"give pipeline {pipeline_id} its previous settings"
    work.once(Mutation(name, words, act, look))


def _restore_jobs(work: Work) -> None:
    previous = work.stage.previous
    before = previous.jobs if previous else {}
    for key, job_id in _jobs(work).items():
        settings = before.get(key)
        name = f"{work.stage.target}-rollback-job-{key}"
        if settings is None:
            words = f"remove the job {job_id}"
            work.once(Mutation(name, words, partial(_job_deleted, work, job_id)))
        else:
            words = f"give job {job_id} its previous settings"
            work.once(Mutation(name, words, partial(_job_reset, work, job_id, settings)))


def _job_reset(work: Work, job_id: int, settings: Json) -> Json:
    work.api.reset_job(job_id, settings)
    return {"job_id": job_id}


def _remove_folders(work: Work, row: Json) -> None:
    """Our folders, unless the pipeline still reads from them."""
    used = str((row.get("spec") or {}).get("libraries") or "")
    for number, folder in enumerate(work.stage.folders):
        if folder in used:
            continue
        name = f"{work.stage.target}-rollback-folder-{number}"
        words = f"remove the folder {folder}"
        work.once(Mutation(name, words, partial(_folder_removed, work, folder)))


def _folder_removed(work: Work, folder: str) -> Json:
    work.api.remove_folder(folder)
    return {"folder": folder}


def _verify(work: Work, pipeline_id: str) -> str:
    """An update of the previous version, followed until it has ended."""

    def before() -> Json:
        return {"known": [str(u["update_id"]) for u in work.reads.updates(pipeline_id)]}

    def look(memo: Json) -> Json | None:
        fresh = [u for u in work.reads.updates(pipeline_id) if u["update_id"] not in memo["known"]]
        return {"update_id": str(fresh[0]["update_id"])} if fresh else None

    name = f"{work.stage.target}-rollback-verify"
    made = work.once(
        Mutation(
            name,
            f"start an update of the previous version of pipeline {pipeline_id}",
            lambda: _again(work, pipeline_id, look, name),
            look,
            before,
        )
    )
    update_id = str(made["update_id"])
    state = str(work.reads.update(pipeline_id, update_id).get("state"))
    continuous = bool(work.stage.previous and work.stage.previous.pipeline.get("continuous"))
    if state == "COMPLETED" or (continuous and state == "RUNNING"):
        return f"ok: the previous version is back, update {update_id} is {state}"
    if state in _OVER:
        return f"the previous version is back, but its update {update_id} is {state}"
    begun = work.delivery.intents[name].at
    if (work.now - begun).total_seconds() > work.plan.timeout_minutes * 60:
        return f"the previous version is back, its update {update_id} is still {state}"
    raise Later(work.context.timings.verify_first, f"the previous version's update is {state}")


def _again(work: Work, pipeline_id: str, look: Callable[[Json], Json | None], name: str) -> Json:
    """Start an update; a continuous pipeline has perhaps started one by itself."""
    try:
        return {"update_id": work.api.start_update(pipeline_id, {"cause": "API_CALL"})}
    except PlatformRefused:
        found = look(work.delivery.intents[name].memo)
        if found is None:
            raise
        return found


def _done(work: Work, number: int, note: str) -> None:
    now = work.now

    def done(fresh: Delivery) -> None:
        stage = fresh.stages[number]
        stage.rolled_back_at, stage.rollback_note = now, note

    words = f"{work.delivery.stages[number].target}: {note.removeprefix('ok: ')}"
    work.change(done, work.entry(Action.ROLLED_BACK, words, f"rolled-back-{number}"))


def restore_guide(work: Work) -> list[str]:
    """How a person takes the data back, where updates of this delivery may have written some."""
    guide = []
    for stage in work.delivery.stages:
        started = next((run.started_at for run in stage.runs if run.started_at), None)
        if stage.rolled_back_at is None or started is None:
            continue
        moment = started.strftime("%Y-%m-%d %H:%M:%S")
        tables = [f"{stage.catalog}.{stage.schema}.{name}" for name in stage.tables[:5]]
        more = " and the others" if len(stage.tables) > len(tables) else ""
        guide.append(
            f"{stage.target}: data written since {moment} UTC was not rewound. Where it must be: "
            f"DESCRIBE HISTORY of {', '.join(tables) or 'each table'}{more}, find the last version "
            f"before that time, then RESTORE TABLE … TO VERSION AS OF that version."
        )
    return guide
