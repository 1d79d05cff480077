"""A change that a finding proposes: planned like a remedy, but made to stay and without a rerun.

What would go back after a healing is kept in the attempt's memo as its way back, which an approver
may ask for later. The resource of such a failure reads `job <id>` or `cluster <id>`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from shared.catalog.loader import PROPOSED
from shared.decoding import convert
from shared.diagnosis import databricks_facts as facts
from shared.findings.model import FindingKind
from shared.models import Diagnosis, Evidence, Incident, Json, Loan, TaskFacts
from shared.remedies.base import DISK, MEMORY, Case, Plan, Refusal
from shared.remedies.registry import REMEDIES
from shared.vocabulary import ComputeKind, RunState

if TYPE_CHECKING:
    from shared.healing.context import Context

# What can be approved, and the remedy that plans it.
OFFERED = {
    "scale_up": "scale_up",
    "change_node_type": "change_node_type",
    "start_cluster": "restart_cluster",
}
JOB, CLUSTER = "job", "cluster"
_WAY_BACK = "way_back"


def look(context: Context, incident: Incident) -> tuple[Evidence, Diagnosis]:
    """The compute as it is now, and the proposal in the place of a diagnosis.

    Raises:
        NothingChanged: the platform could not be asked.
    """
    remedy = incident.question.remedy if incident.question else incident.planned
    lines = tuple(incident.hints)
    because = lines[0].message if lines else ""
    diagnosis = Diagnosis(PROPOSED, "capacity", False, 1.0, "finding", because, lines, remedy)
    return _evidence(context, incident), diagnosis


def _evidence(context: Context, incident: Incident) -> Evidence:
    what, _, identity = incident.failure.resource.partition(" ")
    api = context.platforms.workspace(incident.failure.target)
    if what == CLUSTER:
        cluster = facts.cluster_facts(api.cluster(identity))
        return Evidence(RunState.FAILED, clusters=[cluster])
    settings = api.job(identity).get("settings") or {}
    tasks = [facts.task_facts(task) for task in settings.get("tasks") or []]
    return Evidence(RunState.FAILED, job_id=identity, tasks=_on_own_clusters(tasks))


def _on_own_clusters(tasks: list[TaskFacts]) -> list[TaskFacts]:
    return [task for task in tasks if task.compute is ComputeKind.JOB_CLUSTER]


def plan(case: Case, incident: Incident, remedy: str) -> Plan | Refusal:
    """How the change would be made, or why not; `incident.hints` tell what is short.

    Raises:
        NothingChanged: the platform could not be asked.
    """
    refused = _refused(case, remedy)
    if refused:
        return Refusal(refused)
    more = _SHORT.get(incident.hints[0].code, "") if incident.hints else ""
    planned = REMEDIES[OFFERED[remedy]].plan(msgspec.structs.replace(case, more=more), [])
    if isinstance(planned, Refusal):
        return planned
    phases = [p for p in planned.phases if p != "start_cluster" or remedy == "start_cluster"]
    memo: Json = planned.memo | {_WAY_BACK: [_kept(loan, planned.locks) for loan in planned.loans]}
    return Plan(phases, planned.summary, memo, planned.locks)


# By kind of finding.
_SHORT = {FindingKind.MEMORY_HIGH.value: MEMORY, FindingKind.DISK_FILLING.value: DISK}


def _refused(case: Case, remedy: str) -> str:
    evidence = case.evidence
    if remedy not in OFFERED or evidence is None:
        return "nothing of this can be done for you"
    if evidence.job_id and not evidence.tasks:
        return f"job {evidence.job_id} has no cluster of its own: its compute is shared or managed"
    state = evidence.clusters[0].state if evidence.clusters else ""
    if remedy == "start_cluster" and state != "TERMINATED":
        return f"the cluster is {state or 'not known'}: only a TERMINATED one can be started"
    return ""


def _kept(loan: Loan, locks: list[str]) -> Json:
    held = [name for name in locks if name.startswith((f"{CLUSTER}|", f"{JOB}|"))]
    return dict(msgspec.to_builtins(msgspec.structs.replace(loan, locks=held)))


def ways_back(memo: Json) -> list[Loan]:
    """How a change can be taken back; empty where it cannot, or where it was only lent."""
    return convert(memo.get(_WAY_BACK, []), list[Loan])
