"""Findings against a real Table service: told once, resolved by a look, back again, silenced."""

from __future__ import annotations

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import InputError, LedgerMissing
from shared.findings.model import Finding, FindingKind, FindingState, Seen, Silence, finding_id
from shared.ledger.findings import Findings
from shared.ledger.tables import FINDINGS, MESSAGES, Storage
from shared.monitoring.noting import Look, Notes
from shared.notify.model import Message, Severity
from shared.notify.outbox import Outbox
from shared.redaction import Redactor
from shared.reporting.finding_list import next_cursor, parse
from shared.targets import DataFactory, Targets
from tests.clocks import StepClock
from tests.storage import running_azurite

NOW = datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
SLOW = FindingKind.SLOW_RUN
KINDS = frozenset({SLOW, FindingKind.DRIFT})


class Desk:
    """A ledger of its own, and the messages that were left."""

    def __init__(self, connection: str) -> None:
        storage = Storage("f" + random.SystemRandom().randbytes(6).hex(), connection)
        storage.create()
        self.clock = StepClock(NOW)
        self.findings = Findings(storage.table(FINDINGS), self.clock)
        redactor = Redactor(["hunter2-secret"])
        self.outbox = Outbox(lambda: storage.table(MESSAGES), redactor, self.clock, wanted=True)
        targets = Targets([DataFactory("adf", "s", "g", tags={"owner": "sales"})])
        self.notes = Notes(self.findings, self.outbox, redactor, targets, self.clock)

    def look(self, *seen: Seen, target: str = "adf") -> int:
        return self.notes.take([Look(target, KINDS, seen)])

    def standing(self) -> list[Finding]:
        return list(self.findings.standing())

    def told(self) -> list[Message]:
        """The messages left since the last time."""
        left: list[Message] = []

        def route(message: Message) -> list[str]:
            left.append(message)
            return []

        self.outbox.fan_out(route)
        return left


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_azurite(tmp_path_factory.mktemp("azurite")) as connection:
        yield connection


@pytest.fixture
def desk(connection: str) -> Desk:
    return Desk(connection)


def seen(resource: str = "p", severity: Severity = Severity.WARNING, **more: object) -> Seen:
    fields: dict[str, object] = {"kind": SLOW, "summary": f"{resource} is slow"} | more
    return Seen(target="adf", resource=resource, name=resource, severity=severity, **fields)  # type: ignore[arg-type]  # whatever a test is about


def test_the_same_finding_is_one_row_and_told_once(desk: Desk) -> None:
    assert desk.look(seen()) == 1
    assert [(m.severity, m.owner) for m in desk.told()] == [(Severity.WARNING, "sales")]
    desk.clock.moment += HOUR
    assert desk.look(seen(summary="p is slower")) == 0
    assert desk.told() == []
    finding = desk.standing()[0]
    assert (finding.summary, finding.first_seen, finding.last_seen) == (
        "p is slower", NOW, NOW + HOUR,
    )  # fmt: skip


def test_it_is_told_again_when_it_gets_worse_or_has_another_fault(desk: Desk) -> None:
    desk.look(
        seen("a"), seen("b", Severity.INFO), seen("c", kind=FindingKind.DRIFT, evidence=("x",))
    )
    assert sorted(m.title[-8:] for m in desk.told()) == ["a on adf", "c on adf"]
    desk.look(
        seen("a", Severity.CRITICAL),
        seen("b", Severity.INFO, evidence=("more",)),
        seen("c", kind=FindingKind.DRIFT, evidence=("x", "y")),
    )
    assert len(desk.told()) == 2
    desk.look(seen("a"), seen("c", kind=FindingKind.DRIFT, evidence=("y",)))
    assert desk.told() == []


def test_only_what_was_looked_for_is_resolved(desk: Desk) -> None:
    desk.look(seen("a"), seen("b"))
    desk.notes.take([Look("adf", frozenset({FindingKind.DRIFT}), ())])
    desk.notes.take([Look("dbx", KINDS, ())])
    desk.notes.take([Look("adf", KINDS, (), frozenset({"z"}))])
    assert len(desk.standing()) == 2
    desk.clock.moment += HOUR
    desk.look(seen("a"))
    assert [finding.resource for finding in desk.standing()] == ["a"]
    gone = desk.findings.get(finding_id(SLOW, "adf", "b"))
    assert (gone.resolved_at, gone.state(desk.clock.now())) == (NOW + HOUR, FindingState.RESOLVED)


def test_what_comes_back_is_the_same_finding_once_more(desk: Desk) -> None:
    for times in (1, 2, 3):
        desk.look(seen())
        assert len(desk.told()) == 1
        assert desk.standing()[0].times == times
        desk.look()
        desk.clock.moment += HOUR
        assert desk.standing() == []


