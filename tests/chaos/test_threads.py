"""The first moments of a process, when many activities begin at once."""

from __future__ import annotations

import subprocess
import sys

from tests.chaos.sizes import Chaos

# Threads that change places all the time, and decode what no thread has decoded before.
BEGIN = """
import sys, threading
sys.setswitchinterval(1e-6)
from datetime import UTC, datetime
import msgspec
from shared.decoding import decode
from shared.models import AuditEntry, Failure, Incident
from shared.vocabulary import FailureKind, IncidentState

now = datetime.now(UTC)
failure = Failure(FailureKind.PIPELINE_RUN, "adf", "p", "r")
values = [
    Incident("i", IncidentState.RECEIVED, failure, now, now, "o"),
    AuditEntry(now, "a", "b", "c"),
    failure,
]
raw = [(msgspec.json.encode(value), type(value)) for value in values]
barrier = threading.Barrier(9)

def begin(number):
    barrier.wait()
    for turn in range(3):
        body, kind = raw[(number + turn) % 3]
        assert decode(body, kind) == values[(number + turn) % 3]

threads = [threading.Thread(target=begin, args=(number,)) for number in range(9)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""


CLIENTS = """
import sys, threading
sys.setswitchinterval(1e-6)
import databricks.sdk
from shared.clock import SystemClock
from shared.platforms.directory import Platforms
from shared.settings import load

environment = {
    "DATABRICKS_HOST": "http://127.0.0.1:9", "DATABRICKS_TOKEN": "made-up",
    "DATABRICKS_WORKSPACE_ID": "1",
}
platforms = Platforms(load(environment), SystemClock(), lambda: None)
name = platforms._settings.targets.workspaces[0].name
barrier, found = threading.Barrier(9), []

def begin():
    barrier.wait()
    found.append(platforms.workspace(name))

threads = [threading.Thread(target=begin) for _ in range(9)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert len(found) == 9 and len(set(map(id, found))) == 1
"""


def test_many_begin_at_once(chaos: Chaos) -> None:
    tries = chaos.of(2, 200)
    for number in range(tries):
        program = (BEGIN, CLIENTS)[number % 2]
        ended = subprocess.run(  # noqa: S603 - our own interpreter
            [sys.executable, "-c", program], capture_output=True, text=True, check=False
        )
        assert ended.returncode == 0, (number, ended.returncode, ended.stderr)
        assert "Exception" not in ended.stderr
    chaos.note(f"{tries} processes begun")
