"""Refresh named streaming tables of a DLT pipeline: gently first, fully only after that.

Needs: CAN_RUN on the pipeline. Changes: the first try resets the checkpoint of the table, which
keeps its data; a second one empties the table and computes it anew. Only tables that the catalog
names for this pipeline. Once only: what updates there were before is written down. Verified: the
update itself, then the rerun of the job over it. Costs: a whole computation of the table.
"""

from __future__ import annotations

from shared.models import Attempt, Evidence, Json
from shared.remedies.base import RUN, Case, Look, Plan, Refusal, Visible, job_lock
from shared.remedies.rerun import rerun_locks, rerun_step, update_look
from shared.vocabulary import FailureKind


class FullRefresh:
    """The remedy `full_refresh`."""

    def plan(self, case: Case, tried: list[Attempt]) -> Plan | Refusal:
        """Reset the checkpoint of the failed tables, or refresh them fully the second time."""
        evidence = case.evidence
        pipeline_id = _pipeline_id(case, evidence)
        if evidence is None or not pipeline_id:
            return Refusal("there is no DLT pipeline behind it")
        tables = _failed_tables(case, evidence, pipeline_id)
        if not tables:
            return Refusal("the catalog allows no refresh of the tables that failed")
        gently = not any(_was_reset(attempt, tables) for attempt in tried)
        api = case.platforms.workspace(case.failure.target)
        memo: Json = {
            "pipeline_id": pipeline_id,
            "known": [str(u.get("update_id")) for u in api.updates(pipeline_id)],
            ("reset" if gently else "full"): tables,
        }
        how = "reset the checkpoint of" if gently else "compute anew"
        locks = [job_lock(case.failure.target, pipeline_id), *rerun_locks(case)]
        words = f"{how} {', '.join(tables)}"
        if case.failure.kind is FailureKind.UPDATE:
            return Plan(["refresh_tables"], words, memo, locks)
        step = rerun_step(case)
        if isinstance(step, Refusal):
            return step
        phase, rerun_memo, rerun_words = step
        phases = ["refresh_tables", phase]
        return Plan(phases, f"{words}, then {rerun_words}", memo | rerun_memo, locks)


def _pipeline_id(case: Case, evidence: Evidence | None) -> str:
    if case.failure.kind is FailureKind.UPDATE:
        return case.failure.resource
    tasks = evidence.tasks if evidence else []
    return next((task.pipeline_id for task in tasks if task.pipeline_id), "")


def _failed_tables(case: Case, evidence: Evidence, pipeline_id: str) -> list[str]:
    allowed = case.catalog.refreshable_tables.get(pipeline_id, ())
    flows = {line.source.removeprefix("flow ") for line in evidence.lines}
    return [table for table in allowed if any(_same(table, flow) for flow in flows)]


def _same(table: str, flow: str) -> bool:
    """Whether a flow is a table's: events name it in full, or by its last part alone."""
    named = table if "." in flow else table.rpartition(".")[2]
    return named.lower() == flow.lower()


def _was_reset(attempt: Attempt, tables: list[str]) -> bool:
    """Whether an attempt has reset all of these tables: not if the platform refused it."""
    done = set(attempt.memo.get("reset") or []) if attempt.memo.get("refresh_id") else set()
    return set(tables) <= done


class RefreshTables(Visible):
    """An update that resets or refreshes the selected tables."""

    limit = RUN

    def act(self, case: Case, memo: Json) -> Json:
        """Start it."""
        api = case.platforms.workspace(case.failure.target)
        update_id = api.start_update(
            memo["pipeline_id"], reset=memo.get("reset"), full=memo.get("full")
        )
        return {"refresh_id": update_id} | (
            {"new_run_id": update_id} if case.failure.kind is FailureKind.UPDATE else {}
        )

    def look(self, case: Case, memo: Json) -> Look:
        """The newest update that was not there before."""
        return update_look(case, memo, follow=case.failure.kind is FailureKind.UPDATE)
