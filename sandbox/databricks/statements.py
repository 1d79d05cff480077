"""SQL warehouses and the statements that run on them."""

import re
from dataclasses import dataclass, field

from sandbox.clock import Timeline
from sandbox.databricks.errors import (
    invalid_parameter,
    not_found,
    statement_unknown,
    warehouse_id_invalid,
)
from sandbox.databricks.models import Durations
from sandbox.databricks.sql import is_select_1, parse_create, parse_history, parse_read
from sandbox.databricks.tables import Tables
from sandbox.ids import Ids
from sandbox.wire import Json

OVER = {"SUCCEEDED", "FAILED", "CANCELED", "CLOSED"}
WELL_FORMED = re.compile(r"[0-9a-f]{16}")


@dataclass
class StatementRule:
    """How statements that match go: they take their time, and fail if an error is given."""

    match: re.Pattern[str]
    error: Json | None
    duration_seconds: float
    times: int | None
    columns: list[str] = field(default_factory=list)
    rows: list[list[str | None]] = field(default_factory=list)


@dataclass
class Statement:
    """One statement."""

    statement_id: str
    warehouse_id: str
    request: Json
    rule: StatementRule | None
    state: str = "PENDING"
    error: Json | None = None
    sql_state: str | None = None
    columns: list[str] = field(default_factory=list)
    rows: list[list[str | None]] = field(default_factory=list)

    @property
    def text(self) -> str:
        """Return the SQL."""
        return str(self.request["statement"])

    def over(self) -> bool:
        """Say whether it has ended."""
        return self.state in OVER


class Statements:
    """All warehouses and statements of the workspace."""

    def __init__(self, tables: Tables, timeline: Timeline, ids: Ids, durations: Durations) -> None:
        self.warehouses: dict[str, str] = {}
        self.rules: list[StatementRule] = []
        self.all: dict[str, Statement] = {}
        self._tables = tables
        self._timeline = timeline
        self._ids = ids
        self._durations = durations

    def check_warehouse(self, warehouse_id: str) -> None:
        """Refuse a warehouse that is none, or that is gone."""
        state = self.warehouses.get(warehouse_id)
        if state in {"DELETING", "DELETED"}:
            raise invalid_parameter(f"SQL warehouse {warehouse_id} is {state}.")
        if state is None and not WELL_FORMED.fullmatch(warehouse_id):
            raise warehouse_id_invalid(warehouse_id)
        if state is None:
            raise not_found(f"SQL warehouse {warehouse_id} does not exist.")

    def get(self, statement_id: str) -> Statement:
        """Return a statement or refuse."""
        statement = self.all.get(statement_id)
        if statement is None:
            raise statement_unknown(statement_id)
        return statement

    def execute(self, request: Json, wait: float, *, cancel_late: bool) -> Statement:
        """Run a statement; what ends within the wait has ended in the answer, at once.

        A stopped warehouse starts for it. Nobody really waits: the durations are compared.
        """
        warehouse_id = request["warehouse_id"]
        statement = Statement(self._ids.guid(), warehouse_id, request, self._rule(request))
        self.all[statement.statement_id] = statement
        self._timeline.mark()
        boot = 0.0 if self.warehouses[warehouse_id] == "RUNNING" else self._durations.start
        needed = boot + (statement.rule.duration_seconds if statement.rule else 0.0)
        self._boot(warehouse_id, boot)
        if needed <= wait and wait > 0:
            self._carry_out(statement)
        elif wait > 0 and cancel_late:
            statement.state = "CANCELED"
        else:
            self._timeline.after(boot, lambda: self._begin(statement))
            self._timeline.after(needed, lambda: self._carry_out(statement))
        return statement

    def cancel(self, statement: Statement) -> None:
        """Cancel; a statement that has ended stays as it is."""
        if not statement.over():
            statement.state = "CANCELED"
            self._timeline.mark()

    def _rule(self, request: Json) -> StatementRule | None:
        text = str(request["statement"])
        fitting = (rule for rule in self.rules if rule.times != 0 and rule.match.search(text))
        rule = next(fitting, None)
        if rule is not None and rule.times is not None:
            rule.times -= 1
        return rule

    def _boot(self, warehouse_id: str, seconds: float) -> None:
        def up() -> None:
            if self.warehouses.get(warehouse_id) == "STARTING":
                self.warehouses[warehouse_id] = "RUNNING"

        if seconds:
            self.warehouses[warehouse_id] = "STARTING"
            self._timeline.after(seconds, up)

    def _begin(self, statement: Statement) -> None:
        if statement.state == "PENDING":
            statement.state = "RUNNING"

    def _carry_out(self, statement: Statement) -> None:
        if statement.over():
            return
        self._timeline.mark()
        if statement.rule is not None and statement.rule.error is not None:
            fail(statement, statement.rule.error)
            return
        self._apply(statement)

    def _apply(self, statement: Statement) -> None:
        asked = statement.request
        create = parse_create(statement.text, asked.get("catalog"), asked.get("schema"))
        there = create is not None and self._tables.has(create.full_name)
        if create is not None and there and not (create.tolerant or create.replace):
            fail(statement, already_exists(create.full_name), "42P07")
            return
        if create is not None and not (there and create.tolerant):
            self._tables.add(create.full_name)
        told = parse_history(statement.text)
        read = told[0] if told else parse_read(statement.text)
        if read is not None and not self._tables.has(read):
            fail(statement, not_there(read), "42P01")
            return
        if told:
            listed = list(reversed(self._tables.versions[told[0].lower()]))[: told[1]]
            statement.columns = ["version", "timestamp", "operation"]
            statement.rows = [[row[name] for name in statement.columns] for row in listed]
        if statement.rule is not None and statement.rule.columns:
            statement.columns, statement.rows = statement.rule.columns, statement.rule.rows
        elif is_select_1(statement.text):
            statement.columns, statement.rows = ["1"], [["1"]]
        statement.state = "SUCCEEDED"


