"""SIGKILL of the host at random moments while it heals: all ends, nothing is lost or done twice."""

from __future__ import annotations

import time
from collections import Counter

import msgspec

from tests.chaos import failures
from tests.chaos.sizes import Chaos
from tests.e2e.hosts import StartHost
from tests.e2e.world import CLOSED

AT_ONCE = 10  # healings under way while the host is killed
DEADLINE = 600.0


def test_killed_again_and_again(start_host: StartHost, chaos: Chaos) -> None:
    host = start_host()
    world = msgspec.structs.replace(host.world, deadline=DEADLINE)
    kills = 0
    ended: Counter[str] = Counter()
    left = chaos.of(3, 200)
    while left > 0:
        broken = failures.some(world, min(AT_ONCE, left))
        left -= len(broken)
        alerts = [failures.accepted(world, each) for each in broken]
        for _ in range(chaos.dice.randint(2, chaos.of(2, 6))):
            time.sleep(chaos.dice.expovariate(2.0))  # the moments are the test
            host.service.kill()
            host.service.start()
            kills += 1
        incidents = [world.incident_of(alert) for alert in alerts]
        ended.update(incident["state"] for incident in incidents)
        for each, incident in zip(broken, incidents, strict=True):
            assert incident["state"] in CLOSED
            assert incident["audit"]["whole"], incident["audit"]
            assert each.acted() == 1, (each.kind, each.acted(), incident["timeline"])
            assert incident["state"] == "healed", incident["timeline"]
            assert each.good()
    chaos.note(f"{kills} kills, ended {dict(ended)}")