def test_a_crash_between_telling_and_writing_tells_it_once(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(_finding: Finding) -> bool:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(desk.findings, "open", dies)
        with pytest.raises(KeyboardInterrupt):
            desk.look(seen())
    assert desk.standing() == []
    assert desk.look(seen()) == 1
    assert len(desk.told()) == 1


def test_a_silence_holds_until_its_end_and_outlives_a_resolution(desk: Desk) -> None:
    desk.look(seen())
    desk.told()
    identity = finding_id(SLOW, "adf", "p")

    def silence(finding: Finding) -> Finding:
        finding.silence = Silence("me", "why", NOW, NOW + 3 * HOUR)
        return finding

    assert desk.findings.change(identity, silence).state(NOW) is FindingState.SILENCED
    desk.look(seen(severity=Severity.CRITICAL))
    desk.look()
    desk.clock.moment += HOUR
    desk.look(seen())
    assert desk.told() == []
    assert desk.standing()[0].state(desk.clock.now()) is FindingState.SILENCED
    assert desk.standing()[0].state(NOW + 3 * HOUR) is FindingState.OPEN
    desk.look()
    desk.clock.moment += 3 * HOUR
    desk.look(seen())
    assert len(desk.told()) == 1


def test_what_got_worse_in_a_silence_is_told_when_it_ends(desk: Desk) -> None:
    drift = FindingKind.DRIFT
    both = [seen("p"), seen("q"), seen("r", kind=drift, evidence=("x",))]
    desk.look(*both)
    assert len(desk.told()) == 3

    def silence(finding: Finding) -> Finding:
        finding.silence = Silence("me", "why", NOW, NOW + 3 * HOUR)
        return finding

    for one in both:
        desk.findings.change(one.finding_id, silence)
    worse = [seen("p", Severity.CRITICAL), seen("q"), seen("r", kind=drift, evidence=("x", "y"))]
    for minutes in (60, 179):
        desk.clock.moment = NOW + timedelta(minutes=minutes)
        desk.look(*worse)
        assert desk.told() == []
    for minutes in (181, 182, 300):  # the first look after its end tells it, and no other
        desk.clock.moment = NOW + timedelta(minutes=minutes)
        desk.look(*worse)
        told = sorted(m.title.partition(", ")[2] for m in desk.told())
        assert told == (["p on adf", "r on adf"] if minutes == 181 else [])


def test_sweeps_at_once_write_and_tell_it_once(desk: Desk) -> None:
    with ThreadPoolExecutor(8) as pool:
        new = list(pool.map(lambda _: desk.look(seen("a"), seen("b")), range(8)))
    assert sum(new) == 2
    assert len(desk.standing()) == 2
    assert len(desk.told()) == 2


def test_secrets_and_long_texts_do_not_enter(desk: Desk) -> None:
    desk.look(seen(summary="password hunter2-secret " + "x" * 5000, evidence=("hunter2-secret",)))
    finding = desk.standing()[0]
    assert "hunter2" not in finding.summary + finding.evidence[0]
    assert len(finding.summary) == 1000
    assert "hunter2" not in desk.told()[0].body


def test_pages_go_through_what_stands_and_then_what_is_past(desk: Desk) -> None:
    desk.look(*[seen(f"p{number}") for number in range(5)])
    desk.clock.moment += HOUR
    desk.look(seen("p0"), seen("p1"), seen("p2", Severity.INFO))
    walked: list[tuple[str, str]] = []
    query = [("state", "open,resolved"), ("limit", "2")]
    cursor = None
    for _ in range(5):
        pairs = [*query, *([("cursor", cursor)] if cursor else [])]
        listing = parse(pairs, ["adf"], desk.clock.now(), "key")
        page = desk.findings.page(
            listing.where,
            listing.after,
            listing.limit,
            standing=listing.standing,
            resolved=listing.resolved,
        )
        walked += [(f.resource, f.state(desk.clock.now()).value) for f in page.findings]
        cursor = next_cursor(listing, page.after, "key")
        if cursor is None:
            break
    states = [state for _, state in walked]
    assert states == ["open"] * 3 + ["resolved"] * 2
    assert len({resource for resource, _ in walked}) == 5


def test_old_resolved_ones_are_forgotten(desk: Desk) -> None:
    desk.look(seen("old"), seen("stands"))
    desk.look(seen("stands"))
    desk.clock.moment += 48 * HOUR
    assert len(list(desk.findings.purge(desk.clock.now() - 24 * HOUR))) == 1
    with pytest.raises(LedgerMissing):
        desk.findings.get(finding_id(SLOW, "adf", "old"))
    assert len(desk.standing()) == 1


@given(st.text(max_size=80))
def test_a_cursor_of_ones_own_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        parse([("cursor", text)], [], NOW, "key")
