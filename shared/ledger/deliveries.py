"""Deliveries: one row each, newest first within the day, an index of the open ones, the sources.

A delivery's id carries its opening time, so its row is found without a scan.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

import msgspec

from shared.clock import Clock, iso
from shared.decoding import decode
from shared.delivery_models import Delivery
from shared.errors import LedgerConflict, LedgerMissing, LedgerUnavailable
from shared.ledger.incidents import new_incident_id, row_of
from shared.ledger.tables import Entity, Table, chunked, digest, joined

_OPEN, _KEYS = "open", "keys"
_PREFIX = "d-"  # sets it apart from an incident's id in the audit trail
_TRIES = 60
_LONGEST_PAUSE = 0.2  # seconds between two tries
_PART = 400_000  # characters of a source in one row
_MOST_PARTS = 99


class Receipt(msgspec.Struct, frozen=True):
    """What became of a request: the delivery's id, and whether it was known already."""

    delivery_id: str
    duplicate: bool


class Deliveries:
    """The deliveries table."""

    def __init__(self, table: Table, clock: Clock) -> None:
        self._table = table
        self._clock = clock

    def reserve(self, key: str, content: str, opened_at: datetime) -> Receipt:
        """An id for what `key` names: the one that it has, or a new one.

        Args:
            key: what the sender calls this request.
            content: digest of what is asked for.
            opened_at: the present moment.

        Raises:
            LedgerConflict: the key stands for another content.
        """
        delivery_id = _PREFIX + new_incident_id(opened_at, f"{key}|{content}")
        row = {"PartitionKey": _KEYS, "RowKey": digest(key)}
        try:
            self._table.insert({**row, "delivery_id": delivery_id, "content": content})
        except LedgerConflict:
            known = self._table.get(_KEYS, digest(key)) or {}
            if known.get("content") != content:
                raise
            return Receipt(str(known["delivery_id"]), duplicate=True)
        return Receipt(delivery_id, duplicate=False)

    def open(self, delivery: Delivery) -> bool:
        """Write a new delivery; False if it is there already."""
        # The index first: an index row without a delivery is harmless, the reverse is not found.
        self._table.put({"PartitionKey": _OPEN, "RowKey": delivery.delivery_id})
        try:
            self._table.insert(_entity(delivery))
        except LedgerConflict:
            return False
        return True

    def get(self, delivery_id: str) -> Delivery:
        """The delivery.

        Raises:
            LedgerMissing: there is none with this id.
        """
        return self._read(delivery_id)[0]

    def change(self, delivery_id: str, change: Callable[[Delivery], None]) -> Delivery:
        """Change a delivery under optimistic locking; `change` may be called more than once.

        Raises:
            LedgerMissing: there is none with this id.
            LedgerUnavailable: storage did not answer, or too many writers were in each other's way.
        """
        for turn in range(_TRIES):
            delivery, etag = self._read(delivery_id)
            was_closed = delivery.state.closed
            change(delivery)
            delivery.updated_at = self._clock.now()
            if was_closed and not delivery.state.closed:  # taken back later, it is open again
                self._table.put({"PartitionKey": _OPEN, "RowKey": delivery_id})
            try:
                self._table.replace(_entity(delivery), etag)
            except LedgerConflict:
                self._clock.sleep(min(0.01 * (turn + 1), _LONGEST_PAUSE))
                continue
            if delivery.state.closed:
                self._table.delete(_OPEN, delivery_id)
            return delivery
        raise LedgerUnavailable("too many writers on one delivery")

    def opened(self) -> Iterator[str]:
        """Ids of the deliveries that are not closed, oldest first."""
        return (row["RowKey"] for row in self._table.range(_OPEN))

    def forget_open(self, delivery_id: str) -> None:
        """Take an id off the index of open deliveries."""
        self._table.delete(_OPEN, delivery_id)

    def newest(self, limit: int, days: int) -> list[Delivery]:
        """The newest deliveries, at most `limit`, of the last `days` days."""
        found: list[Delivery] = []
        today = self._clock.now()
        for back in range(days):
            day = (today - timedelta(days=back)).strftime("%Y%m%d")
            rows = self._table.range(day, limit=limit - len(found))
            found += [decode(joined(row), Delivery) for row in rows]
            if len(found) >= limit:
                break
        return found

    def keep_source(self, delivery_id: str, name: str, content: bytes) -> None:
        """Keep a source (a specification or a zip); the same name is written over.

        Raises:
            ValueError: it is too large.
        """
        text = base64.b85encode(zlib.compress(content)).decode()
        parts = [text[i : i + _PART] for i in range(0, len(text), _PART)]
        if len(parts) > _MOST_PARTS:
            raise ValueError(f"{len(content)} bytes of source are more than are kept")
        for number, part in enumerate(parts):
            keys = {"PartitionKey": f"source-{delivery_id}", "RowKey": f"{name}-{number:02d}"}
            self._table.put({**keys, "parts": len(parts), **chunked(part)})

    def source(self, delivery_id: str, name: str) -> bytes:
        """A kept source.

        Raises:
            LedgerMissing: there is none of that name.
        """
        rows = list(self._table.range(f"source-{delivery_id}", f"{name}-", f"{name}-~"))
        if not rows or len(rows) < rows[0]["parts"]:
            raise LedgerMissing(f"no source {name} of {delivery_id}")
        text = "".join(joined(row) for row in rows[: rows[0]["parts"]])
        return zlib.decompress(base64.b85decode(text))

    def purge(self, before: datetime) -> Iterator[str]:
        """Remove closed deliveries opened before the day of `before`; yields each one's id."""
        for row in self._table.partitions_between("0", before.strftime("%Y%m%d")):
            delivery = decode(joined(row), Delivery)
            if delivery.state.closed:
                yield delivery.delivery_id
                self._purge_sources(delivery.delivery_id)
                self._table.delete(row["PartitionKey"], row["RowKey"])

    def _purge_sources(self, delivery_id: str) -> None:
        for row in list(self._table.range(f"source-{delivery_id}")):
            self._table.delete(row["PartitionKey"], row["RowKey"])

    def _read(self, delivery_id: str) -> tuple[Delivery, str]:
        keys = _keys(delivery_id)
        entity = self._table.get(*keys) if keys else None
        if entity is None:
            raise LedgerMissing(f"no delivery {delivery_id}")
        return decode(joined(entity), Delivery), entity["etag"]


def _keys(delivery_id: str) -> tuple[str, str] | None:
    if not delivery_id.startswith(_PREFIX):
        return None
    return row_of(delivery_id.removeprefix(_PREFIX))


def _entity(delivery: Delivery) -> Entity:
    keys = _keys(delivery.delivery_id)
    if keys is None:
        raise ValueError(f"not a delivery id: {delivery.delivery_id}")
    return {
        "PartitionKey": keys[0],
        "RowKey": keys[1],
        "delivery_id": delivery.delivery_id,
        "state": delivery.state.value,
        "pipeline": delivery.plan.name[:1000],
        "target": delivery.plan.target,
        "updated_at": iso(delivery.updated_at),
        **chunked(msgspec.json.encode(delivery).decode()),
    }
