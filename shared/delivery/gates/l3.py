"""L3: an update runs until it is green, is healed where that is known how, and never too long."""

from __future__ import annotations

from datetime import timedelta

from shared.clock import from_millis
from shared.delivery.evidence import events_of, flows_of, lines_of
from shared.delivery.heal import heal
from shared.delivery.leaving import GateFailed, Later
from shared.delivery.mutations import Mutation, once
from shared.delivery.resolved import stamp_of
from shared.delivery.work import Work
from shared.delivery_models import Delivery, Flow, GateName, GateState, Run
from shared.errors import PlatformRefused
from shared.models import Json

_OVER = frozenset({"COMPLETED", "FAILED", "CANCELED"})
_FAILED_FLOW = frozenset({"FAILED", "STOPPED"})


def run(work: Work) -> None:
    """Pass the gate, fail it, or come back later."""
    work.enter(GateName.L3)
    current = _begun(work)
    _in_time(work)
    if current.not_before and work.now < current.not_before:
        wait = (current.not_before - work.now).total_seconds()
        raise Later(wait, "the pause before the next try")
    update_id = _started(work, current)
    _follow(work, update_id)


def _begun(work: Work) -> Run:
    """The run that is on; the gate's time begins with the first one of the stage."""
    number, now = work.delivery.stage_number, work.now

    def begin(fresh: Delivery) -> None:
        stage = fresh.stages[number]
        if stage.deadline is None:
            stage.deadline = now + timedelta(minutes=fresh.plan.timeout_minutes)
        if not stage.runs:
            stage.runs.append(Run(1))

    if work.stage.run is None or work.stage.deadline is None:
        work.change(begin)
    current = work.stage.run
    if current is None:
        raise GateFailed("no run was begun")
    return current


def _in_time(work: Work) -> None:
    deadline = work.stage.deadline
    if deadline is not None and work.now >= deadline:
        raise GateFailed(f"not green within {work.plan.timeout_minutes:g} minutes")


def _started(work: Work, current: Run) -> str:
    """The update of the present run; started, if it is not."""
    if current.update_id:
        return current.update_id
    pipeline_id = work.stage.pipeline_id
    row = work.api.pipeline(pipeline_id)
    if row is None:
        raise GateFailed("the pipeline is gone")
    name = f"{work.stage.target}-update-{current.number}"
    intent = work.delivery.intents.get(name)
    untouched = intent is None or intent.outcome == "refused"
    if untouched and row.get("state") == "RUNNING":
        update_id = _running(work, row)
    else:
        update_id = _start(work, current, name)
    number, now = work.delivery.stage_number, work.now

    def note(fresh: Delivery) -> None:
        mine = fresh.stages[number].runs[current.number - 1]
        mine.update_id, mine.started_at = update_id, mine.started_at or now

    work.change(note)
    return update_id


def _running(work: Work, row: Json) -> str:
    """A continuous pipeline starts by itself; anybody else's update is waited for."""
    latest = (row.get("latest_updates") or [{}])[0]
    pipeline_id, update_id = work.stage.pipeline_id, str(latest.get("update_id") or "")
    if (row.get("spec") or {}).get("continuous") and update_id:
        config = work.reads.update(pipeline_id, update_id).get("config") or {}
        if work.plan.source == "pipeline" or stamp_of(config) == work.version:
            return update_id
        words = f"stop pipeline {pipeline_id}, which runs in another version"
        once(work, Mutation(f"{work.prefix}-stop", words, lambda: _stopped(work)))
    raise Later(work.context.timings.wait_interval, "another update of the pipeline is under way")


def _stopped(work: Work) -> Json:
    work.api.stop_pipeline(work.stage.pipeline_id)
    return {}


def _start(work: Work, current: Run, name: str) -> str:
    pipeline_id = work.stage.pipeline_id
    request: Json = {"cause": "API_CALL"}
    if current.reset:
        request["reset_checkpoint_selection"] = current.reset
    if current.full:
        request["full_refresh_selection"] = current.full

    def before() -> Json:
        return {"known": [str(u["update_id"]) for u in work.reads.updates(pipeline_id)]}

    def look(memo: Json) -> Json | None:
        for update in work.reads.updates(pipeline_id):
            fresh = update["update_id"] not in memo["known"]
            chosen = list(update.get("full_refresh_selection") or [])
            if fresh and update.get("cause") == "API_CALL" and chosen == current.full:
                return {"update_id": str(update["update_id"])}
        return None

    started = Mutation(
        name,
        f"start an update of pipeline {pipeline_id}",
        lambda: {"update_id": work.api.start_update(pipeline_id, request)},
        look,
        before,
    )
    try:
        return str(once(work, started)["update_id"])
    except PlatformRefused as error:
        if (work.api.pipeline(pipeline_id) or {}).get("state") != "RUNNING":
            raise
        # Somebody's update began between our look and our call.
        raise Later(work.context.timings.wait_interval, str(error)) from None


