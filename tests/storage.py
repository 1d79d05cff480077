"""An Azurite of a test's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from devstack.processes import azurite, azurite_connection, free_port


@contextmanager
def running_azurite(folder: Path) -> Iterator[str]:
    """The connection string of an emulator that keeps its files in `folder`, while it runs."""
    ports = (free_port(0), free_port(0), free_port(0))
    service = azurite(folder, *ports)
    service.start()
    yield azurite_connection(*ports)
    service.stop()
