"""One healed incident as it is told: one trace, figures that are right, lines that say whose."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import msgspec
import pytest

from devstack.processes import TOKEN, Stack
from shared.composition import Composition
from shared.telemetry.metrics import METRICS
from tests.e2e.hosts import Host
from tests.e2e.otlp import Receiver, Told
from tests.e2e.world import TIMEOUT_ERROR, Json, World

TRACE = "0af7651916cd43dd8448eb211c80319c"
SENDER = f"00-{TRACE}-b7ad6b7169203331-00"  # not sampled: a sender cannot hide an incident
SECRET = "correct-horse-battery"
COMMON = "azure_monitor_common"
ERROR = TIMEOUT_ERROR | {"message": f"{TIMEOUT_ERROR['message']} https://x.test/a?sig={SECRET}"}


class Scene(msgspec.Struct, frozen=True):
    """What was done to a host, and what it has told until it ended."""

    incident: Json
    told: Receiver
    host: Host

    def of_incident(self) -> list[Told]:
        wanted = self.incident["incident_id"]
        return [s for s in self.told.spans if s.attributes.get("incident_id") == wanted]

    def named(self, name: str) -> list[Told]:
        return [s for s in self.told.spans if s.text == name and s.trace == TRACE]


@pytest.fixture(scope="module")
def scene(
    stack: Stack | None, world: World, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scene]:
    if stack is None:
        pytest.fail("these tests start a host of their own: leave --base-url away")
    with Receiver() as told:
        host = Host(stack, world, tmp_path_factory.mktemp("telemetry"), told.environment())
        host.service.start()
        try:
            incident = _heal(host, told)
        finally:
            host.service.stop()  # sends what is left
        yield Scene(incident, told, host)


def _heal(host: Host, told: Receiver) -> Json:
    world = host.world
    pipeline = world.pipeline()
    body = world.alert_on((pipeline, world.failed_run(pipeline, ERROR)))
    answer = world.post("/azure-monitor", body, traceparent=SENDER)
    incident = world.incident_of(str(answer.json()["alert_id"]))
    assert world.post("/azure-monitor", body).json()["duplicate"]
    assert world.post("/azure-monitor", "no alert").status_code == 400
    assert world.post("/azure-monitor", ["no alert"]).json()["rejected"]
    # What came last is told last; the sweep may have run by itself before.
    poison = {"dialect": "azure-monitor", "disposition": "poison"}
    world.until(lambda: told.value("lakemend.alerts", **poison) == 2)
    host.timer("dispatch_sweep")
    world.until(lambda: told.value("lakemend.sweeps", sweep="dispatch_sweep", outcome="ended"))
    return incident


def test_one_incident_is_one_trace_from_its_sender_to_the_end(scene: Scene) -> None:
    assert scene.incident["state"] == "healed"
    assert {span.trace for span in scene.of_incident()} == {TRACE}
    (intake,) = scene.named("intake")
    assert intake.parent == SENDER.split("-")[2]
    steps = ("expand_alert", "diagnose", "remediate", "verify", "heal_failure")
    for step in steps:
        assert {span.parent for span in scene.named(step)} == {intake.span}, step


def test_the_trace_is_kept_for_whoever_takes_the_healing_up_again(scene: Scene) -> None:
    context = Composition(scene.host.environment).context
    incident = context.incidents.get(scene.incident["incident_id"])
    alert = context.alerts.get(incident.owner)
    assert alert is not None
    assert incident.traceparent == alert.alert.traceparent
    assert incident.traceparent.split("-")[1:3] == [TRACE, scene.named("intake")[0].span]


def test_each_platform_call_is_a_span_of_the_step_that_made_it(scene: Scene) -> None:
    steps = {s.span: s.text for s in scene.told.spans}
    calls = [s for s in scene.told.spans if "operation" in s.attributes and s.trace == TRACE]
    made = Counter((steps[c.parent], c.text) for c in calls)
    assert made["remediate", "data_factory rerun_from_failure"] == 1
    assert made["diagnose", "data_factory run"] >= 1
    assert any(step == "verify" for step, _ in made)
    for call in calls:
        assert call.attributes["target"] == scene.host.world.factory
        assert (call.attributes["attempt"], call.attributes["status"]) == (1, "ok")


def test_spans_hold_names_of_ours_and_nothing_else(scene: Scene) -> None:
    ours = {"platform", "operation", "target", "attempt", "changing", "status", "outcome"}
    ours |= {"incident_id", "alert_id", "next", "way", "alerts", "rejected", "error_type"}
    ours |= {"remedy", "attempts", "peer.service"}
    assert {name for span in scene.told.spans for name in span.attributes} <= ours


def test_no_secret_leaves(scene: Scene) -> None:
    keys = [key.encode() for key in scene.host.world.keys.values()]
    hidden = [SECRET.encode(), TOKEN.encode(), scene.host.world.sandbox_url.encode(), *keys]
    assert [secret for secret in hidden if secret in scene.told.raw] == []


def test_the_figures_are_those_of_what_happened(scene: Scene) -> None:
    told, error_type = scene.told, "GatewayTimeout"
    assert told.value("lakemend.alerts", dialect=COMMON, disposition="accepted") == 1
    assert told.value("lakemend.alerts", dialect=COMMON, disposition="duplicate") == 1
    assert told.value("lakemend.alerts", dialect="azure-monitor", disposition="poison") == 2
    by = {"error_type": error_type, "remedy": "rerun"}
    assert told.value("lakemend.attempts", **by) == 1
    assert told.value("lakemend.healings", **by, outcome="healed") == 1
    assert told.value("lakemend.recovery.seconds", error_type=error_type) == 1
    assert ("lakemend.queue.age.seconds", ()) in told.points
    assert told.value("lakemend.sweeps", sweep="dispatch_sweep", outcome="ended") >= 1
    cost = scene.incident["attempts"][0]["cost_usd"]
    assert told.value("lakemend.cost.usd", remedy="rerun") == pytest.approx(cost)
    seconds = told.points["lakemend.recovery.seconds", (("error_type", error_type),)].sum
    assert 0 < seconds < 60


def test_only_metrics_of_the_table_are_sent(scene: Scene) -> None:
    ours = {key[0] for key in scene.told.points if not key[0].startswith("otel.")}
    assert ours <= {metric.name for metric in METRICS}


def test_every_line_about_it_carries_its_id(scene: Scene) -> None:
    mine = scene.incident["incident_id"]
    timeline = [line for line in scene.told.lines if line.logger == "lakemend.timeline"]
    told = [line.text for line in timeline if line.attributes.get("incident_id") == mine]
    assert told == [f"{e['action']}: {e['summary']}" for e in scene.incident["timeline"]]
    within = [line for line in scene.told.lines if line.trace == TRACE]
    assert len(within) >= len(told)
    for line in within:
        assert {"incident_id", "alert_id"} & set(line.attributes), line
