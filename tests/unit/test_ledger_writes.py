"""Writes that go on from what this process has last seen: two processes stay as safe as one."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import msgspec
import pytest

from shared.errors import LedgerConflict, LedgerMissing, LedgerRefused
from shared.ledger import groups, tables
from shared.ledger.alerts import SHARDS, Alerts, Settled, shard_of
from shared.ledger.audit import Audit
from shared.ledger.documents import Documents
from shared.ledger.last_seen import LastSeen
from shared.ledger.locks import Locks
from shared.ledger.spend import Spend
from shared.ledger.tables import Storage, Table
from shared.models import Alert, AuditEntry
from shared.redaction import Redactor
from shared.vocabulary import Condition, Disposition
from tests.clocks import StepClock
from tests.storage import running_azurite

NOW = datetime(2026, 11, 20, 3, 12, tzinfo=UTC)


class Tally(msgspec.Struct):
    """A document to change."""

    names: list[str] = []


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_azurite(tmp_path_factory.mktemp("azurite")) as connection:
        yield connection


@pytest.fixture
def processes(connection: str) -> tuple[Storage, Storage]:
    """Two processes on one ledger: each remembers only what it has seen itself."""
    prefix = f"w{uuid4().hex[:10]}"
    Storage(prefix, connection).create()
    return Storage(prefix, connection), Storage(prefix, connection)


@pytest.fixture
def state(processes: tuple[Storage, Storage]) -> tuple[Table, Table]:
    one, two = processes
    return one.table(tables.STATE), two.table(tables.STATE)


def alert(name: str) -> Alert:
    return Alert(f"w:{name}", "unit", name, Condition.FIRED)


# Rows as the SDK sees them


def test_a_transaction_is_all_or_nothing(state: tuple[Table, Table]) -> None:
    table, _ = state
    table.insert({"PartitionKey": "p", "RowKey": "there"})
    rows = [{"PartitionKey": "p", "RowKey": name} for name in ("new", "there")]
    with pytest.raises(LedgerConflict):
        table.transact([("create", row) for row in rows])
    assert table.get("p", "new") is None
    with pytest.raises(LedgerMissing):
        table.transact([("create", rows[0]), ("delete", {"PartitionKey": "p", "RowKey": "gone"})])
    assert table.get("p", "new") is None
    table.transact([("create", rows[0]), ("upsert", rows[1] | {"more": "text"})])
    assert (table.get("p", "there") or {})["more"] == "text"


def test_what_storage_refuses_is_told_as_refused(state: tuple[Table, Table]) -> None:
    with pytest.raises(LedgerRefused):
        state[0].insert({"PartitionKey": "p", "RowKey": "large", "text": "x" * 70_000})


# Two processes


def test_a_change_on_old_ground_is_made_on_what_stands(state: tuple[Table, Table]) -> None:
    one, two = (Documents(table, StepClock(NOW)) for table in state)
    for number, documents in enumerate((one, one, two, one, two)):
        documents.change("s", "tally", Tally, lambda t, n=number: t.names.append(str(n)))  # type: ignore[misc]
    assert one.read("s", "tally", Tally).names == ["0", "1", "2", "3", "4"]


def test_an_answer_without_a_change_is_of_what_stands(state: tuple[Table, Table]) -> None:
    one, two = (Documents(table, StepClock(NOW)) for table in state)
    one.read("s", "tally", Tally)  # there is none, as far as this process knows
    two.change("s", "tally", Tally, lambda t: t.names.append("taken"))
    assert one.change("s", "tally", Tally, lambda t: list(t.names)) == ["taken"]


def test_nothing_is_refused_on_old_ground(state: tuple[Table, Table]) -> None:
    ours, theirs = (Documents(table, StepClock(NOW)) for table in state)
    ours.change("tally", "turn", Tally, lambda tally: tally.names.append("ours"))
    theirs.change("tally", "turn", Tally, lambda tally: tally.names.append("theirs"))

    def only_after_theirs(tally: Tally) -> str:
        if "theirs" not in tally.names:
            raise ValueError("not our turn")
        return "done"

    assert ours.change("tally", "turn", Tally, only_after_theirs) == "done"


def test_the_ceiling_of_the_day_holds_on_an_old_sum(processes: tuple[Storage, Storage]) -> None:
    one, two = (Spend(each.table(tables.SPEND), StepClock(NOW)) for each in processes)
    assert one.reserve("a/1", 4.0, 10.0)
    assert two.reserve("b/1", 4.0, 10.0)
    assert not one.reserve("c/1", 4.0, 10.0)
    assert one.reserve("a/1", 4.0, 10.0)  # again, and counted once
    assert two.reserve("a/1", 4.0, 10.0)
    assert one.spent(NOW) == 8.0
    two.release("b/1")
    assert one.reserve("c/1", 4.0, 10.0)
    assert two.spent(NOW) == 8.0


def test_a_lease_taken_by_the_other_process_is_respected(state: tuple[Table, Table]) -> None:
    clock = StepClock(NOW)
    one, two = (Locks(table, clock) for table in state)
    assert one.holder("t") == ""
    assert two.acquire(["t"], "two", 60) == ""
    assert one.acquire(["t"], "one", 60) == "two"
    two.release(["t"], "two")
    assert one.acquire(["t"], "one", 60) == ""
    assert two.acquire(["t"], "two", 60) == "one"
    clock.sleep(61)
    assert two.acquire(["t"], "two", 60) == ""
    assert one.acquire(["t"], "one", 60) == "two"


def test_the_chain_stays_whole_when_two_processes_write(processes: tuple[Storage, Storage]) -> None:
    clock = StepClock(NOW)
    one, two = (
        Audit(each.table(tables.AUDIT), Redactor(), clock, "signing-key") for each in processes
    )
    for number in range(10):
        writer = (one, two, two)[number % 3]
        writer.append("i", [AuditEntry(NOW, "a", "Decided", f"{number}", key=f"k{number}")])
    two.append("i", [AuditEntry(NOW, "a", "Decided", "again", key="k0")])
    assert [entry.summary for entry in one.timeline("i")] == [str(n) for n in range(10)]
    assert one.verify("i").whole


def test_a_timeline_that_is_taken_for_new_goes_on_where_it_stands(
    processes: tuple[Storage, Storage],
) -> None:
    one, two = (Audit(each.table(tables.AUDIT), Redactor(), StepClock(NOW)) for each in processes)
    one.append("i", [AuditEntry(NOW, "a", "Opened", "first", key="opened")])
    two.begin("i")
    head = two.append("i", [AuditEntry(NOW, "a", "Opened", "again", key="opened")])
    assert head.count == 1
    assert one.verify("i").whole


# Settling


def test_many_alerts_are_settled_at_once(processes: tuple[Storage, Storage]) -> None:
    one, two = (Alerts(each.table(tables.ALERTS)) for each in processes)
    ids = [receipt.alert_id for receipt in one.store([alert(str(n)) for n in range(60)], NOW)]
    two.settle(ids[3], Disposition.DISPATCHED, "", ["other"])  # by somebody else meanwhile
    one.settle_all([Settled(name, Disposition.DISPATCHED, "", [f"i-{name}"]) for name in ids])
    found = [one.get(name) for name in ids]
    assert {(f.disposition, tuple(f.incidents)) for f in found if f} == {
        (Disposition.DISPATCHED, (f"i-{name}",)) for name in ids
    }
    assert list(one.pending(NOW + timedelta(days=1))) == []
    one.settle_all([Settled(name, Disposition.DISPATCHED, "", []) for name in [*ids[:2], "0" * 32]])


def test_what_is_left_of_a_group_stays_pending(processes: tuple[Storage, Storage]) -> None:
    one, two = (Alerts(each.table(tables.ALERTS)) for each in processes)
    ids = [receipt.alert_id for receipt in one.store([alert(f"g{n}") for n in range(40)], NOW)]
    later = NOW + timedelta(days=1)

    def settle(alerts: Alerts, names: list[str]) -> None:
        alerts.settle_all([Settled(name, Disposition.IGNORED) for name in names])

    settle(one, ids[:10])
    settle(two, ids[10:25])  # of the same groups, which the other has seen change meanwhile
    settle(one, ids[25:39])
    assert [stored.alert_id for stored in two.pending(later)] == ids[39:]
    settle(two, ids)
    assert list(one.pending(later)) == []
    table = processes[0].table(tables.ALERTS)
    rows = [row for shard in SHARDS for row in table.range(shard) if groups.is_group(row)]
    assert sum(len(groups.became_in(row)) for row in rows) == 40
    assert {row["RowKey"][:2] for row in rows} == {groups.SETTLED}


def test_who_looks_after_an_alert_is_known(processes: tuple[Storage, Storage]) -> None:
    one, two = (Alerts(each.table(tables.ALERTS)) for each in processes)
    ids = [receipt.alert_id for receipt in one.store([alert(f"t{n}") for n in range(6)], NOW)]
    one.taken_by("burst-1", ids[:2])
    two.taken_by("burst-2", ids[2:4])
    one.settle(ids[0], Disposition.IGNORED)
    later = NOW + timedelta(days=1)
    takers = {stored.alert_id: stored.taker for stored in two.pending(later)}
    assert takers == dict(zip(ids[1:], ["burst-1", "burst-2", "burst-2", "", ""], strict=True))


def test_what_is_sent_again_costs_no_write(processes: tuple[Storage, Storage]) -> None:
    one, _ = (Alerts(each.table(tables.ALERTS)) for each in processes)
    every = [alert(f"s{n}") for n in range(150)]
    one.store(every, NOW)
    wrote: list[object] = []
    transact = one._table.transact
    one._table.transact = wrote.append  # type: ignore[method-assign,assignment]
    again = one.store(every, NOW + timedelta(minutes=1))
    one._table.transact = transact  # type: ignore[method-assign]
    assert all(receipt.duplicate for receipt in again)
    assert wrote == []
    mixed = one.store([*every, alert("s-new")], NOW + timedelta(hours=2))  # may be gone by then
    assert [receipt.duplicate for receipt in mixed] == [True] * 150 + [False]


def test_an_alert_that_was_purged_is_new(processes: tuple[Storage, Storage]) -> None:
    one, two = (Alerts(each.table(tables.ALERTS)) for each in processes)
    old = alert("purged")
    one.store([old], NOW)
    two.purge(NOW + timedelta(days=400))
    assert not one.store([old], NOW + timedelta(days=401))[0].duplicate


def test_one_group_is_settled_by_many_at_once(processes: tuple[Storage, Storage]) -> None:
    both = [Alerts(each.table(tables.ALERTS)) for each in processes]
    ids = [r.alert_id for r in both[0].store([alert(f"c{n}") for n in range(60)], NOW)]

    def settle(position: int) -> None:
        both[position % 2].settle(ids[position], Disposition.DISPATCHED, "", [f"i{position}"])

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(settle, range(60)))
    found = [both[0].get(name) for name in ids]
    assert [one.incidents for one in found if one] == [[f"i{n}"] for n in range(60)]


def test_what_is_pending_comes_oldest_first_and_not_without_end(
    processes: tuple[Storage, Storage],
) -> None:
    one, two = (Alerts(each.table(tables.ALERTS)) for each in processes)
    for minute in range(20):
        one.store([alert(f"m{minute}")], NOW + timedelta(minutes=minute))
    found = [stored.received_at for stored in two.pending(NOW + timedelta(days=1), limit=3)]
    by_shard = len(found) // len(SHARDS)
    assert by_shard == 3
    for start in range(0, len(found), by_shard):
        part = found[start : start + by_shard]
        assert part == sorted(part)


def test_what_is_pending_of_alerts_that_are_gone_is_tidied_up(
    processes: tuple[Storage, Storage],
) -> None:
    one, two = (Alerts(each.table(tables.ALERTS)) for each in processes)
    identity = one.store([alert("gone")], NOW)[0].alert_id
    table = processes[0].table(tables.ALERTS)
    assert one.purge(NOW + timedelta(days=1)) == 1
    assert list(two.pending(NOW + timedelta(days=1))) == []
    assert [row for row in table.range(shard_of(identity)) if groups.is_group(row)] == []
    two.settle(identity, Disposition.DISPATCHED)  # nothing to settle, and no error
    assert two.get(identity) is None


def test_an_old_settled_alert_goes_with_what_became_of_it(
    processes: tuple[Storage, Storage],
) -> None:
    one, _ = (Alerts(each.table(tables.ALERTS)) for each in processes)
    identity = one.store([alert("old")], NOW)[0].alert_id
    one.settle(identity, Disposition.DISPATCHED, "", ["i1"])
    table = processes[0].table(tables.ALERTS)
    assert one.purge(NOW) == 0
    assert one.purge(NOW + timedelta(seconds=1)) == 1
    assert list(table.range(shard_of(identity))) == []


def test_repeats_among_new_alerts_are_told_apart(processes: tuple[Storage, Storage]) -> None:
    one, two = (Alerts(each.table(tables.ALERTS)) for each in processes)
    old = [alert(f"r{n}") for n in range(0, 60, 7)]
    one.store(old, NOW)
    for alerts in (one, two):  # one has seen the old ones, two has not
        mixed = [alert(f"r{n}") for n in range(60)]
        receipts = alerts.store(mixed, NOW)
        known = [n for n, receipt in enumerate(receipts) if receipt.duplicate]
        assert known == (list(range(0, 60, 7)) if alerts is one else list(range(60)))
    waiting = [stored.alert_id for stored in two.pending(NOW + timedelta(days=1))]
    assert len(waiting) == len(set(waiting)) == 60


def test_little_is_remembered() -> None:
    seen = LastSeen(most=2)
    for name in "abc":
        seen.note("p", name, {"RowKey": name}, "etag")
    assert seen.recall("p", "a") == (False, None)
    assert seen.recall("p", "c") == (True, {"RowKey": "c", "etag": "etag"})
    seen.note("p", "d", {"RowKey": "d"})  # of no use without its ETag
    assert seen.recall("p", "d") == (False, None)
    seen.forget("p", "c")
    assert seen.recall("p", "c") == (False, None)
