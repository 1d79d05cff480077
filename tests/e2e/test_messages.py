"""Messages out of a running host: to live and dead channels, once, grouped, redacted."""

from __future__ import annotations

import json
import time
import uuid
from datetime import UTC, datetime
from typing import Any

import requests

from devstack.processes import free_port
from shared.composition import Composition
from shared.notify.model import Message, MessageKind, Severity
from shared.notify.outbox import DeliveryState
from tests.e2e.hosts import Host, StartHost
from tests.e2e.world import World

# The tests call the timer themselves.
CALLED = {"AzureWebJobs.messages_sweep.Disabled": "true", "NOTIFICATION_ALLOW_LOOPBACK": "true"}


def sink() -> str:
    return f"s{uuid.uuid4().hex[:6]}"  # short: a longer one looks like a secret in a URL


def channel(world: World, name: str, **more: Any) -> dict[str, Any]:
    port = world.sandbox_url.rpartition(":")[2]
    return {"name": name, "url": f"json://127.0.0.1:{port}/sink/{name}"} | more


def received(world: World, name: str) -> list[dict[str, Any]]:
    answer = requests.get(f"{world.sandbox_url}/_sandbox/sink/{name}", timeout=10)
    return list(answer.json()["received"])


def message(title: str, **more: Any) -> Message:
    fields: dict[str, Any] = {
        "message_id": uuid.uuid4().hex, "kind": MessageKind.ESCALATED, "body": f"body of {title}",
        "severity": Severity.CRITICAL, "at": datetime.now(UTC), "environment": "production",
    } | more  # fmt: skip
    return Message(title=title, **fields)


def started(start_host: StartHost, *channels: dict[str, Any], **settings: str) -> Host:
    return start_host(**CALLED, NOTIFICATION_URLS=json.dumps(channels), **settings)


def put(host: Host, *messages: Message) -> Composition:
    """Put messages into the host's outbox as its activities do."""
    composition = Composition(dict(host.environment))
    composition.outbox.put(messages)
    return composition


def swept(host: Host, name: str, count: int) -> list[dict[str, Any]]:
    """What a sink holds once the sweep has brought it `count` messages."""

    def ready() -> list[dict[str, Any]]:
        host.timer("messages_sweep")
        found = received(host.world, name)
        return found if len(found) >= count else []

    found: list[dict[str, Any]] = host.world.until(ready)
    return found


def test_a_dead_channel_stands_beside_a_live_one(start_host: StartHost, world: World) -> None:
    live, dead = sink(), sink()
    nowhere = {"name": dead, "url": f"json://127.0.0.1:{free_port()}/x", "timeout_seconds": 2}
    host = started(start_host, nowhere, channel(world, live))
    composition = put(host, message("one"), message("two"))

    found = swept(host, live, 2)

    assert sorted(body["title"] for body in found) == ["one", "two"]
    assert {body["type"] for body in found} == {"failure"}
    assert "body of one" in {body["message"] for body in found}
    assert len(composition.outbox.due(live)) == 0
    host.timer("messages_sweep")
    assert len(received(world, live)) == 2


def test_a_hanging_channel_does_not_hold_up_a_live_one(start_host: StartHost, world: World) -> None:
    live, slow = sink(), sink()
    world.script("faults", name=slow, path=f"/sink/{slow}", delay_seconds=20, times=1)
    host = started(start_host, channel(world, slow, timeout_seconds=30), channel(world, live))
    put(host, message("one"))

    began = time.monotonic()
    swept(host, live, 1)

    assert time.monotonic() - began < 15


