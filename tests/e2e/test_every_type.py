"""Every error type, from alert to closed incident: healed, tried in vain, or left to a person.

All scenarios run at once, as they would on a bad night; each test looks at one of them.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import pytest

from shared.catalog.loader import NEVER_AUTOMATED, load
from shared.remedies.registry import NAMES
from shared.settings import load as load_settings
from tests.e2e.test_databricks import NOTEBOOK, job_failed, terminated
from tests.e2e.world import World, actions

CATALOG = load(load_settings({}).catalog_path, NAMES)


class Example(msgspec.Struct, frozen=True):
    """How a type shows: as an ADF activity's error, a job task's output or a cluster's end."""

    kind: str
    code: str
    message: str


ADF, JOB, CLUSTER = "adf", "job", "cluster"
EXAMPLES = {
    "UserErrorSourceBlobNotExists": Example(
        ADF, "UserErrorSourceBlobNotExist", "The required Blob is missing. ContainerName: raw"
    ),
    "GatewayTimeout": Example(
        ADF, "2200", "ErrorCode=GatewayTimeout,'Message=504 Gateway Timeout'"
    ),
    "HttpConnectionFailed": Example(
        ADF, "2200", "The underlying connection was closed: A connection was reset by the peer."
    ),
    "ThrottlingError": Example(ADF, "2200", 'Message: {"Errors":["Request rate is large."]}'),
    "UserErrorInvalidDataType": Example(
        ADF,
        "2200",
        "ErrorCode=TypeConversionFailure,Exception occurred when converting value 'x' for column "
        "name 'amount' from type 'String' to type 'Decimal'.",
    ),
    "UserErrorColumnNameInvalid": Example(
        ADF, "SqlInvalidColumnName", "Column 'ordr_id' does not exist in the table 'orders'."
    ),
    "AuthenticationError": Example(
        ADF, "SqlUnauthorizedAccess", "Cannot connect. Detail Message: Login failed for user 'etl'."
    ),
    "InternalServerError": Example(ADF, "4510", "Unexpected failure during execution."),
    "CredentialExpired": Example(
        ADF, "2200", "AADSTS7000222: The provided client secret keys for app 'x' are expired."
    ),
    "DataCorruption": Example(ADF, "ParquetInvalidFile", "File is not a valid Parquet file."),
    "SchemaMismatch": Example(
        ADF, "DelimitedTextMoreColumnsThanDefined", "found more columns than expected"
    ),
    "ConfigurationError": Example(ADF, "3201", "Missing required field: settings.task.path."),
    "QuotaExceeded": Example(ADF, "2002", "The payload including configurations is too large."),
    "NetworkUnreachable": Example(
        ADF, "2010", "The Self-hosted Integration Runtime 'shir-1' is offline"
    ),
    "ConcurrencyLimit": Example(
        ADF, "AzureAppendBlobConcurrentWriteConflict", "Detected concurrent write to the same blob"
    ),
    "Unknown": Example(ADF, "98765", "Frobnication incomplete"),
    "DatabricksJobExecutionError": Example(JOB, "", "NameError: name 'foo' is not defined"),
    "DatabricksLibraryInstallationError": Example(
        JOB, "", "No matching distribution found for nosuchpackage==9.9"
    ),
    "DatabricksPermissionDenied": Example(
        JOB, "", "PERMISSION_DENIED: User does not have MODIFY on Table 'main.sales.orders'."
    ),
    "DatabricksResourceExhausted": Example(JOB, "", "java.lang.OutOfMemoryError: Java heap space"),
    "DatabricksTableNotFound": Example(
        JOB, "", "[TABLE_OR_VIEW_NOT_FOUND] The table or view `a`.`b`.`c` cannot be found."
    ),
    "DatabricksSparkException": Example(
        JOB, "", "[FAILED_EXECUTE_UDF] User defined function failed. SQLSTATE: 39000"
    ),
    "DatabricksTimeoutError": Example(JOB, "RUN_DURATION_EXCEEDED", "the run took too long"),
    "DataQualityExpectationFailed": Example(
        JOB, "", "[EXPECTATION_VIOLATION.VERBOSITY_ALL] Violated expectations: 'id_not_null'."
    ),
    "DatabricksDriverNotResponding": Example(CLUSTER, "DRIVER_UNRESPONSIVE", ""),
    "DatabricksClusterStartFailure": Example(CLUSTER, "BOOTSTRAP_TIMEOUT", ""),
    "ClusterUnexpectedTermination": Example(CLUSTER, "CLOUD_PROVIDER_SHUTDOWN", ""),
    "Cancelled": Example(CLUSTER, "USER_REQUEST", ""),
}
# Types whose first remedy applies to a bare example: those are tried to the end.
REPAIRED = (
    "GatewayTimeout",
    "HttpConnectionFailed",
    "ThrottlingError",
    "InternalServerError",
    "ConcurrencyLimit",
    "DatabricksTimeoutError",
    "DatabricksDriverNotResponding",
    "DatabricksClusterStartFailure",
    "ClusterUnexpectedTermination",
)
LEFT = tuple(sorted(set(EXAMPLES) - set(REPAIRED)))


