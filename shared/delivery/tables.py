"""The tables of a stage as SQL sees them: read on a warehouse, never changed."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from shared.clock import from_iso
from shared.delivery import sources
from shared.delivery.builder.literals import identifier
from shared.delivery.work import Work
from shared.models import Json

if TYPE_CHECKING:
    from shared.delivery.builder.plan import TablePlan

_VERSIONS = 1000  # of one table's history, newest first
_PARTS = 3  # catalog, schema, table


class Version(msgspec.Struct, frozen=True):
    """One version of a Delta table."""

    number: int
    at: datetime
    operation: str = ""


def full_name(work: Work, name: str) -> str:
    """`catalog.schema.table`, in the stage's schema where `name` says no more."""
    whole = name.count(".") == _PARTS - 1
    return name if whole else f"{work.stage.catalog}.{work.stage.schema}.{name}"


def quoted(name: str) -> str:
    """A full name for a statement."""
    return ".".join(identifier(part) for part in name.split("."))


def warehouse_of(work: Work) -> str:
    """The SQL warehouse for the stage: the plan's, or the specification's; empty if none."""
    named = work.plan.quality.warehouse
    if named or work.plan.source != "specification":
        return named
    from shared.delivery.builder.resources import settings

    spec = sources.specification(work)
    return settings(spec, work.stage.target).warehouse or spec.warehouse or ""  # type: ignore[arg-type]  # checked


def planned_tables(work: Work) -> tuple[TablePlan, ...]:
    """The sources of a specification with all that is made from them; none of another source."""
    if work.plan.source != "specification":
        return ()
    from shared.delivery.builder.plan import plan

    return plan(sources.specification(work)).tables


def count(work: Work, warehouse: str, name: str) -> int:
    """Rows of a table.

    Raises:
        NothingChanged: it could not be read, or not yet.
    """
    statement = f"SELECT count(1) AS n FROM {quoted(name)}"  # noqa: S608 - each part is quoted
    rows = work.reads.query(warehouse, statement)
    return int(rows[0]["n"]) if rows else 0


def read_one(work: Work, warehouse: str, name: str) -> None:
    """Ask for one row of a table.

    Raises:
        NothingChanged: it could not be read, or not yet.
    """
    work.reads.query(warehouse, f"SELECT 1 FROM {quoted(name)} LIMIT 1")  # noqa: S608 - each part is quoted


def history(work: Work, warehouse: str, name: str) -> list[Version]:
    """The versions of a table, newest first.

    Raises:
        NothingChanged: they could not be read, or not yet.
    """
    rows = work.reads.query(warehouse, f"DESCRIBE HISTORY {quoted(name)} LIMIT {_VERSIONS}")
    found = filter(None, map(_version, rows))
    return sorted(found, key=lambda version: version.number, reverse=True)


def _version(row: Json) -> Version | None:
    try:
        at = from_iso(str(row["timestamp"]).replace(" ", "T"))
        return Version(int(row["version"]), at, str(row.get("operation") or ""))
    except (KeyError, TypeError, ValueError):
        return None  # nothing that anybody could restore
