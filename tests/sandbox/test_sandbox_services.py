import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

from azure.mgmt.datafactory import DataFactoryManagementClient
from databricks.sdk import WorkspaceClient
from databricks.sdk.service.jobs import RunResultState

from sandbox.testing import Sandbox

SIMPLE = "application/vnd.pypi.simple.v1+json"
FAILED = {"status": "Failed", "error": {"errorCode": "2200", "message": "no"}}


@dataclass(frozen=True)
class Page:
    status: int
    kind: str
    text: str
    address: str


def fetch(sandbox: Sandbox, path: str, accept: str = SIMPLE) -> Page:
    request = urllib.request.Request(sandbox.host + path, headers={"Accept": accept})  # noqa: S310 - our own host
    try:
        with urllib.request.urlopen(request) as answer:  # noqa: S310 - our own host
            text = answer.read().decode()
            return Page(answer.status, str(answer.headers["Content-Type"]), text, answer.url)
    except urllib.error.HTTPError as error:
        with error:
            return Page(error.code, "", error.read().decode(), "")


def playbook(sandbox: Sandbox, **more: object) -> str:
    made = sandbox.script("playbooks", **{"id": "retry", "sig": "s3cret+/=", **more})
    return str(made["path"])


def call(sandbox: Sandbox, path: str, **metadata: object) -> tuple[int, Any]:
    reply = sandbox.raw("POST", path, {"metadata": metadata}, token=None)
    return reply.status, reply.body


def code(answer: tuple[int, Any]) -> tuple[int, str]:
    return answer[0], answer[1]["error"]["code"]


def failed_pipeline_run(sandbox: Sandbox) -> str:
    sandbox.script("adf/pipelines", factory="adf", name="load")
    made = sandbox.script("adf/runs", factory="adf", pipeline="load", outcome=FAILED, finished=True)
    return str(made["run_id"])


def test_a_playbook_recovers_a_pipeline_run(
    sandbox: Sandbox, factory: DataFactoryManagementClient
) -> None:
    old = failed_pipeline_run(sandbox)
    path = playbook(sandbox, effect={"adf_rerun": True})
    status, answer = call(sandbox, path, factory="adf", pipeline="load", run_id=old)
    sandbox.advance(60)
    run = factory.pipeline_runs.get("rg", "adf", answer["new_run_id"])
    assert (status, run.status, run.run_group_id) == (200, "Succeeded", old)
    logged = sandbox.requests("/workflows/")[0]
    assert (logged["effect"], logged["status"]) == (True, 200)
    assert logged["body"]["metadata"]["run_id"] == old


def test_a_playbook_repairs_a_job_run(sandbox: Sandbox, workspace: WorkspaceClient) -> None:
    task = {"task_key": "only", "notebook_task": {"notebook_path": "/x"}}
    job_id = sandbox.script("databricks/jobs", name="n", tasks=[task])["job_id"]
    made = sandbox.script(
        "databricks/runs", job_id=job_id, outcome={"result": "FAILED"}, finished=True
    )
    path = playbook(sandbox, effect={"databricks_repair": True})
    status, answer = call(sandbox, path, run_id=str(made["run_id"]))
    sandbox.advance(60)
    run = workspace.jobs.get_run(made["run_id"], include_history=True)
    assert run.state is not None
    assert (status, run.state.result_state) == (200, RunResultState.SUCCESS)
    assert [x.id for x in run.repair_history or []] == [None, answer["repair_id"]]


def test_answers_are_scripted(sandbox: Sandbox, factory: DataFactoryManagementClient) -> None:
    old = failed_pipeline_run(sandbox)
    where = {"factory": "adf", "pipeline": "load", "run_id": old}
    quiet = playbook(sandbox, id="quiet", status=202)
    assert call(sandbox, quiet, **where) == (202, "")
    told = playbook(sandbox, id="told", answer={"note": "done"}, effect={"adf_rerun": True})
    assert call(sandbox, told, **where) == (200, {"note": "done"})
    broken = playbook(sandbox, id="broken", status=500)
    assert code(call(sandbox, broken, **where)) == (500, "NoResponse")
    runs = sandbox.control("GET", "state")["factories"][0]["runs"]
    assert len(runs) == 2


