"""Control of SQL warehouses, statements and tables."""

import re

from sandbox.databricks.statements import Statement, StatementRule, Statements
from sandbox.databricks.tables import Tables
from sandbox.wire import Call, Json, Route, route


class SqlControl:
    """Sets warehouses and tables up and scripts statements."""

    def __init__(self, statements: Statements, tables: Tables) -> None:
        self._statements = statements
        self._tables = tables

    def routes(self) -> list[Route]:
        """Return what is served here."""
        base = "/_sandbox/databricks"
        return [
            route("POST", f"{base}/warehouses", self._warehouse),
            route("POST", f"{base}/statements", self._statement),
            route("POST", f"{base}/tables", self._table),
        ]

    def _warehouse(self, call: Call) -> Json:
        warehouse_id = call.body["warehouse_id"]
        self._statements.warehouses[warehouse_id] = call.body.get("state", "RUNNING")
        return {"warehouse_id": warehouse_id}

    def _statement(self, call: Call) -> Json:
        body = call.body
        error = None
        if "error_code" in body:
            error = {"error_code": body["error_code"], "message": body.get("message", "")}
        pattern = re.compile(body.get("match", ""), re.IGNORECASE | re.DOTALL)
        rule = StatementRule(
            pattern,
            error,
            body.get("duration_seconds", 0.0),
            body.get("times"),
            body.get("columns", []),
            body.get("rows", []),
        )
        self._statements.rules.append(rule)
        return {}

    def _table(self, call: Call) -> Json:
        name = call.body["full_name"]
        self._tables.add(name)
        self._tables.all[name.lower()] |= call.body.get("fields", {})
        return {}


def statement_state(statement: Statement) -> Json:
    """Write a statement with its text, for debugging."""
    return {
        "statement_id": statement.statement_id,
        "warehouse_id": statement.warehouse_id,
        "statement": statement.text,
        "state": statement.state,
        "error": statement.error,
    }
