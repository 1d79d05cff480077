import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import (
    InvalidParameterValue,
    NotFound,
    PermissionDenied,
    ResourceDoesNotExist,
)
from databricks.sdk.service.sql import (
    ExecuteStatementRequestOnWaitTimeout,
    ServiceErrorCode,
    StatementResponse,
    StatementState,
)

from sandbox.testing import Sandbox

WAREHOUSE = "0123456789abcdef"
TABLE = "main.sales.orders"


@pytest.fixture(autouse=True)
def warehouse(sandbox: Sandbox) -> None:
    sandbox.script("databricks/warehouses", warehouse_id=WAREHOUSE, state="RUNNING")


def execute(
    workspace: WorkspaceClient,
    statement: str,
    wait: str | None = "30s",
    late: ExecuteStatementRequestOnWaitTimeout | None = None,
) -> StatementResponse:
    return workspace.statement_execution.execute_statement(
        statement, WAREHOUSE, wait_timeout=wait, on_wait_timeout=late
    )


def state(answer: StatementResponse) -> StatementState | None:
    assert answer.status is not None
    return answer.status.state


def polled(workspace: WorkspaceClient, answer: StatementResponse) -> StatementState | None:
    return state(workspace.statement_execution.get_statement(str(answer.statement_id)))


@pytest.mark.parametrize(
    "statement",
    [
        f"CREATE TABLE {TABLE} (id BIGINT) USING DELTA",
        f"create table if not exists {TABLE.upper()} (id BIGINT)",
        "CREATE TABLE `main`.`sales`.`orders` AS SELECT 1",
        "-- made by lakemend\n/* twice */ CREATE OR REPLACE TABLE main.sales.orders (id INT)",
    ],
)
def test_create_table_makes_a_table(workspace: WorkspaceClient, statement: str) -> None:
    assert workspace.tables.exists(TABLE).table_exists is False
    assert state(execute(workspace, statement)) == StatementState.SUCCEEDED
    assert workspace.tables.exists(TABLE).table_exists is True
    assert str(workspace.tables.get(TABLE).full_name).lower() == TABLE


def test_names_are_completed_from_the_request(workspace: WorkspaceClient) -> None:
    workspace.statement_execution.execute_statement(
        "CREATE TABLE orders (id INT)", WAREHOUSE, catalog="dev", schema="raw"
    )
    assert workspace.tables.exists("dev.raw.orders").table_exists is True


def test_a_table_that_is_there_fails_the_statement_not_the_request(
    sandbox: Sandbox, workspace: WorkspaceClient
) -> None:
    sandbox.script("databricks/tables", full_name=TABLE)
    answer = execute(workspace, f"CREATE TABLE {TABLE} (id INT)")
    assert state(answer) == StatementState.FAILED
    assert answer.status is not None
    assert answer.status.error is not None
    assert answer.status.error.error_code == ServiceErrorCode.BAD_REQUEST
    assert "[TABLE_OR_VIEW_ALREADY_EXISTS]" in str(answer.status.error.message)
    assert answer.status.sql_state == "42P07"
    tolerant = execute(workspace, f"CREATE TABLE IF NOT EXISTS {TABLE} (id INT)")
    assert state(tolerant) == StatementState.SUCCEEDED


def test_select_1_has_a_row_and_others_have_none(workspace: WorkspaceClient) -> None:
    one = execute(workspace, "SELECT 1")
    assert one.result is not None
    assert one.result.data_array == [["1"]]
    other = execute(workspace, "ANALYZE TABLE x COMPUTE STATISTICS")
    assert state(other) == StatementState.SUCCEEDED
    assert other.manifest is not None
    assert other.manifest.total_row_count == 0


def test_statements_can_be_scripted_to_fail(sandbox: Sandbox, workspace: WorkspaceClient) -> None:
    sandbox.script(
        "databricks/statements",
        match="create table",
        error_code="BAD_REQUEST",
        message="[INSUFFICIENT_PERMISSIONS] no",
        times=1,
    )
    text = f"CREATE TABLE {TABLE} (id INT)"
    states = [state(execute(workspace, text)) for _ in range(2)]
    assert states == [StatementState.FAILED, StatementState.SUCCEEDED]


def test_without_a_wait_it_is_polled_for(sandbox: Sandbox, workspace: WorkspaceClient) -> None:
    sandbox.script("databricks/statements", duration_seconds=20)
    answer = execute(workspace, f"CREATE TABLE {TABLE} (id INT)", wait="0s")
    assert state(answer) == StatementState.PENDING
    assert polled(workspace, answer) == StatementState.RUNNING
    assert workspace.tables.exists(TABLE).table_exists is False
    sandbox.advance(20)
    assert polled(workspace, answer) == StatementState.SUCCEEDED
    assert workspace.tables.exists(TABLE).table_exists is True


