"""What Application Insights gets, by its own exporter, at an address of this machine."""

from __future__ import annotations

import gzip
import json
import logging
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from shared.redaction import Redactor
from shared.telemetry import export, lines, signals
from shared.telemetry.metrics import ALERTS, QUEUE_AGE, RECOVERY

TRACE = "0af7651916cd43dd8448eb211c80319c"
GIVEN = f"00-{TRACE}-b7ad6b7169203331-01"
SECRET = "correct-horse-battery"

Json = dict[str, Any]


class Ingestion(ThreadingHTTPServer):
    """Takes telemetry as Application Insights does."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.items: list[Json] = []

    def data(self, kind: str) -> list[Json]:
        return [i["data"]["baseData"] for i in self.items if i["data"]["baseType"] == kind]


class Handler(BaseHTTPRequestHandler):
    server: Ingestion

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        items = json.loads(body)
        self.server.items += items
        count = len(items)
        told = {"itemsReceived": count, "itemsAccepted": count, "errors": []}
        answer = json.dumps(told).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Silent."""


@pytest.fixture(scope="module")
def sent() -> Iterator[Ingestion]:
    """What is there after one of everything was told."""
    with pytest.MonkeyPatch.context() as patch, Ingestion() as server:
        for own in ("STATSBEAT_DISABLED_ALL", "SDKSTATS_DISABLED", "CONTROLPLANE_DISABLED"):
            patch.setenv(f"APPLICATIONINSIGHTS_{own}", "true")
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        key = "InstrumentationKey=00000000-0000-0000-0000-000000000001"
        connection = f"{key};IngestionEndpoint=http://127.0.0.1:{server.server_port}/"
        made = export.Export([export.insights(connection)])
        before, handlers = logging.getLogRecordFactory(), list(logging.getLogger().handlers)
        lines.install(lambda: Redactor([SECRET]))
        made.attach()
        try:
            with signals.heard_by(made):
                tell()
            made.close()
        finally:
            logging.setLogRecordFactory(before)
            logging.getLogger().handlers[:] = handlers
        server.shutdown()
        thread.join()
        yield server


def tell() -> None:
    log = logging.getLogger("lakemend.test")
    ALERTS.record(dialect="x", disposition="accepted")
    ALERTS.record(dialect="x", disposition="accepted")
    RECOVERY.record(3.0, error_type="T")
    RECOVERY.record(5.0, error_type="T")
    QUEUE_AGE.record(7.0)
    with (
        signals.about(incident_id="i1"),
        signals.span("diagnose", parent=GIVEN),
        signals.span("databricks run", outgoing=True, target="dbx") as call,
    ):
        call.set(status="ok", **{"peer.service": "dbx"})
        log.info("told with %s", SECRET)
        try:
            int(SECRET)
        except ValueError:
            log.exception("failed")
    signals.past("heal_failure", datetime(2026, 11, 20, tzinfo=UTC), GIVEN, incident_id="i1")


def test_metrics_are_what_the_queries_sum_up(sent: Ingestion) -> None:
    told = {
        m["metrics"][0]["name"]: (m["metrics"][0], m.get("properties"))
        for m in sent.data("MetricData")
    }
    alerts, of = told["lakemend.alerts"]
    assert (alerts["value"], of) == (2, {"dialect": "x", "disposition": "accepted"})
    spread, _ = told["lakemend.recovery.seconds"]
    assert (spread["value"], spread["count"], spread["max"]) == (8, 2, 5)
    level, _ = told["lakemend.queue.age.seconds"]
    assert level["value"] == 7


def test_spans_are_of_the_trace_that_was_handed_on(sent: Ingestion) -> None:
    spans = [
        i for i in sent.items if i["data"]["baseType"] in {"RequestData", "RemoteDependencyData"}
    ]
    assert {i["tags"]["ai.operation.id"] for i in spans} == {TRACE}
    assert {i["data"]["baseData"]["properties"]["incident_id"] for i in spans} == {"i1"}
    (step,) = sent.data("RequestData")
    assert step["name"] == "diagnose"
    calls = {d["name"]: d for d in sent.data("RemoteDependencyData")}
    assert calls["databricks run"]["target"] == "dbx"
    assert calls["databricks run"]["success"] is True
    assert "heal_failure" in calls


def test_lines_carry_the_incident_and_no_secret(sent: Ingestion) -> None:
    (line,) = sent.data("MessageData")
    assert line["message"] == "told with [redacted]"
    assert line["properties"]["incident_id"] == "i1"
    (failure,) = sent.data("ExceptionData")
    assert failure["exceptions"][0]["typeName"] == "ValueError"
    assert failure["properties"]["incident_id"] == "i1"
    assert SECRET not in json.dumps(sent.items)
