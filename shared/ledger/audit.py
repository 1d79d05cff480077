"""The audit trail: append-only rows per incident, each carrying the hash of the one before.

The head (count, hash, signature) stands in the same partition and is written in the same
transaction as the rows, so the two cannot drift apart; the incident keeps a copy. A changed row
breaks the chain, a missing or cut-off row disagrees with the head, and where a signing key is
configured the head cannot be made to agree again.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
from collections.abc import Sequence

import msgspec

from shared.clock import Clock, iso
from shared.decoding import decode
from shared.errors import LedgerConflict, LedgerUnavailable
from shared.ledger.deliveries import DELIVERY_PREFIX
from shared.ledger.tables import Entity, Table, chunked, guarded_replace, joined
from shared.models import AuditEntry
from shared.redaction import Redactor
from shared.telemetry import signals

log = logging.getLogger("lakemend.timeline")

_HEAD = "head"
_DIGITS = 8
_REMEMBERED = 200  # keys of the newest entries, for dropping repeats
_TRIES = 60
_LONGEST_PAUSE = 0.2  # seconds between two tries
_MAX_SUMMARY = 2_000
_MAX_DETAILS = 200_000


class Head(msgspec.Struct, frozen=True):
    """The end of a chain."""

    count: int = 0
    hash: str = ""
    keys: tuple[str, ...] = ()


class Verification(msgspec.Struct, frozen=True):
    """Whether a chain is whole; `problem` says what is not."""

    whole: bool
    count: int
    problem: str = ""


class Audit:
    """The audit table."""

    def __init__(
        self, table: Table, redactor: Redactor, clock: Clock, signing_key: str = ""
    ) -> None:
        self._table = table
        self._redactor = redactor
        self._clock = clock
        self._key = signing_key.encode()

    def begin(self, incident_id: str) -> None:
        """Hint that an incident is new: its first entries need not look for a head."""
        self._table.expect_none(incident_id, _HEAD)

    def append(self, incident_id: str, entries: Sequence[AuditEntry]) -> Head:
        """Add entries to an incident's timeline; those whose key is known already are dropped.

        Raises:
            LedgerUnavailable: storage did not answer, or too many writers were in each other's way.
        """
        cleaned = [self._clean(entry) for entry in entries]
        for turn in range(_TRIES):
            entity = self._ground(incident_id, fresh=turn > 0)
            head = _head(entity)
            fresh = [entry for entry in cleaned if not entry.key or entry.key not in head.keys]
            if not fresh:
                return head
            try:
                head = self._write(incident_id, entity, head, fresh)
            except LedgerConflict:
                self._clock.sleep(min(0.01 * (turn + 1), _LONGEST_PAUSE))
                continue
            _tell(incident_id, fresh)
            return head
        raise LedgerUnavailable("too many writers on one timeline")

    def _ground(self, incident_id: str, *, fresh: bool) -> Entity | None:
        """The head to go on from: as last seen by this process; if it is old, we are refused."""
        if fresh:
            return self._table.get(incident_id, _HEAD)
        return self._table.last(incident_id, _HEAD)[0]

    def timeline(self, incident_id: str) -> list[AuditEntry]:
        """All entries of an incident, oldest first."""
        rows = self._table.range(incident_id, "0", _HEAD)
        return [decode(joined(row), AuditEntry) for row in rows]

    def verify(self, incident_id: str, count: int = 0, expected: str = "") -> Verification:
        """Whether the chain of an incident is whole.

        Args:
            incident_id: whose chain.
            count: number of entries that the incident remembers, 0 to leave that out.
            expected: hash of the entry with that number.
        """
        return self.read(incident_id, count, expected)[1]

    def read(
        self, incident_id: str, count: int = 0, expected: str = ""
    ) -> tuple[list[AuditEntry], Verification]:
        """The timeline, and whether its chain is whole, in one query; see `verify`."""
        rows = list(self._table.range(incident_id))
        entity = next((row for row in rows if row["RowKey"] == _HEAD), None)
        head = _head(entity)
        entries = [decode(joined(row), AuditEntry) for row in rows if row["RowKey"] != _HEAD]
        problem = (
            _chain_problem(entries)
            or _head_problem(entries, head)
            or _memory_problem(entries, count, expected)
            or self._signature_problem(incident_id, entity, head)
        )
        return entries, Verification(not problem, len(entries), problem)

    def purge(self, incident_id: str) -> None:
        """Remove the whole timeline of an incident."""
        for row in list(self._table.range(incident_id)):
            self._table.delete(incident_id, row["RowKey"])

    def _write(
        self, incident_id: str, entity: Entity | None, head: Head, fresh: list[AuditEntry]
    ) -> Head:
        chained = _chain(head, fresh)
        keys = (*head.keys, *(entry.key for entry in fresh if entry.key))[-_REMEMBERED:]
        after = Head(chained[-1].sequence, chained[-1].hash, keys)
        row = self._head_row(incident_id, after)
        operations: list[tuple[object, ...]] = [
            ("create", _row(incident_id, entry)) for entry in chained
        ]
        if entity is None:
            operations.append(("create", row))
        else:
            operations.append(guarded_replace(row, entity["etag"]))
        self._table.transact(operations)
        return after

    def _head_row(self, incident_id: str, head: Head) -> Entity:
        return {
            "PartitionKey": incident_id,
            "RowKey": _HEAD,
            "count": head.count,
            "hash": head.hash,
            "keys": msgspec.json.encode(head.keys).decode(),
            "signature": self._sign(incident_id, head),
        }

    def _sign(self, incident_id: str, head: Head) -> str:
        if not self._key:
            return ""
        text = f"{incident_id}|{head.count}|{head.hash}"
        return hmac.new(self._key, text.encode(), hashlib.sha256).hexdigest()

    def _signature_problem(self, incident_id: str, entity: Entity | None, head: Head) -> str:
        if not self._key or entity is None:
            return ""
        right = hmac.compare_digest(entity["signature"], self._sign(incident_id, head))
        return "" if right else "the head's signature is wrong"

    def _clean(self, entry: AuditEntry) -> AuditEntry:
        details = self._redactor.tree(entry.details)
        size = len(msgspec.json.encode(details))
        if size > _MAX_DETAILS:
            details = {"cut": f"{size} bytes of details were too long to keep"}
        return msgspec.structs.replace(
            entry,
            summary=_cut(self._redactor.text(entry.summary)),
            result=_cut(self._redactor.text(entry.result)),
            target=_cut(self._redactor.text(entry.target)),
            reason=_cut(self._redactor.text(entry.reason)),
            details=details,
        )


def _cut(text: str) -> str:
    if len(text) <= _MAX_SUMMARY:
        return text
    return f"{text[:_MAX_SUMMARY]} [cut, {len(text)} characters in all]"


def _head(entity: Entity | None) -> Head:
    if entity is None:
        return Head()
    keys = decode(entity["keys"], tuple[str, ...])
    return Head(int(entity["count"]), entity["hash"], keys)


def _tell(identity: str, entries: Sequence[AuditEntry]) -> None:
    """The same as log lines: what was done can be read where everything else is."""
    whose = "delivery_id" if identity.startswith(DELIVERY_PREFIX) else "incident_id"
    with signals.about(**{whose: identity}):
        for entry in entries:
            log.info("%s: %s", entry.action, entry.summary)


def _chain(head: Head, entries: list[AuditEntry]) -> list[AuditEntry]:
    chained: list[AuditEntry] = []
    previous, number = head.hash, head.count
    for entry in entries:
        number += 1
        linked = msgspec.structs.replace(entry, sequence=number, previous=previous, hash="")
        previous = entry_hash(linked)
        chained.append(msgspec.structs.replace(linked, hash=previous))
    return chained


def entry_hash(entry: AuditEntry) -> str:
    """The hash of an entry: over all its fields but the hash itself, the one before included."""
    bare = msgspec.structs.replace(entry, hash="", at=entry.at)
    document = msgspec.to_builtins(bare) | {"at": iso(entry.at)}
    return hashlib.sha256(msgspec.json.encode(document, order="sorted")).hexdigest()


def _row(incident_id: str, entry: AuditEntry) -> Entity:
    return {
        "PartitionKey": incident_id,
        "RowKey": f"{entry.sequence:0{_DIGITS}d}",
        "at": iso(entry.at),
        "actor": entry.actor,
        "action": entry.action,
        "target": entry.target[:1000],
        "reason": entry.reason,
        "result": entry.result[:1000],
        **chunked(msgspec.json.encode(entry).decode()),
    }


def _chain_problem(entries: list[AuditEntry]) -> str:
    previous = ""
    for number, entry in enumerate(entries, start=1):
        if entry.sequence != number:
            return f"entry {number} is missing"
        if entry.previous != previous or entry_hash(entry) != entry.hash:
            return f"entry {number} was changed"
        previous = entry.hash
    return ""


def _head_problem(entries: list[AuditEntry], head: Head) -> str:
    if len(entries) != head.count:
        return f"the head counts {head.count} entries, {len(entries)} are there"
    if entries and entries[-1].hash != head.hash:
        return "the head names another last entry"
    return ""


def _memory_problem(entries: list[AuditEntry], count: int, expected: str) -> str:
    if not count:
        return ""
    if len(entries) < count:
        return f"the incident remembers {count} entries, {len(entries)} are there"
    if entries[count - 1].hash != expected:
        return f"entry {count} is not the one that the incident remembers"
    return ""
