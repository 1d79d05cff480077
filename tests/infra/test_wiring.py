"""Alerts fire, arrive and are let in, and proof that a slip in the wiring is seen."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.infra import wiring
from tests.infra.bicep import File
from tests.infra.conftest import INFRA, Plant

QUERIES = sorted(INFRA.glob("workbook/queries/*.kql"))
FUNCTION, GROUP = "modules/function.bicep", "modules/action-group.bicep"


def test_the_wiring_is_whole(files: dict[Path, File]) -> None:
    assert [problem for file in files.values() for problem in wiring.check(file)] == []


def test_every_rule_that_goes_to_lakemend_is_there(files: dict[Path, File]) -> None:
    there = {(file.path.name, r.symbol) for file in files.values() for r in file.resources}
    assert there >= wiring.TO_LAKEMEND


FAULTS = [
    ("modules/failure-alerts.bicep", "autoMitigate: false", "autoMitigate: true", "autoMitigate"),
    ("modules/heartbeat.bicep", "autoMitigate: false", "autoMitigate: true", "autoMitigate: false"),
    ("modules/failure-alerts.bicep", "enabled: true", "enabled: false", "enabled: true"),
    ("modules/failure-alerts.bicep", "threshold: 0", "threshold: 5000", "GreaterThan 0"),
    ("modules/failure-alerts.bicep", "'GreaterThan'", "'LessThan'", "GreaterThan 0"),
    ("modules/own-alerts.bicep", "enabled: true", "enabled: false", "enabled: true"),
    (
        "modules/own-alerts.bicep",
        "        peopleGroupId\n",
        "        actionGroupId\n",
        "the action group peopleGroupId",
    ),
    (
        "modules/factory.bicep",
        "actionGroupId: actionGroupId",
        "actionGroupId: peopleGroupId",
        "the action group actionGroupId",
    ),
    (
        "modules/heartbeat.bicep",
        "        peopleGroupId\n",
        "        actionGroupId\n",
        "silence: expected the action group peopleGroupId",
    ),
    ("modules/platform-alerts.bicep", "enabled: true", "enabled: false", "enabled: true"),
    (GROUP, "useAadAuth: true", "useAadAuth: false", "useAadAuth: true"),
    (GROUP, "'https://${hostName}", "'http://${hostName}", "serviceUri: expected https"),
    (GROUP, "/azure-monitor'", "/api/incidents'", "serviceUri: expected https"),
    (GROUP, "serviceUri: address", "serviceUri: 'http://x'", "serviceUri: expected https"),
    (GROUP, "useCommonAlertSchema: true", "useCommonAlertSchema: false", "useCommonAlertSchema"),
    (GROUP, "enabled: true", "enabled: false", "enabled: true"),
    (FUNCTION, "name: 'scm'", "name: 'ftp'", "for ftp and scm"),
    (FUNCTION, "enabled: !empty(webhookClientId)", "enabled: false", "platform.enabled"),
    (
        FUNCTION,
        "azureActiveDirectory: {\n        enabled: !empty(webhookClientId)",
        "azureActiveDirectory: {\n        enabled: false",
        "azureActiveDirectory.enabled",
    ),
    (
        FUNCTION,
        "            webhookClientId\n            'api://${webhookClientId}'\n",
        "",
        "allowedAudiences",
    ),
    (FUNCTION, "AzureWebJobsStorage__blob", "AzureWebJobsStorage_blob", "__blobServiceUri: expect"),
    (FUNCTION, "  AZURE_CLIENT_ID: identityClientId\n", "", "AZURE_CLIENT_ID: expected"),
    (
        FUNCTION,
        "tableServiceUri: tableEndpoint",
        "tableServiceUri: blobEndpoint",
        "tableServiceUri",
    ),
    (FUNCTION, "    keyVaultReferenceIdentity: identityId\n", "", "keyVaultReferenceIdentity"),
    (
        FUNCTION,
        "AUDIT_STORAGE_ACCOUNT_URL: tableEndpoint",
        "AUDIT_STORAGE_ACCOUNT_URL: blobEndpoint",
        "AUDIT_STORAGE_ACCOUNT_URL: expected tableEndpoint",
    ),
    (FUNCTION, "category: 'FunctionAppLogs'", "category: 'FunctionLogs'", "has no logs"),
    (
        "main.bicep",
        "tableEndpoint: storage.outputs.tab",
        "tableEndpoint: storage.outputs.blob",
        "app",
    ),
    ("main.bicep", "actionGroupId: intakeId", "actionGroupId: people.outputs.id", "actionGroupId"),
    ("main.bicep", "peopleGroupId: people.outputs.id", "peopleGroupId: intakeId", "peopleGroupId"),
    ("main.bicep", "webhookClientId: applicationId", "webhookClientId: webhookClientId", "webhook"),
    ("modules/vault.bicep", "webhookMode == 'key'", "true", "enabledForTemplateDeployment"),
    ("modules/vault.bicep", "  scope: vault\n", "  scope: resourceGroup()\n", "one resource"),
    ("modules/factory.bicep", "'PipelineFailedRuns'", "'FailedPipelineRuns'", "has no metric"),
    ("modules/factory.bicep", "'PipelineRuns'", "'PipelineRun'", "has no logs PipelineRun"),
    ("modules/own-alerts.bicep", "'DeadLetteredCount'", "'DeadLetterCount'", "has no metric"),
    (
        "modules/network.bicep",
        "'Microsoft.App/environments'",
        "'Microsoft.Web/serverFarms'",
        "deleg",
    ),
    ("modules/events.bicep", "'CloudEventSchemaV1_0'", "'EventGridSchema'", "inputSchema"),
    (
        "modules/event-subscription.bicep",
        "'CloudEventSchemaV1_0'",
        "'EventGridSchema'",
        "eventDeliverySchema",
    ),
    ("modules/event-subscription.bicep", "/event_grid_alert'", "/event_alert'", "resourceId"),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: f"{Path(f[0]).stem}: {f[2].strip()[:40]}")
def test_a_planted_fault_is_seen(fault: tuple[str, str, str, str], plant: Plant) -> None:
    name, good, bad, expected = fault
    problems = wiring.check(plant(name, good, bad))
    assert any(expected in problem for problem in problems), problems


@pytest.mark.parametrize("path", QUERIES, ids=lambda p: p.stem)
def test_queries_name_tables_and_columns_that_are_there(path: Path) -> None:
    assert wiring.check_query(path.read_text("utf-8")) == []


@pytest.mark.parametrize(
    ("name", "good", "bad", "told"),
    [
        (
            "failed-pipeline-runs",
            "\nADFPipelineRun\n",
            "\nADFPipelineRuns\n",
            "no table ADFPipelineRuns",
        ),
        ("failed-pipeline-runs", "    PipelineName,", "    Pipeline,", "no column Pipeline"),
        ("failed-activity-runs", "by PipelineRunId", "by PipelineRun", "no column PipelineRun"),
        ("failed-job-runs", "RequestParams", "RequestParameters", "no column RequestParameters"),
        ("function-failing", "ResultCode", "StatusCode", "no column StatusCode"),
        ("heartbeat", "AppMetrics", "AppMetric", "no table AppMetric"),
    ],
)
def test_a_slip_in_a_query_is_seen(name: str, good: str, bad: str, told: str) -> None:
    text = (INFRA / "workbook" / "queries" / f"{name}.kql").read_text("utf-8")
    assert good in text
    problems = wiring.check_query(text.replace(good, bad))
    assert any(told in problem for problem in problems), problems
