"""The Bicep files, parsed once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.infra import bicep
from tests.infra.bicep import File

ROOT = Path(__file__).resolve().parents[2]
INFRA = ROOT / "infra"
Plant = Callable[[str, str, str], File]


@pytest.fixture(scope="session")
def files() -> dict[Path, File]:
    return {path: bicep.load(path) for path in sorted(INFRA.rglob("*.bicep"))}


@pytest.fixture
def plant() -> Plant:
    """A file of ours with a fault put into it."""

    def planted(name: str, good: str, bad: str) -> File:
        path = INFRA / name
        source = path.read_text("utf-8")
        assert good in source, f"{name} has changed, plant the fault elsewhere"
        return bicep.parse(source.replace(good, bad, 1).encode(), path)

    return planted
