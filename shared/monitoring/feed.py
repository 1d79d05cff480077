"""The runs of a target since the last look: those that ended, and those under way.

The number of calls grows with the runs since the last look (100 a call on Data Factory, 25 on
Databricks), not with the pipelines and jobs that there are.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import msgspec

from shared.clock import from_iso, from_millis
from shared.diagnosis import databricks_facts as facts
from shared.diagnosis.gather import PIPELINE_STATES, UPDATE_STATES
from shared.errors import PlatformMissing
from shared.monitoring.lookback import Window
from shared.platforms.data_factory import FactoryClient
from shared.platforms.databricks import WorkspaceApi
from shared.vocabulary import FailureKind, RunState

Row = dict[str, Any]

_AHEAD = timedelta(minutes=5)  # their clocks and ours
_LONGEST_RUN = timedelta(days=7)  # a run that is under way longer is not listed any more
_AT_ONCE = 100  # runs that are asked for one by one in a look
_WAITING = frozenset({"QUEUED", "BLOCKED", "PENDING", "WAITING_FOR_RETRY"})


class Run(msgspec.Struct, frozen=True):
    """One run as a sweep sees it; `row` is the platform's own."""

    kind: FailureKind
    resource: str
    name: str
    run_id: str
    state: RunState
    started: datetime
    ended: datetime | None
    waiting: bool
    row: Row

    @property
    def working(self) -> bool:
        """Whether it is under way and has left its queue."""
        return self.state is RunState.ACTIVE and not self.waiting

    def seconds(self, now: datetime) -> float:
        """How long it took, or takes until now."""
        return max(0.0, ((self.ended or now) - self.started).total_seconds())


class Feed(msgspec.Struct, frozen=True):
    """What a look at a target has seen."""

    ended: list[Run]
    active: list[Run]

    @property
    def under_way(self) -> dict[str, int]:
        """The active runs as a look-back remembers them."""
        return {run.run_id: int(run.started.timestamp() * 1000) for run in self.active}


def factory_feed(client: FactoryClient, window: Window) -> Feed:
    """The runs of a factory: updated within the window, and all that are queued or in progress.

    Raises:
        NothingChanged: the factory could not be asked.
    """
    rows = client.runs(window.since, window.until + _AHEAD)
    oldest = window.until - _LONGEST_RUN
    for status in ("InProgress", "Queued"):
        rows += client.runs(oldest, window.until + _AHEAD, Status=status)
    runs = {run.run_id: run for run in map(factory_run, rows) if run is not None}
    return _parted(list(runs.values()))


def workspace_feed(api: WorkspaceApi, window: Window) -> Feed:
    """The job runs of a workspace: begun within the window, under way, and those under way before.

    Raises:
        NothingChanged: the workspace could not be asked.
    """
    since = int(window.since.timestamp() * 1000)
    oldest = int((window.until - _LONGEST_RUN).timestamp() * 1000)
    rows = {str(row.get("run_id")): row for row in api.runs(oldest, active_only="true")}
    rows |= {str(row.get("run_id")): row for row in api.runs(since)}
    missing = [run_id for run_id in window.active if run_id not in rows]
    for run_id in missing[:_AT_ONCE]:
        row = _one(api, run_id)
        if row is not None:
            rows[run_id] = row
    if not window.active and window.since == window.began:
        rows |= _first_look(api, window)
    runs = [job_run(row) for row in rows.values() if row.get("start_time")]
    feed = _parted(runs)
    later = {run_id: window.active[run_id] for run_id in missing[_AT_ONCE:]}
    return feed if not later else Feed(feed.ended, [*feed.active, *map(_unasked, later.items())])


def _first_look(api: WorkspaceApi, window: Window) -> dict[str, Row]:
    """Runs that had begun before the first look and ended within it."""
    start = int((window.since - _FIRST_LONGEST).timestamp() * 1000)
    millis = int(window.since.timestamp() * 1000)
    begun = api.runs(start, completed_only="true", start_time_to=str(millis))
    return {str(r.get("run_id")): r for r in begun if int(r.get("end_time") or 0) >= millis}


_FIRST_LONGEST = timedelta(hours=24)


def _one(api: WorkspaceApi, run_id: str) -> Row | None:
    try:
        return api.run(run_id)
    except PlatformMissing:
        return None


