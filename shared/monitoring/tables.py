"""Sizes of tables, night by night, and which of them grow faster than they used to.

One statement lists the tables, one or two for each of a few measure them: those that were changed
since they were measured last, the longest ago first. So a night costs a bounded number of
statements, however many tables there are. Sources:
https://learn.microsoft.com/azure/databricks/sql/language-manual/information-schema/tables and
https://learn.microsoft.com/azure/databricks/delta/table-details (`sizeInBytes` is the newest
snapshot's: what VACUUM has not removed yet is not in it).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import median
from typing import Any

import msgspec

from shared.clock import Clock
from shared.decoding import decode
from shared.errors import PlatformRefused, PlatformUnavailable
from shared.findings.model import FindingKind, Seen
from shared.ledger.documents import Documents
from shared.ledger.tables import digest
from shared.monitoring.noting import Look
from shared.notify.model import Severity
from shared.platforms.databricks import WorkspaceApi

Row = dict[str, Any]

MOST_MEASURED = 40  # statements of one night
_SCOPE = "tables"
_BOOKS = "0123456789abcdef"  # so that no document grows out of one row
_KEPT, _ENOUGH = 12, 5
_FASTER = 3.0  # times the usual growth a day
_FLOOR, _SHARE = 1024**3, 0.1  # growth below both is nothing
_GIB = 1024**3
_STALE = timedelta(days=7)  # a table that is not written any more has stopped growing
_DAY = 86_400.0

LIST_SQL = """
SELECT table_catalog, table_schema, table_name, date_format(last_altered, 'yyyy-MM-dd') AS altered
FROM system.information_schema.tables
WHERE table_type IN ('MANAGED', 'EXTERNAL', 'STREAMING_TABLE')
  AND data_source_format IN ('DELTA', 'ICEBERG')
  AND table_catalog NOT IN ('system', 'samples', '__databricks_internal')
