"""Sizes, seeds and the summary; one running stack for all of these modules of a worker."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from devstack.processes import Stack, sandbox
from tests.chaos.sizes import NOTE, SEED, Chaos
from tests.e2e.conftest import ANY_PORTS, QUIET, SPEED, quick_catalog, start_host, world
from tests.e2e.quick_policy import write_policy

__all__ = ["quick_catalog", "start_host", "world"]


@pytest.fixture(scope="session")  # one for all these modules: starting it takes longer than most
def stack(tmp_path_factory: pytest.TempPathFactory, quick_catalog: Path) -> Iterator[Stack]:
    directory = tmp_path_factory.mktemp("chaos")
    policy = write_policy(directory / "policy.yaml")
    quick = {"CATALOG_PATH": str(quick_catalog), "POLICY_PATH": str(policy)}
    running = Stack(directory, ANY_PORTS, quick | QUIET)
    running.sandbox = sandbox(running.ports.sandbox, directory / "sandbox.log", SPEED)
    with running:
        yield running


@pytest.fixture(scope="session")
def run_seed(request: pytest.FixtureRequest) -> int:
    given: int | None = request.config.getoption("--chaos-seed")
    if given is not None:
        return given
    return secrets.randbelow(1 << 31) if request.config.getoption("--chaos") else SEED


@pytest.fixture
def chaos(request: pytest.FixtureRequest, run_seed: int, record_property: object) -> Chaos:
    assert callable(record_property)
    return Chaos(request.config.getoption("--chaos"), run_seed, record_property)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """What was tried and seen; after a failure in the short form too, for its seed."""
    failed = terminalreporter.stats.get("failed", [])
    shown = terminalreporter.stats.get("passed", []) if config.getoption("--chaos") else []
    for report in [*shown, *failed]:
        notes = [str(value) for name, value in report.user_properties if name == NOTE]
        if notes:
            name = report.nodeid.removeprefix("tests/chaos/test_")
            terminalreporter.write_line(f"{report.outcome} {name}: {'; '.join(notes)}")
