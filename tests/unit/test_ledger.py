"""The ledger against a real Table service: what it promises under races, repeats and tampering."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from devstack.processes import azurite_connection, free_port
from shared.errors import LedgerMissing, LedgerUnavailable
from shared.ledger import tables
from shared.ledger.alerts import Alerts
from shared.ledger.audit import Audit
from shared.ledger.claims import Claim, Claims
from shared.ledger.documents import Documents
from shared.ledger.incidents import Incidents, new_incident_id, row_of
from shared.ledger.limits import Limits, Usage
from shared.ledger.locks import Locks
from shared.ledger.search import Wanted
from shared.ledger.spend import Spend
from shared.ledger.tables import Storage
from shared.models import Alert, AuditEntry, Failure, Incident
from shared.policy.model import BreakerLimits, Policy
from shared.redaction import Redactor
from shared.telemetry import signals
from shared.vocabulary import Condition, Disposition, FailureKind, IncidentState
from tests.clocks import StepClock
from tests.heard import Heard
from tests.storage import running_azurite

NOW = datetime(2026, 11, 20, 3, 12, 0, 123000, tzinfo=UTC)
FAILURE = Failure(FailureKind.PIPELINE_RUN, "adf", "p", "run-1", group="run-1")


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Storage]:
    with running_azurite(tmp_path_factory.mktemp("azurite")) as connection:
        storage = Storage("unit", connection)
        storage.create()
        yield storage


@pytest.fixture
def clock() -> StepClock:
    return StepClock(NOW)


def alert(name: str, **more: object) -> Alert:
    return Alert(f"unit:{name}", "unit", name, Condition.FIRED, **more)  # type: ignore[arg-type]  # a table of fields


def audit(storage: Storage, clock: StepClock, key: str = "") -> Audit:
    return Audit(storage.table(tables.AUDIT), Redactor(["topsecret-1"]), clock, key)


def entry(summary: str, key: str = "") -> AuditEntry:
    return AuditEntry(NOW, "unit", "Action Taken", summary, key)


# Alerts


def test_an_alert_is_stored_once_and_known_again(storage: Storage) -> None:
    alerts = Alerts(storage.table(tables.ALERTS))
    batch = [alert(f"a{n}") for n in range(60)]
    first = alerts.store(batch, NOW)
    again = alerts.store([*batch[:5], alert("a-new"), alert("a-new")], NOW)
    assert not any(receipt.duplicate for receipt in first)
    assert [receipt.duplicate for receipt in again] == [True] * 5 + [False, True]
    stored = alerts.get(first[0].alert_id)
    assert stored is not None
    assert stored.alert == batch[0]
    assert stored.received_at == NOW


def test_what_is_pending_is_found_until_it_is_settled(storage: Storage) -> None:
    alerts = Alerts(storage.table(tables.ALERTS))
    ignored = alert("b-ignored", disposition=Disposition.IGNORED)
    receipts = alerts.store([alert("b1"), ignored], NOW - timedelta(hours=1))
    ids = [receipt.alert_id for receipt in receipts]
    early = NOW - timedelta(minutes=30)
    assert ids[0] in {stored.alert_id for stored in alerts.pending(early)}
    assert ids[1] not in {stored.alert_id for stored in alerts.pending(early)}
    alerts.settle(ids[0], Disposition.DISPATCHED, "", ["i1"])
    alerts.settle(ids[0], Disposition.DISPATCHED, "", ["i1"])
    assert ids[0] not in {stored.alert_id for stored in alerts.pending(early)}
    stored = alerts.get(ids[0])
    assert stored is not None
    assert stored.incidents == ["i1"]


def test_an_alert_without_a_time_is_looked_at_again_later(storage: Storage) -> None:
    alerts = Alerts(storage.table(tables.ALERTS))
    identity = alerts.store([alert("c1")], NOW)[0].alert_id
    alerts.settle(identity, Disposition.DISPATCHED)
    after = timedelta(minutes=15)
    assert not alerts.look_again(identity, NOW + timedelta(minutes=1), after)
    assert alerts.look_again(identity, NOW + timedelta(minutes=16), after)
    assert not alerts.look_again(identity, NOW + timedelta(minutes=40), after)
    assert identity in {stored.alert_id for stored in alerts.pending(NOW + timedelta(hours=1))}


def test_old_alerts_are_purged(storage: Storage) -> None:
    alerts = Alerts(storage.table(tables.ALERTS))
    identity = alerts.store([alert("d1")], NOW - timedelta(days=900))[0].alert_id
    assert alerts.purge(NOW - timedelta(days=800)) == 1
    assert alerts.get(identity) is None


# Claims and locks


def test_of_many_claims_at_once_one_stands(storage: Storage) -> None:
    claims = Claims(storage.table(tables.CLAIMS))
    wanted = [Claim(f"i{n}", f"owner-{n}", FAILURE) for n in range(16)]
    with ThreadPoolExecutor(16) as pool:
        standing = list(pool.map(lambda claim: claims.take("race", claim), wanted))
    assert len({claim.owner for claim in standing}) == 1
    winner = standing[0]
    assert claims.take("race", winner) == winner  # a repeat after a lost answer


def test_a_closed_incidents_claim_is_taken_over_once(storage: Storage) -> None:
    claims = Claims(storage.table(tables.CLAIMS))
    old = claims.take("line", Claim("i-old", "a", FAILURE))
    new = [Claim(f"i-new-{n}", f"b{n}", FAILURE) for n in range(8)]
    with ThreadPoolExecutor(8) as pool:
        standing = list(pool.map(lambda claim: claims.take_over("line", old, claim), new))
    assert len({claim.incident_id for claim in standing}) == 1


def test_a_lock_is_held_by_one_and_lost_when_its_lease_ends(
    storage: Storage, clock: StepClock
) -> None:
    locks = Locks(storage.table(tables.STATE), clock)
    assert locks.acquire(["x", "y"], "one", 60) == ""
    assert locks.acquire(["w", "y"], "two", 60) == "one"
    assert locks.holder("w") == ""
    assert locks.acquire(["x"], "one", 60) == ""
    clock.moment += timedelta(seconds=61)
    assert locks.acquire(["y"], "two", 60) == ""
    locks.release(["x", "y"], "one")
    assert locks.holder("y") == "two"


def test_of_many_at_once_one_gets_the_lock(storage: Storage, clock: StepClock) -> None:
    locks = Locks(storage.table(tables.STATE), clock)
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda n: locks.acquire(["rush"], f"h{n}", 60), range(16)))
    assert answers.count("") == 1


# Audit


def test_the_chain_is_whole_and_repeats_are_dropped(storage: Storage, clock: StepClock) -> None:
    trail = audit(storage, clock, "signing")
    trail.append("whole", [entry("one", "k1"), entry("two", "k2")])
    trail.append("whole", [entry("one", "k1"), entry("three")])
    assert [e.summary for e in trail.timeline("whole")] == ["one", "two", "three"]
    assert trail.verify("whole").whole


def test_many_writers_keep_the_chain_whole(storage: Storage, clock: StepClock) -> None:
    trail = audit(storage, clock)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: trail.append("busy", [entry(f"e{n}", f"k{n}")]), range(24)))
    checked = trail.verify("busy")
    assert (checked.whole, checked.count) == (True, 24)


@pytest.mark.parametrize("damage", ["changed", "missing", "cut", "forged head"])
def test_tampering_shows(storage: Storage, clock: StepClock, damage: str) -> None:
    trail = audit(storage, clock, "signing")
    name = damage.replace(" ", "-")
    head = trail.append(name, [entry(f"e{n}") for n in range(4)])
    table = storage.table(tables.AUDIT)
    _damage(table, name, damage)
    assert not trail.verify(name, head.count, head.hash).whole


def _damage(table: tables.Table, name: str, damage: str) -> None:
    row = table.get(name, "00000002")
    head = table.get(name, "head")
    assert row is not None
    assert head is not None
    if damage == "changed":
        table.put({**row, "doc0": row["doc0"].replace("e1", "e9")})
    if damage == "missing":
        table.delete(name, "00000002")
    if damage == "cut":
        table.delete(name, "00000004")
    if damage == "forged head":
        last = table.get(name, "00000003")
        assert last is not None
        from msgspec.json import decode

        table.delete(name, "00000004")
        table.put({**head, "count": 3, "hash": decode(last["doc0"])["hash"]})


def test_secrets_and_endless_texts_do_not_get_in(storage: Storage, clock: StepClock) -> None:
    trail = audit(storage, clock)
    long = AuditEntry(NOW, "u", "a", "x" * 9000, details={"m": "topsecret-1", "n": "y" * 400_000})
    trail.append("long", [long, entry("with topsecret-1")])
    first, second = trail.timeline("long")
    assert "9000 characters in all" in first.summary
    assert "too long to keep" in first.details["cut"]
    assert second.summary == "with [redacted]"


# Incidents


def incident(incident_id: str) -> Incident:
    return Incident(incident_id, IncidentState.RECEIVED, FAILURE, NOW, NOW, "owner")


def test_an_incident_is_found_by_its_id_and_newest_first(
    storage: Storage, clock: StepClock
) -> None:
    incidents = Incidents(storage.table(tables.INCIDENTS), clock)
    ids = [new_incident_id(NOW + timedelta(minutes=n), f"root{n}") for n in range(5)]
    for identity in ids:
        assert incidents.open(incident(identity))
        assert not incidents.open(incident(identity))
    wanted = Wanted(NOW - timedelta(days=1), NOW + timedelta(hours=1))
    assert [i.incident_id for i in incidents.search(wanted, None, 3, 2).incidents] == ids[:1:-1]
    assert set(ids) <= set(incidents.opened())


def test_changes_at_once_are_all_kept(storage: Storage, clock: StepClock) -> None:
    incidents = Incidents(storage.table(tables.INCIDENTS), clock)
    identity = new_incident_id(NOW, "many")
    incidents.open(incident(identity))

    def join(number: int) -> None:
        incidents.change(identity, lambda fresh: fresh.alerts.append(str(number)))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(join, range(12)))
    assert sorted(incidents.get(identity).alerts, key=int) == [str(n) for n in range(12)]


def test_a_closed_incident_leaves_the_open_ones_and_is_purged(
    storage: Storage, clock: StepClock
) -> None:
    incidents = Incidents(storage.table(tables.INCIDENTS), clock)
    identity = new_incident_id(NOW - timedelta(days=500), "old")
    incidents.open(incident(identity))

    def close(fresh: Incident) -> None:
        fresh.state = IncidentState.HEALED

    incidents.change(identity, close)
    assert identity not in set(incidents.opened())
    assert [i.incident_id for i in incidents.purge(NOW - timedelta(days=400))] == [identity]
    with pytest.raises(LedgerMissing):
        incidents.get(identity)


@pytest.mark.parametrize(
    "identity", ["", "x", "20261120-031200123", "20261120-031200123-a/b", "2026-1-a", "a-b-c"]
)
def test_ids_that_are_none(identity: str) -> None:
    assert row_of(identity) is None


def test_long_texts_are_taken_apart_and_put_together() -> None:
    text = "ä𝄞" * 30_000
    assert tables.joined(tables.chunked(text)) == text
    with pytest.raises(ValueError, match="more than one entity"):
        tables.chunked("x" * 1_000_000)


def test_storage_that_does_not_answer_is_told_so(tmp_path: Path) -> None:
    port = free_port(0)
    storage = Storage("unit", azurite_connection(port, port, port))
    with pytest.raises(LedgerUnavailable):
        storage.table(tables.ALERTS).get("a", "b")


def test_an_open_breaker_is_told_each_turn_and_its_end_once(
    storage: Storage, clock: StepClock
) -> None:
    limits = Limits(Documents(storage.table(tables.STATE), clock), clock)
    breaker = BreakerLimits(failures=3, half_open_after=60)
    policy = Policy(breaker=breaker)
    for number in range(3):
        usage = Usage(f"b{number}", f"b{number}/1", "OddError", "rerun", ("pipeline_run|adf|odd",))
        limits.conclude(policy, usage, healed=False)

    def told() -> list[tuple[str, float]]:
        heard = Heard()
        with signals.heard_by(heard):
            limits.tell_breakers(policy)
        return sorted((dims["scope"], value) for _, value, dims in heard.values)

    scopes = ["OddError", "pipeline_run|adf|odd"]
    assert told() == [(scope, 1) for scope in scopes]
    assert told() == [(scope, 1) for scope in scopes]
    clock.sleep(61)
    assert told() == [(scope, 0) for scope in scopes]
    assert told() == []


class Listening(logging.Handler):
    """What was logged, and what it was about."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.told: list[tuple[str, dict[str, str]]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.told.append((record.getMessage(), dict(signals.ids())))