def test_what_was_refused_comes_again(start_host: StartHost, world: World) -> None:
    name = sink()
    world.script("faults", name=name, path=f"/sink/{name}", status=500, times=1)
    host = started(start_host, channel(world, name))
    only = message("one")
    composition = put(host, only)

    host.timer("messages_sweep")
    progress = world.until(
        lambda: (p := composition.outbox.progress(name, only.message_id)) and p.attempts and p
    )
    assert (progress.state, progress.attempts) == (DeliveryState.PENDING, 1)
    assert "error=500" in progress.note

    assert [body["title"] for body in swept(host, name, 1)] == ["one"]
    assert len(world.seen(f"/sink/{name}")) == 2


def test_a_connection_that_breaks_is_tried_again(start_host: StartHost, world: World) -> None:
    name = sink()
    world.script("faults", name=name, path=f"/sink/{name}", disconnect=True, times=1)
    host = started(start_host, channel(world, name))
    put(host, message("one"))

    assert len(swept(host, name, 1)) == 1


def test_a_storm_is_few_messages(start_host: StartHost, world: World) -> None:
    name = sink()
    host = started(start_host, channel(world, name))
    storm = [message(f"member {n}", group="storm-1") for n in range(200)]
    composition = put(host, *storm)
    put(host, *storm[:50])  # an activity that was run again

    swept(host, name, 1)

    def all_told() -> bool:
        host.timer("messages_sweep")
        listed = [composition.outbox.progress(name, m.message_id) for m in storm]
        return all(p is not None and p.state is DeliveryState.DELIVERED for p in listed)

    world.until(all_told)
    found = received(world, name)
    assert len(found) <= 2
    assert found[0]["title"].startswith("200 messages (escalated), the first: member")
    assert "and 195 more" in found[0]["message"]


def test_routing_by_severity_environment_owner(start_host: StartHost, world: World) -> None:
    ops, sales = sink(), sink()
    host = started(
        start_host,
        channel(world, ops, min_severity="critical", environments=["prod*"]),
        channel(world, sales, owners=["sales"], kinds=["healed", "escalated"]),
    )
    put(
        host,
        message("for both", owner="sales"),
        message("for ops"),
        message("for sales", owner="sales", severity=Severity.INFO, kind=MessageKind.HEALED),
        message("for nobody", environment="dev"),
    )

    assert sorted(body["title"] for body in swept(host, ops, 2)) == ["for both", "for ops"]
    assert sorted(body["title"] for body in swept(host, sales, 2)) == ["for both", "for sales"]


def test_planted_secrets_never_come_out(start_host: StartHost, world: World) -> None:
    name = sink()
    host = started(start_host, channel(world, name))
    secrets = {
        "dapi0123456789abcdef0123456789abcdef",
        host.world.keys["sender"],
        "hunter2hunter2",
        "T0SECRETS/B0SECRETS/abcdefgh12345678",
    }
    text = (
        f"token dapi0123456789abcdef0123456789abcdef, key {host.world.keys['sender']}, "
        "password=hunter2hunter2;x https://hooks.slack.com/services/T0SECRETS/B0SECRETS/abcdefgh12345678"
        " <!channel> @everyone [win](http://evil.example)"
    )
    put(host, message(f"Failed: {text}", body=text))

    body = swept(host, name, 1)[0]

    assert all(secret not in json.dumps(body) for secret in secrets)
    assert "[redacted]" in body["message"]
    for markup in ("<!channel", "@everyone", "]("):
        assert markup not in body["title"] + body["message"]


def test_a_chat_gets_no_markup_from_error_texts(start_host: StartHost, world: World) -> None:
    name = sink()
    port = world.sandbox_url.rpartition(":")[2]
    url = f"mmost://127.0.0.1:{port}/sink/{name}/abcdefghijklmnopqrstuvwxyz"
    host = started(start_host, {"name": name, "url": url})
    put(host, message("one", body="@channel [win](http://evil.example) <script>x</script>"))

    text = swept(host, name, 1)[0]["text"]

    assert "win" in text
    for markup in ("@channel", "](", "<script"):
        assert markup not in text


