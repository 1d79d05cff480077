"""Claims: the atomic insert that makes one failure ours, and tells everybody else whose it is."""

from __future__ import annotations

import contextlib

import msgspec

from shared.decoding import decode
from shared.errors import LedgerConflict
from shared.ledger.tables import Entity, Table, digest
from shared.models import Failure

_ROW = "claim"


class Claim(msgspec.Struct, frozen=True):
    """Who owns a line of reruns, and the incident it is healed in."""

    incident_id: str
    owner: str
    failure: Failure


class Claims:
    """The claims table: one row for each root (a line of reruns), one for each occurrence in it."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def take(self, key: str, claim: Claim) -> Claim:
        """Claim `key`, or learn who has it.

        Returns:
            The claim that stands: ours (also when this is a repeat of our own insert) or the
            other's.
        """
        try:
            self._table.insert(_entity(key, claim))
        except LedgerConflict:
            return self.find(key) or claim
        return claim

    def last(self, key: str) -> Claim | None:
        """The claim on `key` as this process has last seen it; None if it has seen none.

        It may have been taken over or released since, which its incident shows.
        """
        entity = self._table.remembered(digest(key), _ROW)
        return decode(entity["doc"], Claim) if entity else None

    def find(self, key: str) -> Claim | None:
        """The claim on `key`, None if nobody has it."""
        entity = self._table.get(digest(key), _ROW)
        return decode(entity["doc"], Claim) if entity else None

    def take_over(self, key: str, old: Claim, new: Claim) -> Claim:
        """Replace `old`, whose incident is closed, by `new`; whoever is first wins.

        Returns:
            The claim that stands afterwards.
        """
        entity = self._table.get(digest(key), _ROW)
        if entity is None:
            return self.take(key, new)
        standing = decode(entity["doc"], Claim)
        if standing.incident_id != old.incident_id:
            return standing
        try:
            self._table.replace(_entity(key, new), entity["etag"])
        except LedgerConflict:
            return self.find(key) or new
        return new

    def release(self, key: str, incident_id: str) -> None:
        """Forget the claim of an incident on `key`; another incident's stays. For the purge."""
        entity = self._table.get(digest(key), _ROW)
        if entity is None or entity["incident_id"] != incident_id:
            return
        with contextlib.suppress(LedgerConflict):  # taken over just now
            self._table.delete_if(digest(key), _ROW, entity["etag"])


def _entity(key: str, claim: Claim) -> Entity:
    return {
        "PartitionKey": digest(key),
        "RowKey": _ROW,
        "key": key[:1000],
        "incident_id": claim.incident_id,
        "doc": msgspec.json.encode(claim).decode(),
    }
