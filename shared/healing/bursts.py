"""Many alerts that came together: what one of them costs is shared by all.

A bad night's alerts are mostly about the same few failures. Each failure is looked up and claimed
once, and all alerts about it join its incident in one write. What cannot be settled at the first
look stays pending, and the dispatch sweep takes it up alert by alert.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec

from shared.diagnosis.roots import Located
from shared.healing.context import Context
from shared.healing.expand import (
    Expansion,
    Problem,
    Taken,
    is_selftest,
    join,
    locate,
    owned_again,
    selftest,
    take,
    too_few,
)
from shared.ledger.alerts import Settled, StoredAlert
from shared.vocabulary import Disposition

T = TypeVar("T")
Found = tuple[list[Located], list[Problem]]


def expand_burst(context: Context, owner: str, alert_ids: Sequence[str]) -> Expansion:
    """Find what alerts mean and make it incidents. May be repeated at any point.

    Args:
        context: the parts.
        owner: the orchestration that will heal what it gets to own.
        alert_ids: stored alerts, at most 90: their entries in one timeline fit one transaction.
    """
    owned: list[str] = []
    waiting: list[tuple[StoredAlert, list[Located]]] = []
    look = _once(lambda stored: locate(context, stored))
    for alert_id in alert_ids:
        # As this process has just stored it: who settled it meanwhile has claimed the same roots.
        stored = context.alerts.last(alert_id)
        if stored is None or stored.disposition is not Disposition.ACCEPTED:
            owned += owned_again(context, stored, owner)
        elif is_selftest(stored):
            selftest(context, stored)
        else:
            located, problems = look(stored)
            if not problems and not too_few(stored, located):
                waiting.append((stored, located))
    led_to, mine = _taken(context, owner, waiting)
    context.alerts.settle_all(
        [
            Settled(stored.alert_id, Disposition.DISPATCHED, "", led_to[stored.alert_id])
            for stored, _ in waiting
        ]
    )
    return Expansion(list(dict.fromkeys([*owned, *mine])))


def _taken(
    context: Context, owner: str, waiting: list[tuple[StoredAlert, list[Located]]]
) -> tuple[dict[str, list[str]], list[str]]:
    """The incidents that each alert led to, and those that are ours to heal."""
    by_failure: dict[tuple[str, str], list[tuple[str, Located]]] = {}
    for stored, located in waiting:
        for item in located:
            key = (item.root.root_key, item.root.occurrence)
            by_failure.setdefault(key, []).append((stored.alert_id, item))
    led_to: dict[str, list[str]] = {stored.alert_id: [] for stored, _ in waiting}
    mine: list[str] = []
    for named in by_failure.values():
        taken = _together(context, owner, named)
        incident_id = taken.claim.incident_id
        mine += [incident_id] if taken.is_for(owner) else []
        for alert_id, _ in named:
            if incident_id not in led_to[alert_id]:
                led_to[alert_id].append(incident_id)
    return led_to, mine


def _together(context: Context, owner: str, named: list[tuple[str, Located]]) -> Taken:
    """One failure for all alerts that name it: the first takes it, the others join."""
    first = take(context, owner, *named[0])
    joining = [pair for pair in named[1:] if pair[0] not in first.incident.alerts]
    if not joining:
        return first
    return Taken(first.claim, join(context, first.claim, joining))


def _once(look: Callable[[StoredAlert], Found]) -> Callable[[StoredAlert], Found]:
    """Look the same subjects up once."""
    known: dict[bytes, Found] = {}

    def found(stored: StoredAlert) -> Found:
        key = msgspec.json.encode(stored.alert.subjects)
        if key not in known:
            known[key] = look(stored)
        return known[key]

    return found
