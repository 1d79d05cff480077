"""The machine that figures were measured on, so that nobody compares apples with pears."""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path

import msgspec

ROOT = Path(__file__).parents[1]


class Machine(msgspec.Struct, frozen=True):
    """A description of the machine and of what the figures depend on."""

    cpu: str
    cores: int
    memory_gib: float
    system: str
    python: str
    azurite: str
    load: float  # processes that wanted to run in the minute before


def describe() -> Machine:
    """This machine, now."""
    return Machine(
        cpu=_cpu(),
        cores=len(os.sched_getaffinity(0)),
        memory_gib=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        azurite=_azurite(),
        load=round(os.getloadavg()[0], 1),
    )


def _cpu() -> str:
    information = Path("/proc/cpuinfo")
    text = information.read_text("utf-8") if information.exists() else ""
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.processor() or platform.machine()


def _azurite() -> str:
    package = ROOT / "node_modules" / "azurite" / "package.json"
    return str(json.loads(package.read_text("utf-8"))["version"]) if package.exists() else "none"