def _unasked(pair: tuple[str, int]) -> Run:
    """A run that is looked at in the next sweep."""
    run_id, millis = pair
    started = from_millis(millis)
    return Run(_JOB, "", "", run_id, RunState.UNKNOWN, started, None, False, {})


_JOB = FailureKind.JOB_RUN


def updates_feed(pipelines: list[Row], window: Window) -> Feed:
    """The updates under way, and those that have ended since the last look.

    The platform does not tell when an update ended. One that was under way at the last look is
    right to within one sweep's interval. One that has begun since then counts with its outcome
    alone: as ended when it began, after no time.
    """
    runs = [run for pipeline in pipelines for run in _updates(pipeline)]
    ended: list[Run] = []
    for run in runs:
        if run.state is RunState.ACTIVE:
            continue
        if run.run_id in window.active:
            ended.append(msgspec.structs.replace(run, ended=window.until))
        elif run.started >= window.last:
            ended.append(msgspec.structs.replace(run, ended=run.started))
    return Feed(ended, [run for run in runs if run.state is RunState.ACTIVE])


def failed_updates(pipelines: list[Row], window: Window) -> list[Run]:
    """The newest ended update of each pipeline, if it failed, in the last day, after we began.

    One that is under way after it hides nothing; one that has ended well or was cancelled does.
    """
    earliest = max(window.began, window.since - _FIRST_LONGEST)
    newest = (next(filter(_over, _updates(pipeline)), None) for pipeline in pipelines)
    return [r for r in newest if r and r.state is RunState.FAILED and r.started >= earliest]


def _over(run: Run) -> bool:
    return run.state is not RunState.ACTIVE


def _updates(pipeline: Row) -> list[Run]:
    """The updates that a listing of pipelines tells of, the newest first."""
    rows = [row for row in pipeline.get("latest_updates") or [] if row.get("creation_time")]
    runs = [_update(pipeline, row) for row in rows]
    return sorted(runs, key=lambda run: run.started, reverse=True)


def _update(pipeline: Row, row: Row) -> Run:
    identity = str(pipeline.get("pipeline_id") or "")
    state = UPDATE_STATES.get(str(row.get("state")), RunState.ACTIVE)
    name = str(pipeline.get("name") or identity)
    started, waiting = _created(row["creation_time"]), row.get("state") == "QUEUED"
    update_id = str(row.get("update_id") or "")
    kind = FailureKind.UPDATE
    return Run(kind, identity, name, update_id, state, started, None, waiting, row)


def _created(value: str | int) -> datetime:
    """Listings write it as ISO 8601, a single update as epoch milliseconds."""
    return from_iso(value) if isinstance(value, str) else from_millis(value)


def _parted(runs: list[Run]) -> Feed:
    ended = sorted((r for r in runs if r.ended is not None), key=lambda run: run.ended or _NEVER)
    return Feed(ended, [run for run in runs if run.ended is None])


_NEVER = from_millis(0)


def factory_run(row: Row) -> Run | None:
    """A pipeline run; None for one that has not begun."""
    if not row.get("runStart"):
        return None
    state = PIPELINE_STATES.get(str(row.get("status")), RunState.UNKNOWN)
    over = state not in {RunState.ACTIVE, RunState.UNKNOWN}
    name = str(row.get("pipelineName") or "")
    ended = from_iso(str(row["runEnd"])) if over and row.get("runEnd") else None
    started = from_iso(str(row["runStart"]))
    waiting = row.get("status") == "Queued"
    run_id = str(row["runId"])
    kind = FailureKind.PIPELINE_RUN
    return Run(kind, name, name, run_id, state, started, ended, waiting, row)


def job_run(row: Row) -> Run:
    """A job run."""
    state = facts.run_state(row)
    end = int(row.get("end_time") or 0)
    over = state not in {RunState.ACTIVE, RunState.UNKNOWN} and bool(end)
    life = str((row.get("state") or {}).get("life_cycle_state") or "")
    return Run(
        kind=_JOB,
        resource=str(row.get("job_id") or ""),
        name=str(row.get("run_name") or row.get("job_id") or ""),
        run_id=str(row.get("run_id") or ""),
        state=state,
        started=from_millis(int(row["start_time"])),
        ended=from_millis(end) if over else None,
        waiting=life in _WAITING,
        row=row,
    )
