"""Facts, rollups and pages against a real Table service, with the calls counted at the client."""

from __future__ import annotations

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest

from shared.healing.context import Context
from shared.ledger import tables
from shared.ledger.audit import Audit
from shared.ledger.closed import Closed
from shared.ledger.incidents import Incidents, entity_of, new_incident_id
from shared.ledger.locks import Locks
from shared.ledger.rollups import Rollups
from shared.ledger.search import Wanted
from shared.ledger.tables import Storage, Table
from shared.models import Attempt, AuditEntry, Decision, Diagnosis, Failure, Incident
from shared.monitoring.dispatch import quiet_incidents
from shared.monitoring.recovery import follow_up
from shared.monitoring.rollup import roll_up
from shared.redaction import Redactor
from shared.reporting.facts import Fact
from shared.reporting.rollup import Key, Rollup, rolled
from shared.vocabulary import DecisionKind, FailureKind, IncidentState, Reason, Verdict
from tests.clocks import StepClock
from tests.storage import running_azurite

NOW = datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC)
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)


class Counter:
    """Counts requests, and the entities that their answers carry."""

    def __init__(self) -> None:
        self.requests = 0
        self.entities = 0

    def __call__(self, body: bytes) -> None:
        self.requests += 1
        self.entities += body.count(b'"RowKey":')


class Account:
    """A ledger of its own on the shared emulator."""

    def __init__(self, connection: str) -> None:
        self.counter = Counter()
        self.clock = StepClock(NOW)
        prefix = "r" + random.SystemRandom().randbytes(6).hex()
        self._storage = Storage(prefix, connection, hook=self.counter)
        self._storage.create()
        self.incidents = Incidents(self.table(tables.INCIDENTS), self.clock)
        self.rollups = Rollups(self.table(tables.ROLLUPS))
        self.audit = Audit(self.table(tables.AUDIT), Redactor([]), self.clock)
        parts = SimpleNamespace(
            clock=self.clock,
            incidents=self.incidents,
            locks=Locks(self.table(tables.STATE), self.clock),
            timings=SimpleNamespace(orphan_after=60.0),
        )
        self.context = cast("Context", parts)

    def table(self, name: str) -> Table:
        return self._storage.table(name)

    @property
    def closed(self) -> Closed:
        return self.incidents.closed

    def sweep(self, holder: str = "one") -> int:
        return roll_up(self.context, self.rollups, holder)

    def rows(self, day: str) -> dict[Key, Rollup]:
        return {row.key: row for row in self.rollups.between(day, day)}

    def counted(self, call: Any) -> tuple[int, int, Any]:
        self.counter.requests = self.counter.entities = 0
        found = call()
        return self.counter.requests, self.counter.entities, found


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_azurite(tmp_path_factory.mktemp("azurite")) as connection:
        yield connection


@pytest.fixture
def account(connection: str) -> Account:
    return Account(connection)


def opened(number: int, moment: datetime) -> Incident:
    failure = Failure(FailureKind.PIPELINE_RUN, "adf", f"p{number % 7}", f"run-{number}")
    identity = new_incident_id(moment, f"root-{number}")
    one = Incident(identity, IncidentState.RECEIVED, failure, moment, moment, "owner")
    one.diagnosis = Diagnosis(("A", "B")[number % 2], "network", True, 0.9, "r", "b")
    one.attempts = [Attempt(1, "A", "rerun", ["rerun_pipeline"], moment, verdict=Verdict.HEALED)]
    return one


def close(account: Account, incident_id: str, state: IncidentState, at: datetime) -> None:
    def change(fresh: Incident) -> None:
        fresh.state, fresh.closed_at = state, at

    account.incidents.change(incident_id, change)


def closed_one(account: Account, number: int, state: IncidentState, at: datetime = NOW) -> str:
    one = opened(number, at)
    account.incidents.open(one)
    close(account, one.incident_id, state, at)
    return one.incident_id


# Computing


