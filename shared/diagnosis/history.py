"""How long the same work takes when all is well, and what it is tagged with. Reads only."""

from __future__ import annotations

from datetime import datetime, timedelta
from statistics import median
from typing import Any

from shared.clock import Clock, from_iso, from_millis
from shared.models import Evidence, Failure
from shared.platforms.directory import Platforms
from shared.vocabulary import FailureKind

Row = dict[str, Any]

_LOOK_BACKS = (timedelta(hours=6), timedelta(days=8))
_ENOUGH = 10


class History:
    """What earlier runs and the platform's own settings tell of a piece of work."""

    def __init__(self, platforms: Platforms, clock: Clock) -> None:
        self._platforms = platforms
        self._clock = clock

    def usual_seconds(self, failure: Failure, evidence: Evidence) -> float | None:
        """The median duration of the last successful runs in seconds, None if there were none.

        Raises:
            NothingChanged: the platform could not be asked.
        """
        if failure.kind is FailureKind.PIPELINE_RUN:
            found = self._pipeline(failure, evidence)
        elif failure.kind is FailureKind.JOB_RUN and evidence.job_id:
            found = self._job(failure, evidence)
        else:
            return None  # the list of updates does not tell when they ended
        return median(found) if found else None

    def tags(self, failure: Failure, evidence: Evidence) -> dict[str, str]:
        """What the work is tagged with on its platform: a job's or a cluster's tags.

        Data Factory has no tags on pipelines, only annotations, each a text: they are given as
        keys, or as key and value where they hold a `:` or `=`.

        Raises:
            NothingChanged: the platform could not be asked.
        """
        if failure.kind is FailureKind.PIPELINE_RUN:
            row = self._platforms.factory(failure.target).pipeline(failure.resource)
            listed = row.get("annotations") or (row.get("properties") or {}).get("annotations")
            return dict(_annotation(str(text)) for text in listed or [])
        api = self._platforms.workspace(failure.target)
        if failure.kind is FailureKind.JOB_RUN and evidence.job_id:
            settings = api.job(evidence.job_id).get("settings") or {}
            return {str(k): str(v) for k, v in (settings.get("tags") or {}).items()}
        if failure.kind in {FailureKind.CLUSTER, FailureKind.LIBRARY}:
            tags = api.cluster(failure.resource).get("custom_tags") or {}
            return {str(k): str(v) for k, v in tags.items()}
        return {}

    def _pipeline(self, failure: Failure, evidence: Evidence) -> list[float]:
        client = self._platforms.factory(failure.target)
        name = evidence.pipeline or failure.resource
        now = self._clock.now()
        for back in _LOOK_BACKS:  # one that runs each minute has thousands of runs in a week
            runs = client.runs(now - back, now, PipelineName=name, Status="Succeeded")
            if runs:
                return _durations(runs, "runStart", "runEnd", from_iso)
        return []

    def _job(self, failure: Failure, evidence: Evidence) -> list[float]:
        since = int((self._clock.now() - _LOOK_BACKS[-1]).timestamp() * 1000)
        api = self._platforms.workspace(failure.target)
        found = []
        for run in api.runs(since, job_id=evidence.job_id, completed_only="true"):
            if (run.get("state") or {}).get("result_state") == "SUCCESS":
                found.append(run)
            if len(found) >= _ENOUGH:
                break
        return _durations(found, "start_time", "end_time", from_millis)


def _durations(rows: list[Row], start: str, end: str, parse: Any) -> list[float]:  # noqa: ANN401 - of either platform's times
    found: list[float] = []
    for row in rows[:_ENOUGH]:
        began, ended = row.get(start), row.get(end)
        if began and ended:
            moments: tuple[datetime, datetime] = (parse(began), parse(ended))
            found.append(max(0.0, (moments[1] - moments[0]).total_seconds()))
    return found


def _annotation(text: str) -> tuple[str, str]:
    for mark in (":", "="):
        key, found, value = text.partition(mark)
        if found:
            return key.strip(), value.strip()
    return text.strip(), "true"