ORDER BY last_altered DESC
LIMIT 2000
"""


class Point(msgspec.Struct, frozen=True, array_like=True):
    """A size: when it was measured (epoch seconds), how many bytes."""

    at: float
    size: int


class Measured(msgspec.Struct, omit_defaults=True):
    """What is known of a table. `day` is when it was asked for last, whatever came of it."""

    day: str = ""
    points: list[Point] = []
    files: int = 0
    clustered: list[str] = []  # the columns that it is clustered or partitioned by
    zorder: list[str] = []
    missing: list[str] = []  # of the columns for Z-order: those that the table does not have
    automatic: bool = False  # the platform chooses how to cluster it


class Book(msgspec.Struct, omit_defaults=True):
    """The tables of one document, by full name."""

    tables: dict[str, Measured] = {}


class Tables:
    """Measures tables and remembers their sizes."""

    def __init__(self, documents: Documents, clock: Clock) -> None:
        self._documents = documents
        self._clock = clock

    def look(self, target: str, api: WorkspaceApi, warehouse_id: str) -> Iterator[Look]:
        """Measure some tables of a workspace; what grows too fast.

        Raises:
            PlatformUnavailable: the warehouse has not answered yet.
            NothingChanged: it refused to list the tables.
        """
        altered = {
            _name(row): str(row.get("altered") or "") for row in api.query(warehouse_id, LIST_SQL)
        }
        known = self.known(target)
        fresh: dict[str, Measured] = {}
        for name in _next(altered, known)[:MOST_MEASURED]:
            try:
                fresh[name] = self._measured(api, warehouse_id, name, known.get(name, Measured()))
            except PlatformUnavailable:  # the next night goes on
                break
        self._keep(target, fresh, altered.keys())
        found = {k: v for k, v in (known | fresh).items() if k in altered}
        now = self._clock.now()
        seen = tuple(s for k, v in found.items() if (s := growing(target, k, v, now)))
        yield Look(target, frozenset({FindingKind.TABLE_GROWING}), seen)

    def known(self, target: str) -> dict[str, Measured]:
        """What is known of the tables of a workspace."""
        books = (self._documents.read(_SCOPE, f"{target}|{n}", Book) for n in _BOOKS)
        return {k: v for book in books for k, v in book.tables.items()}

    def _measured(
        self, api: WorkspaceApi, warehouse_id: str, name: str, before: Measured
    ) -> Measured:
        now = self._clock.now()
        asked = msgspec.structs.replace(before, day=f"{now:%Y-%m-%d}")
        try:
            rows = api.query(warehouse_id, f"DESCRIBE DETAIL {_quoted(name)}")
        except PlatformRefused:  # not ours to see, or of a kind that has no details
            return asked
        table = detailed(asked, rows[0], now) if rows else asked
        if table.zorder:
            columns = _columns(api.query(warehouse_id, f"DESCRIBE TABLE {_quoted(name)}"))
            table.missing = [c for c in table.zorder if c.partition(".")[0].lower() not in columns]
        return table

    def _keep(self, target: str, fresh: dict[str, Measured], listed: Iterable[str]) -> None:
        listed = set(listed)
        for book in _BOOKS:
            mine = {k: v for k, v in fresh.items() if digest(k, 1) == book}

            def change(kept: Book, mine: dict[str, Measured] = mine) -> None:
                both = kept.tables | mine
                kept.tables = {k: v for k, v in both.items() if k in listed}

            if mine:
                self._documents.change(_SCOPE, f"{target}|{book}", Book, change)


def _name(row: Row) -> str:
    return ".".join(str(row.get(f"table_{part}") or "") for part in ("catalog", "schema", "name"))


def _quoted(name: str) -> str:
    parts = name.split(".", 2)
    return ".".join(f"`{part.replace('`', '``')}`" for part in parts)


def _next(altered: dict[str, str], known: dict[str, Measured]) -> list[str]:
    """What to measure: changed since (or on) its last day, the longest ago first."""
    days = {name: known[name].day if name in known else "" for name in altered}
    return sorted((n for n in altered if altered[n] >= days[n]), key=lambda n: (days[n], n))


def detailed(before: Measured, row: Row, now: datetime) -> Measured:
    """A table with one more size. `row` is what DESCRIBE DETAIL answers: all cells are texts.

    Raises:
        PlatformUnavailable: the row cannot be read.
    """
    try:
        size, files = int(row.get("sizeInBytes") or 0), int(row.get("numFiles") or 0)
        columns = [*_listed(row.get("clusteringColumns")), *_listed(row.get("partitionColumns"))]
        properties = decode(row.get("properties") or "{}", dict[str, str])
    except (ValueError, msgspec.DecodeError):
        raise PlatformUnavailable("a table's details cannot be read") from None
    point = Point(now.timestamp(), size)
    zorder = [c.strip() for c in properties.get(_ZORDER, "").split(",") if c.strip()]
    automatic = properties.get("clusterByAuto") == "true"
    points = [*before.points, point][-_KEPT:]
    return Measured(before.day, points, files, columns, zorder, automatic=automatic)


# https://learn.microsoft.com/azure/databricks/ldp/properties#table-properties
_ZORDER = "pipelines.autoOptimize.zOrderCols"


def _columns(rows: Iterable[Row]) -> set[str]:
    """The columns of DESCRIBE TABLE; what follows them begins with an empty name or a #."""
    return {str(row.get("col_name") or "").lower() for row in rows}


def _listed(cell: Any) -> list[str]:  # noqa: ANN401 - a cell of a result
    return decode(cell, list[str]) if cell else []


def growing(target: str, name: str, table: Measured, now: datetime) -> Seen | None:
    """A table that grew clearly faster since the last look than it used to."""
    points = table.points
    if len(points) < _ENOUGH or now.timestamp() - points[-1].at > _STALE.total_seconds():
        return None
    rates = [_rate(a, b) for a, b in pairwise(points)]
    usual, last = max(median(rates[:-1]), 0.0), rates[-1]
    grown = points[-1].size - points[-2].size
    if last <= _FASTER * usual or grown < max(_FLOOR, _SHARE * points[-2].size):
        return None
    days = (points[-1].at - points[-2].at) / _DAY
    summary = (
        f"{name} grew by {grown / _GIB:.1f} GiB in {max(days, 0.1):.1f} days, "
        f"usual is {usual / _GIB:.1f} GiB a day"
    )
    evidence = (
        f"{points[-1].size / _GIB:.1f} GiB in {table.files} files",
        *(
            f"{datetime.fromtimestamp(p.at, now.tzinfo):%Y-%m-%d}: {p.size / _GIB:.1f} GiB"
            for p in points[-6:]
        ),
    )
    help_ = "look whether it was loaded twice; delete or archive what is not needed"
    kind, severity = FindingKind.TABLE_GROWING, Severity.WARNING
    return Seen(kind, target, name, name, severity, summary, evidence, help_)


def _rate(before: Point, after: Point) -> float:
    """Bytes a day."""
    return (after.size - before.size) / max((after.at - before.at) / _DAY, 0.01)
