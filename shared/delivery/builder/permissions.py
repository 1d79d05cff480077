"""Unity Catalog grants of one target: to who runs the pipeline, and to who reads the result."""

from __future__ import annotations

from typing import Any, NamedTuple

from shared.delivery.builder import resources
from shared.delivery.builder.literals import identifier
from shared.delivery.builder.plan import DATE_DIMENSION, Plan
from shared.delivery.builder.spec import Table, Target

_PARTS = _VOLUME_PARTS = 3  # catalog, schema, and the table or volume in it


class Grant(NamedTuple):
    """One privilege on one thing, quoted."""

    privileges: str
    kind: str
    name: str


def grants(planned: Plan, target: Target) -> dict[str, Any]:
    """What the template of the permissions needs; every name is quoted here."""
    spec = planned.spec
    catalog, schema = resources.home(spec, target)
    principal = resources.settings(spec, target).run_as or spec.permissions.principal
    gold = [*(t.gold for t in planned.tables if t.gold), DATE_DIMENSION]
    return {
        "target": target,
        "catalog": identifier(catalog),
        "home": f"{identifier(catalog)}.{identifier(schema)}",
        "principal": identifier(principal) if principal else "",
        "readers": [identifier(reader) for reader in spec.permissions.readers],
        "sources": list(dict.fromkeys(g for t in planned.tables for g in _source(t.table))),
        "unknown": [t.table.path for t in planned.tables if _needs_location(t.table)],
        "gold": [identifier(name) for name in gold],
    }


def _source(table: Table) -> list[Grant]:
    """What must be granted so that the source can be read; Kafka needs nothing here."""
    if table.format == "kafka":
        return []
    if table.external_location:
        return [Grant("READ FILES", "EXTERNAL LOCATION", identifier(table.external_location))]
    if table.format == "delta" and "/" not in table.path:
        return _inside(table.path.split("."), "SELECT", "TABLE")
    parts = [part for part in table.path.split("/") if part]
    if table.path.startswith("/Volumes/") and len(parts) > _VOLUME_PARTS:
        return _inside(parts[1 : 1 + _VOLUME_PARTS], "READ VOLUME", "VOLUME")
    return []


def _inside(parts: list[str], privilege: str, kind: str) -> list[Grant]:
    """A privilege on something, and the way there."""
    quoted = [identifier(part) for part in parts]
    found = []
    if len(quoted) == _PARTS:
        found.append(Grant("USE CATALOG", "CATALOG", quoted[0]))
        found.append(Grant("USE SCHEMA", "SCHEMA", ".".join(quoted[:2])))
    return [*found, Grant(privilege, kind, ".".join(quoted))]


def _needs_location(table: Table) -> bool:
    return "://" in table.path and not table.external_location
