"""A sandbox and a Table service of their own, and an app's parts on them, without a host."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator

import pytest

from sandbox.testing import Sandbox, running_sandbox
from shared.composition import Composition
from shared.monitoring.health import Health, Swept
from tests.monitoring.clocks import SetClock
from tests.storage import running_azurite

FACTORY = {"subscription_id": "sub", "resource_group": "rg", "name": "adf"}
TARGETS = [
    {"kind": "data_factory", **FACTORY},
    {"kind": "databricks", "name": "dbx", "host": "", "token_setting": "DATABRICKS_TOKEN"},
]


class Watch:
    """One app's parts, its sandbox and its clock."""

    def __init__(self, sandbox: Sandbox, connection: str, **settings: str) -> None:
        self.sandbox = sandbox
        self.clock = SetClock(sandbox.clock)
        address = sandbox.host
        targets = [dict(TARGETS[0]), {**TARGETS[1], "host": address}]
        environment = {
            "TARGETS": json.dumps(targets),
            "DATABRICKS_TOKEN": "sandbox-token",
            "AZURE_ACCESS_TOKEN": "sandbox-token",
            "AZURE_RESOURCE_MANAGER_ENDPOINT": address,
            "AUDIT_STORAGE_CONNECTION": connection,
            "AUDIT_TABLE_PREFIX": "w" + random.SystemRandom().randbytes(6).hex(),
        }
        self._environment = environment | settings
        self.parts = self.restarted()

    def restarted(self) -> Composition:
        """The same app after a restart: it knows what is in the ledger."""
        self.parts = Composition(self._environment, clock=self.clock)
        return self.parts

    @property
    def health(self) -> Health:
        return Health(self.parts.context, self.parts.documents)

    def sweep(self) -> list[Swept]:
        """One whole sweep, as the timer does it; without starting healings."""
        health, found = self.health, []
        for swept in health.sweep():
            self.parts.alerts.store(swept.alerts, self.clock.now())
            self.parts.notes.take(swept.looks)
            health.done(swept)
            found.append(swept)
        return found

    def findings(self) -> dict[str, str]:
        """Kinds of the standing findings by resource."""
        return {f.resource: f.kind.value for f in self.parts.findings.standing()}


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_azurite(tmp_path_factory.mktemp("azurite")) as connection:
        yield connection


@pytest.fixture
def watch(connection: str) -> Iterator[Callable[..., Watch]]:
    with running_sandbox() as sandbox:
        sandbox.script("factories", **FACTORY)
        sandbox.script("tokens", valid=["sandbox-token"])
        yield lambda **settings: Watch(sandbox, connection, **settings)
