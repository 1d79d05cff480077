"""The quality-check tasks of a delivered job, run once when the update is green.

Only the tasks that the plan names: collection and the pipeline's own task are left out. A run is
started under a token of ours: whoever asks for it again after a crash is given the same run.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial

from shared.catalog.loader import RemedySpec
from shared.delivery.evidence import bare
from shared.delivery.leaving import GateFailed, Later
from shared.delivery.mutations import Mutation, once, repeatable
from shared.delivery.resolved import Resolved
from shared.delivery.work import Work
from shared.delivery_models import Check, CheckRun, Delivery
from shared.diagnosis.classifier import ACT_CONFIDENCE
from shared.diagnosis.databricks_facts import failed_tasks, run_lines, run_state
from shared.diagnosis.pauses import told_to_wait
from shared.ledger.tables import digest
from shared.models import EvidenceLine, Json
from shared.vocabulary import RunState

_RERUN = frozenset({"rerun", "restart_cluster"})  # every run of a job gets fresh compute
_LONGEST = 900


def wanted_tasks(resolved: Resolved, wanted: tuple[str, ...]) -> dict[str, list[str]]:
    """The wanted tasks that the jobs hold, by the bundle's key of the job."""
    found = {}
    for key, settings in resolved.jobs.items():
        tasks = [str(task.get("task_key")) for task in settings.get("tasks") or []]
        mine = [task for task in tasks if task in wanted]
        if mine:
            found[key] = mine
    return found


def run_checks(work: Work, resolved: Resolved) -> list[Check]:
    """What the jobs' checks said, job by job.

    Raises:
        Later: they are running, or are run again after a passing failure.
        GateFailed: they were not done in time.
        NothingChanged: the platform refused to run them.
    """
    wanted = wanted_tasks(resolved, work.plan.check_tasks)
    return [_checked(work, key, tasks) for key, tasks in wanted.items()]


def _checked(work: Work, key: str, tasks: list[str]) -> Check:
    job_id, mine = work.stage.jobs[key], _begun(work, key)
    _in_time(work, mine)
    if mine.not_before and work.now < mine.not_before:
        wait = (mine.not_before - work.now).total_seconds()
        raise Later(wait, "the pause before the checks are run again")
    run_id = mine.run_id or _started(work, mine, job_id, tasks)
    run = work.reads.run(run_id)
    state = run_state(run)
    if state in {RunState.ACTIVE, RunState.UNKNOWN}:
        raise Later(work.context.timings.verify_first, f"the job's checks are running: {run_id}")
    lines = _lines(work, run)
    good = state is RunState.SUCCEEDED and not failed_tasks(run)
    if not good and _again(work, mine, lines):
        raise Later(work.context.timings.verify_first, "the checks are run again")
    _set(work, mine, lambda fresh: setattr(fresh, "result", state.value))
    said = lines[0].message[:_LONGEST] if lines and not good else "no error is told"
    told = f"run {run_id} of job {job_id} is {state.value}" + f": {said}" * (not good)
    return Check(f"job checks: {', '.join(tasks)}", good, told)


def _begun(work: Work, key: str) -> CheckRun:
    """The newest run of a job's checks; the first one is written down."""
    number = work.delivery.stage_number

    def begin(fresh: Delivery) -> None:
        runs = fresh.stages[number].check_runs
        if not any(run.key == key for run in runs):
            runs.append(CheckRun(key, 1))

    if not any(run.key == key for run in work.stage.check_runs):
        work.change(begin)
    return [run for run in work.stage.check_runs if run.key == key][-1]


def _started(work: Work, mine: CheckRun, job_id: int, tasks: list[str]) -> str:
    name = f"{work.prefix}-checks-{mine.key}-{mine.number}"
    if name not in work.delivery.intents and work.api.is_running(job_id):
        raise Later(work.context.timings.wait_interval, f"another run of job {job_id} goes on")
    token = digest(f"{work.delivery.delivery_id}|{name}")

    def act() -> Json:
        return {"run_id": str(work.api.run_tasks(job_id, tasks, token))}

    words = f"run {', '.join(tasks)} of job {job_id}"
    run_id = str(once(work, Mutation(name, words, act))["run_id"])
    _set(work, mine, lambda fresh: setattr(fresh, "run_id", run_id))
    return run_id


def _set(work: Work, mine: CheckRun, change: Callable[[CheckRun], None]) -> None:
    number = work.delivery.stage_number

    def note(fresh: Delivery) -> None:
        for run in fresh.stages[number].check_runs:
            if (run.key, run.number) == (mine.key, mine.number):
                change(run)

    work.change(note)


def _in_time(work: Work, mine: CheckRun) -> None:
    """As long as the update may take, counted from the beginning of the gate."""
    minutes = work.plan.timeout_minutes
    if work.now <= work.due(minutes):
        return
    if mine.run_id:
        _stop(work, mine.run_id)
    raise GateFailed(f"the job's checks were not done within {minutes:g} minutes")


def _stop(work: Work, run_id: str) -> None:
    cancel = partial(work.api.cancel_run, run_id)
    repeatable(work, f"checks-stop-{run_id}", f"stop run {run_id}", cancel)


def stop_checks(work: Work) -> None:
    """Cancel what still runs: its job is about to go, or to be as it was."""
    for run in work.stage.check_runs:
        if run.run_id and not run.result:
            _stop(work, run.run_id)


def _lines(work: Work, run: Json) -> list[EvidenceLine]:
    """Why the tasks failed, without data of rows and without secrets."""
    lines: list[EvidenceLine] = []
    for task in failed_tasks(run):
        source = f"task {task.get('task_key')}"
        error = str(work.reads.run_output(str(task["run_id"])).get("error") or "")
        if error:
            lines.append(EvidenceLine(source, "", work.context.redactor.text(bare(error))))
        for line in run_lines(task, source):
            text = work.context.redactor.text(bare(line.message))
            lines.append(EvidenceLine(source, line.code, text, line.kind))
    return lines


def _again(work: Work, mine: CheckRun, lines: list[EvidenceLine]) -> bool:
    """Have the checks run again, if their failure was a passing one and tries are left."""
    tries = mine.number - 1
    remedy = _rerun(work, lines)
    if remedy is None or tries >= min(remedy.attempts, work.plan.retry_attempts):
        return False
    delay = timedelta(seconds=remedy.delay(tries, told_to_wait(lines)))
    number, again = work.delivery.stage_number, work.now + delay

    def note(fresh: Delivery) -> None:
        runs = fresh.stages[number].check_runs
        if not any(run.key == mine.key and run.number > mine.number for run in runs):
            runs.append(CheckRun(mine.key, mine.number + 1, not_before=again))

    _set(work, mine, lambda fresh: setattr(fresh, "result", RunState.FAILED.value))
    work.change(note)
    return True


def _rerun(work: Work, lines: list[EvidenceLine]) -> RemedySpec | None:
    """The catalog's first remedy for a failure, if it is to run the work again."""
    diagnosis = work.context.classifier.classify(lines)
    if not lines or diagnosis.confidence < ACT_CONFIDENCE:
        return None
    remedies = work.context.catalog.remedies(
        diagnosis.error_type, diagnosis.prefer, hands_off=diagnosis.hands_off
    )
    return remedies[0] if remedies and remedies[0].remedy in _RERUN else None
