"""Reservations of estimated cost: one row an attempt, in one transaction with the day's sum."""

from __future__ import annotations

from datetime import datetime

from shared.clock import Clock
from shared.errors import LedgerConflict, LedgerUnavailable
from shared.ledger.tables import Entity, Table, digest, guarded_replace
from shared.ledger.turns import Turns

_SUM = "sum"
_TRIES = 60
_LONGEST_PAUSE = 0.2  # seconds between two tries
_MICROS = 1_000_000  # counted in whole millionths of a dollar: sums of floats drift


class Spend:
    """The spend table: a partition a UTC day."""

    def __init__(self, table: Table, clock: Clock) -> None:
        self._table = table
        self._clock = clock
        self._turns = Turns()

    def spent(self, now: datetime) -> float:
        """USD reserved on the day of `now`."""
        entity = self._table.get(_day(now), _SUM)
        return int(entity["micros"]) / _MICROS if entity else 0.0

    def reserved(self, key: str) -> float:
        """USD reserved today for the attempt `key`, 0 if there are none."""
        entity = self._table.get(_day(self._clock.now()), digest(key))
        return int(entity["micros"]) / _MICROS if entity else 0.0

    def reserve(self, key: str, usd: float, ceiling: float | None) -> bool:
        """Reserve `usd` for the attempt `key`; again for the same key changes nothing.

        Args:
            key: incident and number of the attempt.
            usd: the estimate.
            ceiling: of the day's sum, in USD; None for no ceiling.

        Returns:
            False if the sum would exceed the ceiling; nothing is reserved then.
        """
        day, micros = _day(self._clock.now()), round(usd * _MICROS)
        with self._turns.on(day):
            return self._reserve(day, key, micros, ceiling)

    def _reserve(self, day: str, key: str, micros: int, ceiling: float | None) -> bool:
        for turn in range(_TRIES):
            # At first as this process has last seen it: if the sum is old, or the attempt has its
            # row already, the transaction is refused.
            sure = turn > 0
            if sure and self._table.get(day, digest(key)) is not None:
                return True
            total = self._table.get(day, _SUM) if sure else self._table.last(day, _SUM)[0]
            after = micros + (int(total["micros"]) if total else 0)
            if ceiling is not None and after > round(ceiling * _MICROS):
                if sure:
                    return False
                continue
            try:
                self._write(day, key, micros, total, after)
            except LedgerConflict:
                self._clock.sleep(min(0.01 * (turn + 1), _LONGEST_PAUSE))
                continue
            return True
        raise LedgerUnavailable("too many writers on the day's cost")

    def purge(self, before: datetime) -> int:
        """Remove the rows of days before the day of `before`; counts them."""
        count = 0
        for row in self._table.partitions_between("0", _day(before)):
            self._table.delete(row["PartitionKey"], row["RowKey"])
            count += 1
        return count

    def release(self, key: str) -> None:
        """Give a reservation of today back: its attempt did not begin."""
        day = _day(self._clock.now())
        with self._turns.on(day):
            self._release(day, key)

    def _release(self, day: str, key: str) -> None:
        for turn in range(_TRIES):
            row, total = self._table.get(day, digest(key)), self._table.get(day, _SUM)
            if row is None or total is None:
                return
            after = int(total["micros"]) - int(row["micros"])
            try:
                self._table.transact(
                    [guarded_replace(_sum_row(day, after), total["etag"]), ("delete", _keys(row))]
                )
            except LedgerConflict:
                self._clock.sleep(min(0.01 * (turn + 1), _LONGEST_PAUSE))
                continue
            return
        raise LedgerUnavailable("too many writers on the day's cost")

    def _write(self, day: str, key: str, micros: int, total: Entity | None, after: int) -> None:
        row = {"PartitionKey": day, "RowKey": digest(key), "key": key[:1000], "micros": micros}
        sum_row = _sum_row(day, after)
        first = ("create", sum_row) if total is None else guarded_replace(sum_row, total["etag"])
        self._table.transact([first, ("create", row)])


def _day(now: datetime) -> str:
    return now.strftime("%Y%m%d")


def _sum_row(day: str, micros: int) -> Entity:
    return {"PartitionKey": day, "RowKey": _SUM, "micros": micros}


def _keys(row: Entity) -> Entity:
    return {"PartitionKey": row["PartitionKey"], "RowKey": row["RowKey"]}
