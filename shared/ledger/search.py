"""Which incidents are wanted, as filters that the storage understands, and where a page ends."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec

from shared.ledger.tables import Condition, Entity
from shared.models import Incident
from shared.vocabulary import IncidentState

DAY_MILLIS = 86_400_000
_DAY = "%Y%m%d"
_END = "~"  # sorts after every row key


class Position(msgspec.Struct, frozen=True):
    """The last row that a page has looked at."""

    day: str
    row: str

    @classmethod
    def end_of(cls, day: str) -> Position:
        """The position after all rows of a day."""
        return cls(day, _END)


class Page(msgspec.Struct, frozen=True):
    """Some incidents, and where the next page starts; None if there is no more."""

    incidents: list[Incident]
    after: Position | None


class Wanted(msgspec.Struct, frozen=True):
    """Incidents opened between two moments, both included; what is empty does not matter."""

    since: datetime
    until: datetime
    states: tuple[IncidentState, ...] = ()
    error_type: str = ""
    target: str = ""
    resource: str = ""  # name or id
    environment: str = ""
    remedy: str = ""

    @property
    def condition(self) -> Condition:
        """The filter on the rows' properties."""
        clauses: list[str] = []
        values: Entity = {}
        for name in ("error_type", "target", "environment", "remedy"):
            if value := getattr(self, name):
                clauses.append(f"{name} eq @{name}")
                values[name] = value
        if self.resource:
            # The SDK puts values in only where `@name` stands between spaces.
            clauses.append("( resource eq @resource or name eq @resource )")
            values["resource"] = self.resource
        if self.states:
            names = {f"state{n}": state.value for n, state in enumerate(self.states)}
            clauses.append("( " + " or ".join(f"state eq @{name}" for name in names) + " )")
            values |= names
        return clauses, values

    def days(self, after: Position | None) -> list[str]:
        """The days still to be looked at, newest first."""
        span = (self.until.date() - self.since.date()).days
        days = [(self.until - timedelta(days=back)).strftime(_DAY) for back in range(span + 1)]
        if after is None:
            return days
        return [day for day in days if day < after.day or (day == after.day and after.row != _END)]

    def rows(self, day: str, after: Position | None) -> tuple[str, str]:
        """The lowest row key of a day that is wanted, and the first that is not any more."""
        low = _row(self.until) if day == self.until.strftime(_DAY) else ""
        high = _row(self.since) + _END if day == self.since.strftime(_DAY) else ""
        if after is not None and after.day == day:
            low = after.row + "0"  # the next key that there can be
        return low, high


def _row(moment: datetime) -> str:
    """Where the row keys of a moment begin: the milliseconds until midnight."""
    start = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    return f"{DAY_MILLIS - (moment - start) // timedelta(milliseconds=1):08d}"
