"""Faults to inject in front of, or behind, what a request does."""

import copy
import random
import re
from dataclasses import dataclass, field
from typing import Any

from sandbox.wire import Call, Json


@dataclass
class Fault:
    """One scripted disturbance."""

    name: str
    method: str | None
    path: re.Pattern[str]
    times: int | None
    skip: int
    status: int | None
    headers: dict[str, str]
    body: Json | str | None
    after_effect: bool
    delay_seconds: float
    disconnect: bool
    truncate: bool
    garble: bool
    stale: bool
    probability: float
    dice: random.Random = field(repr=False)
    said: dict[str, list[Json]] = field(default_factory=dict, repr=False)

    def strikes(self, call: Call) -> bool:
        """Say whether it hits this request, counting it if so."""
        if not self._concerns(call) or self.times == 0:
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        if self.dice.random() >= self.probability:
            return False
        self.times = None if self.times is None else self.times - 1
        return True

    def distorted(self, question: str, answer: Json) -> Json:
        """Return another answer than the true one, as `stale` and `garble` want it.

        Stale: one that was given to the same question before. Garbled: one value of it is a word
        that no documentation knows, of another type, or missing.
        """
        if self.stale:
            earlier = self.said.setdefault(question, [])
            earlier.append(answer)
            answer = self.dice.choice(earlier)
        return _garbled(answer, self.dice) if self.garble else answer

    def keeps_effect(self) -> bool:
        """Say whether the request still does what it asks for."""
        hides = self.status is not None or self.disconnect
        return self.after_effect or not hides

    def _concerns(self, call: Call) -> bool:
        wanted = self.method is None or self.method == call.method
        return wanted and self.path.search(call.path) is not None


class Faults:
    """The disturbances in force, asked in the order in which they were added."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []

    def add(self, spec: Json) -> None:
        """Add one from its control description."""
        self._faults.append(parse_fault(spec))

    def clear(self) -> None:
        """Remove them all."""
        self._faults.clear()

    def strike(self, call: Call) -> Fault | None:
        """Return the first one that hits this request."""
        return next((fault for fault in self._faults if fault.strikes(call)), None)


def parse_fault(spec: Json) -> Fault:
    """Read a fault; see the control module for the fields."""
    method = spec.get("method")
    return Fault(
        name=spec["name"],
        method=method.upper() if method else None,
        path=re.compile(spec.get("path", "")),
        times=spec.get("times"),
        skip=spec.get("skip", 0),
        status=spec.get("status"),
        headers=spec.get("headers", {}),
        body=spec.get("body"),
        after_effect=spec.get("after_effect", False),
        delay_seconds=spec.get("delay_seconds", 0.0),
        disconnect=spec.get("disconnect", False),
        truncate=spec.get("truncate", False),
        garble=spec.get("garble", False),
        stale=spec.get("stale", False),
        probability=spec.get("probability", 1.0),
        dice=random.Random(spec.get("seed", 0)),  # noqa: S311 - repeatable dice, no secret
    )


# Never the name of a state that the platforms have: what is good must not come from here.
_STRANGE: tuple[Any, ...] = (
    *("SOMETHING_NEW", "", "9999-99-99T00:00:00Z", None, True, 7, -1),
    *([], {}, ["x"], {"x": "y"}),
)


def _garbled(answer: Json, dice: random.Random) -> Json:
    """Return a copy of an answer in which one value is strange or gone."""
    copied: Json = copy.deepcopy(answer)
    places = _places(copied)
    if not places:
        return {"something": "else"}
    around, key = dice.choice(places)
    if isinstance(around, dict) and dice.random() < _GONE:
        del around[key]
    else:
        around[key] = dice.choice(_STRANGE)
    return copied


_GONE = 0.2  # of the garbled values


def _places(value: Any) -> list[tuple[Any, Any]]:  # noqa: ANN401 - any JSON value
    """Return where the values are: what holds each, and under which key."""
    if not isinstance(value, dict | list):
        return []
    keys = list(value) if isinstance(value, dict) else range(len(value))
    return [(value, key) for key in keys] + [p for key in keys for p in _places(value[key])]
