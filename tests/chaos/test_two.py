"""Two instances on one ledger whose clocks disagree, each with sweeps and a task hub of its own.

That is harsher than production, where instances share a task hub: every healing that one of them
has taken up looks stopped to the other before long, and is taken up there too.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import msgspec
import pytest

from devstack.processes import Stack
from tests.chaos import failures
from tests.chaos.sizes import Chaos
from tests.e2e.hosts import Host
from tests.e2e.world import CLOSED, World

MINUTE = 60.0
DEADLINE = 240.0


def skewed(stack: Stack, world: World, directory: Path, seconds: float, prefix: str = "") -> Host:
    settings = {"CHAOS_CLOCK_SKEW": str(seconds)}
    shared = {"AUDIT_TABLE_PREFIX": prefix} if prefix else {}
    host = Host(stack, world, directory, settings | shared)
    host.service.argv = [*host.service.argv, "--app", "tests.chaos.skewed_app:app"]
    host.service.start()
    return host


@pytest.mark.parametrize("apart", [2 * MINUTE])
def test_clocks_that_disagree(
    stack: Stack, world: World, tmp_path: Path, chaos: Chaos, apart: float
) -> None:
    ahead = skewed(stack, world, tmp_path, apart / 2)
    behind = skewed(stack, world, tmp_path, -apart / 2, ahead.prefix)
    try:
        _both_heal(ahead, behind, chaos)
    finally:
        for host in (ahead, behind):
            host.service.stop()


def _both_heal(ahead: Host, behind: Host, chaos: Chaos) -> None:
    world = msgspec.structs.replace(ahead.world, deadline=DEADLINE)
    broken = failures.some(world, chaos.of(3, 60))
    alerts = []
    for number, each in enumerate(broken):  # each of them is the first for every other one
        first, second = (world, behind.world) if number % 2 else (behind.world, world)
        alerts.append(failures.accepted(first, each))
        assert failures.accepted(second, each) == alerts[-1]

    def closed() -> bool:
        for host in (ahead, behind):
            host.timer("dispatch_sweep")
        found = [world.get(f"/api/alerts/{alert}").json()["incidents"] for alert in alerts]
        return all(
            entries and world.incident(entries[0]["incident_id"])["state"] in CLOSED
            for entries in found
        )

    world.until(closed)
    incidents = [world.incident_of(alert) for alert in alerts]
    taken_up = sum(
        entry["action"] == "Healing Resumed" for i in incidents for entry in i["timeline"]
    )
    ended = dict(Counter(i["state"] for i in incidents))
    chaos.note(f"{len(broken)} healings, ended {ended}, taken up again {taken_up} times")
    for each, incident in zip(broken, incidents, strict=True):
        assert incident["audit"]["whole"], incident["audit"]
        assert each.acted() <= 1, (each.kind, incident["timeline"])
        assert (incident["state"] == "healed") <= each.good(), incident["timeline"]
        # It is healed, found good when it is taken up there, or taken up so often that it goes to
        # a person.
        words = ("it is good by now", "again and again")
        assert incident["state"] == "healed" or any(w in incident["outcome"] for w in words)
