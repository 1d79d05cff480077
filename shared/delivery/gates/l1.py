"""L1: is everything ready, and does the source make sense to Python, to us and to the platform?"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator

from shared.decoding import convert
from shared.delivery import sources
from shared.delivery.evidence import error_lines
from shared.delivery.heal import heal
from shared.delivery.resolved import (
    Resolved,
    imports_pipelines,
    open_references,
    pipeline_sources,
    placed,
    stamp_of,
    stamped,
)
from shared.delivery.work import GateFailed, Later, Mutation, Work
from shared.delivery_models import Check, GateName, GateState
from shared.errors import PlatformMissing, PlatformRefused
from shared.models import EvidenceLine, Json

OVER = frozenset({"COMPLETED", "FAILED", "CANCELED"})
_MOST_KEPT, _KEPT = 10, 1500  # lines of a validation's errors, and characters of each


def check(work: Work) -> None:
    """Pass the gate, fail it, or come back later."""
    gate = work.enter(GateName.L1)
    if work.plan.source == "pipeline":
        work.require(list(_deployed(work)), "checked")
        work.leave(GateState.PASSED, "deployed already", "deliver_deploy")
        return
    resolved = sources.load(work)
    if not gate.phase:
        checks = [*structure(resolved), *code(resolved), *_consistent(work, resolved)]
        work.require([*checks, *_ready(work, resolved)], "checked")
    _pause(work)
    _remember(work, resolved)
    _upload(work, resolved)
    state, lines = _validate(work, resolved)
    if state != "COMPLETED":
        heal(work, lines, "validation")
        return
    note = f"{len(resolved.files)} files, validated by the platform"
    work.leave(GateState.PASSED, note, "deliver_deploy")


def _pause(work: Work) -> None:
    """The pause before the next try, where a validation failed for a passing reason."""
    again = work.stage.run.not_before if work.stage.run else None
    if again is not None and work.now < again:
        raise Later((again - work.now).total_seconds(), "the pause before the next try")


def structure(resolved: Resolved) -> Iterator[Check]:
    """Is the bundle whole?"""
    used = pipeline_sources(resolved)
    found = f"{len(used)} source files"
    yield Check("bundle structure", bool(used), found if used else "the pipeline has no source")
    missing = [name for name in ("name", "catalog") if not resolved.pipeline.get(name)]
    missing += [] if resolved.schema else ["schema"]
    told = f"missing: {', '.join(missing)}" if missing else "name, catalog, schema"
    yield Check("required parameters", not missing, told)
    left = open_references(resolved)
    told = f"left open: {', '.join(left[:5])}" if left else "nothing left open"
    yield Check("variables", not left, told)


def code(resolved: Resolved) -> Iterator[Check]:
    """Does each Python file compile, and does the pipeline's own code declare a pipeline?"""
    used = pipeline_sources(resolved)
    wrong, foreign = [], []
    for path, text in resolved.files.items():
        if not path.endswith(".py"):
            continue
        try:
            tree = ast.parse(text, filename=path)
            compile(tree, path, "exec", dont_inherit=True)
        except SyntaxError as error:
            wrong.append(f"{path}, line {error.lineno}: {error.msg}")
            continue
        except (ValueError, RecursionError, MemoryError) as error:
            wrong.append(f"{path}: {type(error).__name__}")
            continue
        if path in used and not imports_pipelines(tree):
            foreign.append(path)
    yield Check("Python compiles", not wrong, "; ".join(wrong[:10]) or "every file")
    told = f"neither dlt nor pyspark.pipelines in {', '.join(foreign[:10])}"
    yield Check("pipeline import", not foreign, told if foreign else "every source")


def _consistent(work: Work, resolved: Resolved) -> Iterator[Check]:
    """Do the targets differ where they must, and only there?"""
    promoted = work.plan.promote
    if promoted is None or promoted.target == work.stage.target:
        return
    other = sources.load(work, promoted.target)
    same_place = (resolved.catalog, resolved.schema) == (other.catalog, other.schema)
    last = work.delivery.stages[-1]
    same_place = same_place and last.workspace == work.stage.workspace
    problems = [f"both write {other.catalog}.{other.schema}"] if same_place else []
    problems += [
        f"{name} differs: {resolved.pipeline.get(name)} and {other.pipeline.get(name)}"
        for name in ("continuous", "serverless", "edition", "channel")
        if resolved.pipeline.get(name) != other.pipeline.get(name)
    ]
    problems += [] if resolved.tables == other.tables else ["the tables differ"]
    told = "; ".join(problems) or f"{work.stage.target} and {promoted.target}"
    yield Check("environments", not problems, told)


def _ready(work: Work, resolved: Resolved) -> Iterator[Check]:
    api = work.api
    signed_in = _asked("authentication", lambda: f"signed in as {api.me()}")
    yield signed_in
    if not signed_in.ok:
        return
    yield _asked("catalog", lambda: f"{api.catalog(resolved.catalog)['name']} is reachable")
    name = f"{resolved.catalog}.{resolved.schema}"
    yield _asked("schema", lambda: f"{api.schema(name)['full_name']} is reachable")
    yield _pipeline_name(work)
    yield from (_job_name(work, settings) for settings in resolved.jobs.values())


def _asked(name: str, call: Callable[[], str]) -> Check:
    try:
        return Check(name, ok=True, note=call())
    except (PlatformMissing, PlatformRefused) as error:
        return Check(name, ok=False, note=str(error))


