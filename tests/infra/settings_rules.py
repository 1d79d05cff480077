"""Is every app setting set on Azure, listed for local life and written about? And nothing else?"""

from __future__ import annotations

import re
from collections.abc import Set as AbstractSet

from tests.infra.bicep import Fields, File

# Settings that the code reads and Bicep leaves alone, each with the reason.
LOCAL_ONLY = {
    "FUNCTIONS_WORKER_RUNTIME": "Flex Consumption takes it from functionAppConfig and refuses it",
    "AzureWebJobsStorage": "on Azure an identity: AzureWebJobsStorage__blobServiceUri and its kin",
    "AUDIT_STORAGE_CONNECTION": "on Azure an identity: AUDIT_STORAGE_ACCOUNT_URL",
    "SOURCE_STORAGE_CONNECTION": "on Azure an identity: SOURCE_STORAGE_ACCOUNT_URL",
    "AZURE_ACCESS_TOKEN": "on Azure an identity",
    "OTEL_EXPORTER_OTLP_ENDPOINT": "on Azure Application Insights; the host would send there too",
    "NOTIFICATION_ALLOW_LOOPBACK": "for tests: on Azure no channel is on the same machine",
    "DATABRICKS_TOKEN": "on Azure an identity",
    "ADF_NAME": "short form for one target; Bicep sets TARGETS",
    "AZURE_SUBSCRIPTION_ID": "short form for one target; Bicep sets TARGETS",
    "AZURE_RESOURCE_GROUP": "short form for one target; Bicep sets TARGETS",
    "DATABRICKS_HOST": "short form for one target; Bicep sets TARGETS",
    "DATABRICKS_WORKSPACE_NAME": "short form for one target; Bicep sets TARGETS",
    "DATABRICKS_WORKSPACE_ID": "short form for one target; Bicep sets TARGETS",
}


def keys(file: File, variable: str) -> set[str]:
    """The names in one of the variables that hold settings."""
    found = file.variables.get(variable)
    return set(found.fields) if isinstance(found, Fields) else set()


def check(example: AbstractSet[str], set_by_bicep: AbstractSet[str], prose: str) -> list[str]:
    """What is missing or too much, one text each."""
    nobody = example - set_by_bicep - set(LOCAL_ONLY)
    problems = [
        f"{name}: nobody sets it (`settings` in function.bicep, or LOCAL_ONLY with a reason)"
        for name in sorted(nobody)
    ]
    problems += [
        f"{name}: set by Bicep, but local.settings.json.example does not list it"
        for name in sorted(set_by_bicep - example)
    ]
    stale = {name for name in LOCAL_ONLY if name in set_by_bicep or name not in example}
    problems += [f"{name}: LOCAL_ONLY lists it wrongly" for name in sorted(stale)]
    problems += [
        f"{name}: neither README.md nor docs/ tell of it"
        for name in sorted(example)
        if not re.search(rf"`{name}`", prose)
    ]
    return problems
