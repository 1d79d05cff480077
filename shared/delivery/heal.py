"""A failed update: what it is, and what is done about it, or by whom.

In this order: a change of the specification from the closed set, a restart where a stream only
stopped for a new column, then the remedies of the catalog as far as they fit a pipeline. What is
not surely known goes to a person, with the line named.
"""

from __future__ import annotations

from datetime import timedelta

import msgspec

from shared.catalog.loader import RemedySpec
from shared.delivery import sources
from shared.delivery.compute import Cure, other_nodes, scale_live, scaled
from shared.delivery.evidence import place_of
from shared.delivery.guidance import for_error
from shared.delivery.leaving import GateFailed
from shared.delivery.patches import Patch, is_new_column, patch
from shared.delivery.work import Work, go_to
from shared.delivery_models import Delivery, Finding, Run
from shared.diagnosis.classifier import ACT_CONFIDENCE
from shared.diagnosis.pauses import told_to_wait
from shared.models import Diagnosis, EvidenceLine
from shared.vocabulary import Action

_CATEGORIES = {
    "data_quality": "data quality",
    "resource": "resource",
    "network": "network",
    "transient_platform": "resource",
}
_RERUN = frozenset({"rerun", "restart_cluster"})  # an update gets fresh compute
_ON_PIPELINES = _RERUN | {"scale_up", "change_node_type", "full_refresh"}
_LONGEST_CAUSE = 600


def heal(work: Work, lines: list[EvidenceLine], what: str, *, recovered: bool = False) -> None:
    """Do what is to be done about a failure, and say which step is next.

    Args:
        work: the delivery.
        lines: what the platform said.
        what: what failed, for people.
        recovered: the platform had got over it, and only a clean start is wanted.

    Raises:
        GateFailed: nothing is to be done, or the attempts are used up.
    """
    diagnosis = work.context.classifier.classify(lines)
    cure = _cure(work, lines, diagnosis, what) if lines and not recovered else None
    if recovered:
        cure = Cure("started again: the platform had recovered, now it has to run clean")
    used = work.stage.healed
    left = used < work.plan.retry_attempts
    tried = cure.words if cure and left else ""
    why = "the attempts are used up" if cure else _for_a_person(work, lines, diagnosis)
    finding = _finding(work, lines, diagnosis, tried)
    if cure is None or not left:
        finding.guidance.insert(0, f"Not repaired by itself: {why}.")
        told = finding.root_cause + (f" ({finding.where})" if finding.where else "")
        work.change(lambda fresh: _note(fresh, finding))
        raise GateFailed(f"{what} failed: {told}; {why}", told=True)
    if cure.workers:
        scale_live(work, cure.workers)
    _apply(work, finding, cure, used)


def _for_a_person(work: Work, lines: list[EvidenceLine], diagnosis: Diagnosis) -> str:
    """Why nothing is done about a failure."""
    if not lines:
        return "the platform tells no error"
    if diagnosis.confidence < ACT_CONFIDENCE:
        return "it is not surely known what it is, so nobody but a person may repair it"
    remedies = work.context.catalog.remedies(
        diagnosis.error_type, diagnosis.prefer, hands_off=diagnosis.hands_off
    )
    jobs_only = sorted({r.remedy for r in remedies} - _ON_PIPELINES)
    if not remedies:
        return "nobody but a person may repair it"
    if len(jobs_only) == len({r.remedy for r in remedies}):
        return (
            f"what repairs it elsewhere ({', '.join(jobs_only)}) has no form for a pipeline, "
            "so a person has to do it"
        )
    return "what the catalog allows for it does not fit this pipeline, or was tried already"


def _finding(work: Work, lines: list[EvidenceLine], diagnosis: Diagnosis, tried: str) -> Finding:
    cause = diagnosis.lines[0] if diagnosis.lines else EvidenceLine("update", message="no error")
    text = work.context.redactor.text(" ".join(cause.message.split()))[:_LONGEST_CAUSE]
    gate = work.delivery.gate
    category = _CATEGORIES.get(diagnosis.category, "configuration")
    general = work.context.catalog.spec(diagnosis.error_type).guidance
    advice = for_error(f"{cause.code} {text}", category, general)
    return Finding(
        at=work.now,
        gate=gate.name.value if gate else "",
        target=work.stage.target,
        category=advice.category,
        error_type=diagnosis.error_type,
        root_cause=f"{cause.source}: {text}",
        where=place_of(lines),
        tried=tried,
        guidance=list(advice.steps),
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
            delay = remedy.delay(tries, told_to_wait(diagnosis.lines))
            cure = _by_remedy(work, remedy, delay, lines, what)
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
    work: Work, remedy: RemedySpec, delay: float, lines: list[EvidenceLine], what: str
) -> Cure | None:
    if remedy.remedy in _RERUN:
        return Cure(f"{what} started again, after {delay:g} s", delay)
    if remedy.remedy == "scale_up":
        return scaled(work, delay)
    if remedy.remedy == "change_node_type":
        return other_nodes(work, delay)
    if remedy.remedy == "full_refresh":
        return _refreshed(work, lines, delay)
    return None


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
