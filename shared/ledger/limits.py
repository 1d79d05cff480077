"""What was done lately, per thing, per error type and in all: counted under optimistic locking."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from shared.clock import Clock
from shared.ledger.documents import Documents
from shared.policy import limits as rules
from shared.policy.limits import Act, Log
from shared.policy.model import Policy
from shared.telemetry.metrics import BREAKER

_SCOPE = "limits"
_EVERYTHING = "everything"
_BREAKERS, _MOST_BREAKERS = "breakers", 200


class Usage(msgspec.Struct, frozen=True):
    """What an attempt would count against."""

    incident_id: str
    key: str
    error_type: str
    remedy: str
    things: tuple[str, ...]  # the failed work first, then the clusters that it needs


class Objection(msgspec.Struct, frozen=True):
    """What stands against an attempt now; all empty if nothing does. `cooldown` in seconds."""

    cooldown: float = 0.0
    crowded: str = ""
    tripped: str = ""
    half_open: str = ""


class Breakers(msgspec.Struct):
    """Names of the logs whose breakers have opened and are not known to be shut."""

    names: list[str] = []

    def add(self, name: str) -> None:
        """One that has opened."""
        self.names = [*(n for n in self.names if n != name), name][-_MOST_BREAKERS:]

    def remove(self, names: list[str]) -> None:
        """Those that are shut."""
        self.names = [name for name in self.names if name not in names]


class Limits:
    """Counts attempts and keeps the breakers."""

    def __init__(self, documents: Documents, clock: Clock) -> None:
        self._documents = documents
        self._clock = clock

    def objection(self, policy: Policy, usage: Usage, known: int | None) -> Objection:
        """What stands against an attempt, as of now. Reads only."""
        now = self._clock.now()
        overall = self._read(_EVERYTHING)
        rules.prune(overall, now, rules.HOUR.total_seconds())
        logs = [self._read(_thing(name)) for name in usage.things]
        kind = self._read(_error_type(usage.error_type))
        radius, key = policy.blast_radius, usage.key
        crowded = rules.crowded(radius, overall, known, key, usage.things[0])
        worn = [rules.worn(radius, log, now, key) for log in logs]
        tripped = [rules.tripped(policy.breaker, log, now) for log in [kind, *logs]]
        half_open = [rules.tried(policy.breaker, log, now, key) for log in [kind, *logs]]
        cooling = [rules.cooling(policy.cooldown, log, now, usage.incident_id) for log in logs]
        return Objection(
            cooldown=max(cooling),
            crowded=next((words for words in [crowded, *worn] if words), ""),
            tripped=next((words for words in tripped if words), ""),
            half_open=next((words for words in half_open if words), ""),
        )

    def begin(self, policy: Policy, usage: Usage, known: int | None) -> str:
        """Count an attempt that is about to begin, once for its key.

        Returns:
            Why it may not begin, empty if it was counted. What objects leaves nothing counted.
        """
        now = self._clock.now()
        act = Act(usage.key, now, usage.things[0], usage.remedy)
        names = [_EVERYTHING, *map(_thing, usage.things), _error_type(usage.error_type)]
        for position, name in enumerate(names):
            why = self._begin_one(policy, name, act, known, now)
            if why:
                self._withdraw(names[:position], usage.key)
                return why
        return ""

    def withdraw(self, usage: Usage) -> None:
        """Take an attempt back that was counted and did not begin."""
        names = [_EVERYTHING, *map(_thing, usage.things), _error_type(usage.error_type)]
        self._withdraw(names, usage.key)

    def conclude(self, policy: Policy, usage: Usage, *, healed: bool) -> list[str]:
        """Note how an attempt ended, once for its key; tells which breakers opened by it."""
        act = Act(usage.key, self._clock.now(), usage.things[0], usage.remedy)
        opened = []
        for name in [*map(_thing, usage.things), _error_type(usage.error_type)]:
            # That one remedy works for many things is no sign that it does not last.
            mine = act if name.startswith(_THING) else msgspec.structs.replace(act, thing="")
            why = self._change(name, _Conclusion(policy, mine, healed))
            if why:
                self._documents.change(_SCOPE, _BREAKERS, Breakers, lambda b, n=name: b.add(n))  # type: ignore[misc]
            opened += [f"{name.partition(':')[2]}: {why}"] if why else []
        return opened

    def tell_breakers(self, policy: Policy) -> None:
        """Tell for each breaker that has opened whether it is open now; a last time when it is not.

        Called by a sweep: a level that nobody repeats looks like one that nobody measures.
        """
        now = self._clock.now()
        shut = []
        for name in self._documents.read(_SCOPE, _BREAKERS, Breakers).names:
            stopped = bool(rules.tripped(policy.breaker, self._read(name), now))
            BREAKER.record(int(stopped), scope=name.partition(":")[2])
            shut += [] if stopped else [name]
        if shut:
            self._documents.change(_SCOPE, _BREAKERS, Breakers, lambda b: b.remove(shut))

    def _begin_one(
        self, policy: Policy, name: str, act: Act, known: int | None, now: datetime
    ) -> str:
        breaker, radius = policy.breaker, policy.blast_radius

        def stopped(log: Log) -> str:
            stops = rules.tripped(breaker, log, now)
            return stops or rules.tried(breaker, log, now, act.key)

        def change(log: Log) -> str:
            if name == _EVERYTHING:
                rules.prune(log, now, rules.HOUR.total_seconds())
                why = rules.crowded(radius, log, known, act.key, act.thing)
            elif name.startswith(_THING):
                kept = max(rules.HOUR.total_seconds(), policy.cooldown)
                rules.prune(log, now, kept, rules.MOST_PER_TARGET)
                why = rules.worn(radius, log, now, act.key) or stopped(log)
            else:  # of an error type only the breaker counts
                why = stopped(log)
                if not why:
                    rules.try_breaker(log, act)
                return why
            if not why:
                rules.begin(log, act)
            return why

        return self._documents.change(_SCOPE, name, Log, change)

    def _withdraw(self, names: Sequence[str], key: str) -> None:
        for name in names:
            self._documents.change(_SCOPE, name, Log, lambda log: rules.withdraw(log, key))

    def _change(self, name: str, conclusion: _Conclusion) -> str:
        return self._documents.change(_SCOPE, name, Log, conclusion)

    def _read(self, name: str) -> Log:
        return self._documents.read(_SCOPE, name, Log)


class _Conclusion:
    def __init__(self, policy: Policy, act: Act, healed: bool) -> None:  # noqa: FBT001 - the verdict
        self._policy, self._act, self._healed = policy, act, healed

    def __call__(self, log: Log) -> str:
        return rules.conclude(self._policy.breaker, log, self._act, healed=self._healed)


_THING = "thing:"


def _thing(name: str) -> str:
    return f"{_THING}{name}"


def _error_type(name: str) -> str:
    return f"error type:{name}"
