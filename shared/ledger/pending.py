"""Which stored alerts no healing has taken up: an index within the alerts' own partitions.

A row names the alerts that one transaction stored, and is written by that transaction; settling an
alert takes its name off. So what is pending is read without a scan, and costs a write a group.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import msgspec

from shared.clock import iso
from shared.decoding import decode
from shared.ledger.tables import Entity, guarded_delete, guarded_replace

PREFIX = "p-"


def pending_row(shard: str, at: datetime, identities: Sequence[str]) -> Entity:
    """The row that names alerts of one shard, received at `at`. At least one."""
    return {
        "PartitionKey": shard,
        "RowKey": f"{before(at)}-{identities[0]}",
        "alerts": _names(identities),
    }


def before(at: datetime) -> str:
    """The key under which no row of alerts received before `at` stands."""
    return f"{PREFIX}{iso(at)}"


def named(row: Entity) -> list[str]:
    """The ids of the alerts that a row names."""
    return decode(row["alerts"], list[str])


def without(row: Entity, settled: Collection[str]) -> tuple[Any, ...]:
    """The operation that takes alerts off a row, if it has not changed since it was read."""
    left = [identity for identity in named(row) if identity not in settled]
    fields = {name: value for name, value in row.items() if name != "etag"}
    if not left:
        return guarded_delete(fields, row["etag"])
    return guarded_replace({**fields, "alerts": _names(left)}, row["etag"])


def _names(identities: Sequence[str]) -> str:
    return msgspec.json.encode(list(identities)).decode()
