"""One thin layer over Table Storage: keys, errors and the few calls that the ledger makes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from shared.errors import (
    LedgerConflict,
    LedgerError,
    LedgerMissing,
    LedgerRefused,
    LedgerUnavailable,
)
from shared.ledger.last_seen import LastSeen
from shared.transport import transport_to

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential
    from azure.data.tables import TableClient, TableServiceClient

T = TypeVar("T")
Hook = Callable[[bytes], None]
Entity = dict[str, Any]
# Clauses of a filter that all must hold, and the values that they name as `@name`.
Condition = tuple[Sequence[str], Entity]

_BAD_NIGHT = 6_000  # alerts that wait to be settled are remembered till then; 2 KiB each
MAX_BATCH = 100  # entities in one transaction, all of one partition
# A string property holds 64 KiB of UTF-16, so 32 Ki characters.
# https://learn.microsoft.com/rest/api/storageservices/understanding-the-table-service-data-model
MAX_TEXT = 16_000  # half of that: a character may take two UTF-16 units
_MAX_CHUNKS = 30

ALERTS, CLAIMS, INCIDENTS, AUDIT, STATE = "alerts", "claims", "incidents", "audit", "state"
MESSAGES, ROLLUPS, SPEND = "messages", "rollups", "spend"
FINDINGS, DELIVERIES = "findings", "deliveries"
ALL_TABLES = (
    ALERTS,
    CLAIMS,
    INCIDENTS,
    AUDIT,
    STATE,
    MESSAGES,
    ROLLUPS,
    SPEND,
    FINDINGS,
    DELIVERIES,
)


def digest(text: str, length: int = 32) -> str:
    """A key for `text` that Table Storage accepts: hex, `length` characters."""
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def chunked(text: str, name: str = "doc") -> Entity:
    """`text` as numbered properties of at most 16,000 characters, joined again by `joined`.

    Raises:
        ValueError: longer than one entity can hold.
    """
    parts = [text[i : i + MAX_TEXT] for i in range(0, len(text), MAX_TEXT)] or [""]
    if len(parts) > _MAX_CHUNKS:
        raise ValueError(f"{len(text)} characters are more than one entity holds")
    return {f"{name}{index}": part for index, part in enumerate(parts)}


def joined(entity: Entity, name: str = "doc") -> str:
    """The text that `chunked` took apart."""
    parts: list[str] = []
    while (part := entity.get(f"{name}{len(parts)}")) is not None:
        parts.append(part)
    return "".join(parts)


class Table:
    """One table. Every call raises `LedgerUnavailable` when storage does not answer."""

    def __init__(self, client: TableClient, remembered: int = 1_000) -> None:
        """`remembered` rows are known as this process has last seen them."""
        self._client = client
        self._seen = LastSeen(remembered)

    def insert(self, entity: Entity) -> None:
        """Add a row.

        Raises:
            LedgerConflict: the row exists; after a lost answer it may be one's own, so compare.
        """
        self._write(entity, lambda: self._client.create_entity(entity))

    def get(self, partition: str, row: str) -> Entity | None:
        """The row, None if there is none; its ETag is under `etag`."""
        try:
            found = _call(lambda: self._client.get_entity(partition, row))
        except LedgerMissing:
            self._seen.note(partition, row, None)
            return None
        entity = {**found, "etag": found.metadata["etag"]}
        self._seen.note(partition, row, entity, entity["etag"])
        return entity

    def last(self, partition: str, row: str) -> tuple[Entity | None, bool]:
        """The row as a ground for a guarded write, and whether it may be old.

        An old one was seen by this process before; nothing is asked of the storage then.
        """
        known, entity = self._seen.recall(partition, row)
        return (entity, True) if known else (self.get(partition, row), False)

    def remembered(self, partition: str, row: str) -> Entity | None:
        """The row if this process has seen it, as it was then; nothing is asked of the storage."""
        return self._seen.recall(partition, row)[1]

    def expect_none(self, partition: str, row: str) -> None:
        """Take it that there is no such row, for `last`; a guarded write tells if there is one."""
        self._seen.note(partition, row, None)

    def put(self, entity: Entity) -> None:
        """Write a row whatever is there."""
        from azure.data.tables import UpdateMode

        self._write(entity, lambda: self._client.upsert_entity(entity, mode=UpdateMode.REPLACE))

    def replace(self, entity: Entity, etag: str) -> str:
        """Write a row that must not have changed since it was read; its new ETag.

        Raises:
            LedgerConflict: it has changed.
            LedgerMissing: it is gone.
        """
        _, fields, guard = guarded_replace(
            {key: value for key, value in entity.items() if key != "etag"}, etag
        )
        return self._write(fields, lambda: self._client.update_entity(fields, **guard))

    def delete(self, partition: str, row: str) -> None:
        """Remove a row; no error if there is none."""
        self._seen.forget(partition, row)
        _call(lambda: self._client.delete_entity(partition, row))

    def delete_if(self, partition: str, row: str, etag: str) -> None:
        """Remove a row that must not have changed since it was read; no error if there is none.

        Raises:
            LedgerConflict: it has changed.
        """
        from azure.core import MatchConditions

        self._seen.forget(partition, row)
        _call(
            lambda: self._client.delete_entity(
                partition, row, etag=etag, match_condition=MatchConditions.IfNotModified
            )
        )

    def transact(self, operations: Sequence[tuple[Any, ...]]) -> None:
        """All of `operations` (at most 100, one partition) or none of them.

        Raises:
            LedgerConflict: one of them conflicts; nothing was written.
            LedgerMissing: a row that one of them changes or deletes is gone; nothing was written.
        """
        for operation in operations:
            self._seen.forget(operation[1]["PartitionKey"], operation[1]["RowKey"])
        answers = _call(lambda: self._client.submit_transaction(operations))
        for operation, answer in zip(operations, answers, strict=True):
            if operation[0] == "create" or "replace" in str(operation[2:]).lower():
                self._note(operation[1], answer)

    def _write(self, entity: Entity, write: Callable[[], Mapping[str, Any]]) -> str:
        """A write; until it has succeeded nothing is known of its row. Its new ETag."""
        self._seen.forget(entity["PartitionKey"], entity["RowKey"])
        return self._note(entity, _call(write))

    def _note(self, entity: Entity, answer: Mapping[str, Any]) -> str:
        etag = str(answer.get("etag") or "")
        self._seen.note(entity["PartitionKey"], entity["RowKey"], entity, etag)
        return etag

    def range(
        self,
        partition: str,
        low: str = "",
        high: str = "",
        limit: int | None = None,
        where: Condition | None = None,
    ) -> Iterator[Entity]:
        """Rows of one partition with `low <= row key < high`, in key order, at most `limit`.

        `where` leaves out more of them, in the storage itself.
        """
        clauses = ["PartitionKey eq @p"]
        clauses += ["RowKey ge @low"] if low else []
        clauses += ["RowKey lt @high"] if high else []
        parameters = {"p": partition, "low": low, "high": high}
        if where is not None:
            clauses += where[0]
            parameters |= where[1]
        return self._query(" and ".join(clauses), parameters, limit)

    def partitions_between(self, low: str, high: str) -> Iterator[Entity]:
        """Rows of the partitions with `low <= partition key < high`."""
        return self._query(
            "PartitionKey ge @low and PartitionKey lt @high", {"low": low, "high": high}, None
        )

    def _query(self, text: str, parameters: Entity, limit: int | None) -> Iterator[Entity]:
        pages = self._client.query_entities(text, parameters=parameters, results_per_page=limit)
        rows = iter(pages)
        count = 0
        while limit is None or count < limit:
            row = _call(lambda: next(rows, None))
            if row is None:
                return
            count += 1
            yield {**row, "etag": row.metadata["etag"]}


def guarded_replace(row: Entity, etag: str) -> tuple[str, Entity, Entity]:
    """The operation of a transaction that replaces a row, if it has not changed since."""
    from azure.core import MatchConditions
    from azure.data.tables import UpdateMode

    guard = {
        "mode": UpdateMode.REPLACE,
        "etag": etag,
        "match_condition": MatchConditions.IfNotModified,
    }
    return ("update", row, guard)


def guarded_delete(row: Entity, etag: str) -> tuple[str, Entity, Entity]:
    """The operation of a transaction that removes a row, if it has not changed since."""
    from azure.core import MatchConditions

    guard = {"etag": etag, "match_condition": MatchConditions.IfNotModified}
    return ("delete", row, guard)


def _call(call: Callable[[], T]) -> T:
    from azure.core import exceptions as az

    try:
        return call()
    except az.HttpResponseError as error:
        raise _refusal(error) from None
    except (az.AzureError, OSError) as error:  # an answer cut in two comes as the latter
        raise LedgerUnavailable(type(error).__name__) from None


_CONFLICTS = frozenset({409, 412})
_GONE = 404
# Never cured by trying again: malformed or too large. (403 and 429 may be.)
_PERMANENT = frozenset({400, 413})


def _refusal(error: Any) -> LedgerError:  # noqa: ANN401 - lazy type
    """The error that an answer stands for."""
    code = str(getattr(error, "error_code", "") or error.reason or "storage error")
    code, status = code.rpartition(".")[2], error.status_code  # an enumeration's member, or text
    words = f"{code} ({status})"
    if status in _CONFLICTS:
        return LedgerConflict(words)
    # A row that is gone is like a row that was changed; a table that is missing is our trouble.
    if status == _GONE and code.casefold().replace("_", "") != "tablenotfound":
        return LedgerMissing(words)
    return LedgerRefused(words) if status in _PERMANENT else LedgerUnavailable(words)


class Storage:
    """The account that holds the ledger's tables."""

    def __init__(
        self,
        prefix: str,
        connection: str = "",
        account_url: str = "",
        credential: TokenCredential | None = None,
        hook: Hook | None = None,
    ) -> None:
        """`hook` is told the body of every answer."""
        self._hook = hook
        self._prefix = prefix
        self._connection = connection
        self._account_url = account_url
        self._credential = credential
        self._opened: TableServiceClient | None = None

    def table(self, name: str) -> Table:
        """One of the ledger's tables; it must exist (see `create`)."""
        client = self._service().get_table_client(f"{self._prefix}{name}")
        return Table(client, _BAD_NIGHT) if name == ALERTS else Table(client)

    def create(self) -> None:
        """Make the tables that are missing. Once per start; costs one call a table."""
        for name in ALL_TABLES:
            self._create_one(f"{self._prefix}{name}")

    def _create_one(self, name: str) -> None:
        _call(lambda: self._service().create_table_if_not_exists(name))

    def _service(self) -> TableServiceClient:
        if self._opened is None:
            self._opened = self._open()
        return self._opened

    def _open(self) -> TableServiceClient:
        from azure.data.tables import TableServiceClient

        # Short times: an alert's sender waits 10 s at most, and the caller decides about more.
        options: Entity = {
            "connection_timeout": 3,
            "read_timeout": 4,
            "retry_total": 2,
            "retry_backoff_factor": 0.3,
            "transport": transport_to(self._account_url or _endpoint(self._connection)),
        }
        if (hook := self._hook) is not None:
            options["raw_response_hook"] = lambda found: hook(found.http_response.read())
        if self._connection:
            return TableServiceClient.from_connection_string(self._connection, **options)
        return TableServiceClient(self._account_url, credential=self._credential, **options)


def _endpoint(connection: str) -> str:
    """The address of the tables that a connection string names, else its account's usual one."""
    parts = dict(part.split("=", 1) for part in connection.split(";") if "=" in part)
    if "UseDevelopmentStorage" in parts:
        return "http://127.0.0.1:10002"
    suffix = parts.get("EndpointSuffix", "core.windows.net")
    return parts.get("TableEndpoint", f"https://{parts.get('AccountName', '')}.table.{suffix}")
