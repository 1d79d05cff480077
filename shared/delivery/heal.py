"""A failed update: what it is, and what is done about it, or by whom.

In this order: a change of the specification from the closed set, a restart where a stream only
stopped for a new column, then the remedies of the catalog as far as they fit a pipeline. What is
not surely known goes to a person, with the line named.
"""

from __future__ import annotations

import math
from datetime import timedelta

import msgspec

from shared.catalog.loader import RemedySpec
from shared.delivery import sources
from shared.delivery.builder.spec import Compute
from shared.delivery.evidence import place_of
from shared.delivery.patches import Patch, is_new_column, patch
from shared.delivery.resolved import stamp_of
from shared.delivery.work import GateFailed, Mutation, Work, go_to
from shared.delivery_models import Delivery, Finding, Run
from shared.diagnosis.classifier import ACT_CONFIDENCE
from shared.models import Diagnosis, EvidenceLine, Json
from shared.vocabulary import Action

_MORE = 1.5  # of the workers, with each scaling
_CATEGORIES = {
    "data_quality": "data quality",
    "resource": "resource",
    "network": "network",
    "transient_platform": "resource",
}
_RERUN = frozenset({"rerun", "restart_cluster"})  # an update gets fresh compute
_LONGEST_CAUSE = 600


class Cure(msgspec.Struct, frozen=True):
    """What is done: a new version of the source, or another update in `delay` seconds."""

    words: str
    delay: float = 0.0
    patched: Patch | None = None
    reset: list[str] = []
    full: list[str] = []
    workers: int = 0  # of a pipeline whose source is not ours to change


def heal(work: Work, lines: list[EvidenceLine], what: str) -> None:
    """Do what is to be done about a failure, and say which step is next.

    Raises:
        GateFailed: nothing is to be done, or the attempts are used up.
    """
    diagnosis = work.context.classifier.classify(lines)
    cure = _cure(work, lines, diagnosis, what) if lines else None
    used = work.stage.healed
    left = used < work.plan.retry_attempts
    tried = cure.words if cure and left else ""
    finding = _finding(work, lines, diagnosis, tried)
    if cure is None or not left:
        told = finding.root_cause + (f" ({finding.where})" if finding.where else "")
        why = "nobody but a person may repair it" if cure is None else "the attempts are used up"
        work.change(lambda fresh: _note(fresh, finding))
        raise GateFailed(f"{what} failed: {told}; {why}")
    if cure.workers:
        _scale_live(work, cure.workers)
    _apply(work, finding, cure, used)


def _finding(work: Work, lines: list[EvidenceLine], diagnosis: Diagnosis, tried: str) -> Finding:
    cause = diagnosis.lines[0] if diagnosis.lines else EvidenceLine("update", message="no error")
    text = work.context.redactor.text(" ".join(cause.message.split()))[:_LONGEST_CAUSE]
    gate = work.delivery.gate
    return Finding(
        at=work.now,
        gate=gate.name.value if gate else "",
        target=work.stage.target,
        category=_CATEGORIES.get(diagnosis.category, "configuration"),
        error_type=diagnosis.error_type,
        root_cause=f"{cause.source}: {text}",
        where=place_of(lines),
        tried=tried,
        guidance=list(work.context.catalog.spec(diagnosis.error_type).guidance),
    )


def _note(fresh: Delivery, finding: Finding) -> None:
    """Add a finding; two copies of one activity add it once."""
    last = fresh.findings[-1] if fresh.findings else None
    same = last is not None and (last.root_cause, last.tried) == (finding.root_cause, finding.tried)
    if not same or (last is not None and last.resolved):
        fresh.findings.append(finding)