def test_a_playbook_that_cannot_do_its_work_does_not_answer(
    sandbox: Sandbox, factory: DataFactoryManagementClient
) -> None:
    path = playbook(sandbox, effect={"adf_rerun": True})
    wrong = call(sandbox, path, factory="adf", pipeline="nothing", run_id="x")
    assert code(wrong) == (502, "NoResponse")
    repairing = playbook(sandbox, effect={"databricks_repair": True})
    assert code(call(sandbox, repairing, run_id=1)) == (502, "NoResponse")


def test_the_signature_is_checked(sandbox: Sandbox) -> None:
    path = playbook(sandbox)
    unsigned = path.partition("&sig=")[0]
    assert code(call(sandbox, unsigned)) == (401, "DirectApiAuthorizationRequired")
    assert code(call(sandbox, unsigned + "&sig=x")) == (401, "AuthorizationFailed")
    other = path.replace("%2Fmanual%2Frun", "%2Fother%2Frun")
    assert code(call(sandbox, other)) == (401, "AuthorizationFailed")
    both = sandbox.raw("POST", path, {})
    assert (both.status, both.body["error"]["code"]) == (
        401,
        "DirectApiRequestHasMoreThanOneAuthorization",
    )
    unversioned = path.replace("api-version=2016-10-01&", "")
    assert code(call(sandbox, unversioned)) == (400, "MissingApiVersionParameter")


def test_disabled_and_unknown_workflows(sandbox: Sandbox) -> None:
    path = playbook(sandbox, enabled=False)
    assert code(call(sandbox, path)) == (400, "WorkflowTriggerIsNotEnabled")
    unknown = path.replace("/retry/", "/nothing/")
    assert code(call(sandbox, unknown)) == (404, "WorkflowNotFound")


def test_faults_strike_playbooks_too(
    sandbox: Sandbox, factory: DataFactoryManagementClient
) -> None:
    old = failed_pipeline_run(sandbox)
    path = playbook(sandbox, effect={"adf_rerun": True})
    sandbox.script("faults", name="late", path="/workflows/", status=504, after_effect=True)
    status, _ = call(sandbox, path, factory="adf", pipeline="load", run_id=old)
    logged = sandbox.requests("/workflows/")[0]
    assert (status, logged["fault"], logged["effect"]) == (504, "late", True)


def test_the_index_lists_versions(sandbox: Sandbox) -> None:
    sandbox.script("index", packages={"My_Lib": ["1.0", "1.1"]}, yanked={"my.lib": ["1.1"]})
    page = fetch(sandbox, "/simple/my-lib/")
    assert (page.status, page.kind) == (200, SIMPLE)
    listed = json.loads(page.text)
    assert listed["meta"] == {"api-version": "1.1"}
    assert (listed["name"], listed["versions"]) == ("my-lib", ["1.0", "1.1"])
    files = [(x["filename"], x["yanked"], x["requires-python"]) for x in listed["files"]]
    assert files == [
        ("my_lib-1.0-py3-none-any.whl", False, None),
        ("my_lib-1.1-py3-none-any.whl", True, None),
    ]
    assert len(sandbox.requests("/simple/")) == 1


def test_the_index_redirects_to_the_normal_name(sandbox: Sandbox) -> None:
    sandbox.script("index", packages={"my-lib": ["1.0"]})
    for path in ("/simple/My.Lib/", "/simple/my-lib"):
        assert fetch(sandbox, path).address == f"{sandbox.host}/simple/my-lib/"


def test_the_index_speaks_html_unless_asked(sandbox: Sandbox) -> None:
    sandbox.script("index", packages={"lib": ["1.0", "1.1"]}, yanked={"lib": ["1.0"]})
    page = fetch(sandbox, "/simple/lib/", "*/*")
    assert page.kind.startswith("text/html")
    assert page.text.count("<a ") == 2
    assert page.text.count("data-yanked") == 1
    assert fetch(sandbox, "/simple/lib/", "image/png").status == 406


def test_the_index_does_not_know_everything(sandbox: Sandbox) -> None:
    sandbox.script("index", packages={"lib": ["1.0"]})
    assert fetch(sandbox, "/simple/nothing/").status == 404
    sandbox.script("faults", name="down", path="/simple/", status=503, times=1)
    assert [fetch(sandbox, "/simple/lib/").status for _ in range(2)] == [503, 200]
