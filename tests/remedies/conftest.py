"""Remedies one by one: real SDKs against a sandbox and a Table service, no host around them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec.structs import replace

from sandbox.testing import Sandbox, running_sandbox
from shared.catalog.loader import load
from shared.diagnosis.gather import Gatherer
from shared.ledger import tables
from shared.ledger.memory import Memory
from shared.ledger.tables import Storage
from shared.models import Failure
from shared.platforms.directory import Platforms
from shared.remedies.base import Case
from shared.remedies.registry import NAMES
from shared.settings import SHIPPED_CATALOG
from shared.settings import load as load_settings
from shared.vocabulary import FailureKind
from tests.storage import running_azurite

WORKSPACE = "databricks"
FACTORY = "adf"
SUBSCRIPTION = "00000000-0000-0000-0000-000000000001"


class SandboxClock:
    """The sandbox's time, which tests move."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def now(self) -> datetime:
        return datetime.fromtimestamp(self._sandbox.clock.now(), UTC)

    def sleep(self, seconds: float) -> None:
        self._sandbox.advance(seconds)


class Bench:
    """One sandbox and all that a remedy asks for."""

    def __init__(self, sandbox: Sandbox, memory: Memory) -> None:
        environment = {
            "DATABRICKS_HOST": sandbox.host,
            "DATABRICKS_TOKEN": "sandbox-token",
            "ADF_NAME": FACTORY,
            "AZURE_SUBSCRIPTION_ID": SUBSCRIPTION,
            "AZURE_RESOURCE_GROUP": "rg",
            "AZURE_RESOURCE_MANAGER_ENDPOINT": sandbox.host,
            "AZURE_ACCESS_TOKEN": "sandbox-token",
        }
        settings = load_settings(environment)
        self.sandbox = sandbox
        self.memory = memory
        self.clock = SandboxClock(sandbox)
        self.platforms = Platforms(settings, self.clock, _nobody)
        self.gatherer = Gatherer(self.platforms, settings.targets, self.clock)
        self.catalog = load(SHIPPED_CATALOG, NAMES)

    def case(self, kind: FailureKind, resource: str, run_id: str, **more: Any) -> Case:
        """A failure with what the platform says about it now."""
        target = FACTORY if kind is FailureKind.PIPELINE_RUN else WORKSPACE
        failure = Failure(kind, target, resource, run_id, group=run_id)
        case = Case(failure, run_id, self.platforms, self.catalog, 16, self.memory, **more)
        return replace(case, evidence=self.gatherer.gather(failure, run_id))

    def pipeline_run(self, name: str, *, fails: bool, **more: Any) -> str:
        """A run of a pipeline that has ended."""
        error = {"errorCode": "2200", "message": "504 Gateway Timeout", "failureType": "x"}
        outcome = {"status": "Failed", "activity": "Load", "error": error}
        body = {"factory": FACTORY, "pipeline": name, "finished": True} | more
        if fails:
            body["outcome"] = outcome
        return str(self.sandbox.script("adf/runs", **body)["run_id"])

    def job_case(self, job: Any, run: Any) -> Case:
        return self.case(FailureKind.JOB_RUN, str(job), str(run))

    def cluster_case(self, cluster: str) -> Case:
        return self.case(FailureKind.CLUSTER, cluster, "")

    def failed_job(self, task: dict[str, Any], error: str, **settings: Any) -> Case:
        """A job whose one task has failed with `error`."""
        notebook = {"task_key": "load", "notebook_task": {"notebook_path": "/etl"}}
        body = {"name": "etl", "tasks": [notebook | task]} | settings
        job = self.sandbox.script("databricks/jobs", **body)["job_id"]
        outcome = {"result": "FAILED", "error": error}
        made = self.sandbox.script("databricks/runs", job_id=job, outcome=outcome)
        self.sandbox.advance(600)
        return self.job_case(job, made["run_id"])


def _nobody() -> Any:
    raise AssertionError("no identity is needed here")


@pytest.fixture(scope="session")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_azurite(tmp_path_factory.mktemp("azurite")) as connection:
        yield connection


@pytest.fixture(scope="session")
def memory(connection: str) -> Memory:
    storage = Storage("remedies", connection)
    storage.create()
    return Memory(storage.table(tables.STATE))


@pytest.fixture(scope="session")
def served() -> Iterator[Sandbox]:
    with running_sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(served: Sandbox) -> Sandbox:
    served.control("POST", "reset")
    group = {"subscription_id": SUBSCRIPTION, "resource_group": "rg"}
    served.script("factories", name=FACTORY, **group)
    return served


@pytest.fixture
def bench(sandbox: Sandbox, memory: Memory) -> Bench:
    return Bench(sandbox, memory)
