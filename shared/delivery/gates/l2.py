"""L2: the pipeline and its jobs as they are to be, and what was there before kept."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from shared.delivery import sources
from shared.delivery.deployed import remember
from shared.delivery.gates.l1 import job_name
from shared.delivery.leaving import GateFailed, Later
from shared.delivery.left_jobs import left_jobs, pause_left_jobs
from shared.delivery.mutations import Mutation, once
from shared.delivery.resolved import PAUSABLE, Resolved, placed, stamp_of, stamped
from shared.delivery.work import Work
from shared.delivery_models import Access, Check, Delivery, GateName, GateState, Snapshot
from shared.errors import PlatformMissing, PlatformRefused
from shared.models import Json


def deploy(work: Work) -> None:
    """Pass the gate, fail it, or come back later."""
    gate = work.enter(GateName.L2)
    if work.plan.source == "pipeline":
        _take_over(work)
        work.leave(GateState.SKIPPED, "deployed already, its settings are kept", "deliver_run")
        return
    resolved = sources.load(work)
    alone = bool(work.stage.pipeline_id)
    _snapshot(work, resolved)
    if work.stage.pipeline_id and not alone:
        raise Later(0.0, "the pipeline is there already: nobody else may work on it")
    if not gate.phase:
        work.require(list(_governance(work, resolved)), "governed")
    _wait_for_rest(work)
    pipeline_id = _pipeline(work, resolved)
    for key, settings in resolved.jobs.items():
        _job(work, key, settings, pipeline_id)
    _access(work, pipeline_id)
    left = pause_left_jobs(work)
    work.require([*_verified(work, resolved, pipeline_id), *left], "verified")
    remember(work)
    jobs = f"{len(resolved.jobs)} job{'s' * (len(resolved.jobs) != 1)}"
    note = f"pipeline {pipeline_id}, {jobs}, version {work.version}"
    work.leave(GateState.PASSED, note, "deliver_run")


def _take_over(work: Work) -> None:
    row = work.api.pipeline(work.plan.pipeline_id)
    if row is None:
        raise GateFailed("the pipeline is gone")
    _keep(work, work.plan.pipeline_id, _snapshot_of(row, {}), {})


def _snapshot(work: Work, resolved: Resolved) -> None:
    """What was there before us, written down once, before anything of it is changed."""
    if work.stage.looked:
        return
    found = work.api.pipelines_named(work.stage.pipeline_name)
    row = work.api.pipeline(found[0]) if found else None
    if row is None:
        _keep(work, "", None, {})
        return
    known: dict[str, int] = {}
    settings: dict[str, Json] = {}
    for key, job in resolved.jobs.items():
        for listed in work.api.jobs_named(job_name(work, job)):
            known[key] = int(listed["job_id"])
            settings[key] = dict(work.reads.job(str(listed["job_id"])).get("settings") or {})
    work.stage.pipeline_id = found[0]  # only this copy of the record
    left = left_jobs(work, row.get("spec") or {}, set(known.values()))
    settings |= {_left_key(job_id): job for job_id, job in left.items()}
    _keep(work, found[0], _snapshot_of(row, settings), known)


def _left_key(job_id: int) -> str:
    return f"left-{job_id}"


def _snapshot_of(row: Json, jobs: dict[str, Json]) -> Snapshot:
    spec = {k: v for k, v in (row.get("spec") or {}).items() if k != "id"}
    return Snapshot(spec, int(row.get("last_modified") or 0), jobs)


def _keep(work: Work, pipeline_id: str, previous: Snapshot | None, jobs: dict[str, int]) -> None:
    number = work.delivery.stage_number

    def note(fresh: Delivery) -> None:
        stage = fresh.stages[number]
        if stage.looked:
            return
        stage.looked, stage.previous, stage.pipeline_id = True, previous, pipeline_id
        stage.jobs = dict(jobs)
        for key in previous.jobs if previous else ():
            if key not in jobs:
                stage.left[key] = int(key.removeprefix("left-"))
        if previous is not None and not stage.catalog:
            stage.catalog = str(previous.pipeline.get("catalog") or "")
            stage.schema = str(previous.pipeline.get("schema") or "")

    work.change(note)


def _governance(work: Work, resolved: Resolved) -> Iterator[Check]:
    """Who owns the schema, where its data lies, who holds what: looked at, never changed."""
    name = f"{resolved.catalog}.{resolved.schema}"
    try:
        schema = work.api.schema(name)
    except (PlatformMissing, PlatformRefused) as error:
        yield Check("governance", ok=False, note=str(error))
        return
    yield Check("schema owner", ok=None, note=f"{name} belongs to {schema.get('owner')}")
    place = schema.get("storage_location") or "the catalog's own location"
    yield Check("schema location", ok=None, note=str(place))
    try:
        held = work.api.grants("schema", name)
    except (PlatformMissing, PlatformRefused) as error:
        # Who may deliver there need not be allowed to see who else may do what.
        yield Check("grants", ok=None, note=f"cannot be read: {error}")
        return
    for principal, wanted in resolved.grants.items():
        missing = _lacking(held.get(principal, set()), wanted)
        told = f"{principal} lacks {', '.join(missing)} on {name}" if missing else "as declared"
        yield Check("grants", ok=None, note=told)


def _lacking(held: set[str], wanted: tuple[str, ...]) -> list[str]:
    spoken = {privilege.replace(" ", "_") for privilege in held}
    return [] if "ALL_PRIVILEGES" in spoken else sorted(set(wanted) - spoken)


def _wait_for_rest(work: Work) -> None:
    """Somebody's update that is under way ends before the settings change below it."""
    pipeline_id = work.stage.pipeline_id
    row = work.api.pipeline(pipeline_id) if pipeline_id else None
    previous = work.stage.previous
    continuous = bool(previous and previous.pipeline.get("continuous"))
    if row is not None and row.get("state") == "RUNNING" and not continuous:
        raise Later(work.context.timings.wait_interval, "an update of the pipeline is under way")


