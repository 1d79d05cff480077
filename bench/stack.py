"""A stack of its own for a benchmark: the shipped catalog and a policy that stops nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from devstack.processes import (
    FACTORY,
    RESOURCE_GROUP,
    SUBSCRIPTION,
    Ports,
    Service,
    Stack,
    azurite,
    azurite_connection,
    free_port,
)

Json = dict[str, Any]

FACTORY_ID = (
    f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{RESOURCE_GROUP}"
    f"/providers/Microsoft.DataFactory/factories/{FACTORY}"
)
_ANY = Ports(0, 0, 0, 0, 0)
# What sweeps do beside a load is not what is measured.
_QUIET = {
    f"AzureWebJobs.{name}.Disabled": "true"
    for name in ("health_sweep", "recovery_sweep", "nightly_sweep", "ceilings_sweep")
}
_OPEN: Json = {
    "mode": "production",
    "permits": {"production": {"low": "act", "medium": "act", "high": "act"}},
    "rerunnable": [{"match": {}, "rerunnable": True}],
    "blast_radius": {"actions_per_hour": 2000, "actions_per_hour_per_target": 500},
    "breaker": {"failures": 1000, "ineffective": 1000},
    "storm": {"failures": 1000},
}


def stack(directory: Path, policy: Json | None = None, **settings: str) -> Stack:
    """Azurite, sandbox and devhost on free ports; a context that starts and stops them."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "policy.yaml"
    path.write_text(yaml.safe_dump(_OPEN | (policy or {})), "utf-8")
    return Stack(directory, _ANY, {"POLICY_PATH": str(path), **_QUIET, **settings})


@contextmanager
def emulator(directory: Path) -> Iterator[tuple[Service, str]]:
    """Azurite alone, with its connection string. It keeps nothing: large tables are made here."""
    ports = [free_port() for _ in range(3)]
    service = azurite(directory, *ports)
    # Else it writes all that it holds to a file every few seconds, and answers nobody meanwhile.
    at = list(service.argv).index("--location")
    service.argv = [*service.argv[:at], "--inMemoryPersistence", *service.argv[at + 2 :]]
    service.start()
    try:
        yield service, azurite_connection(*ports)
    finally:
        service.stop()


def processor(service: Service) -> float:
    """Seconds of processor time that a service has used."""
    fields = _stat(service)
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory(service: Service) -> float:
    """MiB of memory that a service holds now."""
    pages = int(_proc(service, "statm").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _stat(service: Service) -> list[str]:
    return _proc(service, "stat").rpartition(")")[2].split()


def _proc(service: Service, name: str) -> str:
    return Path(f"/proc/{service.pid}/{name}").read_text("utf-8")


def alert(key: str, run_id: str, pipeline: str = "load") -> Json:
    """An alert about one pipeline run, in our own form."""
    failure = {
        "kind": "pipeline_run",
        "target": FACTORY,
        "run_id": run_id,
        "pipeline": pipeline,
    }
    return {"failures": [failure], "source": "bench", "dedupe_key": key}


def pipeline(stack: Stack, name: str, **more: Any) -> str:  # noqa: ANN401 - as the sandbox takes it
    """A pipeline of one step in the sandbox's factory."""
    step = {"name": "Load", "type": "Copy"}
    body = {"factory": FACTORY, "name": name, "activities": [step], "duration_seconds": 1}
    stack.script("adf/pipelines", **body | more)
    return name


def failed_run(stack: Stack, name: str) -> str:
    """A run of a pipeline that has failed with a time-out of a gateway."""
    error = {
        "errorCode": "2200",
        "message": "ErrorCode=GatewayTimeout,'Type=X,Message=504 Gateway Timeout after 30 s,'",
        "failureType": "SystemError",
    }
    outcome = {"status": "Failed", "activity": "Load", "error": error}
    reply = stack.script("adf/runs", factory=FACTORY, pipeline=name, finished=True, outcome=outcome)
    return str(reply["run_id"])
