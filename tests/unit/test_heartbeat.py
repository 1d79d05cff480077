"""The heartbeat of Azure Monitor: known, noted, never healed."""

from __future__ import annotations

from typing import Any

import pytest

from shared.intake.parse import parse
from shared.targets import Targets
from shared.vocabulary import HEARTBEAT, Disposition


def fired(dimension: str, value: str, condition: str = "Fired") -> Any:
    rule = "/subscriptions/s/resourcegroups/rg/providers/microsoft.operationalinsights/workspaces/w"
    criterion = {
        "dimensions": [{"name": dimension, "value": value}],
        "searchQuery": "AppMetrics",
        "operator": "GreaterThan",
        "threshold": "0",
        "metricValue": 1,
    }
    return {
        "schemaId": "azureMonitorCommonAlertSchema",
        "data": {
            "essentials": {
                "alertId": "/subscriptions/s/providers/Microsoft.AlertsManagement/alerts/1",
                "alertRule": "lakemend-dev-heartbeat",
                "severity": "Sev4",
                "signalType": "Log",
                "monitorCondition": condition,
                "alertTargetIDs": [rule],
                "firedDateTime": "2026-11-21T10:58:01Z",
            },
            "alertContext": {
                "conditionType": "LogQueryCriteria",
                "condition": {"windowSize": "PT1H", "allOf": [criterion]},
            },
        },
    }


def test_the_heartbeat_is_accepted_though_it_names_no_failure() -> None:
    (alert,) = parse(fired("LakemendHeartbeat", "lakemend"), Targets([])).alerts
    assert (alert.dialect, alert.disposition) == (HEARTBEAT, Disposition.ACCEPTED)
    assert alert.subjects == ()
    assert alert.rule == "lakemend-dev-heartbeat"


@pytest.mark.parametrize(
    "payload",
    [
        fired("Heartbeat", "lakemend"),
        fired("LakemendHeartbeat", ""),
        fired("LakemendHeartbeat", "lakemend", "Resolved"),
    ],
    ids=["another column", "empty", "resolved"],
)
def test_nothing_else_is_a_heartbeat(payload: Any) -> None:
    (alert,) = parse(payload, Targets([])).alerts
    assert alert.dialect != HEARTBEAT
    assert alert.disposition is not Disposition.ACCEPTED


def test_two_hours_are_two_heartbeats() -> None:
    later = fired("LakemendHeartbeat", "lakemend")
    later["data"]["essentials"]["firedDateTime"] = "2026-11-21T11:58:01Z"
    marks = {
        parse(body, Targets([])).alerts[0].fingerprint
        for body in (fired("LakemendHeartbeat", "lakemend"), later)
    }
    assert len(marks) == 2
