"""Platforms that answer with errors, late, in halves, with nonsense and with what was true once."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import msgspec
import pytest
import requests

from tests.chaos import failures
from tests.chaos.failures import Broken
from tests.chaos.sizes import Chaos
from tests.e2e.hosts import Host, StartHost
from tests.e2e.test_readiness import BAD, GOOD, deployed
from tests.e2e.world import CLOSED, Json, World

TROUBLES: dict[str, tuple[float, Json]] = {
    "error before": (0.05, {"status": 500}),
    "error after": (0.03, {"status": 500, "after_effect": True}),
    "unavailable": (0.03, {"status": 503, "headers": {"Retry-After": "1"}}),
    "throttled": (0.05, {"status": 429, "headers": {"Retry-After": "1"}}),
    "strange throttling": (0.01, {"status": 429, "headers": {"Retry-After": "²"}}),
    "no answer": (0.03, {"disconnect": True, "after_effect": True}),
    "late": (0.01, {"delay_seconds": 3}),
    "half": (0.03, {"truncate": True}),
    "not JSON": (0.02, {"status": 200, "body": "<html>sorry</html>", "after_effect": True}),
    "another JSON": (0.01, {"status": 200, "body": "[1, 2]", "after_effect": True}),
    "nonsense": (0.05, {"garble": True}),
    "backwards": (0.05, {"stale": True}),
}
MOST_CALLS = 400  # of one healing; about 25 are made when all goes well


def trouble(world: World, chaos: Chaos, share: float = 1.0) -> None:
    for name, (probability, what) in TROUBLES.items():
        seed = chaos.dice.randrange(1 << 30)
        world.script(
            "faults", name=name, path="", probability=probability * share, seed=seed, **what
        )


def calm(world: World) -> None:
    requests.delete(f"{world.sandbox_url}/_sandbox/faults", timeout=10)


@pytest.fixture
def host(start_host: StartHost) -> Host:
    return start_host(PLATFORM_CALL_TIMEOUT_SECONDS="2")


def test_nothing_that_platforms_answer_makes_us_crash_or_believe(host: Host, chaos: Chaos) -> None:
    world = host.world
    broken = failures.some(world, chaos.of(3, 120))
    before = len(_calls(world))
    trouble(world, chaos)
    alerts = [failures.accepted(world, each) for each in broken]

    incidents = _ends(host, alerts)

    made = _calls(world)[before:]
    struck = Counter(row["fault"] for row in made if row["fault"])
    calm(world)
    chaos.note(f"{len(broken)} healings, {len(made)} calls, struck {dict(struck)}")
    chaos.note(f"ended {dict(Counter(i['state'] for i in incidents))}")
    for each, incident in zip(broken, incidents, strict=True):
        _believable(each, incident)
    assert len(made) <= MOST_CALLS * len(broken)
    assert not _crashes(host), _crashes(host)[0]


LOOKS = ("health_sweep", "nightly_sweep", "ceilings_sweep", "recovery_sweep")


def test_nonsense_spoils_no_report_and_no_sweep(host: Host, chaos: Chaos) -> None:
    world = host.world
    names = [deployed(world, spec)[0] for spec in (GOOD, BAD)]
    failures.some(world, 3)
    # Sweeps take what failed for alerts of their own; nothing is to be healed here.
    assert world.post("/api/pause", {"why": "only looking"}, "approver").ok
    answers: Counter[int] = Counter()
    for number in range(chaos.of(6, 400)):
        seed = chaos.dice.randrange(1 << 30)
        world.script("faults", name="nonsense", path="", probability=0.5, seed=seed, garble=True)
        answer = world.get(f"/api/pipelines/{names[number % 2]}/readiness")
        if number % 3 == 0:
            host.timer(LOOKS[number // 3 % len(LOOKS)])
        answers[answer.status_code] += 1
        calm(world)
    chaos.note(f"answers {dict(answers)}")
    assert set(answers) <= {200, 400, 404, 502}, answers
    log = Path(host.service.log).read_text("utf-8")
    assert "ended early" not in log, log[log.index("ended early") :][:3000]
    assert not _crashes(host), _crashes(host)[0]


def _calls(world: World) -> list[Json]:
    return list(
        requests.get(f"{world.sandbox_url}/_sandbox/requests", timeout=30).json()["requests"]
    )


def _ends(host: Host, alerts: list[str]) -> list[Json]:
    """The incidents, once all are closed; sweeps take up what stopped, as in production."""
    world = host.world

    def closed() -> bool:
        host.timer("dispatch_sweep")
        found = [world.get(f"/api/alerts/{alert}").json() for alert in alerts]
        if not all(f["incidents"] or f["disposition"] == "nothing_found" for f in found):
            return False
        ids = [entry["incident_id"] for f in found for entry in f["incidents"]]
        return all(world.incident(identity)["state"] in CLOSED for identity in ids)

    msgspec.structs.replace(world, deadline=600.0).until(closed)
    found = [world.get(f"/api/alerts/{alert}").json()["incidents"] for alert in alerts]
    return [world.incident(entries[0]["incident_id"]) for entries in found]


def _believable(each: Broken, incident: Json) -> None:
    assert incident["audit"]["whole"], incident["audit"]
    tries = len(incident["attempts"])
    if incident["state"] == "healed":
        assert each.good(), (each.kind, incident["timeline"])
    assert each.acted() <= max(tries, 1), (each.kind, each.acted(), incident["timeline"])


def _crashes(host: Host) -> list[str]:
    log = Path(host.service.log).read_text("utf-8")
    return [
        log[m.start() :][:4000] for m in re.finditer(r"^.*failed\nTraceback", log, re.MULTILINE)
    ]
