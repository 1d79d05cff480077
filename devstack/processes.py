"""The local stack as a whole: Azurite, the sandbox and the devhost, on ports of their own.

with Stack() as stack:
    call("GET", f"{stack.base_url}/api/incidents", key=stack.keys["reader"])
"""

import json
import os
import secrets
import shutil
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Self

from devstack.client import Json, call
from devstack.service import HOST, ROOT, Service, ServiceError, free_port

__all__ = [
    "Ports",
    "Service",
    "ServiceError",
    "Stack",
    "azurite",
    "azurite_connection",
    "devhost",
    "free_port",
    "sandbox",
]

SUBSCRIPTION = "00000000-0000-0000-0000-000000000001"
RESOURCE_GROUP = "rg-demo"
FACTORY = "adf-demo"
TOKEN = "sandbox-token"  # noqa: S105 - the sandbox's only token, worth nothing elsewhere
SCOPES = ("sender", "reader", "approver", "deployer")

# The emulator's account, the same for everybody.
# https://learn.microsoft.com/azure/storage/common/storage-connect-azurite
_ACCOUNT = "devstoreaccount1"
_ACCOUNT_KEY = (
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)
# Of our own environment the services see only this: an exported setting, or a proxy that should
# carry calls to this machine, would change what they do.
_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH")


@dataclass(frozen=True)
class Ports:
    """Where each service listens; as a wish, where it should if that port is free."""

    blob: int = 10000
    queue: int = 10001
    table: int = 10002
    sandbox: int = 8900
    devhost: int = 7071

    def free(self) -> "Ports":
        """These ports, each that is taken replaced by a free one."""
        return Ports(*(free_port(port) for port in astuple(self)))


def azurite(directory: Path, blob_port: int, queue_port: int, table_port: int) -> Service:
    """The storage emulator; keeps its data and its log in `directory`."""
    data = directory / "azurite"
    data.mkdir(parents=True, exist_ok=True)
    ports = {"blob": blob_port, "queue": queue_port, "table": table_port}
    argv = [str(ROOT / "node_modules/.bin/azurite"), "--silent", "--skipApiVersionCheck"]
    argv += ["--disableTelemetry", "--location", str(data.resolve())]
    for kind, port in ports.items():
        argv += [f"--{kind}Host", HOST, f"--{kind}Port", str(port)]
    probes = [f"tcp://{HOST}:{port}" for port in ports.values()]
    return Service("azurite", argv, directory / "azurite.log", probes, inherited())


def azurite_connection(blob_port: int, queue_port: int, table_port: int) -> str:
    """The well-known development connection string, with these ports."""
    ports = {"Blob": blob_port, "Queue": queue_port, "Table": table_port}
    account = f"AccountName={_ACCOUNT};AccountKey={_ACCOUNT_KEY}"
    places = [f"{kind}Endpoint=http://{HOST}:{p}/{_ACCOUNT}" for kind, p in ports.items()]
    return ";".join(["DefaultEndpointsProtocol=http", account, *places]) + ";"


def sandbox(port: int, log: Path, speed: float = 1.0) -> Service:
    """Both platforms; durations there are divided by `speed`."""
    argv = [sys.executable, "-m", "sandbox", "--port", str(port), "--speed", str(speed)]
    probes = [f"http://{HOST}:{port}/_sandbox/health"]
    return Service("sandbox", argv, log, probes, inherited())


def devhost(port: int, journal: Path, env: Mapping[str, str], time_scale: float = 1.0) -> Service:
    """The function app's host; `env` is all that it sees, its log stands beside the journal."""
    argv = [sys.executable, "-m", "devhost", "--port", str(port)]
    argv += ["--journal", str(journal.resolve()), "--time-scale", str(time_scale)]
    # Somebody's own local.settings.json is not for this stack; this file does not exist.
    argv += ["--settings", str(journal.with_suffix(".settings.json").resolve())]
    probes = [f"http://{HOST}:{port}/admin/host/status"]
    return Service("devhost", argv, journal.with_suffix(".log"), probes, env)


def inherited() -> dict[str, str]:
    """What a service sees of our own environment."""
    kept = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    return {**kept, "PYTHONUNBUFFERED": "1"}


