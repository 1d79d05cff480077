"""The previous version of a pipeline brought back, and shown to be good by an update of it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from shared.delivery import undoing
from shared.delivery.leaving import Later
from shared.delivery.mutations import Mutation, once, repeatable
from shared.delivery.work import Work
from shared.errors import PlatformRefused
from shared.models import Json

_OVER = frozenset({"COMPLETED", "FAILED", "CANCELED"})


def same(spec: Json, other: Json) -> bool:
    """Whether two specifications are one, but for what the platform adds."""
    return {k: v for k, v in spec.items() if k != "id"} == other


def restore(work: Work, pipeline_id: str, row: Json | None) -> str:
    """Bring the previous settings and sources back, and follow an update of them.

    Returns:
        What became of it; it begins with `ok: ` where nothing is left for a person.

    Raises:
        Later: it goes on.
        NothingChanged: the platform refused it.
    """
    previous, target = work.stage.previous, work.stage.target
    if row is None or previous is None:
        return "the pipeline is gone, its previous settings are in the record"
    if not same(row.get("spec") or {}, previous.pipeline):
        _edit(work, pipeline_id, row)
    _restore_jobs(work)
    undoing.remove_folders(work, work.api.pipeline(pipeline_id) or {})
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
        return {} if same(spec, settings) else None

    def act() -> Json:
        work.api.edit_pipeline(pipeline_id, settings, modified)
        return {}

    name = f"{work.stage.target}-rollback-settings"
    words = f"give pipeline {pipeline_id} its previous settings"
    once(work, Mutation(name, words, act, look))


def _restore_jobs(work: Work) -> None:
    previous = work.stage.previous
    before = previous.jobs if previous else {}
    for key, job_id in (undoing.jobs_of(work) | work.stage.left).items():
        settings = before.get(key)
        if settings is None:
            undoing.remove_job(work, key, job_id)
        else:
            words = f"give job {job_id} its previous settings"
            reset = partial(work.api.reset_job, job_id, settings)
            repeatable(work, f"rollback-job-{key}", words, reset)


def _verify(work: Work, pipeline_id: str) -> str:
    """An update of the previous version, followed until it has ended."""

    def before() -> Json:
        return {"known": [str(u["update_id"]) for u in work.reads.updates(pipeline_id)]}

    def look(memo: Json) -> Json | None:
        fresh = [u for u in work.reads.updates(pipeline_id) if u["update_id"] not in memo["known"]]
        return {"update_id": str(fresh[0]["update_id"])} if fresh else None

    name = f"{work.stage.target}-rollback-verify"
    made = once(
        work,
        Mutation(
            name,
            f"start an update of the previous version of pipeline {pipeline_id}",
            lambda: _again(work, pipeline_id, look, name),
            look,
            before,
        ),
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
