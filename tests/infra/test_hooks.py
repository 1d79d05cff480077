"""The azd hooks that talk to Azure, run against stand-ins for az, azd and curl."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from shared.settings import load
from shared.targets import DataFactory, Workspace
from shared.vocabulary import Scope
from tests.infra import bicep
from tests.infra.bicep import Fields, Items, Text, Value
from tests.infra.conftest import INFRA

# Answers what the scripts look at, and writes down each call with one argument a line.
STAND_IN = """#!/bin/sh
{ printf '%s\\n' "$(basename "$0")" "$@"; echo '--end--'; } >> "$LOG"
case "$(basename "$0") $*" in
  *"ad app list"*) echo "${APP_THERE:-}" ;;
  *"ad app create"*) echo client-1 ;;
  *"ad app show"*) echo object-1 ;;
  *"signed-in-user"*) echo "${ME:-}" ;;
  *"ad sp list"*461e8683*) echo sender-1 ;;
  *"ad sp list"*) echo "${SP_THERE:-}" ;;
  *"ad sp create"*) echo resource-1 ;;
  *appRoleAssignments*--query*) echo "${GRANTED:-0}" ;;
  *"functionapp function list"*) echo "app/${FUNCTION:-event_grid_alert}" ;;
  curl*) printf '%s' "${STATUS:-401}" ;;
