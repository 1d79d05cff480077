"""Starting the app: importing it and listing its functions, beside importing the SDKs alone."""

from __future__ import annotations

import subprocess
import sys
import time

import msgspec

from bench.machine import ROOT
from bench.model import Aim, Figure, Measured, Options, Target

APP = "import function_app; function_app.app.get_functions()"
SDKS = "import azure.functions, azure.durable_functions"
_USAGE = (
    "\nimport resource; u = resource.getrusage(resource.RUSAGE_SELF)"
    "\nprint(u.ru_utime + u.ru_stime, u.ru_maxrss)"
)
_TARGET = Target(Aim.RATIO_AT_MOST, 1.35)
_REFERENCE = "SDKs alone"


class Start(msgspec.Struct, frozen=True):
    """What one start cost: seconds on the wall and of the processor, MiB at most."""

    wall: float
    processor: float
    memory: float


def run(options: Options) -> Measured:
    """Start both again and again, by turns, in fresh interpreters; the best of each counts."""
    rounds = options.pick(15, 1)
    start(APP), start(SDKS)  # byte code is compiled, files are in the cache
    pairs = [(start(APP), start(SDKS)) for _ in range(rounds)]
    ours, theirs = best([a for a, _ in pairs]), best([s for _, s in pairs])
    return Measured(
        [
            _figure("wall time", ours.wall * 1000, theirs.wall * 1000, "ms"),
            _figure("processor time", ours.processor * 1000, theirs.processor * 1000, "ms"),
            _figure("memory", ours.memory, theirs.memory, "MiB"),
        ],
        [f"the best of {rounds} starts each, by turns"],
    )


def start(code: str) -> Start:
    """Run `code` in an interpreter of its own."""
    begin = time.perf_counter()
    answer = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", code + _USAGE],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    wall = time.perf_counter() - begin
    processor, memory = answer.stdout.split()[-2:]
    return Start(wall, float(processor), int(memory) / 1024)


def best(starts: list[Start]) -> Start:
    """The least of each: what disturbs a start only makes it dearer."""
    return Start(
        min(s.wall for s in starts),
        min(s.processor for s in starts),
        min(s.memory for s in starts),
    )


def _figure(name: str, ours: float, theirs: float, unit: str) -> Figure:
    return Figure(name, ours, unit, theirs, _REFERENCE, _TARGET)