def _pipeline_name(work: Work) -> Check:
    name = work.stage.pipeline_name
    found = work.api.pipelines_named(name)
    what = "pipeline name"
    if not found:
        return Check(what, ok=True, note=f"{name} is free")
    rows = [work.api.pipeline(pipeline_id) or {} for pipeline_id in found]
    if len(found) > 1 or not stamp_of(rows[0].get("spec") or {}):
        told = f"{name} belongs to a pipeline that was not delivered from here: {found[0]}"
        return Check(what, ok=False, note=told)
    return Check(what, ok=True, note=f"{name} is ours: {found[0]}")


def _job_name(work: Work, settings: Json) -> Check:
    name = job_name(work, settings)
    found = work.api.jobs_named(name)
    ours = all(stamp_of(job.get("settings") or {}) for job in found)
    if len(found) > 1 or not ours:
        return Check("job name", ok=False, note=f"{name} belongs to another job")
    return Check("job name", ok=True, note=f"{name} is {'ours' if found else 'free'}")


def job_name(work: Work, settings: Json) -> str:
    """What a job is called in the present stage."""
    name = str(settings.get("name") or work.plan.name)
    return name if work.stage.target == "prod" else f"{name} ({work.stage.target})"


def _deployed(work: Work) -> Iterator[Check]:
    yield _asked("authentication", lambda: f"signed in as {work.api.me()}")
    row = work.api.pipeline(work.plan.pipeline_id)
    told = str(row.get("name")) if row else "there is no such pipeline"
    yield Check("pipeline", row is not None, told)


def _remember(work: Work, resolved: Resolved) -> None:
    """Keep where the stage's tables are to be, and the folder, before anything is made."""
    folder = sources.folder(work)
    if folder in work.stage.folders:
        return
    number = work.delivery.stage_number

    def note(fresh: object) -> None:
        stage = fresh.stages[number]  # type: ignore[attr-defined]  # a delivery
        stage.catalog, stage.schema = resolved.catalog, resolved.schema
        stage.tables = list(resolved.tables)
        if folder not in stage.folders:
            stage.folders.append(folder)

    work.change(note)


def _upload(work: Work, resolved: Resolved) -> None:
    folder = sources.folder(work)

    def act() -> Json:
        work.api.upload(folder, resolved.files)
        missing = set(resolved.files) - work.api.listed(folder)
        if missing:
            raise GateFailed(f"not there after the upload: {', '.join(sorted(missing)[:5])}")
        return {"folder": folder, "files": len(resolved.files)}

    words = f"put {len(resolved.files)} files into {folder}"
    work.once(Mutation(f"{work.prefix}-upload", words, act))


def _validate(work: Work, resolved: Resolved) -> tuple[str, list[EvidenceLine]]:
    """The platform's own validation, by a pipeline of its own: the real one is not touched."""
    name = sources.validation_name(work, work.delivery.version)
    settings = placed(resolved.pipeline, sources.folder(work))
    settings = stamped(settings, f"{work.version}.validation")
    settings |= {"name": name, "development": True, "continuous": False, "notifications": []}
    api, prefix = work.api, f"{work.prefix}-validation-{work.stage.healed + 1}"

    def look(_memo: Json) -> Json | None:
        found = api.pipelines_named(name)
        return {"pipeline_id": found[0]} if found else None

    made = work.once(
        Mutation(
            f"{prefix}-pipeline",
            f"create the pipeline {name}",
            lambda: {"pipeline_id": api.create_pipeline(settings)},
            look,
        )
    )
    pipeline_id = str(made["pipeline_id"])
    update_id = _start_validation(work, prefix, pipeline_id)
    kept = work.delivery.intents.get(f"{prefix}-result")
    if kept is None or not kept.made:
        state = str(work.reads.update(pipeline_id, update_id).get("state"))
        if state not in OVER:
            raise Later(work.context.timings.verify_first, f"the validation is {state}")
    result = _keep_result(work, prefix, pipeline_id, update_id)
    words = f"remove the pipeline {name}"
    work.once(Mutation(f"{prefix}-removed", words, lambda: _removed(work, pipeline_id)))
    return result


def _start_validation(work: Work, prefix: str, pipeline_id: str) -> str:
    def look(_memo: Json) -> Json | None:
        known = work.reads.updates(pipeline_id)
        return {"update_id": str(known[0]["update_id"])} if known else None

    request: Json = {"validate_only": True, "cause": "API_CALL"}
    started = work.once(
        Mutation(
            f"{prefix}-update",
            "start the platform's validation",
            lambda: {"update_id": work.api.start_update(pipeline_id, request)},
            look,
        )
    )
    return str(started["update_id"])


def _keep_result(
    work: Work, prefix: str, pipeline_id: str, update_id: str
) -> tuple[str, list[EvidenceLine]]:
    """What the validation said; kept, because its log goes with its pipeline."""
    import msgspec

    def act() -> Json:
        state = str(work.reads.update(pipeline_id, update_id).get("state"))
        lines = error_lines(work, pipeline_id, update_id) if state != "COMPLETED" else []
        kept = [msgspec.structs.replace(x, message=x.message[:_KEPT]) for x in lines[:_MOST_KEPT]]
        return {"state": state, "lines": msgspec.to_builtins(kept)}

    kept = work.once(Mutation(f"{prefix}-result", "keep what the validation said", act))
    return str(kept["state"]), convert(kept["lines"], list[EvidenceLine])


def _removed(work: Work, pipeline_id: str) -> Json:
    work.api.delete_pipeline(pipeline_id)
    return {}
