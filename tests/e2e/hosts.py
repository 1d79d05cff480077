"""Hosts of a test's own: with other settings, or to be killed."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
import yaml

from devstack.processes import Service, Stack, devhost, free_port
from tests.e2e.quick_catalog import write_quick_catalog
from tests.e2e.world import Json, World

StartHost = Callable[..., "Host"]


class Host:
    """A devhost beside the session's, with a ledger and a journal of its own."""

    def __init__(
        self, stack: Stack, shared: World, directory: Path, settings: dict[str, str]
    ) -> None:
        port = free_port(0)
        prefix = f"t{uuid.uuid4().hex[:12]}"
        own = {"AUDIT_TABLE_PREFIX": prefix, "PUBLIC_URL": f"http://127.0.0.1:{port}"}
        self.environment = stack.environment(**own | settings)
        self.prefix = prefix
        self.service: Service = devhost(port, directory / f"{prefix}.sqlite", self.environment)
        self.world = World(
            f"http://127.0.0.1:{port}", shared.sandbox_url, shared.keys, shared.factory_id
        )

    def timer(self, name: str) -> None:
        """Run a timer now."""
        answer = requests.post(f"{self.world.base_url}/admin/functions/{name}", json={}, timeout=10)
        assert answer.status_code == 202, answer.text


@contextmanager
def running(
    stack: Stack | None,
    shared: World,
    directory: Path,
    change: Callable[[Json], None] | None = None,
    settings: dict[str, str] | None = None,
) -> Iterator[Host]:
    """A host whose catalog is the quick one after `change`; stopped when the context ends."""
    if stack is None:
        pytest.fail("these tests start a host of their own: leave --base-url away")
    path = write_quick_catalog(directory / "catalog.yaml")
    catalog = yaml.safe_load(path.read_text("utf-8"))
    if change is not None:
        change(catalog)
    path.write_text(yaml.safe_dump(catalog), "utf-8")
    host = Host(stack, shared, directory, {"CATALOG_PATH": str(path)} | (settings or {}))
    host.service.start()
    try:
        yield host
    finally:
        host.service.stop()
