from collections.abc import Iterator

import pytest
from azure.core.credentials import AccessToken
from azure.core.pipeline import PipelineRequest
from azure.core.pipeline.policies import SansIOHTTPPolicy
from azure.core.rest import HttpRequest, HttpResponse
from azure.mgmt.datafactory import DataFactoryManagementClient
from databricks.sdk import WorkspaceClient
from databricks.sdk.config import Config

from sandbox.testing import Sandbox, running_sandbox

SUBSCRIPTION = "00000000-0000-0000-0000-000000000001"


class FixedToken:
    def get_token(self, *_scopes: str, **_options: object) -> AccessToken:
        return AccessToken("sandbox-token", 4_000_000_000)


class PlainBearer(SansIOHTTPPolicy[HttpRequest, HttpResponse]):
    """The SDK's own policy sends no token over plain HTTP."""

    def on_request(self, request: PipelineRequest[HttpRequest]) -> None:
        request.http_request.headers["Authorization"] = "Bearer sandbox-token"


@pytest.fixture(scope="session")
def served() -> Iterator[Sandbox]:
    with running_sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(served: Sandbox) -> Sandbox:
    served.control("POST", "reset")
    return served


@pytest.fixture
def workspace(sandbox: Sandbox) -> Iterator[WorkspaceClient]:
    config = Config(host=sandbox.host, token="sandbox-token", retry_timeout_seconds=1)
    client = WorkspaceClient(config=config)
    yield client
    client.api_client._api_client._session.close()


@pytest.fixture
def factory(sandbox: Sandbox) -> Iterator[DataFactoryManagementClient]:
    sandbox.script("factories", subscription_id=SUBSCRIPTION, resource_group="rg", name="adf")
    with DataFactoryManagementClient(
        FixedToken(),
        SUBSCRIPTION,
        base_url=sandbox.host,
        authentication_policy=PlainBearer(),
        retry_total=0,
    ) as client:
        yield client