def _cure(work: Work, lines: list[EvidenceLine], diagnosis: Diagnosis, what: str) -> Cure | None:
    patched = _patched(work, lines)
    if patched is not None:
        return Cure(f"changed the specification: {patched.words}", patched=patched)
    if any(is_new_column(line.message) for line in lines):
        return Cure("restarted the stream with the evolved schema", _pause(work))
    if diagnosis.confidence < ACT_CONFIDENCE:
        return None
    here = [f for f in work.delivery.findings if f.target == work.stage.target]
    tries = sum(1 for finding in here if finding.error_type == diagnosis.error_type)
    remedies = work.context.catalog.remedies(
        diagnosis.error_type, diagnosis.prefer, hands_off=diagnosis.hands_off
    )
    for remedy in remedies:
        if tries < remedy.attempts:
            cure = _by_remedy(work, remedy, tries, lines, what)
            if cure is not None:
                return cure
        tries = max(tries - remedy.attempts, 0)
    return None


def _patched(work: Work, lines: list[EvidenceLine]) -> Patch | None:
    if work.plan.source != "specification":
        return None
    spec = sources.specification(work)
    for line in lines:
        found = patch(spec, line.source.removeprefix("flow "), line.message)
        if found is not None:
            return found
    return None


def _pause(work: Work) -> float:
    return work.context.timings.verify_first


def _by_remedy(
    work: Work, remedy: RemedySpec, tries: int, lines: list[EvidenceLine], what: str
) -> Cure | None:
    delay = remedy.delay(tries, None)
    if remedy.remedy in _RERUN:
        return Cure(f"{what} started again, after {delay:g} s", delay)
    if remedy.remedy == "scale_up":
        return _scaled(work, delay)
    if remedy.remedy == "change_node_type":
        return _other_nodes(work, delay)
    if remedy.remedy == "full_refresh":
        return _refreshed(work, lines, delay)
    return None


def _scaled(work: Work, delay: float) -> Cure | None:
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


def _scale_live(work: Work, workers: int) -> None:
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
    work.once(Mutation(name, f"let the pipeline have up to {workers} workers", act, look))


def _other_nodes(work: Work, delay: float) -> Cure | None:
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


def _refreshed(work: Work, lines: list[EvidenceLine], delay: float) -> Cure | None:
    """The failed tables, if each may be refreshed: gently first, fully only after that."""
    listed = work.context.catalog.refreshable_tables.get(work.stage.pipeline_id, ())
    allowed = {name.lower().rpartition(".")[2]: name for name in listed}
    allowed |= {n.lower().rpartition(".")[2]: n for n in work.plan.refreshable_tables}
    flows = {line.source.removeprefix("flow ").lower().rpartition(".")[2] for line in lines}
    flows.discard("update")
    if not flows or not flows <= allowed.keys():
        return None
    tables = sorted(allowed[flow] for flow in flows)
    if any(set(tables) <= set(run.reset) for run in work.stage.runs):
        return Cure(f"computed anew: {', '.join(tables)}", delay, full=tables)
    return Cure(f"reset the checkpoint of {', '.join(tables)}", delay, reset=tables)


def _apply(work: Work, finding: Finding, cure: Cure, used: int) -> None:
    number, now = work.delivery.stage_number, work.now
    version = work.delivery.version + (cure.patched is not None)
    if cure.patched is not None:
        content = msgspec.json.encode(cure.patched.spec)
        work.context.deliveries.keep_source(work.delivery.delivery_id, f"spec-{version}", content)

    def note(fresh: Delivery) -> None:
        stage = fresh.stages[number]
        if stage.healed != used:  # another copy of this activity was faster
            return
        stage.healed += 1
        _note(fresh, finding)
        if cure.patched is not None:
            fresh.version = version
            fresh.changes.append(f"{cure.patched.words} (because of {finding.error_type})")
        again = now + timedelta(seconds=cure.delay)
        for earlier in stage.runs:
            earlier.flows = {}  # a record has its limits: the newest run's are kept
        following = len(stage.runs) + 1
        stage.runs.append(Run(following, not_before=again, reset=cure.reset, full=cure.full))
        fresh.gates[-1].note = cure.words
        go_to(fresh, "deliver_check" if cure.patched else fresh.step, now)

    action = Action.SPECIFICATION_PATCHED if cure.patched else Action.DELIVERY_HEALED
    words = f"{finding.error_type}: {cure.words}"
    key = f"{work.stage.target}-healed-{used + 1}"
    entry = work.entry(action, words, key, reason=finding.error_type)
    work.change(note, entry)
