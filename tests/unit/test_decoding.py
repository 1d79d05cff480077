"""Typed decoding from many threads at once, in an interpreter where nothing is ready yet."""

from __future__ import annotations

import subprocess
import sys

import msgspec
import pytest

from shared.decoding import convert, decode
from shared.models import AuditEntry

# Without care this crashes the interpreter now and then; threads change as often as they can.
TOGETHER = """
import sys, threading
from datetime import UTC, datetime
import msgspec
from shared.decoding import decode
from shared.models import Failure, Incident
from shared.vocabulary import FailureKind, IncidentState
now = datetime.now(UTC)
failure = Failure(FailureKind.PIPELINE_RUN, "adf", "p", "run")
text = msgspec.json.encode(Incident("i", IncidentState.RECEIVED, failure, now, now, "o"))
sys.setswitchinterval(1e-6)
barrier, found = threading.Barrier(8), []
def run():
    barrier.wait()
    found.append(decode(text, Incident).incident_id)
threads = [threading.Thread(target=run) for _ in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(found == ["i"] * 8)
"""


def test_threads_that_decode_the_same_for_the_first_time() -> None:
    running = [
        subprocess.Popen([sys.executable, "-c", TOGETHER], stdout=subprocess.PIPE)  # noqa: S603 - our own
        for _ in range(6)
    ]
    said = [process.communicate()[0].strip() for process in running]
    assert [process.returncode for process in running] == [0] * 6
    assert said == [b"True"] * 6


def test_what_is_not_of_the_shape_is_told() -> None:
    with pytest.raises(msgspec.ValidationError, match="actor"):
        decode(b'{"at":"2026-01-01T00:00:00Z"}', AuditEntry)
    with pytest.raises(msgspec.DecodeError):
        decode("nothing", AuditEntry)
    with pytest.raises(msgspec.ValidationError):
        convert({"at": 7}, AuditEntry)
    assert convert([1], list[int]) == [1]
