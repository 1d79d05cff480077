"""Make a table that is missing, then rerun what failed. Off unless the catalog names the table.

Needs: CREATE TABLE on the schema and CAN_USE on the warehouse. Changes: one new table, from the DDL
file that the catalog names for exactly this table; never one that exists. Once only: Unity Catalog
tells whether the table is there. Verified: the rerun itself. Costs: a moment of the warehouse.
"""

from __future__ import annotations

import re

from shared.catalog.ddl import ddl_mistake
from shared.errors import PlatformRefused
from shared.models import Attempt, Json
from shared.remedies.base import (
    ABSENT,
    DONE,
    FAILED,
    PENDING,
    READY,
    Case,
    Look,
    Plan,
    Refusal,
    Visible,
)
from shared.remedies.restart_cluster import with_rerun
from shared.vocabulary import FailureKind

# The table or view `a`.`b`.`c` cannot be found. / Delta table a.b.c doesn't exist.
_MISSING = re.compile(
    r"table(?: or view)?:? ([`\w.-]{5,800}) (?:cannot be found|doesn't exist)", re.IGNORECASE
)


class CreateTable:
    """The remedy `create_table`."""

    def plan(self, case: Case, tried: list[Attempt]) -> Plan | Refusal:
        """Run the DDL that is configured for exactly the missing table."""
        del tried
        if case.failure.kind is FailureKind.PIPELINE_RUN:
            return Refusal("tables are only made in Databricks")
        name = _missing_table(case)
        if name is None:
            return Refusal("the catalog has no DDL for the missing table")
        spec = case.catalog.tables[name]
        wrong = ddl_mistake(case.catalog.folder, spec.ddl, name)
        if wrong:
            return Refusal(wrong)
        memo: Json = {"table": name, "warehouse_id": spec.warehouse_id, "ddl": spec.ddl}
        return with_rerun(case, ["create_table"], memo, f"create table {name}")


def _missing_table(case: Case) -> str | None:
    """The catalog's table that the platform names as missing."""
    lines = case.evidence.lines if case.evidence else []
    said = " ".join(line.message for line in lines)
    missing = {name.replace("`", "").lower() for name in _MISSING.findall(said)}
    return next((name for name in case.catalog.tables if name.lower() in missing), None)


class CreateTablePhase(Visible):
    """One DDL statement on the warehouse."""

    limit = READY

    def act(self, case: Case, memo: Json) -> Json:
        """Run the statement."""
        wrong = ddl_mistake(case.catalog.folder, memo["ddl"], memo["table"])
        if wrong:
            raise PlatformRefused(wrong)
        statement = (case.catalog.folder / memo["ddl"]).read_text("utf-8")
        api = case.platforms.workspace(case.failure.target)
        return {"statement_id": api.execute(memo["warehouse_id"], statement)}

    def look(self, case: Case, memo: Json) -> Look:
        """Whether the table is there, or its statement failed after all."""
        api = case.platforms.workspace(case.failure.target)
        if api.table_exists(memo["table"]):
            return Look(DONE, f"table {memo['table']} is there")
        if not memo.get("statement_id"):
            return Look(ABSENT)
        wrong = api.statement_failure(memo["statement_id"])
        return Look(FAILED, wrong) if wrong else Look(PENDING, "the statement goes on")
