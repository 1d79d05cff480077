"""Reading the ledger as it grows: storage requests and entities, counted at the client."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta

import msgspec

from bench.model import Aim, Figure, Measured, Options, Target
from bench.stack import emulator
from shared.clock import SystemClock
from shared.errors import LedgerConflict, LedgerUnavailable
from shared.ledger import tables
from shared.ledger.audit import Audit
from shared.ledger.incidents import Incidents, entity_of, new_incident_id
from shared.ledger.rollups import Rollups
from shared.ledger.search import Wanted
from shared.ledger.tables import MAX_BATCH, Entity, Storage, Table
from shared.models import Attempt, AuditEntry, Diagnosis, Failure, Incident
from shared.redaction import Redactor
from shared.reporting.facts import day_of, fact_of
from shared.reporting.rollup import rolled
from shared.vocabulary import FailureKind, IncidentState, Verdict

_SIZES = (1_000, 10_000, 100_000)
_DAYS = 14
_TIMELINE = 12  # entries of the timeline that is read
_TYPES = ("GatewayTimeout", "ThrottlingError", "SchemaMismatch", "DatabricksResourceExhausted")
_SAME = Target(Aim.RATIO_AT_MOST, 1.0)
_PAGE = 50


class Counter:
    """Counts answers of the storage, and the entities that they carry."""

    def __init__(self) -> None:
        self.requests = 0
        self.entities = 0

    def __call__(self, body: bytes) -> None:
        """Count one answer."""
        self.requests += 1
        self.entities += body.count(b'"RowKey":')


class Reading(msgspec.Struct, frozen=True):
    """What one way of reading cost."""

    requests: int
    entities: int
    millis: float


class Ledger:
    """A ledger of `size` incidents that closed in the last two weeks."""

    def __init__(self, connection: str, size: int) -> None:
        self.counter = Counter()
        self.storage = Storage(f"n{size}", connection, hook=self.counter)
        self.storage.create()
        clock = SystemClock()
        self.now = clock.now()
        self.incidents = Incidents(self.storage.table(tables.INCIDENTS), clock)
        self.rollups = Rollups(self.storage.table(tables.ROLLUPS))
        self.audit = Audit(self.storage.table(tables.AUDIT), Redactor([]), clock)
        self.newest = ""
        self._fill(size)

    def readings(self) -> dict[str, Reading]:
        """What each page of the operators costs, and a scan of everything beside them."""
        return {
            "newest 50 incidents": self._read(self._page),
            "one timeline": self._read(lambda: self.audit.read(self.newest)),
            "7-day metrics": self._read(self._metrics),
            "full scan": self._read(self._scan, warm=True),
        }

    def _page(self) -> object:
        wanted = Wanted(self.now - timedelta(days=31), self.now)
        found = self.incidents.search(wanted, None, _PAGE, 31).incidents
        if len(found) != _PAGE:
            raise AssertionError(f"{len(found)} incidents in place of {_PAGE}")
        return found

    def _metrics(self) -> object:
        first = day_of(self.now - timedelta(days=6))
        return list(self.rollups.between(first, day_of(self.now))), self.rollups.status()

    def _scan(self) -> object:
        rows = self.storage.table(tables.INCIDENTS).partitions_between("", "~")
        return sum(1 for _ in rows)

    def _read(self, read: Callable[[], object], *, warm: bool = False) -> Reading:
        if not warm:
            read()  # connections are open, modules loaded
        self.counter.requests = self.counter.entities = 0
        begin = time.perf_counter()
        read()
        millis = (time.perf_counter() - begin) * 1000
        return Reading(self.counter.requests, self.counter.entities, millis)

    def _fill(self, size: int) -> None:
        incidents, rollups = self.storage.table(tables.INCIDENTS), self.rollups
        per_day = -(-size // _DAYS)
        left = size
        for back in range(_DAYS):
            day = [_incident(self.now, back, n) for n in range(min(per_day, left))]
            left -= len(day)
            for rows in batched(map(entity_of, day)):
                _patiently(incidents, [("create", row) for row in rows])
            facts = [fact for incident in day if (fact := fact_of(incident)) is not None]
            if facts:
                rollups.write(facts[0].day, rolled(facts))
            self.newest = self.newest or day[0].incident_id
        self.audit.append(self.newest, [_entry(self.now, n) for n in range(_TIMELINE)])


def _patiently(table: Table, operations: list[tuple[str, Entity]]) -> None:
    """A transaction while Azurite now and then writes its whole file and answers nobody."""
    for _ in range(_TRIES):
        try:
            table.transact(operations)
        except LedgerUnavailable:
            time.sleep(1)
        except LedgerConflict:  # it was written, and the answer was lost
            return
        else:
            return
    raise LedgerUnavailable("the ledger could not be filled")


_TRIES = 30


def run(options: Options) -> Measured:
    """Fill ledgers of growing size and read each in the same ways."""
    largest = options.pick(_SIZES[-1], 300)
    sizes = (100, largest) if options.short else [n for n in _SIZES if n <= largest]
    with emulator(options.directory) as (_, connection):
        begin = time.perf_counter()
        found = {size: Ledger(connection, size).readings() for size in sizes}
        seconds = time.perf_counter() - begin
    names = [name for name in found[sizes[0]] if name != "full scan"]
    figures = [figure for name in names for figure in _compare(name, sizes[0], sizes, found)]
    notes = [
        "requests and entities are counted at the client, at the largest size beside the smallest",
        f"incidents of {_DAYS} days with their rollups, filled and read in {seconds:.0f} s",
        "milliseconds grow here because Azurite filters a whole table for all but point reads",
        *_scans(sizes, found),
    ]
    return Measured(figures, notes)


def _compare(
    name: str,
    first: int,
    sizes: Sequence[int],
    found: dict[int, dict[str, Reading]],
) -> Iterator[Figure]:
    largest = sizes[-1]
    small, large = found[first][name], found[largest][name]
    of = f"at {first:,}"
    yield Figure(f"{name}: requests", large.requests, "", small.requests, of, _SAME)
    yield Figure(f"{name}: entities", large.entities, "", small.entities, of, _SAME)
    for size in sizes:
        scan = found[size]["full scan"].millis
        yield Figure(f"{name} of {size:,}", found[size][name].millis, "ms", scan, "full scan")


def _scans(sizes: Sequence[int], found: dict[int, dict[str, Reading]]) -> Iterator[str]:
    for size in sizes:
        scan = found[size]["full scan"]
        yield f"full scan of {size:,}: {scan.requests} requests, {scan.entities:,} entities"


def batched(rows: Iterable[Entity]) -> Iterator[list[Entity]]:
    """Groups that one transaction takes."""
    group: list[Entity] = []
    for row in rows:
        group.append(row)
        if len(group) == MAX_BATCH:
            yield group
            group = []
    if group:
        yield group


def _incident(now: datetime, back: int, number: int) -> Incident:
    # Spread over the day's first half, so that today's are not in the future.
    start = now.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=back)
    room = (now - start) if back == 0 else timedelta(hours=23)
    opened = start + room * ((number % 4000) / 4001)
    failure = Failure(FailureKind.PIPELINE_RUN, "adf", f"p{number % 40}", f"run-{back}-{number}")
    identity = new_incident_id(opened, f"{back}-{number}")
    closed = opened + timedelta(milliseconds=1)
    healed = number % 5 != 0
    error_type = _TYPES[number % len(_TYPES)]
    one = Incident(
        identity,
        IncidentState.HEALED if healed else IncidentState.ESCALATED,
        failure,
        opened,
        closed,
        "owner",
        closed_at=closed,
        environment="prod",
        mode="production",
    )
    one.diagnosis = Diagnosis(error_type, "network", True, 0.9, "rule", "because")
    verdict = Verdict.HEALED if healed else Verdict.FAILED
    one.attempts = [Attempt(1, error_type, "rerun", ["rerun_pipeline"], opened, verdict=verdict)]
    return one


def _entry(now: datetime, number: int) -> AuditEntry:
    return AuditEntry(at=now, actor="lakemend", action="Decided", summary=f"entry {number}")
