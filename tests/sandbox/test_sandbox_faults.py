import http.client
import subprocess
import sys
import time

import pytest
from azure.core.exceptions import HttpResponseError
from azure.mgmt.datafactory import DataFactoryManagementClient
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import NotFound

from sandbox.testing import Sandbox

LIST = "/api/2.1/clusters/list"
CREATE_RUN = "createRun"


def test_throttling_says_when_to_come_back(sandbox: Sandbox) -> None:
    sandbox.script(
        "faults",
        name="busy",
        path="clusters/list",
        times=1,
        status=429,
        headers={"Retry-After": "1"},
        body={"error_code": "REQUEST_LIMIT_EXCEEDED", "message": "slow down"},
    )
    reply = sandbox.raw("GET", LIST)
    assert (reply.status, reply.headers["Retry-After"]) == (429, "1")
    assert sandbox.raw("GET", LIST).status == 200
    assert [entry["fault"] for entry in sandbox.requests(LIST)] == ["busy", None]


def test_an_answer_can_fail_after_the_effect(
    sandbox: Sandbox, factory: DataFactoryManagementClient
) -> None:
    sandbox.script("adf/pipelines", factory="adf", name="plain")
    sandbox.script("faults", name="late", path=CREATE_RUN, status=500, times=1, after_effect=True)
    with pytest.raises(HttpResponseError):
        factory.pipelines.create_run("rg", "adf", "plain")
    assert len(sandbox.control("GET", "state")["factories"][0]["runs"]) == 1
    logged = sandbox.requests(CREATE_RUN)[0]
    assert (logged["status"], logged["effect"], logged["fault"]) == (500, True, "late")


def test_an_answer_can_fail_before_the_effect(
    sandbox: Sandbox, factory: DataFactoryManagementClient
) -> None:
    sandbox.script("adf/pipelines", factory="adf", name="plain")
    sandbox.script("faults", name="early", method="post", path=CREATE_RUN, status=500, times=1)
    with pytest.raises(HttpResponseError):
        factory.pipelines.create_run("rg", "adf", "plain")
    assert sandbox.control("GET", "state")["factories"][0]["runs"] == []
    assert sandbox.requests(CREATE_RUN)[0]["effect"] is False


def test_a_fault_may_let_some_pass_first(sandbox: Sandbox) -> None:
    sandbox.script("faults", name="second", path="clusters/list", skip=1, times=1, status=503)
    assert [sandbox.raw("GET", LIST).status for _ in range(3)] == [200, 503, 200]


def test_chance_repeats_itself_under_one_seed(sandbox: Sandbox) -> None:
    def series() -> list[int]:
        sandbox.control("DELETE", "faults")
        sandbox.script("faults", name="dice", path=LIST, status=503, probability=0.5, seed=7)
        return [sandbox.raw("GET", LIST).status for _ in range(12)]

    first = series()
    assert set(first) == {200, 503}
    assert series() == first


def test_a_connection_can_break(sandbox: Sandbox) -> None:
    sandbox.script("faults", name="gone", path="clusters/list", times=1, disconnect=True)
    with pytest.raises((http.client.RemoteDisconnected, ConnectionError)):
        sandbox.raw("GET", LIST)
    assert sandbox.requests(LIST)[0]["status"] is None


def test_an_answer_can_be_cut_short(sandbox: Sandbox) -> None:
    sandbox.script("faults", name="cut", path="clusters/list", times=1, truncate=True)
    with pytest.raises(http.client.IncompleteRead):
        sandbox.raw("GET", LIST)


def test_an_answer_can_be_slow(sandbox: Sandbox) -> None:
    sandbox.script("faults", name="slow", path="clusters/list", times=1, delay_seconds=0.05)
    before = time.monotonic()
    assert sandbox.raw("GET", LIST).status == 200
    assert time.monotonic() - before >= 0.05


@pytest.mark.parametrize(("token", "status"), [(None, 401), ("wrong", 403), ("old", 401)])
def test_databricks_refuses_bad_tokens(sandbox: Sandbox, token: str | None, status: int) -> None:
    sandbox.script("tokens", valid=["good"], expired=["old"])
    reply = sandbox.raw("GET", LIST, token=token)
    assert reply.status == status
    assert reply.body["error_code"] == status
    assert sandbox.raw("GET", LIST, token="good").status == 200


@pytest.mark.parametrize(
    ("token", "code"),
    [
        (None, "AuthenticationFailed"),
        ("wrong", "InvalidAuthenticationToken"),
        ("old", "ExpiredAuthenticationToken"),
    ],
)
def test_arm_refuses_bad_tokens(sandbox: Sandbox, token: str | None, code: str) -> None:
    sandbox.script("tokens", valid=["good"], expired=["old"])
    reply = sandbox.raw("GET", "/subscriptions/x?api-version=2018-06-01", token=token)
    assert (reply.status, reply.body["error"]["code"]) == (401, code)


def test_the_log_can_be_narrowed(sandbox: Sandbox) -> None:
    sandbox.raw("GET", LIST)
    sandbox.raw("POST", "/api/2.1/clusters/start", {"cluster_id": "x"})
    posts = sandbox.control("GET", "requests?method=post")["requests"]
    assert [entry["body"] for entry in posts] == [{"cluster_id": "x"}]
    later = sandbox.control("GET", f"requests?since={posts[0]['n']}")["requests"]
    assert later == []
    sandbox.control("DELETE", "requests")
    assert sandbox.requests() == []


def test_what_is_not_served_says_so(sandbox: Sandbox, workspace: WorkspaceClient) -> None:
    assert workspace.current_user.me().user_name == "sandbox@example.com"
    with pytest.raises(NotFound, match="No API found"):
        workspace.cluster_policies.get("x")


def test_a_mistake_in_a_control_request_is_explained(sandbox: Sandbox) -> None:
    reply = sandbox.raw("POST", "/_sandbox/factories", {"name": "x"})
    assert (reply.status, reply.body["error"]) == (400, "KeyError: 'subscription_id'")


def test_it_starts_from_the_command_line() -> None:
    command = [sys.executable, "-m", "sandbox", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - our own module
    assert "--speed" in done.stdout
