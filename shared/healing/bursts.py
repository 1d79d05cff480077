"""Many alerts that came together: what one of them costs is shared by all.

A bad night's alerts are mostly about the same few failures. Each failure is looked up and claimed
once, and all alerts about it join its incident in one write. What the platforms do not show yet is
looked up again. What they do not answer about stays pending: the dispatch sweep takes it up alert
by alert.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor, ThreadPoolExecutor

import msgspec

from shared.diagnosis.roots import Located
from shared.healing.context import Context
from shared.healing.expand import (
    Expansion,
    Taken,
    is_last,
    is_selftest,
    join,
    locate,
    owned_again,
    selftest,
    settled,
    take,
    too_few,
)
from shared.ledger.alerts import StoredAlert
from shared.vocabulary import Disposition

_LOOKED_UP = 8  # failures at a time: each waits for its platform
_TAKEN = 2  # at a time: the storage answers at once, and those whose alerts come now go first
_MOST_FAILURES = 100  # looked up in one go, so that slow platforms do not outlast a function's time


def expand_burst(
    context: Context, owner: str, alert_ids: Sequence[str], tries: int = 0
) -> Expansion:
    """Find what alerts mean and make it incidents. May be repeated at any point.

    Args:
        context: the parts.
        owner: the orchestration that will heal what it gets to own.
        alert_ids: stored alerts.
        tries: how often this was tried before.
    """
    owned: list[str] = []
    accepted: list[StoredAlert] = []
    for alert_id in alert_ids:
        # As this process has just stored it: who settled it meanwhile has claimed the same roots.
        stored = context.alerts.last(alert_id)
        if stored is None or stored.disposition is not Disposition.ACCEPTED:
            owned += owned_again(context, stored, owner)
        elif is_selftest(stored):
            selftest(context, stored)
        else:
            accepted.append(stored)
    context.alerts.taken_by(owner, [stored.alert_id for stored in accepted])
    accepted, left = _first_failures(accepted)
    with ThreadPoolExecutor(_LOOKED_UP) as pool:
        found, later = _looked_up(context, pool, accepted, tries)
    traces = {stored.alert_id: stored.alert.traceparent for stored in accepted}
    with ThreadPoolExecutor(_TAKEN) as pool:
        led_to, mine = _taken(context, pool, owner, found, traces)
    context.alerts.settle_all([settled(name, incidents) for name, incidents in led_to.items()])
    owned = list(dict.fromkeys([*owned, *mine]))
    pause = context.timings.expand_retry if later else 0.0
    return Expansion(owned, pause, later, mine, left)


def _first_failures(accepted: list[StoredAlert]) -> tuple[list[StoredAlert], list[str]]:
    """The alerts that are looked up now, and those that are left for another go."""
    subjects = dict.fromkeys(_subjects(stored) for stored in accepted)
    now = set(list(subjects)[:_MOST_FAILURES])
    left = [stored.alert_id for stored in accepted if _subjects(stored) not in now]
    return [stored for stored in accepted if _subjects(stored) in now], left


def _looked_up(
    context: Context, pool: Executor, accepted: Sequence[StoredAlert], tries: int
) -> tuple[dict[str, list[Located]], list[str]]:
    """What each alert means, and which are to be looked up again; the same subjects once."""
    by_subjects = {_subjects(stored): stored for stored in accepted}
    looks = pool.map(lambda stored: locate(context, stored), by_subjects.values())
    known = dict(zip(by_subjects, looks, strict=True))
    found: dict[str, list[Located]] = {}
    later: list[str] = []
    for stored in accepted:
        located, problems = known[_subjects(stored)]
        last = is_last(context, stored, tries)
        if not last and (problems or too_few(stored, located)):
            later.append(stored.alert_id)
        elif not problems:
            found[stored.alert_id] = located
    return found, later


def _subjects(stored: StoredAlert) -> bytes:
    return msgspec.json.encode(stored.alert.subjects)


def _taken(
    context: Context,
    pool: Executor,
    owner: str,
    found: dict[str, list[Located]],
    traces: dict[str, str],
) -> tuple[dict[str, list[str]], dict[str, str]]:
    """The incidents that each alert led to, and those that are ours to heal with their traces."""
    by_failure: dict[tuple[str, str], list[tuple[str, Located]]] = {}
    for alert_id, located in found.items():
        for item in located:
            key = (item.root.root_key, item.root.occurrence)
            by_failure.setdefault(key, []).append((alert_id, item))
    named = list(by_failure.values())
    taken = list(pool.map(lambda pairs: _together(context, owner, pairs, traces), named))
    led_to: dict[str, list[str]] = {alert_id: [] for alert_id in found}
    for each, pairs in zip(taken, named, strict=True):
        for alert_id in dict.fromkeys(alert_id for alert_id, _ in pairs):
            led_to[alert_id].append(each.claim.incident_id)
    ours = [each.incident for each in taken if each.is_for(owner)]
    mine = {incident.incident_id: incident.traceparent for incident in ours}
    return {alert_id: list(dict.fromkeys(ids)) for alert_id, ids in led_to.items()}, mine


def _together(
    context: Context, owner: str, named: list[tuple[str, Located]], traces: dict[str, str]
) -> Taken:
    """One failure for all alerts that name it: the first takes it, the others join."""
    first = take(context, owner, *named[0], traces[named[0][0]])
    joining = [pair for pair in named[1:] if pair[0] not in first.incident.alerts]
    if not joining:
        return first
    return Taken(first.claim, join(context, first.claim, joining))
