"""Refresh named streaming tables of a DLT pipeline: gently first, fully only after that.

Needs: CAN_RUN on the pipeline. Changes: the first try resets the checkpoint of the table, which
keeps its data; a second one empties the table and computes it anew. Only tables that the catalog
names for this pipeline, and only if it names every table that failed. Once only: what updates there
were before is written down, and of newer ones only ours counts. Verified: the update itself, then
the rerun of the job over it. Costs: a whole computation of the table.
"""

from __future__ import annotations

from typing import Any

from shared.models import Attempt, Evidence, Json
from shared.remedies.base import ABSENT, RUN, Case, Look, Plan, Refusal, Visible, job_lock
from shared.remedies.rerun import newest_update, rerun_locks, rerun_step
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
    """The allowed tables that failed; none if another one failed too, which nothing here cures."""
    allowed = case.catalog.refreshable_tables.get(pipeline_id, ())
    sources = {line.source for line in evidence.lines}
    flows = {source.removeprefix("flow ") for source in sources if source.startswith("flow ")}
    flows.discard(pipeline_id)  # what the update says as a whole
    if not all(any(_same(table, flow) for table in allowed) for flow in flows):
        return []
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
        """Our update, or the newest of the platform's own retries of it."""
        updates = case.platforms.workspace(case.failure.target).updates(memo["pipeline_id"])
        new = [u for u in updates if u["update_id"] not in memo["known"]]
        first = next((n for n, u in reversed([*enumerate(new)]) if _ours(u, memo)), None)
        if first is None:
            return Look(ABSENT)
        look = newest_update([u for u in new[:first] if _retry(u)] + [new[first]])
        mine = {"refresh_id": str(new[first]["update_id"])}
        follow = case.failure.kind is FailureKind.UPDATE
        return Look(look.status, look.note, mine | (look.memo if follow else {}))


def _ours(update: dict[str, Any], memo: Json) -> bool:
    """Whether an update is the one we asked for; the API does not tell which checkpoints it reset.

    Of somebody else's, of the schedule's and of the job's the cause or the selection is another.
    """
    if memo.get("refresh_id"):
        return bool(update["update_id"] == memo["refresh_id"])
    chosen = list(update.get("full_refresh_selection") or [])
    asked = update.get("cause") == "API_CALL" and not update.get("full_refresh")
    return asked and chosen == (memo.get("full") or [])


def _retry(update: dict[str, Any]) -> bool:
    return update.get("cause") == "RETRY_ON_FAILURE"
