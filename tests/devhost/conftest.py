from collections.abc import AsyncIterator

import pytest

from devhost.engine import Engine
from devhost.host import Host
from tests.devhost.helpers import start_host


@pytest.fixture(autouse=True)
def _sweep_schedule(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWEEP_SCHEDULE", "0 0 0 1 1 *")


@pytest.fixture
async def host() -> AsyncIterator[Host]:
    running = await start_host()
    yield running
    await running.stop()


@pytest.fixture
def engine(host: Host) -> Engine:
    return host.engine
