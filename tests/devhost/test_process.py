import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from devhost.protocol import Json
from tests.devhost.helpers import APP, ROOT

DURABLE = "runtime/webhooks/durabletask"
Start = Callable[..., "Process"]


class Process:
    """A devhost in a process of its own."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.notes = folder / "notes"
        environment = os.environ | {
            "PYTHONPATH": str(ROOT),
            "DEVHOST_TEST_NOTES": str(self.notes),
            "SWEEP_SCHEDULE": "0 0 0 1 1 *",
        }
        command = [sys.executable, "-m", "devhost", "--app", APP, "--port", "0", *arguments]
        self.process = subprocess.Popen(  # noqa: S603 - our own command
            command,
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout
        self.ready = self.process.stdout.readline()
        self.url = self.ready.split(" ")[3] if self.ready else ""

    def request(self, method: str, path: str, body: Json = None) -> Json:
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(f"{self.url}/{path}", data, method=method)  # noqa: S310 - our own URL
        with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310 - our own URL
            content = response.read()
        return json.loads(content) if content else None

    def start(self, name: str, instance: str, body: Json = None) -> None:
        self.request("POST", f"{DURABLE}/orchestrators/{name}/{instance}", body)

    def status(self, instance: str) -> Json:
        return self.request("GET", f"{DURABLE}/instances/{instance}")

    def output(self, instance: str) -> Json:
        until(lambda: self.status(instance)["runtimeStatus"] == "Completed")
        return self.status(instance)["output"]

    def end(self, number: int) -> tuple[int, str]:
        if self.process.poll() is None:
            self.process.send_signal(number)
        _, errors = self.process.communicate(timeout=15)
        return self.process.returncode, errors


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[Process] = []

    def run(*arguments: str) -> Process:
        process = Process(tmp_path, *arguments)
        started.append(process)
        return process

    yield run
    for process in started:
        process.end(signal.SIGKILL)


def test_a_killed_host_goes_on_where_it_stopped(start: Start, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    host = start("--journal", "j/devhost.sqlite")
    host.start("chain", "finished", 1)
    assert host.output("finished") == 4
    host.start("blocked", "blocked", str(gate))
    host.start("parent", "parent", {"name": "blocked", "input": str(gate), "id": "child"})
    host.start("wait_after_echo", "waiting")
    host.start("wait_after_echo", "early")
    host.request("POST", f"{DURABLE}/instances/early/raiseEvent/go", {"early": "ü"})
    host.start("sleep_long", "sleeping", 1.5)
    ran = {f"echo {name}" for name in ("blocked", "child", "waiting", "early")}
    until(lambda: ran <= set(lines(host)) and lines(host).count(f"block {gate}") == 2)
    assert host.status("waiting")["runtimeStatus"] == "Running"
    host.end(signal.SIGKILL)

    host = start("--journal", "j/devhost.sqlite")
    until(lambda: lines(host).count(f"block {gate}") == 4)
    gate.touch()
    host.request("POST", f"{DURABLE}/instances/waiting/raiseEvent/go", 1)
    assert host.output("blocked") == ["blocked", "unblocked"]
    assert host.output("parent") == {"child": ["child", "unblocked"], "at": "parent"}
    assert host.output("waiting") == 1
    assert host.output("early") == {"early": "ü"}
    assert host.output("sleeping") is True
    assert host.output("finished") == 4
    assert all(lines(host).count(line) == 1 for line in ran)


def lines(host: Process) -> list[str]:
    return host.notes.read_text().splitlines() if host.notes.exists() else []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_clean_stop(start: Start, number: int) -> None:
    host = start()
    assert host.ready.startswith("devhost ready on http://127.0.0.1:")
    assert host.ready.endswith(" functions)\n")
    assert host.end(number) == (0, "")


def test_a_taken_port_is_one_line(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, errors = start("--port", str(port)).end(signal.SIGTERM)
    assert code == 2
    assert errors.startswith(f"devhost: cannot listen on 127.0.0.1:{port}: ")
    assert errors.count("\n") == 1


def test_a_foreign_journal_is_refused(start: Start, tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"no database at all" * 100)
    code, errors = start("--journal", "other").end(signal.SIGTERM)
    assert code == 2
    assert errors.startswith("devhost: cannot use the journal other: ")


def test_two_hosts_do_not_share_a_journal(start: Start) -> None:
    assert start("--journal", "one").ready
    code, errors = start("--journal", "one").end(signal.SIGTERM)
    assert (code, "locked" in errors) == (2, True)


def test_an_app_that_is_not_there(start: Start) -> None:
    code, errors = start("--app", "nowhere:app").end(signal.SIGTERM)
    assert code == 2
    assert "cannot load the app 'nowhere:app'" in errors
