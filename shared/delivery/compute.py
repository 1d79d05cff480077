"""More or other compute for a pipeline: a change of its specification, or of itself."""

from __future__ import annotations

import math

import msgspec

from shared.delivery import sources
from shared.delivery.builder.spec import Compute
from shared.delivery.deployed import remember
from shared.delivery.mutations import Mutation, once
from shared.delivery.patches import Patch
from shared.delivery.resolved import stamp_of
from shared.delivery.work import Work
from shared.models import Json

_MORE = 1.5  # of the workers, with each scaling


class Cure(msgspec.Struct, frozen=True):
    """What is done: a new version of the source, or another update in `delay` seconds."""

    words: str
    delay: float = 0.0
    patched: Patch | None = None
    reset: list[str] = []
    full: list[str] = []
    workers: int = 0  # of a pipeline whose source is not ours to change


def scaled(work: Work, delay: float) -> Cure | None:
    """More workers, up to the ceiling; serverless has no such lever."""
    ceiling = work.context.settings.max_workers
    if work.plan.source != "specification":
        return _scaled_live(work, delay, ceiling)
    spec = sources.specification(work)
    if spec.serverless:
        return None
    compute = spec.compute or Compute()
    workers = min(math.ceil(compute.max_workers * _MORE), ceiling)
    if workers <= compute.max_workers:
        return None
    more = msgspec.structs.replace(compute, max_workers=workers)
    words = f"up to {workers} workers in place of {compute.max_workers}"
    changed = Patch(msgspec.structs.replace(spec, compute=more), "compute", words)
    return Cure(f"scaled: {words}", delay, changed)


def _scaled_live(work: Work, delay: float, ceiling: int) -> Cure | None:
    row = work.api.pipeline(work.stage.pipeline_id) or {}
    scale = _autoscale(row.get("spec") or {})
    before = int(scale.get("max_workers") or 0)
    workers = min(math.ceil(before * _MORE), ceiling)
    if workers <= before:
        return None
    words = f"scaled: up to {workers} workers in place of {before}"
    return Cure(words, delay, workers=workers)


def _autoscale(spec: Json) -> Json:
    clusters = spec.get("clusters") or []
    return dict((clusters[0].get("autoscale") or {}) if clusters else {})


def scale_live(work: Work, workers: int) -> None:
    """Change the pipeline itself; what it was before is in the snapshot and goes back with it."""
    api, pipeline_id = work.api, work.stage.pipeline_id

    def row() -> Json:
        return api.pipeline(pipeline_id) or {}

    def look(_memo: Json) -> Json | None:
        done = _autoscale(row().get("spec") or {}).get("max_workers") == workers
        return {} if done else None

    def act() -> Json:
        found = row()
        spec = dict(found.get("spec") or {})
        clusters = [dict(cluster) for cluster in spec.get("clusters") or []]
        clusters[0]["autoscale"] = {**_autoscale(spec), "max_workers": workers}
        spec["clusters"] = clusters
        api.edit_pipeline(pipeline_id, spec, int(found.get("last_modified") or 0))
        return {"max_workers": workers, "stamp": stamp_of(spec)}

    name = f"{work.prefix}-scale-{work.stage.healed + 1}"
    once(work, Mutation(name, f"let the pipeline have up to {workers} workers", act, look))
    remember(work)


def other_nodes(work: Work, delay: float) -> Cure | None:
    """The next node type of the catalog's list that the workspace offers."""
    if work.plan.source != "specification":
        return None
    spec = sources.specification(work)
    if spec.serverless:
        return None
    compute = spec.compute or Compute()
    offered = work.reads.node_types()
    listed = work.context.catalog.node_types.get(compute.node_type, ())
    chosen = next((name for name in listed if name in offered), "")
    if not chosen:
        return None
    words = f"node type {chosen} in place of {compute.node_type}"
    other = msgspec.structs.replace(compute, node_type=chosen)
    changed = Patch(msgspec.structs.replace(spec, compute=other), "compute", words)
    return Cure(f"changed the compute: {words}", delay, changed)