def settings_of(work: Work, resolved: Resolved) -> Json:
    """The whole specification of the pipeline in the present version."""
    settings = stamped(placed(resolved.pipeline, sources.folder(work)), work.version)
    return settings | {"name": work.stage.pipeline_name}


def _pipeline(work: Work, resolved: Resolved) -> str:
    settings = settings_of(work, resolved)
    if work.stage.pipeline_id:
        _edit(work, settings)
        return work.stage.pipeline_id
    api, version = work.api, work.version

    def look(_memo: Json) -> Json | None:
        for pipeline_id in api.pipelines_named(work.stage.pipeline_name):
            if stamp_of((api.pipeline(pipeline_id) or {}).get("spec") or {}) == version:
                return {"pipeline_id": pipeline_id}
        return None

    made = once(
        work,
        Mutation(
            f"{work.prefix}-pipeline",
            f"create the pipeline {work.stage.pipeline_name}",
            lambda: {"pipeline_id": api.create_pipeline(settings)},
            look,
        ),
    )
    pipeline_id, number = str(made["pipeline_id"]), work.delivery.stage_number

    def note(fresh: Delivery) -> None:
        fresh.stages[number].pipeline_id = pipeline_id

    work.change(note)
    return pipeline_id


def _edit(work: Work, settings: Json) -> None:
    """The whole specification, refused by the platform if somebody changed it meanwhile."""
    api, pipeline_id = work.api, work.stage.pipeline_id

    def row() -> Json:
        return api.pipeline(pipeline_id) or {}

    def before() -> Json:
        found = row()
        previous = work.stage.previous
        ours = stamp_of(found.get("spec") or {}).startswith(f"{work.delivery.delivery_id}.")
        modified = int(found.get("last_modified") or 0)
        if not ours and previous is not None and modified != previous.last_modified:
            raise GateFailed("somebody changed the pipeline since it was looked at")
        return {"last_modified": modified}

    def look(_memo: Json) -> Json | None:
        return {} if stamp_of(row().get("spec") or {}) == work.version else None

    def act() -> Json:
        modified = work.delivery.intents[name].memo["last_modified"]
        api.edit_pipeline(pipeline_id, settings, int(modified))
        return {}

    name = f"{work.prefix}-pipeline"
    words = f"replace the settings of pipeline {pipeline_id}"
    once(work, Mutation(name, words, act, look, before))


