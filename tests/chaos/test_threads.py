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


def test_many_begin_at_once(chaos: Chaos) -> None:
    tries = chaos.of(2, 200)
    for number in range(tries):
        ended = subprocess.run(  # noqa: S603 - our own interpreter
            [sys.executable, "-c", BEGIN], capture_output=True, text=True, check=False
        )
        assert ended.returncode == 0, (number, ended.returncode, ended.stderr)
        assert not ended.stderr
    chaos.note(f"{tries} processes begun")
