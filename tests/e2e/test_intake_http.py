"""The edge: who may send, what is answered, what is stored. From outside, over HTTP."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.e2e.world import Json, World

PAYLOADS = Path(__file__).parents[1] / "data" / "payloads"
ENDPOINTS = ("/azure-monitor", "/databricks-monitor", "/api/alerts")


@pytest.mark.parametrize("path", ENDPOINTS)
@pytest.mark.parametrize("key", ["", "wrong", "0" * 64, "ключ"])
def test_an_unknown_caller_is_refused(world: World, path: str, key: str) -> None:
    headers = {"X-API-Key": key.encode("utf-8")} if key else {}
    answer = requests.post(f"{world.base_url}{path}", json={}, headers=headers, timeout=10)
    assert answer.status_code == 401
    assert "X-API-Key" in answer.json()["error"]


@pytest.mark.parametrize("path", ENDPOINTS)
def test_a_reader_may_not_send(world: World, path: str) -> None:
    assert world.post(path, {}, scope="reader").status_code == 403


@pytest.mark.parametrize("path", ["/api/incidents", "/api/incidents/x", "/api/alerts/x"])
def test_reading_needs_a_key(world: World, path: str) -> None:
    assert requests.get(f"{world.base_url}{path}", timeout=10).status_code == 401


def test_a_sender_may_not_read_incidents(world: World) -> None:
    assert world.get("/api/incidents", scope="sender").status_code == 403


def test_the_key_may_come_in_the_query_or_as_basic_password(world: World) -> None:
    alert: Any = {"event_type": "jobs.on_start", "workspace_id": "1", "run": {"run_id": "5"}}
    url = f"{world.base_url}/databricks-monitor"
    key = world.keys["sender"]
    basic = base64.b64encode(f"databricks:{key}".encode()).decode()

    by_query = requests.post(url, json=alert, params={"api_key": key}, timeout=10)
    by_basic = requests.post(
        url, json=alert, headers={"Authorization": f"Basic {basic}"}, timeout=10
    )

    assert (by_query.status_code, by_basic.status_code) == (202, 202)
    assert by_basic.json()["duplicate"]


def test_a_principal_header_is_not_believed_unless_switched_on(world: World) -> None:
    principal = {"claims": [{"typ": "roles", "val": "sender"}]}
    header = base64.b64encode(json.dumps(principal).encode()).decode()
    answer = requests.post(
        f"{world.base_url}/azure-monitor",
        json={},
        headers={"X-MS-CLIENT-PRINCIPAL": header},
        timeout=10,
    )
    assert answer.status_code == 401


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"", "$"),
        (b"{", "$"),
        (b"\xff\xfe{}", "$"),
        (b"[]", "$"),
        (b"null", "$"),
        (b"17", "$"),
        (b'{"data": {}}', "$"),
        (b'{"data": {"essentials": 5}}', "$.data.essentials"),
        (
            b'{"data": {"essentials": {"firedDateTime": "yesterday"}, "alertContext": {}}}',
            "$.data.essentials.firedDateTime",
        ),
        (b'{"event_type": "jobs.on_failure", "run": {"run_id": "run_id"}}', "$.run.run_id"),
        (b'{"event_type": "jobs.on_failure", "run": {"run_id": "../../x"}}', "$.run.run_id"),
        (b'{"event": "cluster.terminated"}', "$.cluster_id"),
        (b'{"event": "cluster.terminated", "cluster": {}}', "$.cluster.cluster_id"),
        (b'{"failures": []}', "$.failures"),
        (b'{"failures": [{"kind": "house", "target": "x"}]}', "$.failures[0].kind"),
        (b'{"failures": [{"kind": "cluster", "target": "x", "color": 1}]}', "$.failures[0]"),
        (b"[" * 100_000, "$"),
        (b'{"a":' * 70 + b"1" + b"}" * 70, "$"),
    ],
)
def test_malformed_input_names_its_field(world: World, body: bytes, field: str) -> None:
    answer = requests.post(
        f"{world.base_url}/azure-monitor",
        data=body,
        headers={"X-API-Key": world.keys["sender"]},
        timeout=10,
    )
    assert answer.status_code == 400, answer.text
    assert answer.json()["field"] == field, answer.text
    assert answer.json()["error"]


def test_too_large_is_refused(world: World) -> None:
    answer = world.post("/azure-monitor", {"x": "y" * 2_000_000})
    assert answer.status_code == 413
    assert "1048576" in answer.json()["error"]


@pytest.mark.parametrize("file", sorted(PAYLOADS.glob("*.json")), ids=lambda file: file.stem)
def test_every_real_payload_is_taken_in_or_refused_with_a_reason(world: World, file: Path) -> None:
    answer = world.post("/azure-monitor", json.loads(file.read_text("utf-8")))
    body: dict[str, Any] = answer.json()
    if answer.status_code == 400:
        assert body["field"]
        assert body["error"]
    elif answer.status_code == 200:
        assert body == {"validationResponse": "512d38b6-c7b8-40c8-89fe-f46f9e9622b6"}
    else:
        assert answer.status_code == 202
        for receipt in body.get("alerts", [body]):
            assert receipt["disposition"] == "accepted" or receipt["reason"]
            assert world.get(f"/api/alerts/{receipt['alert_id']}").status_code == 200


def test_a_resource_that_is_not_listed_is_refused_on_the_record(world: World) -> None:
    payload = json.loads((PAYLOADS / "hostile_foreign_resource.json").read_text("utf-8"))
    alert = world.send("/azure-monitor", payload)
    stored = world.get(f"/api/alerts/{alert}").json()
    assert stored["disposition"] == "refused"
    assert "factories/victim is not a listed target" in stored["reason"]
    assert stored["incidents"] == []
    assert world.seen("victim") == []


def test_of_a_batch_the_good_are_kept_and_the_bad_named(world: World) -> None:
    pipeline = world.pipeline()
    good = world.alert_on((pipeline, world.failed_run(pipeline)))
    batch = [
        {"id": "1", "topic": "t", "eventType": "Failed", "data": good},
        {
            "id": "2",
            "topic": "t",
            "eventType": "Failed",
            "data": {"event_type": "jobs.on_failure", "run": {"run_id": "x"}},
        },
        {"id": "3", "topic": "t", "eventType": "Microsoft.Storage.BlobCreated", "data": {"a": 1}},
    ]

    answer = world.post("/azure-monitor", batch)

    assert answer.status_code == 202
    body = answer.json()
    assert [a["disposition"] for a in body["alerts"]] == ["accepted", "ignored"]
    assert body["rejected"] == [
        {"position": 1, "field": "$[1].data.run.run_id", "error": "expected a whole number"}
    ]
    assert world.incident_of(body["alerts"][0]["alert_id"])["state"] == "healed"


def test_cloud_events_handshake(world: World) -> None:
    headers = {
        "X-API-Key": world.keys["sender"],
        "WebHook-Request-Origin": "eventemitter.example.com",
    }
    answer = requests.options(f"{world.base_url}/azure-monitor", headers=headers, timeout=10)
    assert answer.status_code == 200
    assert answer.headers["WebHook-Allowed-Origin"] == "eventemitter.example.com"


def test_an_event_grid_subscription_to_the_function(world: World) -> None:
    pipeline = world.pipeline()
    event: Any = {
        "id": f"event-{pipeline}",
        "topic": "/subscriptions/s/topics/t",
        "subject": "run",
        "eventType": "Lakemend.Failed",
        "eventTime": "2026-11-20T03:00:00Z",
        "dataVersion": "1",
        "metadataVersion": "1",
        "data": world.alert_on((pipeline, world.failed_run(pipeline))),
    }
    answer = requests.post(
        f"{world.base_url}/runtime/webhooks/eventgrid?functionName=event_grid_alert",
        json=[event],
        headers={"aeg-event-type": "Notification"},
        timeout=10,
    )
    assert answer.ok
    world.until(lambda: world.reruns(pipeline))


def test_our_own_form(world: World) -> None:
    pipeline = world.pipeline()
    failure = {
        "kind": "pipeline_run",
        "target": world.factory,
        "pipeline": pipeline,
        "run_id": world.failed_run(pipeline),
    }
    incident = world.incident_of(world.send("/api/alerts", {"failures": [failure]}))
    assert incident["state"] == "healed"


def test_a_run_that_the_platform_does_not_know(world: World) -> None:
    alert = world.send("/azure-monitor", world.alert_on(("nothing", "00000000-no-such-run")))
    world.until(lambda: world.get(f"/api/alerts/{alert}").json()["disposition"] == "nothing_found")


def test_secrets_in_an_alert_do_not_come_out_again(world: World) -> None:
    pipeline = world.pipeline()
    secret = "dapi0123456789abcdef0123456789abcdef"
    error = {
        "errorCode": "2200",
        "message": f"504 Gateway Timeout calling https://u:pa55word@h/?sig=abc%2F with {secret}",
    }
    alert = world.alert_on((pipeline, world.failed_run(pipeline, error)))
    alert["data"]["essentials"]["alertRule"] = f"rule {secret}"

    identity = world.send("/azure-monitor", alert)
    incident = world.incident_of(identity)

    texts = json.dumps(incident) + world.get(f"/api/alerts/{identity}").text
    for planted in (secret, "pa55word", "abc%2F", world.keys["sender"]):
        assert planted not in texts
    assert "[redacted]" in texts


SECRET = "dapi0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize("field", ["kind", "error_code", "error_message", "severity", "library"])
def test_a_secret_in_any_field_of_ours_does_not_come_out_again(world: World, field: str) -> None:
    failure = {"kind": "library", "target": "databricks", "cluster_id": "0921-184500-demo42"}
    failure["library"] = json.dumps({"pypi": {"package": f"--index-url https://u:{SECRET}@h/ x"}})
    whole = {field: SECRET} if field == "severity" else {}
    named = {field: SECRET} if field not in {"severity", "library"} else {}
    body = [{"failures": [failure | named], **whole, "dedupe_key": f"secret in {field}"}]
    answer = world.post("/api/alerts", body)
    assert answer.status_code == 202
    assert SECRET not in answer.text
    for identity in [alert["alert_id"] for alert in answer.json()["alerts"]]:
        told = _taken_up(world, identity)
        incidents = [world.get(f"/api/incidents/{i['incident_id']}") for i in told["incidents"]]
        assert SECRET not in json.dumps(told) + "".join(answer.text for answer in incidents)
    single = world.post("/api/alerts", {"failures": [failure | {"kind": SECRET}]})
    assert single.status_code == 400
    assert SECRET not in single.text


def _taken_up(world: World, identity: str) -> Json:
    """The alert, once something has become of it."""

    def settled() -> Json | None:
        told: Json = world.get(f"/api/alerts/{identity}").json()
        return told if told["disposition"] != "accepted" else None

    found: Json = world.until(settled)
    return found


def test_listing_refuses_bad_limits(world: World) -> None:
    assert world.get("/api/incidents?limit=0").json()["field"] == "limit"
    assert world.get("/api/incidents?limit=99999999999999999").json()["field"] == "limit"
    assert world.get("/api/incidents?limit=1").status_code == 200


@pytest.mark.parametrize("identity", ["x", "20261121-000000000-zz#", "a" * 2000, "..%2f..", "'"])
def test_ids_that_are_none_are_not_found(world: World, identity: str) -> None:
    assert world.get(f"/api/incidents/{identity}").status_code == 404
    assert world.get(f"/api/alerts/{identity}").status_code == 404
