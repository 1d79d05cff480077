"""Options: a host that runs already for the end-to-end tests; size and seed of tests/chaos."""

from __future__ import annotations

from pathlib import Path

import pytest

# The files that take longest, first: what begins last should end soon.
LONGEST = (
    "test_storms.py",
    "test_spark_sales.py",
    "test_delivery_sources.py",
    "test_delivery.py",
    "test_safety.py",
    "test_endings.py",
    "test_spark_edges.py",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--base-url", help="a running Lakemend, e.g. http://127.0.0.1:7071")
    parser.addoption("--sandbox-url", default="http://127.0.0.1:8900", help="the sandbox it sees")
    parser.addoption("--api-key", default="", help="a key with all scopes")
    parser.addoption("--factory-id", default="", help="the ARM id of the factory it lists")
    parser.addoption(
        "--chaos", type=float, default=0.0, help="size of tests/chaos: 0 short, 1 long, or between"
    )
    parser.addoption("--chaos-seed", type=int, default=None, help="a run of tests/chaos once more")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: _turn(item.path))


def _turn(path: Path) -> int:
    if path.name in LONGEST:
        return LONGEST.index(path.name)
    return len(LONGEST) + ("unit" in path.parts)