def test_what_takes_too_long_goes_on_or_is_cancelled(
    sandbox: Sandbox, workspace: WorkspaceClient
) -> None:
    sandbox.script("databricks/statements", duration_seconds=20)
    late = ExecuteStatementRequestOnWaitTimeout
    going = execute(workspace, "SELECT 1", wait="5s", late=late.CONTINUE)
    cancelled = execute(workspace, "SELECT 1", wait="5s", late=late.CANCEL)
    assert state(cancelled) == StatementState.CANCELED
    sandbox.advance(20)
    assert polled(workspace, going) == StatementState.SUCCEEDED
    assert state(execute(workspace, "SELECT 1", wait="20s")) == StatementState.SUCCEEDED


def test_cancelling_ends_only_what_goes_on(sandbox: Sandbox, workspace: WorkspaceClient) -> None:
    done = execute(workspace, "SELECT 1")
    sandbox.script("databricks/statements", duration_seconds=20)
    going = execute(workspace, f"CREATE TABLE {TABLE} (id INT)", wait="0s")
    for answer in (done, going):
        workspace.statement_execution.cancel_execution(str(answer.statement_id))
    sandbox.advance(60)
    assert polled(workspace, done) == StatementState.SUCCEEDED
    assert polled(workspace, going) == StatementState.CANCELED
    assert workspace.tables.exists(TABLE).table_exists is False


def test_a_stopped_warehouse_starts_first(sandbox: Sandbox, workspace: WorkspaceClient) -> None:
    sandbox.script("databricks/warehouses", warehouse_id=WAREHOUSE, state="STOPPED")
    answer = execute(workspace, "SELECT 1", wait="0s")
    assert polled(workspace, answer) == StatementState.PENDING
    sandbox.advance(3)
    assert polled(workspace, answer) == StatementState.SUCCEEDED
    assert sandbox.control("GET", "state")["databricks"]["warehouses"] == {WAREHOUSE: "RUNNING"}


def test_unknown_warehouses_and_statements(sandbox: Sandbox, workspace: WorkspaceClient) -> None:
    run = workspace.statement_execution.execute_statement
    with pytest.raises(InvalidParameterValue, match="nothing is not a valid endpoint id"):
        run("SELECT 1", "nothing")
    with pytest.raises(ResourceDoesNotExist):
        run("SELECT 1", "fedcba9876543210")
    with pytest.raises(NotFound):
        workspace.statement_execution.get_statement("nothing")
    sandbox.script("databricks/warehouses", warehouse_id=WAREHOUSE, state="DELETED")
    with pytest.raises(InvalidParameterValue):
        run("SELECT 1", WAREHOUSE)


@pytest.mark.parametrize("wait", ["3s", "51s", "5m", "10"])
def test_a_wait_outside_the_limits_is_refused(workspace: WorkspaceClient, wait: str) -> None:
    with pytest.raises(InvalidParameterValue, match="between 5s and 50s"):
        execute(workspace, "SELECT 1", wait=wait)


def test_an_unknown_table_is_404(sandbox: Sandbox, workspace: WorkspaceClient) -> None:
    with pytest.raises(NotFound, match="does not exist") as caught:
        workspace.tables.get(TABLE)
    assert caught.value.error_code == "TABLE_DOES_NOT_EXIST"
    with pytest.raises(InvalidParameterValue):
        workspace.tables.exists("orders")


def test_what_is_forbidden_is_403(sandbox: Sandbox, workspace: WorkspaceClient) -> None:
    sandbox.script("forbid", kind="warehouse", id=WAREHOUSE)
    sandbox.script("forbid", kind="table", id=TABLE)
    with pytest.raises(PermissionDenied):
        execute(workspace, "SELECT 1")
    with pytest.raises(PermissionDenied):
        workspace.tables.exists(TABLE)


def test_the_log_knows_whether_a_statement_had_an_effect(
    sandbox: Sandbox, workspace: WorkspaceClient
) -> None:
    execute(workspace, "SELECT 1")
    logged = sandbox.requests("sql/statements")[0]
    assert (logged["effect"], logged["body"]["wait_timeout"]) == (True, "30s")


def test_a_tables_history_is_told_newest_first(
    sandbox: Sandbox, workspace: WorkspaceClient
) -> None:
    sandbox.script("databricks/tables", full_name=TABLE)
    sandbox.script("databricks/tables", full_name=TABLE)
    answer = execute(workspace, "DESCRIBE HISTORY `main`.`sales`.`orders` LIMIT 1")
    assert answer.result is not None
    assert [row[0] for row in answer.result.data_array or []] == ["1"]
    missing = execute(workspace, "DESCRIBE HISTORY main.sales.nowhere")
    assert state(missing) is StatementState.FAILED
    assert state(execute(workspace, "SELECT 1 FROM main.sales.nowhere LIMIT 1")) is (
        StatementState.FAILED
    )


def test_a_warehouse_is_there_or_not(workspace: WorkspaceClient) -> None:
    assert workspace.warehouses.get(WAREHOUSE).id == WAREHOUSE
    with pytest.raises(NotFound):
        workspace.warehouses.get("fedcba9876543210")
