"""The custom role of a factory holds what the code calls there, and nothing else."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from croniter import croniter

from tests.infra.conftest import INFRA, ROOT, Plant
from tests.infra.security import FACTORY_ACTIONS

# Actions that a method of the SDK's client needs.
# https://learn.microsoft.com/azure/role-based-access-control/permissions/analytics#microsoftdatafactory
NEEDED = {
    "pipeline_runs.get": {"pipelineruns/read"},
    "pipeline_runs.query_by_factory": {
        "pipelineruns/read",
        "querypipelineruns/action",
        "querypipelineruns/read",
    },
    "activity_runs.query_by_pipeline_run": {
        "pipelineruns/queryactivityruns/action",
        "pipelineruns/queryactivityruns/read",
        "pipelineruns/activityruns/read",
    },
    "pipelines.get": {"pipelines/read"},
    "pipelines.list_by_factory": {"pipelines/read"},
    "pipelines.create_run": {"pipelines/createrun/action"},
    "integration_runtimes.list_by_factory": {"integrationruntimes/read"},
    "integration_runtimes.get_status": {"integrationruntimes/getstatus/read"},
    "linked_services.list_by_factory": {"linkedServices/read"},
    "trigger_runs.rerun": {"triggers/triggerruns/rerun/action"},
}


def needed() -> set[str]:
    code = (ROOT / "shared" / "platforms" / "data_factory.py").read_text("utf-8")
    calls = set(re.findall(r"self\._client\.(\w+\.\w+)", code))
    assert calls <= set(NEEDED), calls - set(NEEDED)
    return {action for call in calls for action in NEEDED[call]}


def granted(source: str) -> set[str]:
    return set(re.findall(r"(?m)^  'Microsoft\.DataFactory/factories/([\w/]+)'", source))


def test_the_roles_of_a_factory_are_what_the_code_calls() -> None:
    source = (INFRA / "modules" / "factory.bicep").read_text("utf-8")
    assert granted(source) == needed()
    assert {f"Microsoft.DataFactory/factories/{action}" for action in needed()} == FACTORY_ACTIONS


def test_a_right_that_is_lost_is_seen(plant: Plant) -> None:
    line = "  'Microsoft.DataFactory/factories/integrationruntimes/getstatus/read'\n"
    plant("modules/factory.bicep", line, "")  # it must parse without it
    source = (INFRA / "modules" / "factory.bicep").read_text("utf-8").replace(line, "")
    assert needed() - granted(source) == {"integrationruntimes/getstatus/read"}


def test_the_costs_count_the_timers_as_they_are() -> None:
    text = "".join(path.read_text("utf-8") for path in (ROOT / "functions").glob("*.py"))
    schedules = re.findall(r'timer_trigger\(schedule="([^"]+)"', text)
    day = datetime(2026, 3, 1, tzinfo=UTC)
    turns = sum(_turns(schedule, day) for schedule in schedules) * 30
    page = (ROOT / "docs" / "deploy.md").read_text("utf-8")
    told = re.search(r"the timers, about ([\d,]+) turns", page)
    assert told is not None
    assert abs(int(told.group(1).replace(",", "")) - turns) <= turns * 0.02


def _turns(schedule: str, day: datetime) -> int:
    turns = croniter(schedule, day - timedelta(seconds=1), second_at_beginning=True)
    count = 0
    while turns.get_next(datetime) < day + timedelta(days=1):
        count += 1
    return count
