"""Writes of many callers, grouped: while one write is under way, the next ones gather.

No timer and no fixed delay: a single caller is written at once, and under load each write takes
along all that came meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime

from shared.errors import LedgerUnavailable
from shared.ledger.alerts import Alerts, Receipt
from shared.models import Alert

Group = list[tuple[Sequence[Alert], asyncio.Future[list[Receipt]]]]

_MAX_GROUP = 2_000  # alerts taken along by one write
_LARGE = 200  # alerts of one caller that nobody else is made to wait for


class GroupWriter:
    """Stores alerts for many concurrent callers of one event loop."""

    def __init__(self, alerts: Callable[[], Alerts], now: Callable[[], datetime]) -> None:
        self._alerts = alerts
        self._now = now
        self._waiting: Group = []
        self._writing: asyncio.Task[None] | None = None

    async def store(self, alerts: Sequence[Alert]) -> list[Receipt]:
        """Store alerts; returns when they are stored.

        Raises:
            LedgerUnavailable: storage did not answer; nothing of this call is acknowledged.
        """
        if len(alerts) > _LARGE:
            return await asyncio.to_thread(self._store, alerts)
        future: asyncio.Future[list[Receipt]] = asyncio.get_running_loop().create_future()
        self._waiting.append((alerts, future))
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write())
        return await future

    async def _write(self) -> None:
        while self._waiting:
            group = self._take()
            flat = [alert for alerts, _ in group for alert in alerts]
            try:
                receipts = await asyncio.to_thread(self._store, flat)
            except LedgerUnavailable as error:
                _refuse(group, error)
            except Exception:  # noqa: BLE001 - one caller's alert cannot be stored: find out whose
                await self._write_apart(group)
            else:
                _hand_out(group, receipts)

    async def _write_apart(self, group: Group) -> None:
        for caller in group:
            try:
                receipts = await asyncio.to_thread(self._store, caller[0])
            except Exception as error:  # noqa: BLE001 - handed to the caller it belongs to
                _refuse([caller], error)
            else:
                _hand_out([caller], receipts)

    def _store(self, alerts: Sequence[Alert]) -> list[Receipt]:
        return self._alerts().store(alerts, self._now())

    def _take(self) -> Group:
        size, count = 0, 0
        while count < len(self._waiting) and size < _MAX_GROUP:
            size += len(self._waiting[count][0])
            count += 1
        group, self._waiting = self._waiting[:count], self._waiting[count:]
        return group


def _refuse(group: Group, error: Exception) -> None:
    for _, future in group:
        if not future.done():
            future.set_exception(error)


def _hand_out(group: Group, receipts: list[Receipt]) -> None:
    position = 0
    for alerts, future in group:
        mine = receipts[position : position + len(alerts)]
        position += len(alerts)
        if not future.done():
            future.set_result(mine)