def _follow(work: Work, update_id: str) -> None:
    pipeline_id = work.stage.pipeline_id
    update_id = _newest(work, pipeline_id, update_id)
    update = work.reads.update(pipeline_id, update_id)
    state = str(update.get("state"))
    events = events_of(work, pipeline_id, update_id)
    flows = flows_of(events)
    _note(work, update, update_id, flows)
    stopped = _stop_name(work) in work.delivery.intents
    if state == "CANCELED" and not stopped:
        raise GateFailed("somebody stopped the update")
    lines = lines_of(events, work.context.redactor.text)
    failing = [name for name, flow in flows.items() if flow.status in _FAILED_FLOW]
    if state in {"FAILED", "CANCELED"}:
        heal(work, lines, "update", recovered=stopped and not failing)
        return
    row = work.api.pipeline(pipeline_id) or {}
    continuous = bool((row.get("spec") or {}).get("continuous"))
    if continuous and state == "RUNNING":
        _settled(work, bool(lines or failing))
    elif state != "COMPLETED":
        raise Later(_pause(work), f"the update is {state}")
    elif row.get("state") != "IDLE":
        raise Later(_pause(work), f"the pipeline is {row.get('state')}")
    elif lines:
        heal(work, lines, "update")
        return
    _resolved(work)
    rows = sum(flow.rows for flow in flows.values())
    what = "running without an error" if continuous else "completed"
    note = f"update {update_id} {what}, {len(flows)} flows, {rows} rows"
    work.leave(GateState.PASSED, note, "deliver_quality")


def _newest(work: Work, pipeline_id: str, update_id: str) -> str:
    """The update, or the newest of the platform's own retries of it."""
    newer: list[Json] = []
    for update in work.reads.updates(pipeline_id):
        if update["update_id"] == update_id:
            retries = [u for u in newer if u.get("cause") == "RETRY_ON_FAILURE"]
            return str(retries[0]["update_id"]) if retries else update_id
        newer.append(update)
    return update_id


def _note(work: Work, update: Json, update_id: str, flows: dict[str, Flow]) -> None:
    number, now, state = work.delivery.stage_number, work.now, str(update.get("state"))
    created = int(update.get("creation_time") or 0)

    def note(fresh: Delivery) -> None:
        mine = fresh.stages[number].runs[-1]
        mine.update_id, mine.state = update_id, state
        mine.flows = flows
        mine.created_at = from_millis(created) if created else None
        mine.started_at = mine.started_at or now
        if state == "RUNNING":
            mine.running_since = mine.running_since or now
        if state in _OVER:
            mine.ended_at = mine.ended_at or now

    work.change(note)


def _settled(work: Work, wrong: bool) -> None:  # noqa: FBT001 - a fact
    """A continuous pipeline is good when it has run for a while, and never had an error.

    The platform starts failed flows again. It is given the same while for that; then the update is
    stopped, and either healed or, where the flows had come back, started again to run clean.
    """
    current = work.stage.run
    since = current.running_since if current else None
    passed = (work.now - since).total_seconds() if since else 0.0
    if wrong and _wrong_for(work) >= work.plan.settle_seconds:
        words = "stop the update, which has had an error"
        once(work, Mutation(_stop_name(work), words, lambda: _stopped(work)))
        raise Later(work.context.timings.verify_first, "the update is being stopped")
    if wrong:
        raise Later(_pause(work), "flows have failed, the platform may start them again")
    if passed < work.plan.settle_seconds:
        raise Later(_pause(work), "settling")


def _stop_name(work: Work) -> str:
    """The mutation that stops the present run, which is continuous and has had an error."""
    return f"{work.stage.target}-stop-run-{len(work.stage.runs)}"


def _wrong_for(work: Work) -> float:
    """Seconds since the first error of the present run was seen."""
    number, now = work.delivery.stage_number, work.now

    def note(fresh: Delivery) -> None:
        mine = fresh.stages[number].runs[-1]
        mine.wrong_since = mine.wrong_since or now

    if work.stage.runs[-1].wrong_since is None:
        work.change(note)
    return (now - (work.stage.runs[-1].wrong_since or now)).total_seconds()


def _pause(work: Work) -> float:
    current, timings = work.stage.run, work.context.timings
    started = current.started_at if current else None
    passed = (work.now - started).total_seconds() if started else 0.0
    # A tenth of the time so far: quick at first, rarer for what takes long.
    pause = min(max(timings.verify_first, passed / 10), timings.verify_ceiling)
    deadline = work.stage.deadline
    left = (deadline - work.now).total_seconds() if deadline else pause
    return max(min(pause, left), 0.1)


def _resolved(work: Work) -> None:
    """What was found in this stage has been repaired: it is green now."""
    target = work.stage.target

    def note(fresh: Delivery) -> None:
        for finding in fresh.findings:
            if finding.target == target and finding.tried:
                finding.resolved = True

    work.change(note)