def start(world: World, example: Example, failures: int) -> str:
    """Break something so that it fails `failures` times in all, and send the alert."""
    return {ADF: _break_pipeline, JOB: _break_job, CLUSTER: _break_cluster}[example.kind](
        world, example, failures
    )


def _break_pipeline(world: World, example: Example, failures: int) -> str:
    error = {"errorCode": example.code, "message": example.message, "failureType": "UserError"}
    again = {"status": "Failed", "activity": "Load", "error": error}
    pipeline = world.pipeline(*[again] * (failures - 1))
    run = (pipeline, world.failed_run(pipeline, error))
    return world.send("/azure-monitor", world.alert_on(run))


def _break_job(world: World, example: Example, failures: int) -> str:
    job = world.job({"task_key": "load", "environment_key": "default"} | NOTEBOOK)
    outcome = {
        "result": "FAILED",
        "termination_code": example.code or "RUN_EXECUTION_ERROR",
        "termination_type": "CLIENT_ERROR",
        "message": "Workload failed, see run output for details.",
        "error": example.message,
    }
    world.script("databricks/outcomes", job_id=job, outcomes=[outcome] * failures)
    run = world.job_run(job)
    world.until(lambda: world.run_ended(run))
    return world.send("/databricks-monitor", job_failed(run, job))


def _break_cluster(world: World, example: Example, failures: int) -> str:
    reason = {"code": example.code, "type": "CLOUD_FAILURE", "parameters": {}}
    ends = [{"state": "TERMINATED", "termination_reason": reason}] * (failures - 1)
    cluster = world.cluster(on_start=[*ends, "RUNNING"])
    world.terminate(cluster, example.code)
    return world.send("/databricks-monitor", terminated(cluster, example.code))


@pytest.fixture(scope="module")
def night(world: World) -> dict[tuple[str, str], dict[str, Any]]:
    """All scenarios at once; the closed incident of each by type and ending."""
    wanted = [(name, "left", 9) for name in LEFT]
    wanted += [(name, "works", 1) for name in REPAIRED]
    wanted += [(name, "fails", 9) for name in REPAIRED]
    with ThreadPoolExecutor(12) as pool:
        alerts = list(pool.map(lambda w: start(world, EXAMPLES[w[0]], w[2]), wanted))
    found = {}
    for (name, ending, _), alert in zip(wanted, alerts, strict=True):
        found[name, ending] = world.incident_of(alert)
    return found


def test_every_type_of_the_catalog_has_its_example() -> None:
    assert set(EXAMPLES) == set(CATALOG.error_types)


@pytest.mark.parametrize("name", REPAIRED)
def test_its_remedy_works(night: dict[tuple[str, str], dict[str, Any]], name: str) -> None:
    incident = night[name, "works"]
    assert incident["error_type"] == name
    assert incident["state"] == "healed", incident["timeline"]
    assert incident["attempts"][0]["remedy"] == CATALOG.spec(name).remedies[0].remedy
    assert incident["audit"]["whole"]


@pytest.mark.parametrize("name", REPAIRED)
def test_its_remedy_fails(night: dict[tuple[str, str], dict[str, Any]], name: str) -> None:
    incident = night[name, "fails"]
    spec = CATALOG.spec(name)
    assert incident["error_type"] == name
    assert incident["state"] == "escalated", incident["timeline"]
    assert incident["guidance"] == list(spec.guidance)
    tried = [attempt["remedy"] for attempt in incident["attempts"]]
    assert tried.count(spec.remedies[0].remedy) == spec.remedies[0].attempts, incident["timeline"]
    assert "Auto-Remediation Max Retries Reached" in actions(incident)


@pytest.mark.parametrize("name", LEFT)
def test_it_is_left_to_a_person(night: dict[tuple[str, str], dict[str, Any]], name: str) -> None:
    incident = night[name, "left"]
    assert incident["error_type"] == name, incident["timeline"]
    assert incident["attempts"] == []
    if name == "Cancelled":
        assert incident["state"] == "cancelled"
        return
    assert incident["state"] == "escalated"
    shipped = list(CATALOG.spec(name).guidance)
    assert incident["guidance"][-len(shipped) :] == shipped  # before it: what the evidence names
    if name in NEVER_AUTOMATED:
        assert incident["decision"]["reason"] == "never_automated"