def test_closing_marks_the_day_and_the_sweep_computes_it_once(account: Account) -> None:
    for number in range(6):
        state = IncidentState.HEALED if number < 4 else IncidentState.ESCALATED
        closed_one(account, number, state)
    account.incidents.open(opened(99, NOW))
    assert [change.day for change in account.closed.changed(10)] == ["20261120"]
    assert account.sweep() == 1
    assert account.sweep() == 0
    rows = account.rows("20261120")
    assert rows[Key("A", "rerun")].states == {"healed": 2, "escalated": 1}
    assert rows[Key("A", "rerun")].tried == 6
    assert rows[Key("B", "rerun")].incidents == 3
    status = account.rollups.status()
    assert status is not None
    assert (status.as_of, status.open) == (NOW, 1)


def test_computing_a_day_twice_changes_nothing_and_writes_nothing(account: Account) -> None:
    for number in range(5):
        closed_one(account, number, IncidentState.HEALED)
    account.sweep()
    before = account.rows("20261120")
    rows = rolled(account.closed.facts("20261120"))
    requests, _, _ = account.counted(lambda: account.rollups.write("20261120", rows))
    assert requests == 1  # it read what stands
    assert account.rows("20261120") == before


def test_a_row_that_has_no_fact_any_more_vanishes(account: Account) -> None:
    identity = closed_one(account, 1, IncidentState.ESCALATED)
    account.sweep()
    assert Key("B", "rerun") in account.rows("20261120")

    def relabel(fresh: Incident) -> None:
        fresh.diagnosis = Diagnosis("C", "network", True, 0.9, "r", "b")

    account.incidents.change(identity, relabel)
    assert account.sweep() == 1
    assert set(account.rows("20261120")) == {Key("A", "rerun"), Key("C", "rerun")}


def test_more_rows_than_one_transaction_holds(account: Account) -> None:
    def rows(count: int) -> dict[Key, Rollup]:
        facts = [
            Fact(f"i{n}", "20261120", "healed", "healed", f"T{n}", "rerun") for n in range(count)
        ]
        return rolled(facts)

    account.rollups.write("20261120", rows(230))
    assert len(account.rows("20261120")) == 230
    account.rollups.write("20261120", rows(3))
    assert len(account.rows("20261120")) == 3


def test_what_closes_while_a_day_is_computed_is_counted_next_time(account: Account) -> None:
    closed_one(account, 0, IncidentState.HEALED)
    mark = account.closed.changed(1)[0]
    closed_one(account, 2, IncidentState.HEALED)
    assert not account.closed.settle(mark)
    assert account.sweep() == 1
    assert account.rows("20261120")[Key("A", "rerun")].incidents == 2


def test_two_sweeps_at_once_are_one(account: Account) -> None:
    closed_one(account, 0, IncidentState.HEALED)
    account.context.locks.acquire(["rollup"], "another", 60)
    assert account.sweep() == 0
    account.clock.moment += timedelta(seconds=61)  # the other one died
    assert account.sweep() == 1


def test_many_days_come_in_several_runs_and_as_of_waits(account: Account) -> None:
    for back in range(45):
        closed_one(account, back, IncidentState.HEALED, NOW - back * DAY)
    assert account.sweep() == 40
    assert account.rollups.status() is None
    assert account.sweep() == 5
    assert account.rollups.status() is not None


def test_a_close_cut_off_before_its_index_is_made_up_for(account: Account) -> None:
    one = opened(0, NOW)
    account.incidents.open(one)
    close(account, one.incident_id, IncidentState.HEALED, NOW)
    # As if it had died between the incident and the indexes.
    table = account.incidents._table
    table.delete("closed", f"fact-20261120-{one.incident_id}")
    table.delete("closed", "changed-20261120")
    table.put({"PartitionKey": "open", "RowKey": one.incident_id})
    assert list(quiet_incidents(account.context)) == []
    assert list(account.incidents.opened()) == []
    account.sweep()
    assert account.rows("20261120")[Key("A", "rerun")].incidents == 1