esac
"""
PEOPLE = '["team@example.com"]'
REGISTERED = {"LAKEMEND_WEBHOOK_CLIENT_ID": "client-1", "LAKEMEND_WEBHOOK_OBJECT_ID": "object-1"}
Run = Callable[..., tuple[subprocess.CompletedProcess[str], list[list[str]]]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    bins = tmp_path / "bin"
    bins.mkdir()
    for name in ("az", "azd", "curl", "sleep"):
        (bins / name).write_text(STAND_IN)
        (bins / name).chmod(0o755)
    copy = tmp_path / "infra"
    shutil.copytree(INFRA, copy, ignore=shutil.ignore_patterns("__pycache__"))
    log = tmp_path / "calls"

    def called(
        script: str, **environment: str
    ) -> tuple[subprocess.CompletedProcess[str], list[list[str]]]:
        log.write_text("")
        answer = subprocess.run(  # noqa: S603 - our own script
            ["/bin/sh", str(copy / "scripts" / script)],
            capture_output=True,
            text=True,
            check=False,
            env={"PATH": f"{bins}:{os.environ['PATH']}", "LOG": str(log)} | environment,
        )
        calls = log.read_text().split("--end--\n")[:-1]
        return answer, [call.splitlines() for call in calls]

    return called


def body(call: list[str]) -> dict[str, object]:
    """The JSON that a call sends; it may stand on several lines."""
    text = "\n".join(call[call.index("--body") + 1 :])
    found = json.JSONDecoder().raw_decode(text)[0]
    assert isinstance(found, dict)
    return found


def plain(value: Value) -> object:
    """A value of Bicep without anything computed, as JSON has it."""
    match value:
        case Fields():
            return {name: plain(inner) for name, inner in value.fields.items()}
        case Items():
            return [plain(inner) for inner in value.items]
        case Text():
            return value.text
        case _:
            return str(value)


def app_roles() -> dict[str, object]:
    found = plain(bicep.load(INFRA / "modules" / "function.bicep").variables["appRoles"])
    assert isinstance(found, dict)
    return found


def test_the_application_gets_the_roles_that_the_app_knows(run: Run) -> None:
    answer, calls = run("entra-app.sh", AZURE_ENV_NAME="dev")
    assert answer.returncode == 0, answer.stderr
    patch = body(next(call for call in calls if "PATCH" in call))
    assert patch["identifierUris"] == ["api://client-1"]
    roles = patch["appRoles"]
    assert isinstance(roles, list)
    assert [role["value"] for role in roles] == list(app_roles())
    grant = body(next(call for call in calls if "POST" in call))
    assert grant == {
        "principalId": "sender-1",
        "resourceId": "resource-1",
        "appRoleId": roles[0]["id"],
    }
    told = [call[3:] for call in calls if call[:3] == ["azd", "env", "set"]]
    assert told == [
        ["LAKEMEND_WEBHOOK_CLIENT_ID", "client-1"],
        ["LAKEMEND_WEBHOOK_OBJECT_ID", "object-1"],
    ]


def test_a_second_time_nothing_is_made_twice(run: Run) -> None:
    there = {"APP_THERE": "client-1", "SP_THERE": "resource-1", "GRANTED": "1"}
    answer, calls = run("entra-app.sh", AZURE_ENV_NAME="dev", **there)
    assert answer.returncode == 0, answer.stderr
    assert [call for call in calls if "create" in call or "POST" in call] == []


def test_who_makes_the_action_group_owns_the_application(run: Run) -> None:
    """Azure takes a secure webhook only from an owner of its application."""
    people = {"ME": "me-1", "LAKEMEND_OWNERS": "pipeline-1 pipeline-2"}
    answer, calls = run("entra-app.sh", AZURE_ENV_NAME="dev", LAKEMEND_WITHOUT_AZD="1", **people)
    assert answer.returncode == 0, answer.stderr
    added = [call[-1] for call in calls if call[1:5] == ["ad", "app", "owner", "add"]]
    assert added == ["me-1", "pipeline-1", "pipeline-2"]
    assert [call for call in calls if call[0] == "azd"] == []
    assert (
        "LAKEMEND_WEBHOOK_CLIENT_ID=client-1\nLAKEMEND_WEBHOOK_OBJECT_ID=object-1" in answer.stdout
    )


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, "LAKEMEND_WEBHOOK_CLIENT_ID and LAKEMEND_WEBHOOK_OBJECT_ID"),
        ({"LAKEMEND_WEBHOOK_CLIENT_ID": "client-1"}, "mode secure needs both"),
        ({"LAKEMEND_WEBHOOK_MODE": "key", "LAKEMEND_EMAILS": "[]"}, "LAKEMEND_EMAILS names nobody"),
        ({"LAKEMEND_WEBHOOK_MODE": "key"}, ""),
        ({"LAKEMEND_WEBHOOK_CLIENT_ID": "c", "LAKEMEND_WEBHOOK_OBJECT_ID": "o"}, ""),
    ],
)
def test_a_pipeline_without_application_or_people_is_refused(
    run: Run, given: dict[str, str], told: str
) -> None:
    answer, _ = run("inputs.sh", **{"LAKEMEND_EMAILS": PEOPLE, **given})
    assert (answer.returncode != 0) is bool(told)
    assert told in answer.stderr


def test_the_roles_are_scopes_of_the_app() -> None:
    granted = load({"APP_SERVICE_AUTH": json.dumps(app_roles())}).app_service_auth
    assert granted["ActionGroupsSecureWebhook"] == {Scope.SENDER}
    assert frozenset().union(*granted.values()) == set(Scope)


def test_the_targets_have_the_fields_that_the_app_takes() -> None:
    main = bicep.load(INFRA / "main.bicep")
    for variable, kind in (("factoryTargets", DataFactory), ("workspaceTargets", Workspace)):
        listed = main.variables[variable]
        assert isinstance(listed, Items)
        (target,) = listed.items
        assert isinstance(target, Fields)
        given = set(target.fields) - {"kind"}
        assert given <= set(kind.__struct_fields__)
        assert target.fields["kind"] == Text(str(kind.__struct_config__.tag))
        optional = {"environment", "tags", "workspace_id", "resource_id", "token_setting"}
        assert set(kind.__struct_fields__) - optional <= given


def test_the_first_time_budget_and_application_are_told_to_azd(run: Run) -> None:
    answer, calls = run("preprovision.sh", AZURE_ENV_NAME="staging", LAKEMEND_EMAILS=PEOPLE)
    assert answer.returncode == 0, answer.stderr
    told = [call[3] for call in calls if call[:3] == ["azd", "env", "set"]]
    assert told[0] == "LAKEMEND_BUDGET_START"
    assert "LAKEMEND_WEBHOOK_CLIENT_ID" in told


@pytest.mark.parametrize("nobody", ["", "[]", '[""]'])
def test_an_environment_that_would_tell_nobody_is_refused(run: Run, nobody: str) -> None:
    answer, calls = run("preprovision.sh", AZURE_ENV_NAME="dev", LAKEMEND_EMAILS=nobody)
    assert answer.returncode == 1
    assert "LAKEMEND_EMAILS names nobody" in answer.stderr
    assert calls == []


@pytest.mark.parametrize(
    "known",
    [{"LAKEMEND_WEBHOOK_MODE": "key"}, REGISTERED],
    ids=["by key", "registered already"],
)
def test_no_application_is_made_where_none_is_needed(run: Run, known: dict[str, str]) -> None:
    answer, calls = run(
        "preprovision.sh",
        AZURE_ENV_NAME="dev",
        LAKEMEND_BUDGET_START="2026-01-01",
        LAKEMEND_EMAILS=PEOPLE,
        **known,
    )
    assert answer.returncode == 0, answer.stderr
    assert calls == []


def test_half_an_application_is_made_whole(run: Run) -> None:
    half = {"LAKEMEND_WEBHOOK_CLIENT_ID": "client-1", "LAKEMEND_EMAILS": PEOPLE}
    answer, calls = run("preprovision.sh", AZURE_ENV_NAME="dev", **half)
    assert answer.returncode == 0, answer.stderr
    assert "LAKEMEND_WEBHOOK_OBJECT_ID" in [call[3] for call in calls if call[0] == "azd"]


def test_an_environment_of_another_name_is_refused(run: Run) -> None:
    answer, _ = run("preprovision.sh", AZURE_ENV_NAME="mine")
    assert answer.returncode == 1
    assert "expected dev, staging or prod" in answer.stderr


DEPLOYED = {
    "AZURE_RESOURCE_GROUP": "rg",
    "AZURE_FUNCTION_APP": "app",
    "AZURE_EVENT_TOPIC": "topic",
    "AZURE_STORAGE_ACCOUNT": "st",
    "LAKEMEND_URL": "https://app.example",
}


def test_events_are_led_to_the_function_once_it_is_there(run: Run) -> None:
    answer, calls = run("postdeploy.sh", **DEPLOYED)
    assert answer.returncode == 0, answer.stderr
    done = [" ".join(call[:4]) for call in calls]
    assert done[:2] == ["az functionapp function list", "az deployment group create"]
    given = {word.partition("=")[0] for word in calls[1] if "=" in word}
    wanted = bicep.load(INFRA / "modules" / "event-subscription.bicep").parameters
    assert given == {name for name, parameter in wanted.items() if parameter.default is None}
    assert "Lakemend runs at https://app.example" in answer.stdout


def test_a_function_that_never_comes_is_told(run: Run) -> None:
    answer, calls = run("postdeploy.sh", FUNCTION="another", **DEPLOYED)
    assert answer.returncode == 1
    assert "does not list event_grid_alert" in answer.stderr
    assert not any("deployment" in call for call in calls)


def test_an_app_that_lets_everybody_in_is_told(run: Run) -> None:
    answer, _ = run("postdeploy.sh", STATUS="200", **DEPLOYED)
    assert answer.returncode == 1
    assert "answered 200 without a key, expected 401" in answer.stderr
