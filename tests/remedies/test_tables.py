"""Making a missing table: a slow warehouse, a statement that fails late, a crash in between."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from shared.catalog.loader import TableDdl
from shared.errors import PlatformRefused
from shared.remedies.base import ABSENT, DONE, FAILED, PENDING, Case, Plan, Refusal
from shared.remedies.create_table import CreateTable, CreateTablePhase
from tests.remedies.conftest import Bench

TABLE, WAREHOUSE = "main.sales.orders", "0123456789abcdef"
ERROR = "[TABLE_OR_VIEW_NOT_FOUND] The table or view `main`.`sales`.`orders` cannot be found."


@pytest.fixture
def bench(bench: Bench, tmp_path: Path) -> Bench:
    (tmp_path / "orders.sql").write_text(f"CREATE TABLE IF NOT EXISTS {TABLE} (id INT)", "utf-8")
    tables = {TABLE: TableDdl("orders.sql", WAREHOUSE)}
    bench.catalog = replace(bench.catalog, tables=tables, folder=tmp_path)
    bench.sandbox.script("databricks/warehouses", warehouse_id=WAREHOUSE)
    return bench


def planned(bench: Bench) -> tuple[Case, Plan]:
    case = bench.failed_job({"environment_key": "default"}, ERROR)
    plan = CreateTable().plan(case, [])
    assert isinstance(plan, Plan), plan
    return case, plan


def test_a_statement_that_takes_long_is_waited_for(bench: Bench) -> None:
    bench.sandbox.script("databricks/statements", duration_seconds=120)
    case, plan = planned(bench)
    phase = CreateTablePhase()
    memo = plan.memo | phase.act(case, plan.memo)
    assert phase.look(case, memo).status == PENDING
    bench.sandbox.advance(200)
    assert phase.look(case, memo).status == DONE


def test_a_statement_that_fails_late_has_failed(bench: Bench) -> None:
    rule = {"error_code": "BAD_REQUEST", "message": "no such schema", "duration_seconds": 120}
    bench.sandbox.script("databricks/statements", **rule)
    case, plan = planned(bench)
    phase = CreateTablePhase()
    memo = plan.memo | phase.act(case, plan.memo)
    bench.sandbox.advance(200)
    look = phase.look(case, memo)
    assert look.status == FAILED
    assert "no such schema" in look.note


def test_a_statement_that_fails_at_once_is_refused(bench: Bench) -> None:
    bench.sandbox.script("databricks/statements", error_code="BAD_REQUEST", message="no schema")
    case, plan = planned(bench)
    with pytest.raises(PlatformRefused, match="no schema"):
        CreateTablePhase().act(case, plan.memo)


def test_after_a_crash_the_table_itself_tells(bench: Bench) -> None:
    case, plan = planned(bench)
    phase = CreateTablePhase()
    assert phase.look(case, plan.memo).status == ABSENT
    phase.act(case, plan.memo)  # its answer was never written down
    assert phase.look(case, plan.memo).status == DONE


def test_a_ddl_file_that_was_changed_meanwhile_is_not_run(bench: Bench) -> None:
    case, plan = planned(bench)
    (bench.catalog.folder / "orders.sql").write_text("DROP TABLE main.sales.orders", "utf-8")
    with pytest.raises(PlatformRefused, match="does not begin with CREATE TABLE"):
        CreateTablePhase().act(case, plan.memo)
    assert bench.sandbox.requests("sql/statements") == []
    assert isinstance(CreateTable().plan(case, []), Refusal)
