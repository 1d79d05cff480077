"""sql/statements over HTTP."""

from sandbox.databricks.access import Access
from sandbox.databricks.requests import need
from sandbox.databricks.statements import Statement, Statements, read_late, read_wait
from sandbox.wire import Call, Json, Route, route


class StatementsApi:
    """Answers for statements."""

    def __init__(self, statements: Statements, access: Access) -> None:
        self._statements = statements
        self._access = access

    def routes(self) -> list[Route]:
        """Return what is served here."""
        base = r"/api/2\.0/sql/statements"
        return [
            route("POST", f"{base}/?", self._execute),
            route("GET", base + "/{statement_id}", self._get),
            route("POST", base + "/{statement_id}/cancel", self._cancel),
            route("GET", r"/api/2\.0/sql/warehouses/{warehouse_id}", self._warehouse),
        ]

    def _execute(self, call: Call) -> Json:
        warehouse_id = str(need(call.body, "warehouse_id"))
        need(call.body, "statement")
        wait = read_wait(call.body.get("wait_timeout"))
        late = read_late(call.body.get("on_wait_timeout"))
        self._statements.check_warehouse(warehouse_id)
        self._access.check("warehouse", warehouse_id)
        return statement_view(self._statements.execute(call.body, wait, cancel_late=late))

    def _warehouse(self, call: Call) -> Json:
        name = call.params["warehouse_id"]
        self._statements.check_warehouse(name)
        self._access.check("warehouse", name)
        return {"id": name, "name": name, "state": self._statements.warehouses[name]}

    def _named(self, call: Call) -> Statement:
        statement = self._statements.get(call.params["statement_id"])
        self._access.check("warehouse", statement.warehouse_id)
        return statement

    def _get(self, call: Call) -> Json:
        return statement_view(self._named(call))

    def _cancel(self, call: Call) -> Json:
        self._statements.cancel(self._named(call))
        return {}


def statement_view(statement: Statement) -> Json:
    """Write a statement; its result is there once it has succeeded."""
    status: Json = {"state": statement.state}
    if statement.error is not None:
        status["error"] = statement.error
    if statement.sql_state is not None:
        status["sql_state"] = statement.sql_state
    view: Json = {"statement_id": statement.statement_id, "status": status}
    return (
        {**view, **result_view(statement.columns, statement.rows)}
        if statement.state == "SUCCEEDED"
        else view
    )


def result_view(names: list[str], rows: list[list[str | None]]) -> Json:
    """Write manifest and first chunk of a result; there never is a second one."""
    columns = [column_view(position, name) for position, name in enumerate(names)]
    count = {"row_offset": 0, "row_count": len(rows)}
    schema: Json = {"column_count": len(columns), "columns": columns}
    manifest: Json = {
        "format": "JSON_ARRAY",
        "schema": schema if columns else {"column_count": 0},
        "total_chunk_count": 1 if columns else 0,
        "total_row_count": len(rows),
        "truncated": False,
    }
    if not columns:
        return {"manifest": manifest, "result": {}}
    manifest["chunks"] = [{"chunk_index": 0, **count}]
    return {"manifest": manifest, "result": {"chunk_index": 0, **count, "data_array": rows}}


def column_view(position: int, name: str) -> Json:
    """Write a column; only that of SELECT 1 is no text."""
    kind = "INT" if name == "1" else "STRING"
    return {"name": name, "position": position, "type_name": kind, "type_text": kind}
