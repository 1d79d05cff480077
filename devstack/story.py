"""What the demonstration plays: a pipeline that fails, and the alert that Azure Monitor sends."""

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from devstack.client import Json
from devstack.processes import FACTORY, RESOURCE_GROUP, SUBSCRIPTION, Stack

PIPELINE = "pl_daily_sales"
CLUSTER = "0921-184500-demo42"

_GROUP = f"/subscriptions/{SUBSCRIPTION}/resourcegroups/{RESOURCE_GROUP}"
_FACTORY_ID = f"{_GROUP}/providers/microsoft.datafactory/factories/{FACTORY}"
_LOG_WORKSPACE = f"{_GROUP}/providers/microsoft.operationalinsights/workspaces/law-demo"
_QUERY = "ADFPipelineRun | where Status == 'Failed'"
_WINDOW = timedelta(minutes=10)
_ACTIVITIES = [
    {"name": "CopyOrders", "type": "Copy"},
    {"name": "LoadSales", "type": "Copy", "depends_on": ["CopyOrders"]},
]
_FAILURE = {
    "status": "Failed",
    "activity": "LoadSales",
    "error": {
        "errorCode": "GatewayTimeout",
        "message": "The service at sales-api.example.com answered 504 Gateway Timeout.",
        "failureType": "SystemError",
    },
}


@dataclass(frozen=True)
class FailedRun:
    """A run that ended badly."""

    run_id: str
    pipeline: str = PIPELINE


def furnish(stack: Stack) -> None:
    """Give the sandbox a pipeline and a cluster."""
    pipeline = {"factory": FACTORY, "name": PIPELINE, "duration_seconds": 4}
    stack.script("adf/pipelines", **pipeline, activities=_ACTIVITIES)
    stack.script(
        "databricks/clusters",
        cluster_id=CLUSTER,
        cluster_name="shared-etl",
        spark_version="15.4.x-scala2.12",
        node_type_id="Standard_DS3_v2",
        num_workers=2,
    )


def fail_once(stack: Stack) -> FailedRun:
    """Let a run fail; the ones after it succeed."""
    trigger = {"name": "tr_daily_0300", "type": "ScheduleTrigger"}
    placed = stack.script(
        "adf/runs",
        factory=FACTORY,
        pipeline=PIPELINE,
        outcome=_FAILURE,
        finished=True,
        started_seconds_ago=90,
        trigger=trigger,
    )
    return FailedRun(placed["run_id"])


def log_alert(run: FailedRun, fired: datetime | None = None) -> Json:
    """What a log alert rule sends in the common alert schema, split by run.

    https://learn.microsoft.com/azure/azure-monitor/alerts/alerts-payload-samples
    """
    at = fired or datetime.now(UTC)
    return {
        "schemaId": "azureMonitorCommonAlertSchema",
        "data": {
            "essentials": _essentials(at),
            "alertContext": {
                "properties": None,
                "conditionType": "LogQueryCriteria",
                "condition": {
                    "windowSize": "PT10M",
                    "allOf": [_criterion(run)],
                    "windowStartTime": _stamp(at - _WINDOW),
                    "windowEndTime": _stamp(at),
                },
            },
        },
    }


def _essentials(at: datetime) -> Json:
    alert = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.AlertsManagement/alerts"
    return {
        "alertId": f"{alert}/{uuid.uuid4()}",
        "alertRule": "adf-failed-runs-log",
        "severity": "Sev3",
        "signalType": "Log",
        "monitorCondition": "Fired",
        "monitoringService": "Log Alerts V2",
        "alertTargetIDs": [_LOG_WORKSPACE],
        "configurationItems": [FACTORY],
        "originAlertId": str(uuid.uuid4()),
        "firedDateTime": _stamp(at),
        "description": "",
        "essentialsVersion": "1.0",
        "alertContextVersion": "1.0",
    }


def _criterion(run: FailedRun) -> Json:
    # A log alert carries no rows: which run it was, only the rule's dimensions tell.
    dimensions = {"PipelineName": run.pipeline, "RunId": run.run_id, "_ResourceId": _FACTORY_ID}
    return {
        "searchQuery": _QUERY,
        "metricMeasureColumn": None,
        "targetResourceTypes": "['Microsoft.DataFactory/factories']",
        "operator": "GreaterThan",
        "threshold": "0",
        "timeAggregation": "Count",
        "dimensions": [{"name": name, "value": value} for name, value in dimensions.items()],
        "metricValue": 1.0,
        "failingPeriods": {"numberOfEvaluationPeriods": 1, "minFailingPeriodsToAlert": 1},
    }


def _stamp(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
