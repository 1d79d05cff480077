"""What only sweeps read: linked services, runtimes, a key vault, access tokens, identities."""

from typing import Any

import pytest
from azure.mgmt.datafactory import DataFactoryManagementClient
from databricks.sdk import WorkspaceClient

from sandbox.testing import Sandbox
from sandbox.vault.api import PAGE


def test_linked_services_come_back_as_they_were_made(
    sandbox: Sandbox, factory: DataFactoryManagementClient
) -> None:
    store = {"referenceName": "kv", "type": "LinkedServiceReference"}
    password = {"type": "AzureKeyVaultSecret", "store": store, "secretName": "s"}
    body = {"type": "AzureSqlDatabase", "typeProperties": {"password": password}}
    sandbox.script("adf/linked-services", factory="adf", name="sql", properties=body)
    (listed,) = factory.linked_services.list_by_factory("rg", "adf")
    assert listed.name == "sql"
    assert listed.as_dict()["properties"]["typeProperties"]["password"]["secretName"] == "s"


def test_a_self_hosted_runtime_tells_its_nodes(
    sandbox: Sandbox, factory: DataFactoryManagementClient
) -> None:
    nodes = [{"nodeName": "vm-1", "status": "Offline", "expiryTime": "2030-01-01T00:00:00Z"}]
    body: dict[str, Any] = {"factory": "adf", "name": "ir", "state": "Limited", "nodes": nodes}
    sandbox.script("adf/integration-runtimes", **body)
    (listed,) = factory.integration_runtimes.list_by_factory("rg", "adf")
    assert listed.name == "ir"
    status = factory.integration_runtimes.get_status("rg", "adf", "ir").as_dict()["properties"]
    assert status["state"] == "Limited"
    assert status["typeProperties"]["nodes"][0]["expiryTime"].startswith("2030-01-01")


def test_the_vault_lists_names_and_dates_by_pages_and_gives_no_value(sandbox: Sandbox) -> None:
    secrets: list[Any] = [{"name": f"s{n:02d}", "attributes": {"exp": n}} for n in range(PAGE + 1)]
    secrets += [{"name": "s00", "version": "2", "managed": True}]
    sandbox.script("vault", address=sandbox.host, secrets=secrets)
    first = sandbox.raw("GET", "/secrets?api-version=7.4").body
    assert len(first["value"]) == PAGE
    newest = first["value"][0]
    assert newest["id"] == f"{sandbox.host}/secrets/s00"
    assert (newest["managed"], newest["attributes"]) == (True, {"enabled": True})
    rest = sandbox.raw("GET", first["nextLink"].removeprefix(sandbox.host)).body
    assert [row["id"].rpartition("/")[2] for row in rest["value"]] == [f"s{PAGE}"]
    assert rest["nextLink"] is None
    versions = sandbox.raw("GET", "/secrets/s00/versions?api-version=7.4").body["value"]
    assert [row["id"].rpartition("/")[2] for row in versions] == ["1", "2"]


@pytest.mark.parametrize(
    ("path", "status"),
    [("/secrets/s", 403), ("/secrets/gone/versions?api-version=7.4", 404), ("/secrets", 400)],
)
def test_what_the_vault_refuses(sandbox: Sandbox, path: str, status: int) -> None:
    sandbox.script("vault", secrets=[{"name": "s"}])
    assert sandbox.raw("GET", path).status == status
    assert sandbox.raw("GET", path, token=None).status == 401


def test_access_tokens_and_who_a_pipeline_runs_as(
    sandbox: Sandbox, workspace: WorkspaceClient
) -> None:
    listed = [{"token_id": "t" * 64, "comment": "app", "expiry_time": 5}]
    sandbox.script("databricks/access-tokens", tokens=listed)
    (token,) = workspace.tokens.list()
    assert (token.comment, token.expiry_time) == ("app", 5)
    made = sandbox.script("databricks/pipelines", name="dlt")
    sandbox.script("databricks/identity", pipeline_id=made["pipeline_id"], run_as="app-1")
    assert workspace.pipelines.get(str(made["pipeline_id"])).run_as_user_name == "app-1"


def test_health_needs_no_token(sandbox: Sandbox) -> None:
    assert sandbox.raw("GET", "/_sandbox/health", token=None).status == 200