def test_each_entry_is_a_line_of_its_incident_or_delivery(storage: Storage) -> None:
    audit = Audit(storage.table(tables.AUDIT), Redactor(), StepClock(NOW))
    log, listening = logging.getLogger("lakemend.timeline"), Listening()
    log.addHandler(listening)
    log.setLevel(logging.INFO)
    try:
        for identity in ("lines-1", "d-lines-1"):
            entry = AuditEntry(NOW, "us", "Tried", "sig=abcdefgh was used", key="k")
            audit.append(identity, [entry])
            audit.append(identity, [entry])  # again, as a repeated activity does
    finally:
        log.removeHandler(listening)
    words = "Tried: sig=[redacted] was used"
    assert listening.told == [
        (words, {"incident_id": "lines-1"}),
        (words, {"delivery_id": "d-lines-1"}),
    ]


def test_costs_of_old_days_are_purged(storage: Storage, clock: StepClock) -> None:
    spend = Spend(storage.table(tables.SPEND), clock)
    assert spend.reserve("old/1", 2.0, None)
    first = clock.now()
    clock.sleep(86_400)
    assert spend.reserve("new/1", 3.0, None)
    assert spend.purge(clock.now()) == 2  # the attempt and the day's sum
    assert (spend.spent(first), spend.spent(clock.now())) == (0.0, 3.0)
    assert spend.purge(clock.now()) == 0