def test_only_what_may_recover_is_followed(account: Account) -> None:
    closed_one(account, 0, IncidentState.HEALED)
    escalated = closed_one(account, 1, IncidentState.ESCALATED)
    (follow,) = account.closed.due(NOW, 10)
    assert (follow.incident_id, follow.since, follow.looks) == (escalated, NOW, 0)
    account.closed.later(follow, NOW + 15 * MINUTE)
    assert account.closed.due(NOW + 14 * MINUTE, 10) == []
    (again,) = account.closed.due(NOW + 15 * MINUTE, 10)
    assert again.looks == 1
    account.closed.unfollow(again)
    assert account.closed.due(NOW + DAY, 10) == []


def test_looks_grow_apart_and_end_after_a_week(account: Account) -> None:
    one = opened(0, NOW)
    one.failure = Failure(FailureKind.STORM, "adf", "many", "s")  # no platform is asked about it
    account.incidents.open(one)
    fact = Fact(one.incident_id, "20261120", "escalated", "escalated")
    account.closed.note(fact, NOW)
    looks = []
    while account.closed.due(account.clock.moment + 8 * DAY, 1):
        if account.closed.due(account.clock.moment, 1):
            looks.append((account.clock.moment - NOW) // MINUTE)
            assert follow_up(account.context) == 0
        account.clock.moment += 15 * MINUTE
    assert looks[:6] == [0, 15, 45, 105, 225, 465]
    assert looks[-1] <= 7 * 24 * 60
    assert len(looks) == 13


def test_what_is_followed_and_gone_is_forgotten(account: Account) -> None:
    gone = new_incident_id(NOW, "gone")
    account.closed.note(Fact(gone, "20261120", "escalated", "escalated"), NOW)
    follow_up(account.context)
    assert account.closed.due(NOW + DAY, 1) == []


def test_a_recovery_cut_off_before_its_index_is_made_up_for(account: Account) -> None:
    identity = closed_one(account, 0, IncidentState.ESCALATED)
    account.sweep()
    before = account.incidents.get(identity)
    before.recovered_at, before.recovered_by = NOW + 30 * MINUTE, "by_hand"
    account.incidents._table.put(entity_of(before))  # the fact was not written
    assert account.sweep() == 0
    follow_up(account.context)
    assert account.sweep() == 1
    (row,) = account.rows("20261120").values()
    assert row.later["escalated:by_hand"].mean == 1800
    assert follow_up(account.context) == 0
    assert account.closed.due(NOW + 8 * DAY, 1) == []


def test_old_facts_and_rollups_are_purged(account: Account) -> None:
    closed_one(account, 0, IncidentState.HEALED, NOW - 30 * DAY)
    closed_one(account, 2, IncidentState.HEALED)
    account.sweep()
    assert account.closed.purge(NOW - 10 * DAY) == 1
    assert account.rollups.purge(NOW - 10 * DAY) == 1
    assert account.rows("20261120")[Key("A", "rerun")].incidents == 1
    assert account.rollups.status() is not None


# Listing


def test_pages_are_stable_under_arrivals_and_end(account: Account) -> None:
    for number in range(25):
        account.incidents.open(opened(number, NOW - number * timedelta(hours=3)))
    wanted = Wanted(NOW - 7 * DAY, NOW)
    page = account.incidents.search(wanted, None, 10, 31)
    seen = [incident.incident_id for incident in page.incidents]
    for number in range(100, 105):  # they arrive while somebody reads
        account.incidents.open(opened(number, NOW + MINUTE))
    while page.after is not None:
        page = account.incidents.search(wanted, page.after, 10, 31)
        seen += [incident.incident_id for incident in page.incidents]
    assert len(seen) == len(set(seen)) == 25
    assert seen == sorted(seen, key=lambda identity: identity[:18], reverse=True)


def test_a_window_is_kept_to_the_millisecond(account: Account) -> None:
    for number in range(4):
        account.incidents.open(opened(number, NOW + number * timedelta(milliseconds=1)))
    wanted = Wanted(NOW + timedelta(milliseconds=1), NOW + timedelta(milliseconds=2))
    found = account.incidents.search(wanted, None, 10, 31).incidents
    assert [incident.failure.occurrence for incident in found] == ["run-2", "run-1"]


def test_filters_find_what_they_name(account: Account) -> None:
    for number in range(14):
        one = opened(number, NOW - number * MINUTE)
        one.environment = "test" if number == 3 else "production"
        one.failure = Failure(
            FailureKind.PIPELINE_RUN, "adf", f"p{number}", f"run-{number}", f"it's {number}"
        )
        account.incidents.open(one)
    identity = account.incidents.search(_all(), None, 1, 31).incidents[0].incident_id
    close(account, identity, IncidentState.HEALED, NOW)

    def found(**filters: Any) -> set[str]:
        page = account.incidents.search(_all(**filters), None, 50, 31)
        return {incident.failure.occurrence for incident in page.incidents}

    assert found(states=(IncidentState.HEALED,)) == {"run-0"}
    assert len(found(states=(IncidentState.HEALED, IncidentState.RECEIVED))) == 14
    assert found(resource="p5") == found(resource="it's 5") == {"run-5"}
    assert found(environment="test") == {"run-3"}
    assert len(found(error_type="A")) == 7
    assert len(found(remedy="rerun", target="adf")) == 14
    assert found(remedy="scale_up") == found(target="other") == set()


def _all(**filters: Any) -> Wanted:
    return Wanted(NOW - 7 * DAY, NOW, **filters)


def test_a_long_search_comes_in_bounded_pages(account: Account) -> None:
    account.incidents.open(opened(1, NOW - 80 * DAY))
    wanted = Wanted(NOW - 90 * DAY, NOW)
    requests, _, page = account.counted(lambda: account.incidents.search(wanted, None, 50, 31))
    assert (requests, page.incidents) == (31, [])
    found, turns = [], 1
    while page.after is not None:
        page = account.incidents.search(wanted, page.after, 50, 31)
        found += page.incidents
        turns += 1
    assert (len(found), turns) == (1, 3)


# What reading costs, whatever there is


def fill(account: Account, count: int) -> str:
    """`count` incidents of the last seven days, 60 of them today, closed; the newest one's id."""

    def one(number: int) -> str:
        spread = (number - 60) * (6 * DAY) / (count - 60)
        moment = NOW - number * MINUTE if number < 60 else NOW - spread
        incident = opened(number, moment)
        incident.state, incident.closed_at = IncidentState.HEALED, moment
        incident.decision = Decision(DecisionKind.ACT, Reason.ALLOWED, "rerun")
        account.incidents.open(incident)
        account.incidents.settle(incident)
        return incident.incident_id

    with ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(one, range(count)))
    entries = [AuditEntry(NOW, "unit", "Action Taken", f"e{n}") for n in range(7)]
    account.audit.append(ids[0], entries)
    account.sweep()
    return ids[0]


def costs(account: Account, newest: str) -> dict[str, tuple[int, int]]:
    week = Wanted(NOW - 7 * DAY, NOW)
    listed = account.counted(lambda: account.incidents.search(week, None, 50, 31))
    assert len(listed[2].incidents) == 50
    timeline = account.counted(lambda: account.audit.read(newest))
    assert timeline[2][1].whole
    metrics = account.counted(
        lambda: (list(account.rollups.between("20261114", "20261120")), account.rollups.status())
    )
    return {
        "newest 50": listed[:2],
        "timeline": timeline[:2],
        "metrics": metrics[:2],
    }


def test_reading_costs_the_same_at_every_size(connection: str) -> None:
    found = {}
    for count in (100, 400):
        account = Account(connection)
        newest = fill(account, count)
        total = sum(row.incidents for row in account.rollups.between("20261114", "20261120"))
        assert total == count
        found[count] = costs(account, newest)
    assert found[100] == found[400]
    assert found[400]["newest 50"] == (1, 50)
    assert found[400]["timeline"] == (1, 8)
    assert found[400]["metrics"] == (2, 15)
