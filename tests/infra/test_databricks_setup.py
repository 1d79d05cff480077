"""Subscribing jobs and granting rights, with the real SDK against the sandbox."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.config import Config
from databricks.sdk.service.iam import PermissionLevel

from infra.databricks import grants, subscribe
from sandbox.testing import Sandbox, running_sandbox
from shared.remedies.registry import NAMES
from tests.infra.conftest import ROOT

URL = "https://app.example/databricks-monitor"
APP = "11111111-2222-3333-4444-555555555555"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with running_sandbox() as served:
        yield served


@pytest.fixture
def client(sandbox: Sandbox) -> Iterator[WorkspaceClient]:
    sandbox.control("POST", "reset")
    config = Config(host=sandbox.host, token="sandbox-token", retry_timeout_seconds=1)
    made = WorkspaceClient(config=config)
    yield made
    made.api_client._api_client._session.close()


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAKEMEND_SENDER_KEY", "a-sender-key-of-some-length")


def job(client: WorkspaceClient, **settings: Any) -> int:
    body = {"name": "nightly", **settings}
    return int(client.api_client.do("POST", "/api/2.2/jobs/create", body=body)["job_id"])


def on_failure(client: WorkspaceClient, job_id: int) -> list[str]:
    settings = client.jobs.get(job_id).settings
    assert settings is not None
    assert settings.webhook_notifications is not None
    return [webhook.id for webhook in settings.webhook_notifications.on_failure or []]


def test_a_job_is_subscribed_once_and_keeps_what_it_had(client: WorkspaceClient) -> None:
    old = {"on_failure": [{"id": "pager"}], "on_start": [{"id": "chat"}]}
    number = job(client, webhook_notifications=old, timeout_seconds=60)
    for _ in range(2):
        assert subscribe.main(["--url", URL, "--job", str(number)], client) == 0
    (listed,) = client.notification_destinations.list()
    assert on_failure(client, number) == ["pager", listed.id]
    settings = client.jobs.get(number).settings
    assert settings is not None
    assert settings.timeout_seconds == 60
    assert settings.webhook_notifications is not None
    assert [w.id for w in settings.webhook_notifications.on_start or []] == ["chat"]


def test_the_key_goes_as_password_and_is_not_said(
    client: WorkspaceClient, sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    subscribe.main(["--url", URL, "--job", str(job(client))], client)
    sent = [r for r in sandbox.requests("notification-destinations") if r["method"] == "POST"]
    assert sent[0]["body"]["config"]["generic_webhook"] == {
        "url": URL,
        "username": "lakemend",
        "password": "a-sender-key-of-some-length",
    }
    said = capsys.readouterr()
    assert "a-sender-key" not in said.out + said.err


def test_all_jobs_on_all_pages(client: WorkspaceClient) -> None:
    numbers = [job(client, name=f"job-{i}") for i in range(23)]
    assert subscribe.main(["--url", URL, "--all"], client) == 0
    assert all(len(on_failure(client, number)) == 1 for number in numbers)


def test_a_full_job_is_told_and_left_alone(
    client: WorkspaceClient, capsys: pytest.CaptureFixture[str]
) -> None:
    full = {"on_failure": [{"id": "a"}, {"id": "b"}, {"id": "c"}]}
    number = job(client, webhook_notifications=full)
    assert subscribe.main(["--url", URL, "--job", str(number)], client) == 1
    assert "NOT subscribed" in capsys.readouterr().out
    assert on_failure(client, number) == ["a", "b", "c"]


def test_a_plain_address_is_refused(client: WorkspaceClient) -> None:
    with pytest.raises(SystemExit):
        subscribe.main(["--url", "http://app.example", "--all"], client)


def levels(client: WorkspaceClient, kind: str, name: str) -> list[PermissionLevel | None]:
    entries = client.permissions.get(kind, name).access_control_list or []
    ours = [e for e in entries if e.service_principal_name == APP]
    return [p.permission_level for e in ours for p in e.all_permissions or []]


def test_observing_is_granted_where_no_remedy_is_named(client: WorkspaceClient) -> None:
    number = str(job(client))
    grants.main(["--principal", APP, "--job", number], client)
    assert levels(client, "jobs", number) == [PermissionLevel.CAN_VIEW]


def test_the_most_that_the_named_remedies_need_is_granted(client: WorkspaceClient) -> None:
    number = str(job(client))
    asked = ["--principal", APP, "--job", number, "--remedy", "rerun"]
    grants.main(asked, client)
    assert levels(client, "jobs", number) == [PermissionLevel.CAN_MANAGE_RUN]
    grants.main([*asked, "--remedy", "scale_up"], client)
    assert levels(client, "jobs", number) == [PermissionLevel.CAN_MANAGE]


def test_a_remedy_grants_nothing_where_it_does_nothing() -> None:
    assert grants.least("jobs", ["full_refresh"]) is PermissionLevel.CAN_VIEW
    assert grants.least("clusters", ["rerun", "restart_cluster"]) is PermissionLevel.CAN_RESTART


def test_the_remedies_are_the_apps_and_the_documentation_shows_the_table() -> None:
    assert set(grants.LEAST) - {""} == set(NAMES)
    page = (ROOT / "docs" / "deploy.md").read_text("utf-8")
    for remedy, kinds in grants.LEAST.items():
        row = next(r for r in page.splitlines() if r.startswith(f"| `{remedy or 'observe'}`"))
        for kind, level in kinds.items():
            assert f"{kind.removesuffix('s')} {level.value.replace('_', ' ')}" in row, remedy
        for privilege in grants.PRIVILEGES.get(remedy, {}).get("schema", []):
            assert f"`{privilege.value.replace('_', ' ')}`" in row, remedy
    deliveries = page.partition("A delivery ([delivery.md]")[2].partition("\n\n")[0]
    for privilege in grants.PRIVILEGES["delivery"]["schema"]:
        assert f"`{privilege.value.replace('_', ' ')}`" in deliveries.replace("\n", " ")


def test_tables_are_made_with_a_warehouse_and_a_schema(
    client: WorkspaceClient, sandbox: Sandbox
) -> None:
    sandbox.control("POST", "databricks/schemas", {"full_name": "main.sales"})
    sandbox.control("POST", "databricks/warehouses", {"warehouse_id": "wh-1"})
    asked = ["--principal", APP, "--warehouse", "wh-1", "--schema", "main.sales"]
    grants.main([*asked, "--remedy", "create_table"], client)
    assert levels(client, "warehouses", "wh-1") == [PermissionLevel.CAN_USE]
    assert held(client, "schema", "main.sales") == {"USE_SCHEMA", "CREATE_TABLE"}
    assert held(client, "catalog", "main") == {"USE_CATALOG"}
    grants.main([*asked, "--delivery"], client)
    assert "CREATE_MATERIALIZED_VIEW" in held(client, "schema", "main.sales")


def held(client: WorkspaceClient, kind: str, name: str) -> set[str]:
    body = client.api_client.do("GET", f"/api/2.1/unity-catalog/permissions/{kind}/{name}")
    rows = body.get("privilege_assignments", [])
    return {each for row in rows if row["principal"] == APP for each in row["privileges"]}


def test_a_schema_without_its_catalog_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        grants.main(["--principal", APP, "--schema", "sales", "--delivery"])
    assert "expected <catalog>.<schema>" in capsys.readouterr().err


def test_a_remedy_that_needs_nothing_there_grants_nothing() -> None:
    assert grants.least("warehouses", ["playbook", "wait_for_upstream"]) is None