def test_two_instances_send_nothing_twice(start_host: StartHost, world: World) -> None:
    name = sink()
    shared = {"AUDIT_TABLE_PREFIX": f"t{uuid.uuid4().hex[:12]}"}
    hosts = [started(start_host, channel(world, name), **shared) for _ in range(2)]
    put(hosts[0], *[message(f"message {n}") for n in range(12)])

    def all_told() -> bool:
        for host in hosts:
            host.timer("messages_sweep")
        return len(received(world, name)) >= 12

    world.until(all_told)
    titles = [body["title"] for body in received(world, name)]
    assert sorted(titles) == sorted(f"message {n}" for n in range(12))


def test_killed_between_taking_and_sending(start_host: StartHost, world: World) -> None:
    name = sink()
    host = started(start_host, channel(world, name, timeout_seconds=1))
    # The first request is never answered and has no effect: the host is killed in it.
    world.script(
        "faults", name=name, path=f"/sink/{name}", delay_seconds=3, disconnect=True, times=1
    )
    put(host, message("one"))
    host.timer("messages_sweep")
    world.until(lambda: world.seen(f"/sink/{name}"))

    host.service.kill()
    host.service.start()

    assert [body["title"] for body in swept(host, name, 1)] == ["one"]
    assert len(world.seen(f"/sink/{name}")) == 2


def test_the_test_message_reaches_every_channel_and_only_approvers_send_it(
    start_host: StartHost, world: World
) -> None:
    name, wrong = sink(), sink()
    host = started(
        start_host,
        channel(world, name, min_severity="critical"),
        {"name": wrong, "url": "slack://too/short"},
    )
    assert host.world.post("/api/messages/test", {}, "sender").status_code == 403

    answer = host.world.post("/api/messages/test", {}, "approver")

    assert answer.status_code == 202
    assert answer.json()["channels"] == [
        {"name": name, "problem": None},
        {"name": wrong, "problem": "the URL is not understood by the notification library"},
    ]
    assert swept(host, name, 1)[0]["title"] == "Lakemend: test message"


def test_the_digest_tells_of_the_day_once(start_host: StartHost, world: World) -> None:
    name = sink()
    host = started(start_host, channel(world, name))
    pipeline = host.world.pipeline()
    alert = host.world.alert_on((pipeline, host.world.failed_run(pipeline)))
    assert host.world.incident_of(host.world.send("/azure-monitor", alert))["state"] == "healed"

    host.timer("digest_sweep")
    host.timer("digest_sweep")

    def digests() -> list[dict[str, Any]]:
        found = swept(host, name, 1)
        return [body for body in found if "1 healed, 0 escalated" in body["title"]]

    body = world.until(digests)[0]
    assert "Closed: 1: 1 healed" in body["message"]
    assert "By error type: " in body["message"]
    host.timer("messages_sweep")
    assert len(digests()) == 1


def test_given_up_after_a_day_is_in_the_timeline(start_host: StartHost, world: World) -> None:
    name = sink()
    world.script("faults", name=name, path=f"/sink/{name}", status=500)
    # Not what the healing tells: a failing channel is left alone for a while after each try.
    host = started(start_host, channel(world, name, kinds=["escalated"]))
    pipeline = host.world.pipeline()
    alert = host.world.alert_on((pipeline, host.world.failed_run(pipeline)))
    incident = host.world.incident_of(host.world.send("/azure-monitor", alert))
    old = message("old", incident_id=incident["incident_id"], at=datetime(2026, 1, 1, tzinfo=UTC))
    put(host, old)
    host.timer("messages_sweep")

    def told() -> list[dict[str, Any]]:
        timeline = host.world.incident(incident["incident_id"])["timeline"]
        return [e for e in timeline if e["action"] == "Message Not Delivered"]

    entry = world.until(told)[0]
    assert entry["summary"] == f"Not delivered to {name}: old"
    assert "error=500" in entry["result"]
    assert host.world.incident(incident["incident_id"])["audit"]["whole"]
