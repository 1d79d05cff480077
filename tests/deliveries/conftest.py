"""One sandbox and one Table service for a module's deliveries."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sandbox.testing import running_sandbox
from tests.deliveries.bench import Bench
from tests.storage import running_azurite


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder = tmp_path_factory.mktemp("azurite")
    with running_azurite(folder) as connection, running_sandbox() as sandbox:
        sandbox.script("tokens", valid=["sandbox-token"])
        yield Bench(sandbox, connection)
