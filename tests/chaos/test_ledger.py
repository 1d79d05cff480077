"""Any interleaving of writers, with answers lost here and there, against a real Table service."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import msgspec
import pytest
from hypothesis import strategies as st

from devstack.processes import Stack
from shared.errors import LedgerUnavailable
from shared.ledger import tables
from shared.ledger.alerts import SHARDS, Alerts, Settled, alert_id, shard_of
from shared.ledger.audit import Audit
from shared.ledger.claims import Claim, Claims
from shared.ledger.groups import PENDING, waiting_in
from shared.ledger.incidents import Incidents, new_incident_id
from shared.ledger.locks import Locks
from shared.ledger.tables import Storage, Table
from shared.models import Alert, AuditEntry, Failure, Incident
from shared.redaction import Redactor
from shared.vocabulary import Condition, Disposition, FailureKind, IncidentState
from tests.chaos.sizes import Chaos
from tests.chaos.turns import Turns

NOW = datetime(2026, 11, 20, 3, 12, tzinfo=UTC)
FAILURE = Failure(FailureKind.PIPELINE_RUN, "adf", "p", "run-1", group="run-1")
MOST_WRITERS = 4
Under = Callable[[Table], Table]


class StillClock:
    """A clock that stands; who would wait, does not."""

    def now(self) -> datetime:
        return NOW

    def sleep(self, seconds: float) -> None:
        del seconds


class Plan(msgspec.Struct, frozen=True):
    """An interleaving: how many write what, in which order, and which answers are lost."""

    entries: list[list[int]]  # for each writer the keys of what it writes; -1 has no key
    picks: list[int]
    lost: frozenset[int]


PLANS = st.builds(
    Plan,
    entries=st.lists(
        st.lists(st.integers(-1, 5), min_size=1, max_size=4), min_size=2, max_size=MOST_WRITERS
    ),
    picks=st.lists(st.integers(0, MOST_WRITERS - 1), max_size=40),
    lost=st.frozensets(st.integers(-20, 20), max_size=4),
)
_numbers = itertools.count()


@pytest.fixture(scope="module")
def storage(stack: Stack) -> Storage:
    storage = Storage("interleaved", stack.connection)
    storage.create()
    return storage


@pytest.fixture(scope="module")
def clock() -> StillClock:
    return StillClock()


def again(write: Callable[[], Any]) -> Any:
    """As an activity that is run again as long as storage does not answer."""
    while True:
        try:
            return write()
        except LedgerUnavailable:
            continue


def test_the_chain_is_whole(storage: Storage, clock: StillClock, chaos: Chaos) -> None:
    table = storage.table(tables.AUDIT)

    def check(plan: Plan) -> None:
        name = f"chain-{next(_numbers)}"

        def writer(me: int) -> Callable[[Under], None]:
            def write(under: Under) -> None:
                trail = Audit(under(table), Redactor(), clock, "signing-key")
                for turn, number in enumerate(plan.entries[me]):
                    key = f"k{number}" if number >= 0 else f"own-{me}-{turn}"
                    entry = AuditEntry(NOW, f"writer {me}", "Action Taken", key, key)
                    again(partial(trail.append, name, [entry]))

            return write

        Turns(plan.picks, plan.lost).run([writer(me) for me in range(len(plan.entries))])
        trail = Audit(table, Redactor(), clock, "signing-key")
        entries, checked = trail.read(name)
        assert checked.whole, checked.problem
        assert [entry.sequence for entry in entries] == list(range(1, len(entries) + 1))
        wanted = {
            f"k{number}" if number >= 0 else f"own-{me}-{turn}"
            for me, numbers in enumerate(plan.entries)
            for turn, number in enumerate(numbers)
        }
        assert sorted(entry.key for entry in entries) == sorted(wanted)  # each of them once

    chaos.explore(chaos.of(8, 1500), check, PLANS)


def test_no_change_of_an_incident_is_lost(
    storage: Storage, clock: StillClock, chaos: Chaos
) -> None:
    table = storage.table(tables.INCIDENTS)

    def check(plan: Plan) -> None:
        identity = new_incident_id(NOW + timedelta(milliseconds=next(_numbers)), "root")
        fresh = Incident(identity, IncidentState.RECEIVED, FAILURE, NOW, NOW, "owner")
        assert Incidents(table, clock).open(fresh)

        def writer(me: int) -> Callable[[Under], None]:
            def write(under: Under) -> None:
                incidents = Incidents(under(table), clock)
                for turn in range(len(plan.entries[me])):
                    again(partial(incidents.change, identity, _join(f"{me}-{turn}")))

            return write

        Turns(plan.picks, plan.lost).run([writer(me) for me in range(len(plan.entries))])
        joined = Incidents(table, clock).get(identity).alerts
        wanted = {f"{me}-{t}" for me, n in enumerate(plan.entries) for t in range(len(n))}
        assert sorted(joined) == sorted(wanted)

    chaos.explore(chaos.of(5, 600), check, PLANS)


def _join(alert: str) -> Callable[[Incident], None]:
    def change(incident: Incident) -> None:
        if alert not in incident.alerts:
            incident.alerts.append(alert)

    return change


def test_one_claim_stands_and_one_holds_the_lock(
    storage: Storage, clock: StillClock, chaos: Chaos
) -> None:
    claims, state = storage.table(tables.CLAIMS), storage.table(tables.STATE)

    def check(plan: Plan) -> None:
        line = f"line-{next(_numbers)}"
        standing: list[Claim] = []
        holders: list[str] = []

        def writer(me: int) -> Callable[[Under], None]:
            def write(under: Under) -> None:
                mine = Claim(f"incident-{me}", f"owner-{me}", FAILURE)
                standing.append(again(lambda: Claims(under(claims)).take(line, mine)))
                locks = Locks(under(state), clock)
                if not again(lambda: locks.acquire([line, f"{line}-b"], f"holder-{me}", 60)):
                    holders.append(f"holder-{me}")

            return write

        Turns(plan.picks, plan.lost).run([writer(me) for me in range(len(plan.entries))])
        assert len({claim.owner for claim in standing}) == 1
        assert len(holders) <= 1

    chaos.explore(chaos.of(4, 600), check, PLANS)


def test_an_alert_is_new_to_somebody(storage: Storage, chaos: Chaos) -> None:
    table = storage.table(tables.ALERTS)

    def check(plan: Plan) -> None:
        name = next(_numbers)
        fresh: list[str] = []

        def writer(me: int) -> Callable[[Under], None]:
            def write(under: Under) -> None:
                alerts = [_alert(f"{name}-{number}") for number in plan.entries[me]]
                receipts = again(lambda: Alerts(under(table)).store(alerts, NOW))
                fresh.extend(r.alert_id for r in receipts if not r.duplicate)

            return write

        Turns(plan.picks, plan.lost).run([writer(me) for me in range(len(plan.entries))])
        assert len(fresh) == len(set(fresh)), "two were told that an alert is new"
        for number in {number for part in plan.entries for number in part}:
            identity = alert_id(_alert(f"{name}-{number}"))
            row = table.get(shard_of(identity), identity)
            assert row is not None, "accepted, and not there"
            group = table.get(shard_of(identity), PENDING + row["group"])
            assert group is not None
            assert identity in waiting_in(group), "stored, and not found by the sweep"

    chaos.explore(chaos.of(4, 300), check, PLANS)


def test_what_is_settled_by_several_is_settled_whole(storage: Storage, chaos: Chaos) -> None:
    table = storage.table(tables.ALERTS)

    def check(plan: Plan) -> None:
        name = next(_numbers)
        together = sorted({number for part in plan.entries for number in part})
        every = [_alert(f"{name}-{number}") for number in together]
        ids = [receipt.alert_id for receipt in Alerts(table).store(every, NOW)]
        by_number = dict(zip(together, ids, strict=True))

        def writer(me: int) -> Callable[[Under], None]:
            def write(under: Under) -> None:
                alerts = Alerts(under(table))
                mine = [
                    Settled(by_number[number], Disposition.DISPATCHED, "", [f"by-{me}"])
                    for number in plan.entries[me]
                ]
                again(lambda: alerts.settle_all(mine))

            return write

        Turns(plan.picks, plan.lost).run([writer(me) for me in range(len(plan.entries))])
        for number, identity in by_number.items():
            stored = Alerts(table).get(identity)
            assert stored is not None
            assert stored.disposition is Disposition.DISPATCHED
            settlers = [me for me, part in enumerate(plan.entries) if number in part]
            assert stored.incidents in [[f"by-{me}"] for me in settlers]
        left = [row for shard in SHARDS for row in table.range(shard, PENDING, "p.")]
        assert not [row for row in left if set(waiting_in(row)) & set(ids)]

    chaos.explore(chaos.of(4, 300), check, PLANS)


def _alert(name: str) -> Alert:
    return Alert(f"chaos:{name}", "chaos", name, Condition.FIRED)
