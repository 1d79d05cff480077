"""Storage that is down, restarted, slow, full or forgets to answer: nothing accepted is lost."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator

import msgspec
import pytest

from devstack.processes import Stack, azurite_connection
from tests.chaos import failures
from tests.chaos.failures import Broken
from tests.chaos.sizes import Chaos
from tests.chaos.storage_proxy import StorageProxy
from tests.e2e.hosts import Host, StartHost
from tests.e2e.world import CLOSED, World

MODES = ["down", "full", "slow", "lost", "half", "flaky"]
LONGEST_SECONDS = 25.0  # of an answer: an action group waits 10 s, and this machine is busy
DEADLINE = 120.0


@pytest.fixture
def proxy(stack: Stack, chaos: Chaos) -> Iterator[StorageProxy]:
    with StorageProxy(f"http://127.0.0.1:{stack.ports.table}", chaos.seed) as running:
        yield running


@pytest.fixture
def host(start_host: StartHost, stack: Stack, proxy: StorageProxy) -> Host:
    ports = (stack.ports.blob, stack.ports.queue, proxy.port)
    return start_host(AUDIT_STORAGE_CONNECTION=azurite_connection(*ports))


def test_nothing_accepted_is_lost(
    host: Host, stack: Stack, proxy: StorageProxy, chaos: Chaos
) -> None:
    world = msgspec.structs.replace(host.world, deadline=DEADLINE)
    answers: Counter[int] = Counter()
    accepted: list[tuple[Broken, str]] = []
    modes = chaos.dice.sample(MODES, 3) + MODES * chaos.of(0, 8)
    for mode in modes:
        broken = failures.some(world, chaos.of(1, 3))
        healing = [(each, _sent(world, each, answers)) for each in failures.some(world, 1)]
        time.sleep(chaos.dice.uniform(0, 0.5))  # the moment is a part of the test
        proxy.mode = mode
        ids = [(each, _sent(world, each, answers)) for each in broken]
        proxy.mode = "pass"
        accepted += [(each, alert) for each, alert in [*healing, *ids] if alert]
        # Who was told to come again does so.
        again = [each for each, alert in ids if not alert]
        accepted += [(each, failures.accepted(world, each)) for each in again]
    stack.azurite.stop()
    late = failures.some(world, 1)[0]
    assert not _sent(world, late, answers)
    stack.azurite.start()
    accepted.append((late, failures.accepted(world, late)))
    chaos.note(f"modes {modes}, answers {dict(answers)}, requests {dict(proxy.seen)}")
    _all_healed(host, world, accepted)
    chaos.note(f"{len(accepted)} accepted, all healed once")


def _sent(world: World, broken: Broken, answers: Counter[int]) -> str:
    """The alert's id if it was accepted; if not, the answer must say when to come again."""
    start = time.monotonic()
    answer = world.post(broken.path, broken.alert)
    assert time.monotonic() - start < LONGEST_SECONDS
    answers[answer.status_code] += 1
    if answer.status_code == 202:
        return str(answer.json()["alert_id"])
    assert answer.status_code == 503, answer.text
    assert int(answer.headers["Retry-After"]) > 0
    return ""


def _all_healed(host: Host, world: World, accepted: list[tuple[Broken, str]]) -> None:
    def closed() -> bool:
        host.timer("dispatch_sweep")
        answers = [world.get(f"/api/alerts/{alert}") for _, alert in accepted]
        assert not [a for a in answers if a.status_code == 404], "accepted, and not there"
        found = [a.json().get("incidents") for a in answers]
        return all(
            entries and world.incident(entries[0]["incident_id"]).get("state") in CLOSED
            for entries in found
        )

    world.until(closed)
    for each, alert in accepted:
        incident = world.incident_of(alert)
        assert incident["state"] == "healed", (each.kind, incident["timeline"])
        assert incident["audit"]["whole"], incident["audit"]
        assert each.acted() == 1, (each.kind, incident["timeline"])
        assert each.good()
