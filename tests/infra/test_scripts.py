"""The scripts around the deployment: secrets, package, hosts, workbook, queries."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

from shared.intake.azure_monitor import _BEAT
from shared.settings import load
from tests.infra.conftest import INFRA, ROOT

# An `az` that keeps secrets as files and writes down how it was called.
AZ = """#!/bin/sh
echo "az $*" >> "$STORE.calls"
case "$1 $2 $3" in
  "keyvault secret list") ls "$STORE" ;;
  "keyvault secret set")
    while [ $# -gt 0 ]; do
      case "$1" in --name) name=$2 ;; --file) file=$2 ;; esac
      shift
    done
    cat "$file" > "$STORE/$name" ;;
  "functionapp show "*) echo /subscriptions/s/resourceGroups/g/providers/Microsoft.Web/sites/a ;;
esac
"""


@pytest.fixture
def store(tmp_path: Path) -> Path:
    (tmp_path / "bin").mkdir()
    az = tmp_path / "bin" / "az"
    az.write_text(AZ)
    az.chmod(0o755)
    (tmp_path / "vault").mkdir()
    return tmp_path / "vault"


def write_secrets(store: Path, wanted: str) -> subprocess.CompletedProcess[str]:
    environment = {
        "PATH": f"{store.parent / 'bin'}:{os.environ['PATH']}",
        "STORE": str(store),
        "AZURE_KEY_VAULT": "kv",
        "AZURE_RESOURCE_GROUP": "g",
        "AZURE_FUNCTION_APP": "a",
        "LAKEMEND_VAULT_SETTINGS": wanted,
    }
    script = str(INFRA / "scripts" / "secrets.sh")
    return subprocess.run(  # noqa: S603 - our own script
        ["/bin/sh", script], capture_output=True, text=True, check=False, env=environment
    )


def test_missing_secrets_are_made_and_the_app_takes_them(store: Path) -> None:
    answer = write_secrets(store, "API_KEYS AUDIT_SIGNING_KEY")
    assert answer.returncode == 0, answer.stderr
    made = {path.name: path.read_text() for path in store.iterdir()}
    assert set(made) == {"API-KEYS", "AUDIT-SIGNING-KEY", "action-group-key"}
    settings = load({"API_KEYS": made["API-KEYS"], "AUDIT_SIGNING_KEY": made["AUDIT-SIGNING-KEY"]})
    by_name = {key.name: key for key in settings.api_keys}
    assert by_name["sender"].key == made["action-group-key"]
    assert {str(scope) for scope in by_name["sender"].scopes} == {"sender"}
    assert len({key.key for key in settings.api_keys}) == 3
    assert len(settings.signing_key) == 64


def test_no_value_is_printed_or_put_on_a_command_line(store: Path) -> None:
    answer = write_secrets(store, "API_KEYS AUDIT_SIGNING_KEY")
    calls = Path(f"{store}.calls").read_text()
    for path in store.iterdir():
        for value in re.findall(r"[0-9a-f]{64}", path.read_text()):
            assert value not in answer.stdout + answer.stderr + calls
    assert "configreferences/appsettings/refresh" in calls


def test_what_is_there_stays(store: Path) -> None:
    (store / "API-KEYS").write_text("mine")
    assert write_secrets(store, "API_KEYS").returncode == 0
    assert [p.name for p in store.iterdir()] == ["API-KEYS"]
    assert (store / "API-KEYS").read_text() == "mine"


def test_a_secret_that_only_people_know_is_asked_for(store: Path) -> None:
    answer = write_secrets(store, "PLAYBOOK_RETRY_JOB")
    assert answer.returncode == 1
    assert "the secret PLAYBOOK-RETRY-JOB is missing" in answer.stderr


@pytest.mark.parametrize("script", sorted(INFRA.glob("scripts/*.sh")), ids=lambda p: p.name)
def test_shell_scripts_parse_and_can_be_run(script: Path) -> None:
    subprocess.run(["/bin/sh", "-n", str(script)], check=True)  # noqa: S603 - our own script
    assert os.access(script, os.X_OK)
    assert "set -eu" in script.read_text()


@pytest.mark.parametrize("backend", ["storage", "scheduler"])
def test_the_package_holds_what_runs_and_nothing_else(tmp_path: Path, backend: str) -> None:
    out = tmp_path / "app.zip"
    subprocess.run(  # noqa: S603 - our own script
        ["/bin/sh", str(INFRA / "scripts" / "package.sh"), str(out), backend],
        check=True,
        env=os.environ | {"LAKEMEND_PACKAGE_BARE": "1"},
    )
    with zipfile.ZipFile(out) as archive:
        names = set(archive.namelist())
        host = json.loads(archive.read("host.json"))
    assert {"function_app.py", "host.json", "requirements.txt", "shared/settings.py"} <= names
    assert {name.split("/")[0] for name in names} == {
        *("functions", "shared", "function_app.py", "host.json", "requirements.txt"),
    }
    kind = host["extensions"]["durableTask"]["storageProvider"]["type"]
    assert kind == {"storage": "AzureStorage", "scheduler": "azureManaged"}[backend]


def test_the_two_hosts_differ_in_the_backend_alone() -> None:
    usual = json.loads((ROOT / "host.json").read_text())
    other = json.loads((INFRA / "host.scheduler.json").read_text())
    for host in (usual, other):
        del host["extensions"]["durableTask"]["storageProvider"]
        del host["extensions"]["durableTask"]["hubName"]
    assert usual == other


def test_the_settings_of_the_scheduler_are_the_ones_its_host_names() -> None:
    source = (INFRA / "modules" / "function.bicep").read_text()
    durable = json.loads((INFRA / "host.scheduler.json").read_text())["extensions"]["durableTask"]
    assert f"{durable['storageProvider']['connectionStringName']}:" in source
    assert f"{durable['hubName'].strip('%')}:" in source


def test_the_hooks_are_there() -> None:
    project = yaml.safe_load((ROOT / "azure.yaml").read_text())
    run = {name: Path(hook["run"]).name for name, hook in project["hooks"].items()}
    assert run == {
        "preprovision": "preprovision.sh",
        "postprovision": "secrets.sh",
        "postdeploy": "postdeploy.sh",
    }
    for hook in project["hooks"].values():
        assert hook["shell"] == "sh"
        assert os.access(ROOT / hook["run"], os.X_OK)
    app = project["services"]["app"]
    assert (app["language"], app["host"], app["remoteBuild"]) == ("python", "function", True)
    assert project["infra"] == {"provider": "bicep", "path": "infra", "module": "main"}
    source = (INFRA / "modules" / "function.bicep").read_text()
    assert [f"'azd-service-name': '{name}'" in source for name in project["services"]] == [True]


def test_the_scripts_get_what_they_ask_for() -> None:
    given = set(re.findall(r"^output (\w+) ", (INFRA / "main.bicep").read_text(), re.MULTILINE))
    by_azd = {"AZURE_ENV_NAME", "AZURE_LOCATION", "AZURE_PRINCIPAL_ID", "AZURE_PRINCIPAL_TYPE"}
    by_people = {
        "LAKEMEND_BUDGET_START",
        "LAKEMEND_WEBHOOK_MODE",
        "LAKEMEND_PACKAGE_BARE",
        "LAKEMEND_EMAILS",
    }
    by_people |= {"LAKEMEND_OWNERS", "LAKEMEND_WITHOUT_AZD"}
    by_scripts = {"LAKEMEND_WEBHOOK_CLIENT_ID", "LAKEMEND_WEBHOOK_OBJECT_ID"}
    asked = set()
    for script in INFRA.glob("scripts/*.sh"):
        asked |= set(re.findall(r"\$\{?((?:AZURE|LAKEMEND)_\w+)", script.read_text()))
        asked |= set(re.findall(r"env set (LAKEMEND_\w+)", script.read_text()))
    assert asked - given - by_azd - by_people - by_scripts == set()


def test_every_setting_of_the_environments_is_explained() -> None:
    page = (ROOT / "docs" / "deploy.md").read_text()
    asked = set()
    for path in INFRA.glob("env/*.bicepparam"):
        asked |= set(re.findall(r"readEnvironmentVariable\('(\w+)'", path.read_text()))
    assert {name for name in asked if f"`{name}`" not in page} == set()


def test_the_workbook_is_what_its_queries_give() -> None:
    script = str(INFRA / "scripts" / "build_workbook.py")
    checked = subprocess.run([sys.executable, script, "--check"], check=False)  # noqa: S603 - ours
    assert checked.returncode == 0, "run: python infra/scripts/build_workbook.py"


def test_every_query_is_used_and_every_used_one_is_there() -> None:
    there = {path.stem for path in INFRA.glob("workbook/queries/*.kql")}
    sources = "".join(path.read_text() for path in INFRA.rglob("*.bicep"))
    used = set(re.findall(r"queries/([\w-]+)\.kql", sources))
    book = json.loads((INFRA / "workbook" / "workbook.json").read_text())
    used |= {item["name"] for item in book["items"] if item["type"] == 3}
    assert there == used


@pytest.mark.parametrize("path", sorted(INFRA.glob("workbook/queries/*.kql")), ids=lambda p: p.stem)
def test_queries_hang_together(path: Path) -> None:
    text = path.read_text()
    assert text.startswith("// ")
    for opening, closing in ("()", "[]", "{}"):
        assert text.count(opening) == text.count(closing)
    # Quotes of one kind, so that a quote in a text never ends the text.
    assert all(line.count('"') % 2 == 0 for line in text.splitlines() if not line.startswith("//"))


def test_queries_and_documentation_name_the_same_metrics() -> None:
    named = set()
    for path in INFRA.glob("workbook/queries/*.kql"):
        named |= set(re.findall(r'"(lakemend\.[\w.]+)"', path.read_text()))
    page = (ROOT / "docs" / "deploy.md").read_text()
    assert named == set(re.findall(r"^\| `(lakemend\.[\w.]+)`", page, re.MULTILINE))


def test_the_heartbeat_is_known_by_the_column_that_its_rule_splits_by() -> None:
    rule = (INFRA / "modules" / "heartbeat.bicep").read_text()
    query = (INFRA / "workbook" / "queries" / "heartbeat.kql").read_text()
    assert f"name: '{_BEAT}'" in rule
    assert f"{_BEAT} = " in query


def test_an_alert_is_told_by_the_columns_that_intake_reads() -> None:
    """`shared/intake/azure_monitor.py` takes a run only under these names."""
    rules = (INFRA / "modules" / "failure-alerts.bicep").read_text()
    for rule, columns in {
        "failed-pipeline-runs": ("RunId", "PipelineName", "_ResourceId", "ErrorCode"),
        "failed-job-runs": ("JobRunId", "_ResourceId"),
    }.items():
        query = (INFRA / "workbook" / "queries" / f"{rule}.kql").read_text()
        assert all(name in query for name in columns)
        assert all(f"'{name}'" in rules for name in columns)
