"""Sizes of tables: few statements a night, and growth against a table's own history."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from shared.errors import PlatformUnavailable
from shared.monitoring.tables import MOST_MEASURED, Measured, Point, Tables, detailed, growing
from tests.monitoring.conftest import Watch

Make = Callable[..., Watch]

NOW = datetime(2026, 11, 20, 3, 0, tzinfo=UTC)
GIB, DAY = 1024**3, 86_400.0
WAREHOUSE = "0123456789abcdef"
LIST = ["table_catalog", "table_schema", "table_name", "altered"]
DETAIL = ["sizeInBytes", "numFiles", "clusteringColumns", "partitionColumns", "properties"]


def measured(*gib: float, ago: float = 0) -> Measured:
    last = NOW.timestamp() - ago
    count = len(gib)
    points = [Point(last - (count - 1 - n) * DAY, int(g * GIB)) for n, g in enumerate(gib)]
    return Measured("2026-11-20", points, 7)


@pytest.mark.parametrize(
    ("sizes", "ago", "found"),
    [
        ((10, 11, 12, 13, 20), 0, True),
        ((10, 10, 10, 10, 12), 0, True),  # it did not grow at all
        ((10, 11, 12, 13, 14), 0, False),  # as ever
        ((10, 20, 30, 50, 80), 0, False),  # always about so much, within its spread
        ((10, 10, 10, 10, 10.5), 0, False),  # too little
        ((100, 100, 100, 100, 105), 0, False),  # a small share
        ((10, 12, 14, 30), 0, False),  # too few
        ((10, 11, 12, 13, 5), 0, False),  # it shrank
        ((10, 11, 12, 13, 20), 8 * DAY, False),  # long ago
    ],
)
def test_growth_is_measured_against_a_tables_own(
    sizes: tuple[float, ...], ago: float, *, found: bool
) -> None:
    assert (growing("dbx", "main.a.b", measured(*sizes, ago=ago), NOW) is not None) is found


def test_what_it_says() -> None:
    seen = growing("dbx", "main.sales.orders", measured(10, 11, 12, 13, 20), NOW)
    assert seen is not None
    assert seen.summary == ("main.sales.orders grew by 7.0 GiB in 1.0 days, usual is 1.0 GiB a day")
    assert seen.evidence[0] == "20.0 GiB in 7 files"


def test_details_are_texts() -> None:
    row = {"sizeInBytes": "2048", "numFiles": "3", "clusteringColumns": '["day"]',
           "partitionColumns": "[]", "properties": '{"clusterByAuto": "true"}'}  # fmt: skip
    table = detailed(Measured(), row, NOW)
    assert (table.points[0].size, table.files, table.clustered) == (2048, 3, ["day"])
    assert table.automatic
    for wrong in ({"sizeInBytes": "much"}, {"clusteringColumns": "[day"}):
        with pytest.raises(PlatformUnavailable):
            detailed(Measured(), row | wrong, NOW)


def test_a_night_costs_few_statements_and_the_next_goes_on(watch: Make) -> None:
    one = watch()
    one.sandbox.script("databricks/warehouses", warehouse_id=WAREHOUSE)
    day = f"{one.clock.now():%Y-%m-%d}"
    names = [["main", "s", f"t{n:03d}", day] for n in range(100)]
    one.sandbox.script(
        "databricks/statements", match="information_schema", columns=LIST, rows=names
    )
    refused = {"error_code": "BAD_REQUEST", "message": "not a table"}
    one.sandbox.script("databricks/statements", match="`t001`", **refused)
    size = [[str(5 * GIB), "2", '["c"]', "[]", "{}"]]
    one.sandbox.script("databricks/statements", match="DESCRIBE DETAIL", columns=DETAIL, rows=size)

    def statements() -> int:
        seen = one.sandbox.control("GET", "requests")["requests"]
        return sum("sql/statements" in row["path"] for row in seen)

    def night() -> int:
        """Measures, and counts the statements."""
        before = statements()
        tables = Tables(one.parts.documents, one.clock)
        api = one.parts.context.platforms.workspace("dbx")
        one.parts.notes.take(tables.look("dbx", api, WAREHOUSE))
        return statements() - before

    assert night() == MOST_MEASURED + 1
    known = Tables(one.parts.documents, one.clock).known("dbx")
    assert len(known) == MOST_MEASURED
    assert known["main.s.t001"].points == []  # refused, and not asked again and again
    assert known["main.s.t002"].clustered == ["c"]
    one.restarted()
    assert night() == MOST_MEASURED + 1
    assert night() == MOST_MEASURED + 1  # the rest, and the oldest ones once more
    assert len(Tables(one.parts.documents, one.clock).known("dbx")) == 100
    assert one.findings() == {}


def test_a_table_that_grows_is_found_until_it_goes_on_as_usual(watch: Make) -> None:
    one = watch()
    one.sandbox.script("databricks/warehouses", warehouse_id=WAREHOUSE)
    for gib in (10, 11, 12, 13, 30):
        night(one, gib)
    assert one.findings() == {"main.sales.orders": "table_growing"}
    night(one, 31)
    assert one.findings() == {}


def test_columns_for_z_order_are_looked_for_and_told_by_readiness(watch: Make) -> None:
    one = watch()
    one.sandbox.script("databricks/warehouses", warehouse_id=WAREHOUSE)
    declared = json.dumps({"pipelines.autoOptimize.zOrderCols": "Day, dya, address.city"})
    columns = [["day"], ["address"], [""], ["# Partition Information"]]
    one.sandbox.script(
        "databricks/statements", match="DESCRIBE TABLE", columns=["col_name"], rows=columns
    )
    night(one, 1, properties=declared)
    table = Tables(one.parts.documents, one.clock).known("dbx")["main.sales.orders"]
    assert (table.zorder, table.missing) == (["Day", "dya", "address.city"], ["dya"])

    body = {"name": "dlt", "catalog": "main", "schema": "sales"}
    one.sandbox.script("databricks/pipelines", **body)
    report = one.parts.pipelines.report(one.parts.pipelines.named("dlt")[0])
    found = next(check for check in report.checks if check.name == "clustering")
    assert found.passed is False
    assert "main.sales.orders: dya" in found.found


def night(one: Watch, gib: int, properties: str = "{}") -> None:
    one.sandbox.advance(timedelta(days=1).total_seconds())
    day = f"{one.clock.now():%Y-%m-%d}"
    rows = [["main", "sales", "orders", day]]
    one.sandbox.script(
        "databricks/statements", match="information_schema", columns=LIST, rows=rows, times=1
    )
    size = [[str(gib * GIB), "2", "[]", "[]", properties]]
    one.sandbox.script(
        "databricks/statements", match="`orders`", columns=DETAIL, rows=size, times=1
    )
    api = one.parts.context.platforms.workspace("dbx")
    one.parts.notes.take(Tables(one.parts.documents, one.clock).look("dbx", api, WAREHOUSE))
