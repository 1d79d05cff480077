"""A longer time-out for the failed task, then rerun it; given back when the incident closes.

Needs: CAN_MANAGE on the job. Changes: `timeout_seconds` of the failed tasks and of the job, each
where it is set, times 1.5 up to the catalog's ceiling: both, because the job's would end a task
that has been given more. Once only: the job's settings tell
whether it was done. Verified: the rerun itself. Costs: what the longer run costs. For Data Factory
a time-out is part of the pipeline's definition and is left to a person.
"""

from __future__ import annotations

import math

from shared.models import Attempt, Evidence, Json
from shared.remedies import job_settings
from shared.remedies.base import Case, Plan, Refusal
from shared.vocabulary import FailureKind

FACTOR = 1.5


class IncreaseTimeout:
    """The remedy `increase_timeout`."""

    def plan(self, case: Case, tried: list[Attempt]) -> Plan | Refusal:
        """Raise the time-outs that are set, of the failed tasks or of the job."""
        del tried
        evidence = case.evidence
        if case.failure.kind is not FailureKind.JOB_RUN or evidence is None or not evidence.job_id:
            return Refusal("only a Databricks job's time-out can be raised; here it is a person's")
        settings = job_settings.read(case, evidence.job_id)
        edits = _edits(settings, evidence, case.catalog.timings.timeout_ceiling)
        if not edits:
            return Refusal("no time-out is set, or it is at the ceiling")
        job_id = evidence.job_id
        raised = ", ".join(f"{_whose(e)} from {e['before']} to {e['after']} s" for e in edits)
        changing = f"raise the time-out of {raised} in job {job_id}"
        returning = f"the time-outs of job {job_id} back to what they were"
        return job_settings.plan(case, job_id, edits, (changing, returning))


def _whose(edit: job_settings.Edit) -> str:
    """Whose time-out an edit changes."""
    path = edit["path"]
    return f"task {path[1]}" if path[0] == "tasks" else "the job as a whole"


def _edits(settings: Json, evidence: Evidence, ceiling: float) -> list[job_settings.Edit]:
    paths = [["tasks", task.task_key, "timeout_seconds"] for task in evidence.tasks]
    edits = []
    for path in [*paths, ["timeout_seconds"]]:
        before = job_settings.value_at(settings, path)
        if not isinstance(before, int) or before <= 0:  # 0 means none
            continue
        after = min(math.ceil(before * FACTOR), int(ceiling))
        if after > before:
            edits.append(job_settings.edit(path, before, after))
    return edits