class Stack:
    """Everything that runs locally; a context that starts it and stops it in reverse order.

    Args:
        directory: data and logs; emptied of an earlier stack's data. By default `.run/<port>`,
            which no other running stack can have.
        ports: where to listen if that is free.
        settings: for the devhost, on top of `environment()`.
        time_scale: how much faster durable timers and the sandbox's durations run.
    """

    def __init__(
        self,
        directory: Path | None = None,
        ports: Ports | None = None,
        settings: Mapping[str, str] | None = None,
        time_scale: float = 1.0,
    ) -> None:
        self.wanted = ports or Ports()
        self.ports = self.wanted.free()
        self.directory = directory or ROOT / ".run" / str(self.ports.devhost)
        self.keys = {scope: f"{scope}-{secrets.token_urlsafe(18)}" for scope in SCOPES}
        self.time_scale = time_scale
        self._signing_key = secrets.token_urlsafe(32)
        self._settings = dict(settings or {})
        self._undo = ExitStack()
        at = self.ports
        self.azurite = azurite(self.directory, at.blob, at.queue, at.table)
        self.sandbox = sandbox(at.sandbox, self.directory / "sandbox.log", time_scale)
        journal = self.directory / "devhost.sqlite"
        self.devhost = devhost(at.devhost, journal, self.environment(), time_scale)

    @property
    def base_url(self) -> str:
        """Where the function app answers."""
        return f"http://{HOST}:{self.ports.devhost}"

    @property
    def sandbox_url(self) -> str:
        """Where both platforms answer, and their control endpoints."""
        return f"http://{HOST}:{self.ports.sandbox}"

    @property
    def connection(self) -> str:
        """The connection string of the storage emulator."""
        return azurite_connection(self.ports.blob, self.ports.queue, self.ports.table)

    @property
    def services(self) -> tuple[Service, ...]:
        """All services, in the order in which they are started."""
        return (self.azurite, self.sandbox, self.devhost)

    def environment(self, **overrides: str) -> dict[str, str]:
        """The whole environment of a devhost on this stack."""
        keys = [{"name": s, "key": key, "scopes": [s]} for s, key in self.keys.items()]
        return {
            **inherited(),
            "AUDIT_STORAGE_CONNECTION": self.connection,
            "AUDIT_SIGNING_KEY": self._signing_key,
            "API_KEYS": json.dumps(keys),
            "AZURE_RESOURCE_MANAGER_ENDPOINT": self.sandbox_url,
            "AZURE_ACCESS_TOKEN": TOKEN,
            "AZURE_SUBSCRIPTION_ID": SUBSCRIPTION,
            "AZURE_RESOURCE_GROUP": RESOURCE_GROUP,
            "ADF_NAME": FACTORY,
            "DATABRICKS_HOST": self.sandbox_url,
            "DATABRICKS_TOKEN": TOKEN,
            "AUTO_REMEDIATION_MODE": "production",
            "RERUNNABLE": "*",  # the sandbox's work does no harm when it runs twice
            **self._settings,
            **overrides,
        }

    def script(self, path: str, /, **body: object) -> Json:
        """Post to one of the sandbox's control endpoints.

        Raises:
            ServiceError: the sandbox refused it.
        """
        reply = call("POST", f"{self.sandbox_url}/_sandbox/{path}", body)
        if reply.status != 200:  # noqa: PLR2004 - OK
            raise ServiceError(f"sandbox: {path}: {reply.status} {reply.body}")
        return reply.body

    def register(self) -> None:
        """Make the factory known to the sandbox, which forgets it when it is restarted or reset."""
        group = {"subscription_id": SUBSCRIPTION, "resource_group": RESOURCE_GROUP}
        self.script("factories", **group, name=FACTORY)

    def check(self) -> None:
        """Complain if a service is not alive.

        Raises:
            ServiceError: it ended.
        """
        for service in self.services:
            service.check()

    def __enter__(self) -> Self:
        self._wipe()
        with ExitStack() as undo:
            for service in self.services:
                undo.callback(service.stop)
                service.start()
            self.register()
            self._undo = undo.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._undo.close()

    def _wipe(self) -> None:
        # Healings of an earlier stack would look for runs that this sandbox never had.
        shutil.rmtree(self.directory / "azurite", ignore_errors=True)
        (self.directory / "azurite").mkdir(parents=True)
        for pattern in ("devhost.sqlite*", "*.log", "stack.json"):
            for leftover in self.directory.glob(pattern):
                leftover.unlink()