def fail(statement: Statement, error: Json, sql_state: str | None = None) -> None:
    """Let a statement fail: the API still answers 200."""
    statement.state, statement.error, statement.sql_state = "FAILED", error, sql_state


def already_exists(full_name: str) -> Json:
    """Word the failure of a CREATE TABLE (error condition TABLE_OR_VIEW_ALREADY_EXISTS)."""
    quoted = ".".join(f"`{part}`" for part in full_name.split("."))
    text = (
        f"[TABLE_OR_VIEW_ALREADY_EXISTS] Cannot create table or view {quoted} because it already "
        "exists.\nChoose a different name, drop or replace the existing object, or add the IF NOT "
        "EXISTS clause to tolerate pre-existing objects. SQLSTATE: 42P07"
    )
    return {"error_code": "BAD_REQUEST", "message": text}


def not_there(full_name: str) -> Json:
    """Word the failure of reading what is not there (TABLE_OR_VIEW_NOT_FOUND)."""
    quoted = ".".join(f"`{part}`" for part in full_name.split("."))
    text = (
        f"[TABLE_OR_VIEW_NOT_FOUND] The table or view {quoted} cannot be found. Verify the "
        "spelling and correctness of the schema and catalog. SQLSTATE: 42P01"
    )
    return {"error_code": "BAD_REQUEST", "message": text}


def read_wait(text: str | None) -> float:
    """Read a wait_timeout: '0 or a value between 5 and 50', 10 s where none is given."""
    found = re.fullmatch(r"(\d+)s", "10s" if text is None else text)
    seconds = int(found.group(1)) if found else -1
    if seconds != 0 and not 5 <= seconds <= 50:
        raise invalid_parameter(f"wait_timeout must be 0s or between 5s and 50s, but is {text!r}.")
    return float(seconds)


def read_late(text: str | None) -> bool:
    """Read on_wait_timeout; says whether a statement that takes too long is cancelled."""
    if text not in {None, "CONTINUE", "CANCEL"}:
        raise invalid_parameter(f"Unknown on_wait_timeout: {text}")
    return text == "CANCEL"
