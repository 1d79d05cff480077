"""The on-failure task publishes what our intake takes, whatever Event Grid answers meanwhile."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

import pytest
from azure.functions.eventgrid import EventGridEventInConverter
from azure.functions.meta import Datum

from functions.intake import _envelope
from infra.databricks import publish_failure
from shared.intake.parse import parse
from shared.targets import Targets, Workspace
from shared.vocabulary import Disposition, FailureKind

TARGETS = Targets([Workspace("dbx", "https://adb-42.7.azuredatabricks.net")])


class Cloud(ThreadingHTTPServer):
    """Entra's token endpoint and an Event Grid topic, as far as publishing needs them."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.faults: list[int] = []
        self.events: list[dict[str, Any]] = []
        self.forms: list[dict[str, list[str]]] = []
        self.paths: list[str] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Cloud

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.paths.append(self.path)
        if self.path.endswith("/oauth2/v2.0/token"):
            self.server.forms.append(parse_qs(body.decode()))
            self._answer(200, {"access_token": "a-token"})
        elif self.server.faults:
            self._answer(self.server.faults.pop(0), {})
        elif self.headers["Authorization"] != "Bearer a-token":
            self._answer(401, {})
        else:
            assert self.headers["Content-Type"].startswith("application/cloudevents+json")
            self.server.events.append(json.loads(body))
            self._answer(200, {})

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    server = Cloud()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def run(cloud: Cloud, *more: str) -> tuple[str, list[float]]:
    pauses: list[float] = []
    options = [
        *("--topic", f"{cloud.address}/api/events", "--login", cloud.address),
        *("--tenant", "t", "--client-id", "app", "--scope", "lakemend", "--secret", "publisher"),
        *("--workspace-id", "42", "--job-id", "7", "--job-name", "nightly", "--run-id", "900"),
        *more,
    ]
    with pytest.raises(SystemExit) as ended:
        publish_failure.main(options, lambda scope, name: f"{scope}/{name}", pauses.append)
    return str(ended.value), pauses


def test_what_is_published_becomes_an_alert_about_the_run(cloud: Cloud) -> None:
    said, pauses = run(cloud, "--repair", "2")
    assert said.startswith("run 900 was reported")
    assert pauses == []
    assert cloud.forms[0]["client_secret"] == ["lakemend/publisher"]
    assert cloud.paths[-1] == "/api/events?api-version=2018-01-01"
    decoded = EventGridEventInConverter.decode(
        Datum(json.dumps(cloud.events[0]), "json"), trigger_metadata=None
    )
    (alert,) = parse([_envelope(decoded)], TARGETS).alerts
    assert alert.disposition is Disposition.ACCEPTED
    (subject,) = alert.subjects
    assert (subject.kind, subject.target, subject.run_id) == (FailureKind.JOB_RUN, "dbx", "900")


def test_a_run_that_failed_again_after_a_repair_is_another_event(cloud: Cloud) -> None:
    for repair in ("0", "0", "1"):
        run(cloud, "--repair", repair)
    prints = [parse([event], TARGETS).alerts[0].fingerprint for event in cloud.events]
    assert prints[0] == prints[1] != prints[2]


def test_a_passing_fault_is_waited_out(cloud: Cloud) -> None:
    cloud.faults = [503, 429]
    said, pauses = run(cloud)
    assert said.startswith("run 900 was reported")
    assert pauses == [2, 10]
    assert len(cloud.events) == 1


def test_a_refusal_is_told_at_once_and_without_the_password(cloud: Cloud) -> None:
    cloud.faults = [403]
    said, pauses = run(cloud)
    assert said == "127.0.0.1 answered 403"
    assert pauses == []


def test_it_gives_up_in_the_end(cloud: Cloud) -> None:
    cloud.faults = [503] * 9
    said, pauses = run(cloud)
    assert said == "127.0.0.1 answered 503"
    assert pauses == [2, 10, 30]


def test_a_plain_address_is_refused(capsys: pytest.CaptureFixture[str], cloud: Cloud) -> None:
    run(cloud, "--topic", "http://topic.example/api/events")
    assert "--topic: expected an https:// address" in capsys.readouterr().err
    assert cloud.paths == []
