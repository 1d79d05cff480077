"""The figures of the daily digest, from the incidents of the last days."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime

import msgspec

from shared.models import Incident
from shared.vocabulary import FailureKind, IncidentState

_TYPES, _SLOWEST = 10, 3


class Figures(msgspec.Struct, frozen=True):
    """What happened between `since` and `until`. `slowest` is in seconds from open to healed."""

    since: datetime
    until: datetime
    healed: int = 0
    escalated: int = 0
    observed: int = 0
    cancelled: int = 0
    open: int = 0
    by_type: tuple[tuple[str, int], ...] = ()
    slowest: tuple[tuple[str, float], ...] = ()
    cost_usd: float = 0.0
    findings: tuple[tuple[str, int], ...] = ()  # open ones by kind
    worst: tuple[str, ...] = ()  # what the gravest of them say


def figures(incidents: Iterable[Incident], since: datetime, until: datetime) -> Figures:
    """Count what was closed from `since` on and before `until`, and what is open.

    The cost is the estimate of the attempts that began in that time, of open incidents too.
    """
    every = list(incidents)
    listed = [i for i in every if i.failure.kind is not FailureKind.PROPOSAL]  # nothing had failed
    ended = [i for i in listed if i.closed_at is not None and since <= i.closed_at < until]
    states = Counter(i.state for i in ended)
    types = Counter(i.diagnosis.error_type if i.diagnosis else "not diagnosed" for i in ended)
    costs = [a.cost_usd for i in every for a in i.attempts if since <= a.started_at < until]
    return Figures(
        since,
        until,
        healed=states[IncidentState.HEALED],
        escalated=states[IncidentState.ESCALATED],
        observed=states[IncidentState.OBSERVED],
        cancelled=states[IncidentState.CANCELLED],
        open=sum(not i.state.closed for i in listed),
        by_type=tuple(types.most_common(_TYPES)),
        slowest=_slowest(ended),
        cost_usd=sum(costs),
    )


def _slowest(ended: list[Incident]) -> tuple[tuple[str, float], ...]:
    healed = [i for i in ended if i.state is IncidentState.HEALED and i.closed_at]
    spans = [
        (i.failure.label, (i.closed_at - i.opened_at).total_seconds())
        for i in healed
        if i.closed_at
    ]
    return tuple(sorted(spans, key=lambda span: -span[1])[:_SLOWEST])
