"""Deliveries driven without a host, in the sandbox's time: what would be waited for passes at once.

The scenario helpers of tests/e2e work on it too: it scripts the sandbox as a `World` does.
"""

from __future__ import annotations

import heapq
import json
import random
import re
from datetime import timedelta
from typing import Any

import msgspec

from sandbox.testing import Sandbox
from shared.catalog.loader import Catalog
from shared.composition import Composition
from shared.delivery.plan import read_plan
from shared.delivery.receiving import cancel, receive, take_back
from shared.delivery.steps import step
from shared.delivery.summary import detail, markdown, summary
from tests.monitoring.clocks import SetClock

Json = dict[str, Any]

_MOST_STEPS = 2000


class Killed(BaseException):
    """The process is gone, in the middle of whatever it was doing."""


class MortalClock(SetClock):
    """A clock during whose `calls`th look the process is killed."""

    def __init__(self, clock: Any) -> None:
        super().__init__(clock)
        self.calls = -1

    def now(self) -> Any:
        self.calls -= 1
        if self.calls == 0:
            raise Killed
        return super().now()


class Bench:
    """An app's parts, its sandbox, and the deliveries that are under way."""

    def __init__(self, sandbox: Sandbox, connection: str) -> None:
        self.sandbox = sandbox
        self.sandbox_url = sandbox.host
        self.clock = MortalClock(sandbox.clock)
        target = {"kind": "databricks", "name": "dbx", "host": sandbox.host}
        self._environment = {
            "TARGETS": json.dumps([target | {"token_setting": "DATABRICKS_TOKEN"}]),
            "DATABRICKS_TOKEN": "sandbox-token",
            "AUDIT_STORAGE_CONNECTION": connection,
            "AUDIT_TABLE_PREFIX": "b" + random.SystemRandom().randbytes(6).hex(),
            "AUTO_REMEDIATION_MAX_WORKERS": "16",
        }
        self._due: list[tuple[float, str, str]] = []
        self._dies, self.deaths = -1, 0
        self._catalog: Catalog | None = None
        self.parts = self.restarted()

    def restarted(self) -> Composition:
        """The same app after a restart: it knows what is in the ledger."""
        kept = {"catalog": self._catalog} if self._catalog else {}  # read once: it is large
        self.parts = Composition(self._environment, clock=self.clock, **kept)
        self._catalog = self.parts.catalog
        return self.parts

    # The sandbox, as tests/e2e/world.py scripts it

    def script(self, path: str, /, **body: Any) -> Json:
        return self.sandbox.script(path, **body)

    def seen(self, path: str, method: str = "POST") -> list[Json]:
        found = self.sandbox.control("GET", f"requests?method={method}")["requests"]
        return [row for row in found if re.search(path, row["path"])]

    # Deliveries

    def deliver(self, **plan: Any) -> str:
        receipt = receive(self.parts.context, read_plan({"target": "dev", **plan}), "somebody")
        self._next(receipt.delivery_id, "deliver_check", 0)
        return receipt.delivery_id

    def cancel(self, delivery_id: str) -> None:
        cancel(self.parts.context, delivery_id, "somebody", "a doubt")

    def take_back(self, delivery_id: str) -> None:
        take_back(self.parts.context, delivery_id, "somebody", "a doubt")
        self._next(delivery_id, "deliver_roll_back", 0)

    def shown(self, delivery_id: str) -> Json:
        found = self.parts.context.deliveries.get(delivery_id)
        return dict(msgspec.to_builtins(detail(found, self.clock.now())))

    def told(self, delivery_id: str) -> str:
        return markdown(summary(self.parts.context.deliveries.get(delivery_id)))

    def until(self, delivery_id: str, words: str) -> Json:
        """Go on until a delivery waits for something, or is over."""
        for _ in range(_MOST_STEPS):
            found = self.shown(delivery_id)
            if words in found["waiting_for"]:
                return found
            assert found["closed_at"] is None, found["outcome"]
            self._one()
        raise AssertionError(f"never came to: {words}")

    def ended(self, delivery_id: str) -> Json:
        """Go on with everything that is under way until this delivery is over."""
        for _ in range(_MOST_STEPS):
            found = self.parts.context.deliveries.get(delivery_id)
            if found.state.closed:
                chain = self.parts.context.audit
                assert chain.verify(delivery_id, found.audit_count, found.audit_head).whole
                return self.shown(delivery_id)
            self._one()
        raise AssertionError(f"{delivery_id} does not end: {found.waiting_for}")

    def die_at(self, look: int) -> None:
        """Kill the process at its `look`th look at the clock; at none where that is negative."""
        self._dies = look

    def go_on(self, delivery_id: str) -> None:
        """Steps until the process was killed, or this delivery is over."""
        deaths = self.deaths
        while self.deaths == deaths:
            if self.parts.context.deliveries.get(delivery_id).state.closed:
                return
            self._one()

    def _one(self) -> None:
        """The step that is due next, when it is due."""
        due, delivery_id, name = heapq.heappop(self._due)
        left = due - self.clock.now().timestamp()
        if left > 0:
            self.clock.sleep(left)
        self.clock.calls, self._dies = self._dies, -1
        try:
            done = step(self.parts.context, delivery_id, name)
        except Killed:
            self.deaths += 1
            self.restarted()
            self._next(delivery_id, name, 0)
            return
        finally:
            self._dies, self.clock.calls = self.clock.calls, -1
        if done.next != "closed":
            self._next(delivery_id, done.next, done.seconds)

    def _next(self, delivery_id: str, name: str, seconds: float) -> None:
        due = self.clock.now() + timedelta(seconds=seconds)
        heapq.heappush(self._due, (due.timestamp(), delivery_id, name))


def deliver(bench: Bench, spec: Json, **plan: Any) -> str:
    return bench.deliver(specification=spec, **plan)


def ended(bench: Bench, delivery_id: str) -> Json:
    return bench.ended(delivery_id)
