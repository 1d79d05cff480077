"""A running system for the end-to-end tests: started here, or named by `--base-url`.

With `--base-url` (for example of `func start`) the host must see the sandbox that
`--sandbox-url` names, know the key `--api-key` with all scopes, list the factory `--factory-id`
and use the catalog that `python -m tests.e2e.quick_catalog` writes.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from devstack.processes import Ports, Stack, sandbox
from tests.e2e.guards import Guarded
from tests.e2e.hosts import Host, StartHost
from tests.e2e.quick_catalog import write_quick_catalog
from tests.e2e.quick_policy import write_policy
from tests.e2e.world import World

SPEED = 10.0  # of the sandbox
ANY_PORTS = Ports(0, 0, 0, 0, 0)  # several of these stacks run side by side
# A module's hosts share one factory: one host's sweep would heal what another test's host is to
# heal, and add to timelines that a test reads.
QUIET = {
    "AzureWebJobs.health_sweep.Disabled": "true",
    "AzureWebJobs.recovery_sweep.Disabled": "true",
    "AzureWebJobs.nightly_sweep.Disabled": "true",
    "AzureWebJobs.ceilings_sweep.Disabled": "true",
}
FACTORY = (
    "/subscriptions/{subscription}/resourceGroups/{group}"
    "/providers/Microsoft.DataFactory/factories/{name}"
)


@pytest.fixture(scope="session")
def quick_catalog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_quick_catalog(tmp_path_factory.mktemp("catalog") / "catalog.yaml")


@pytest.fixture(scope="module")  # what one module's tests leave in the sandbox slows no other
def stack(
    tmp_path_factory: pytest.TempPathFactory, quick_catalog: Path, request: pytest.FixtureRequest
) -> Iterator[Stack | None]:
    if request.config.getoption("--base-url"):
        yield None
        return
    directory = tmp_path_factory.mktemp("stack")
    policy = write_policy(directory / "policy.yaml")
    quick = {"CATALOG_PATH": str(quick_catalog), "POLICY_PATH": str(policy)}
    stack = Stack(directory, ANY_PORTS, quick | QUIET)
    stack.sandbox = sandbox(stack.ports.sandbox, directory / "sandbox.log", SPEED)
    with stack:
        yield stack


@pytest.fixture(scope="module")
def world(stack: Stack | None, request: pytest.FixtureRequest) -> World:
    if stack is None:
        return _world_elsewhere(request.config)
    environment = stack.environment()
    factory = FACTORY.format(
        subscription=environment["AZURE_SUBSCRIPTION_ID"],
        group=environment["AZURE_RESOURCE_GROUP"],
        name=environment["ADF_NAME"],
    )
    return World(stack.base_url, stack.sandbox_url, stack.keys, factory)


@pytest.fixture
def start_host(stack: Stack | None, world: World, tmp_path: Path) -> Iterator[StartHost]:
    if stack is None:
        pytest.fail("these tests start and kill hosts of their own: leave --base-url away")
    started: list[Host] = []

    def start(**settings: str) -> Host:
        host = Host(stack, world, tmp_path, settings)
        host.service.start()
        started.append(host)
        return host

    yield start
    for host in started:
        host.service.stop()


@pytest.fixture
def guarded(start_host: StartHost, tmp_path: Path) -> Guarded:
    """A host whose policy differs from the open one by what is given."""

    def start(settings: dict[str, str] | None = None, **policy: Any) -> Host:
        path = write_policy(tmp_path / "policy.yaml", **policy)
        return start_host(POLICY_PATH=str(path), **(settings or {}) | {"RERUNNABLE": ""})

    return start


def _world_elsewhere(config: pytest.Config) -> World:
    scopes = ("sender", "reader", "approver", "deployer")
    return World(
        config.getoption("--base-url"),
        config.getoption("--sandbox-url"),
        dict.fromkeys(scopes, config.getoption("--api-key")),
        config.getoption("--factory-id"),
    )