def job_settings(work: Work, settings: Json, pipeline_id: str, *, paused: bool) -> Json:
    """A job's settings; `paused` until what it runs is known to be good."""
    done = stamped(placed(settings, sources.folder(work), pipeline_id), work.version)
    done["name"] = job_name(work, settings)
    for field in PAUSABLE if paused else ():
        if isinstance(done.get(field), dict):
            done[field] = {**done[field], "pause_status": "PAUSED"}
    return done


def _job(work: Work, key: str, settings: Json, pipeline_id: str) -> None:
    wanted = job_settings(work, settings, pipeline_id, paused=True)
    api, name = work.api, f"{work.prefix}-job-{key}"
    known = work.stage.jobs.get(key)
    if known is not None:
        words = f"replace the settings of job {known}"
        once(work, Mutation(name, words, lambda: _reset(work, known, wanted)))
        return

    def look(_memo: Json) -> Json | None:
        found = api.jobs_named(wanted["name"])
        mine = [j for j in found if stamp_of(j.get("settings") or {}) == work.version]
        return {"job_id": int(mine[0]["job_id"])} if mine else None

    words = f"create the job {wanted['name']}"
    made = once(work, Mutation(name, words, lambda: {"job_id": api.create_job(wanted)}, look))
    number = work.delivery.stage_number

    def note(fresh: Delivery) -> None:
        fresh.stages[number].jobs[key] = int(made["job_id"])

    work.change(note)


def _reset(work: Work, job_id: int, settings: Json) -> Json:
    work.api.reset_job(job_id, settings)
    return {"job_id": job_id}


def _access(work: Work, pipeline_id: str) -> None:
    """What the plan names, no more: who else may do what is left as it is."""
    if not work.plan.access:
        return
    entries = [_access_row(access) for access in work.plan.access]

    def act() -> Json:
        work.api.give_access(pipeline_id, entries)
        return {"access": [msgspec.to_builtins(access) for access in work.plan.access]}

    words = f"let {len(entries)} principals at pipeline {pipeline_id}"
    once(work, Mutation(f"{work.prefix}-access", words, act))


def _access_row(access: Access) -> Json:
    return {f"{access.kind}_name": access.principal, "permission_level": access.level}


def _verified(work: Work, resolved: Resolved, pipeline_id: str) -> Iterator[Check]:
    """What is there now, read back."""
    row = work.api.pipeline(pipeline_id) or {}
    spec = row.get("spec") or {}
    wanted = settings_of(work, resolved)
    compared = ("name", "catalog", "schema", "libraries", "serverless", "continuous", "tags")
    wrong = [name for name in compared if name in wanted and spec.get(name) != wanted[name]]
    told = f"differs in {', '.join(wrong)}" if wrong else f"{pipeline_id} is as asked for"
    yield Check("pipeline", not wrong, told)
    for key, job_id in work.stage.jobs.items():
        if key not in resolved.jobs:
            continue
        settings = work.reads.job(str(job_id)).get("settings") or {}
        right = stamp_of(settings) == work.version
        yield Check("job", right, f"{job_id} is as asked for" if right else f"{job_id} differs")


def release(work: Work) -> None:
    """Let the jobs run by their schedules: what they run is good now."""
    if work.plan.source == "pipeline":
        return
    resolved = sources.load(work)
    for key, settings in resolved.jobs.items():
        job_id = work.stage.jobs.get(key)
        if job_id is None or not any(settings.get(field) for field in PAUSABLE):
            continue
        wanted = job_settings(work, settings, work.stage.pipeline_id, paused=False)
        words = f"let job {job_id} run by its schedule"
        _release(work, f"{work.prefix}-release-{key}", words, job_id, wanted)


def _release(work: Work, name: str, words: str, job_id: int, wanted: Json) -> None:
    once(work, Mutation(name, words, lambda: _reset(work, job_id, wanted)))
