"""The self-test goes the whole way and is missed when it does not come back."""

from __future__ import annotations

from datetime import datetime, timedelta

from shared.clock import SystemClock
from shared.composition import Composition
from shared.monitoring.selftest import PATIENCE, check
from shared.telemetry import signals
from tests.e2e.hosts import Host, StartHost
from tests.heard import Heard
from tests.unit.test_heartbeat import fired


def back(host: Host) -> bool:
    answer = host.world.get("/api/selftest")
    return answer.status_code == 200 and bool(answer.json()["back"])


def test_it_comes_back_through_the_whole_path(start_host: StartHost) -> None:
    host = start_host()
    world = host.world
    assert world.get("/api/selftest").status_code == 404
    assert world.post("/api/selftest", {}, "reader").status_code == 403

    sent = world.post("/api/selftest", {}, "approver")
    assert sent.status_code == 202, sent.text
    world.until(lambda: back(host))
    told = world.get("/api/selftest").json()
    assert told["selftest_id"] == sent.json()["selftest_id"]
    assert 0 <= told["seconds"] < 60
    assert told["problem"] is None
    assert told["heartbeat_at"] is None

    heard = world.send("/azure-monitor", fired("LakemendHeartbeat", "lakemend"))
    world.until(lambda: world.get(f"/api/alerts/{heard}").json()["disposition"] == "ignored")
    assert "heartbeat came through" in world.get(f"/api/alerts/{heard}").text
    assert world.get("/api/selftest").json()["heartbeat_at"] is not None


def test_the_timer_sends_one_an_hour(start_host: StartHost) -> None:
    host = start_host()
    host.timer("selftest_sweep")
    host.world.until(lambda: back(host))
    first = host.world.get("/api/selftest").json()
    host.timer("selftest_sweep")
    assert host.world.get("/api/selftest").json() == first


def test_a_strangers_identity_does_not_count(start_host: StartHost) -> None:
    host = start_host(PUBLIC_URL="http://127.0.0.1:9")  # nobody listens there
    world = host.world
    sent = world.post("/api/selftest", {}, "approver").json()
    assert (sent["back"], sent["problem"]) == (False, "ConnectionError")

    alert = world.send("/api/alerts", {"selftest": "made-up"})
    world.until(lambda: world.get(f"/api/alerts/{alert}").json()["disposition"] == "ignored")
    assert not back(host)


class Later(SystemClock):
    def now(self) -> datetime:
        return super().now() + PATIENCE + timedelta(minutes=1)


def test_its_silence_is_told_once(start_host: StartHost) -> None:
    sink = "json://127.0.0.1:9/"
    host = start_host(
        PUBLIC_URL="http://127.0.0.1:9", NOTIFICATION_URLS=sink, NOTIFICATION_ALLOW_LOOPBACK="true"
    )
    host.world.post("/api/selftest", {}, "approver")

    later = Composition(host.environment, clock=Later()).context
    assert not check(later).told
    assert later.selftests.newest().told
    kept = Composition(host.environment, clock=Later()).outbox
    assert kept.fan_out(lambda message: [message.kind.value]) == 1
    assert [d.message.severity.value for d in kept.due("selftest")] == ["critical"]
    check(later)
    assert kept.fan_out(lambda message: [message.kind.value]) == 0

    heard = Heard()
    with signals.heard_by(heard):
        for _ in range(2):  # an activity may run twice
            assert later.selftests.came_back(later.selftests.newest().identity)
    assert [name for name, _, _ in heard.values] == ["lakemend.selftest.seconds"]
    assert heard.values[0][1] == later.selftests.newest().seconds


def test_without_an_address_it_says_what_is_missing(start_host: StartHost) -> None:
    answer = start_host(PUBLIC_URL="").world.post("/api/selftest", {}, "approver")
    assert answer.status_code == 409
    assert answer.json()["error"].startswith("PUBLIC_URL: missing")
