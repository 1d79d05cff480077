"""Small documents in the state table, changed under optimistic locking."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import msgspec

from shared.clock import Clock
from shared.decoding import decode
from shared.errors import LedgerConflict, LedgerUnavailable
from shared.ledger.tables import Entity, Table, chunked, digest, joined
from shared.ledger.turns import Turns

T = TypeVar("T", bound=msgspec.Struct)
R = TypeVar("R")

_TRIES = 60
_LONGEST_PAUSE = 0.2  # seconds between two tries


class Documents:
    """Documents by scope and name. What was never written has its type's defaults."""

    def __init__(self, table: Table, clock: Clock) -> None:
        self._table = table
        self._clock = clock
        self._turns = Turns()

    def read(self, scope: str, name: str, shape: type[T]) -> T:
        """The document as it is now."""
        return self._read(scope, name, shape)[0]

    def change(self, scope: str, name: str, shape: type[T], change: Callable[[T], R]) -> R:
        """Change a document; `change` may be called more than once, its last answer counts.

        Raises:
            LedgerUnavailable: storage did not answer, or too many writers were in each other's way.
        """
        with self._turns.on(scope, name):
            return self._changed(scope, name, shape, change)

    def _changed(self, scope: str, name: str, shape: type[T], change: Callable[[T], R]) -> R:
        fresh = False
        for turn in range(_TRIES):
            document, etag, old = self._ground(scope, name, shape, fresh=fresh)
            fresh = True
            before = msgspec.json.encode(document)
            try:
                answer = change(document)
            except Exception:
                if not old:
                    raise
                continue  # refused for what may no longer be so: read it
            after = msgspec.json.encode(document)
            if after == before:
                if not old:
                    return answer
                continue  # no write would tell whether it is still so: read it
            try:
                self._write(scope, name, after.decode(), etag)
            except LedgerConflict:
                self._clock.sleep(min(0.01 * (turn + 1), _LONGEST_PAUSE))
                continue
            return answer
        raise LedgerUnavailable(f"too many writers on {scope}")

    def _ground(self, scope: str, name: str, shape: type[T], *, fresh: bool) -> tuple[T, str, bool]:
        """What to change, its ETag, and whether it may be old: then the write is refused."""
        if fresh:
            return (*self._read(scope, name, shape), False)
        entity, old = self._table.last(scope, digest(name))
        return (*_decoded(entity, shape), old)

    def _read(self, scope: str, name: str, shape: type[T]) -> tuple[T, str]:
        return _decoded(self._table.get(scope, digest(name)), shape)

    def _write(self, scope: str, name: str, text: str, etag: str) -> None:
        keys = {"PartitionKey": scope, "RowKey": digest(name), "name": name[:1000]}
        row = {**keys, **chunked(text)}
        if etag:
            self._table.replace(row, etag)
        else:
            self._table.insert(row)


def _decoded(entity: Entity | None, shape: type[T]) -> tuple[T, str]:
    if entity is None:
        return shape(), ""
    return decode(joined(entity), shape), entity["etag"]
