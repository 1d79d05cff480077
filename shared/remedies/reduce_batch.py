"""A smaller batch: a named parameter halved, down to a floor, for this run only.

Needs: createRun on the factory, or CAN_MANAGE_RUN on the job. Changes: nothing that lasts; the
parameter is given with the rerun. Verified: the new run itself. Costs: a whole run in Data
Factory: a recovery run takes the parameters of the failed one, so a smaller batch needs a full new
run, which repeats what had succeeded. That is why only pipelines named in the catalog are treated
so. A job run is repaired with the parameter.
"""

from __future__ import annotations

from datetime import timedelta

from shared.clock import Clock
from shared.models import Attempt, Json
from shared.remedies.base import ABSENT, RUN, Case, Look, Plan, Refusal, Visible
from shared.remedies.rerun import newest_run, rerun_locks, rerun_step
from shared.vocabulary import FailureKind

_LOOK_BACK = timedelta(days=1)
_LOOK_AHEAD = timedelta(minutes=10)
_PLANNED_BY = timedelta(days=2)  # after a run's end no new run is planned any more
_MAX_DIGITS = 18


class ReduceBatch:
    """The remedy `reduce_batch`."""

    def plan(self, case: Case, tried: list[Attempt]) -> Plan | Refusal:
        """Halve the parameter that the catalog names for this pipeline or job."""
        evidence = case.evidence
        batch = case.catalog.batch_parameters.get(case.failure.name or case.failure.resource)
        if batch is None or evidence is None:
            return Refusal("the catalog names no batch parameter for it")
        current = _current(evidence.parameters.get(batch.parameter, ""), batch.parameter, tried)
        if current is None:
            return Refusal(f"the run has no whole number as {batch.parameter}")
        smaller = max(current // 2, batch.floor)
        if smaller >= current:
            return Refusal(f"{batch.parameter} is at its floor of {batch.floor}")
        step = rerun_step(case)
        if isinstance(step, Refusal):
            return step
        # Only the one parameter is written down: others may hold what must not be.
        parameters = {batch.parameter: str(smaller)}
        phase, memo, _ = step
        if case.failure.kind is FailureKind.PIPELINE_RUN:
            if evidence.trigger:
                return Refusal(f"the window of trigger {evidence.trigger} would stay failed")
            if _has_secrets(case):
                return Refusal("a secure parameter cannot be read back for a new run")
            phase = "run_pipeline_anew"
            memo["known"] = sorted({*memo["known"], *self._alike(case, parameters)})
        words = f"run {case.failure.name} with {batch.parameter} {smaller} in place of {current}"
        return Plan([phase], words, memo | {"parameters": parameters}, rerun_locks(case))

    def _alike(self, case: Case, parameters: dict[str, str]) -> list[str]:
        """Runs of the pipeline that are there already and have such a batch, ours or not."""
        client = case.platforms.factory(case.failure.target)
        end = case.evidence.ended_at if case.evidence else None
        if end is None:
            return []
        runs = client.runs(end - _LOOK_BACK, end + _PLANNED_BY, PipelineName=case.failure.resource)
        return [str(run["runId"]) for run in runs if _has(run, parameters)]


def _current(text: str, parameter: str, tried: list[Attempt]) -> int | None:
    """The batch that failed last, None if it is no number.

    A repaired run goes on telling the parameter that it began with, so what was tried counts too.
    """
    if not (text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS):
        return None
    before = [attempt.memo.get("parameters") or {} for attempt in tried]
    return min([int(text), *(int(b[parameter]) for b in before if parameter in b)])


def _has_secrets(case: Case) -> bool:
    definition = case.platforms.factory(case.failure.target).pipeline(case.failure.resource)
    content = definition.get("properties") or definition
    declared = (content.get("parameters") or {}).values()
    return any(str(p.get("type")).lower() == "securestring" for p in declared)


class RunPipelineAnew(Visible):
    """createRun of the whole pipeline with other parameters. Looked for by its parameters."""

    limit = RUN

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def act(self, case: Case, memo: Json) -> Json:
        """Start it."""
        client = case.platforms.factory(case.failure.target)
        before = client.run(memo["run_id"]).get("parameters") or {}
        run_id = client.run_anew(memo["pipeline"], before | memo["parameters"])
        return {"new_run_id": run_id, "new_group": run_id}

    def look(self, case: Case, memo: Json) -> Look:
        """The newest run with the smaller batch that was not there before."""
        client = case.platforms.factory(case.failure.target)
        now = self._clock.now()
        runs = client.runs(now - _LOOK_BACK, now + _LOOK_AHEAD, PipelineName=memo["pipeline"])
        look = newest_run([run for run in runs if _ours(run, memo)], memo)
        if look.status == ABSENT:
            return look
        return Look(look.status, look.note, look.memo | {"new_group": look.memo["new_run_id"]})


def _ours(run: Json, memo: Json) -> bool:
    """Whether it is the run that we started: by its id or, while that is not known, its looks."""
    if memo.get("new_run_id"):
        return memo["new_run_id"] in (run.get("runId"), run.get("runGroupId"))
    by_call = (run.get("invokedBy") or {}).get("invokedByType") in {None, "", "Manual"}
    return by_call and run.get("runGroupId") != memo["group"] and _has(run, memo["parameters"])


def _has(run: Json, parameters: dict[str, str]) -> bool:
    had = run.get("parameters") or {}
    return all(str(had.get(name)) == value for name, value in parameters.items())
