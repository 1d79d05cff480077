"""Groups of alerts: those that one transaction stored, and what became of them.

While an alert of a group waits to be taken up, the group's row stands under `p-`, so what is
pending is read without a scan; afterwards it stands under `g-`. So settling costs a write a group,
not a write an alert, and happens in the alerts' own partition.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from shared.clock import iso
from shared.decoding import decode
from shared.ledger.tables import Entity, chunked, guarded_delete, guarded_replace, joined
from shared.vocabulary import Disposition

PENDING, SETTLED = "p-", "g-"
_BECAME = "became"


class Outcome(msgspec.Struct, frozen=True, array_like=True):
    """What became of an alert."""

    disposition: Disposition
    reason: str
    incidents: list[str]


def key_of(at: datetime, first: str) -> str:
    """The key of the group that was received at `at` and begins with this alert."""
    return f"{iso(at)}-{first}"


def before(prefix: str, at: datetime) -> str:
    """The row key under which no group stands that was received before `at`."""
    return f"{prefix}{iso(at)}"


def pending_row(shard: str, key: str, waiting: Sequence[str]) -> Entity:
    """The row of a group of which nothing is settled."""
    return _row(shard, f"{PENDING}{key}", waiting, {})


def takers_in(row: Entity) -> dict[str, str]:
    """Which orchestration looks after an alert, for those that were taken up together."""
    return decode(row.get("takers") or "{}", dict[str, str])


def taken_by(row: Entity, taker: str, identities: Collection[str]) -> tuple[Any, ...]:
    """The operation that notes which orchestration looks after alerts of a pending group."""
    fields = {name: value for name, value in row.items() if name != "etag"}
    takers = takers_in(row) | dict.fromkeys(identities, taker)
    return guarded_replace({**fields, "takers": _json(takers)}, row["etag"])


def is_group(row: Entity) -> bool:
    """Whether a row of the alerts' table is a group's, not an alert's."""
    return str(row["RowKey"]).startswith((PENDING, SETTLED))


def waiting_in(row: Entity) -> list[str]:
    """The ids of the group's alerts that nothing has taken up."""
    return decode(row["waiting"], list[str])


def became_in(row: Entity) -> dict[str, Outcome]:
    """What became of the others, by id."""
    return decode(joined(row, _BECAME), dict[str, Outcome])


def size(row: Entity) -> int:
    """Characters that a row takes in a transaction, about."""
    return len(joined(row, _BECAME)) + len(row["waiting"])


def settling(row: Entity, outcomes: Mapping[str, Outcome]) -> list[tuple[Any, ...]]:
    """The operations that settle alerts of a group as it was read; none if there is nothing new."""
    known = became_in(row)
    merged = {**known, **outcomes}
    if merged == known:
        return []
    shard, name = row["PartitionKey"], str(row["RowKey"])
    left = [identity for identity in waiting_in(row) if identity not in outcomes]
    if left or name.startswith(SETTLED):
        takers = {name: taker for name, taker in takers_in(row).items() if name in left}
        after = _row(shard, name, left, merged) | {"takers": _json(takers)}
        return [guarded_replace(after, row["etag"])]
    gone = {"PartitionKey": shard, "RowKey": name}
    settled = _row(shard, SETTLED + name.removeprefix(PENDING), (), merged)
    return [guarded_delete(gone, row["etag"]), ("create", settled)]


def _row(shard: str, name: str, waiting: Sequence[str], became: Mapping[str, Outcome]) -> Entity:
    return {
        "PartitionKey": shard,
        "RowKey": name,
        "waiting": _json(list(waiting)),
        **chunked(_json(became), _BECAME),
    }


def _json(value: Any) -> str:  # noqa: ANN401 - any JSON value
    return msgspec.json.encode(value).decode()
