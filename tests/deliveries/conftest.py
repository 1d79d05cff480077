"""One sandbox and one Table service for a module's deliveries."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from devstack.processes import azurite, azurite_connection, free_port
from sandbox.testing import running_sandbox
from tests.deliveries.bench import Bench


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    ports = (free_port(0), free_port(0), free_port(0))
    service = azurite(tmp_path_factory.mktemp("azurite"), *ports)
    service.start()
    with running_sandbox() as sandbox:
        sandbox.script("tokens", valid=["sandbox-token"])
        yield Bench(sandbox, azurite_connection(*ports))
    service.stop()
