"""What was learnt and holds beyond one incident: small facts by name, in the state table."""

from __future__ import annotations

from shared.ledger.tables import Table, digest

_PARTITION = "memory"


class Memory:
    """Facts by name, for example which version of a library has worked."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def recall(self, name: str) -> str:
        """The fact called `name`, empty if there is none."""
        entity = self._table.get(_PARTITION, digest(name))
        return str(entity["value"]) if entity else ""

    def remember(self, name: str, value: str) -> None:
        """Write a fact; the newest one stands."""
        self._table.put(
            {
                "PartitionKey": _PARTITION,
                "RowKey": digest(name),
                "name": name[:1000],
                "value": value[:1000],
            }
        )
