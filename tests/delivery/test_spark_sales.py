"""The example's code on Spark, over messy input, in two updates; figures checked without Spark."""

from __future__ import annotations

import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.delivery import shop
from tests.delivery.bundles import build
from tests.delivery.shop import Shop


class Sales:
    """The example's pipeline, its data, and the answers to questions about its tables."""

    def __init__(self, workspace: Any, folder: Path) -> None:
        self.workspace, self.folder = workspace, folder
        text = Path("examples/sales.yaml").read_text("utf-8")
        self.bundle = build(
            text.replace("/Volumes/main/landing", str(folder / "landing")), folder / "bundle"
        )
        self.shop = Shop(folder / "landing")

    def update(self) -> Any:
        return self.workspace.update(self.bundle, "sales")

    def rows(self, query: str) -> list[Any]:
        self.workspace.spark.sql("USE sales")
        return [tuple(row) for row in self.workspace.spark.sql(query).collect()]

    def one(self, query: str) -> Any:
        return self.rows(query)[0][0]


@pytest.fixture(scope="module")
def sales(workspace: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sales]:
    found = Sales(workspace, tmp_path_factory.mktemp("sales"))
    found.shop.first_batch()
    found.update()
    yield found
    workspace.spark.sql("USE default")


@pytest.fixture(scope="module")
def later(sales: Sales) -> Sales:
    sales.shop.late_batch()
    sales.module = sales.update()  # type: ignore[attr-defined]
    return sales


def expected(sales: Sales) -> dict[str, tuple[dict[Any, Any], int]]:
    one = sales.shop
    return {
        "customers": shop.silver(one.customers, shop.customer, ("customer_id",), "changed_at"),
        "orders": shop.silver(one.orders, shop.order, ("order_id",), "updated_at"),
        "order_lines": shop.silver(one.lines, shop.line, ("order_id", "line"), None),
    }


def check_star(sales: Sales) -> None:
    """The figures of the star schema against those computed from the raw records."""
    found = expected(sales)
    customers, orders, lines = (found[name][0] for name in ("customers", "orders", "order_lines"))
    for name, (kept, aside) in found.items():
        garbage = sales.shop.garbage if name == "orders" else 0
        assert sales.one(f"SELECT count(*) FROM silver_{name}") == len(kept)  # noqa: S608 - fixed names
        assert sales.one(f"SELECT count(*) FROM quarantine_{name}") == aside + garbage  # noqa: S608
    for role, column in (("customer", "customer_id"), ("billing", "bill_to")):
        names = {key[0]: row["name"] for key, row in customers.items()}
        freight = shop.totals(
            (names.get(row[column], "Unknown"), row["freight"]) for row in orders.values()
        )
        star = sales.rows(
            f"SELECT d.name, sum(f.freight) FROM fact_orders f JOIN dim_customers d"  # noqa: S608
            f" ON f.{role}_key = d.customers_key GROUP BY d.name"
        )
        assert dict(star) == pytest.approx(dict(freight))
    months = shop.totals((f"{row['ordered_at']:%B}", 1.0) for row in orders.values())
    star = sales.rows(
        "SELECT d.month_name, CAST(count(*) AS DOUBLE) FROM fact_orders f JOIN dim_date d"
        " ON f.ordered_at_date_key = d.date_key GROUP BY d.month_name"
    )
    assert dict(star) == dict(months)
    titles = {row["sku"]: row["title"] for row in sales.shop.products}
    amounts = shop.totals(
        (titles.get(row["sku"], "Unknown"), row["amount"]) for row in lines.values()
    )
    star = sales.rows(
        "SELECT d.title, coalesce(sum(f.amount), 0.0D) FROM fact_order_lines f"
        " JOIN dim_products d ON f.products_key = d.products_key GROUP BY d.title"
    )
    assert dict(star) == pytest.approx(dict(amounts))


def test_figures_agree_with_an_independent_calculation(sales: Sales) -> None:
    check_star(sales)


def test_rows_that_break_a_rule_are_in_quarantine_with_its_name(sales: Sales) -> None:
    broken = sales.rows(
        "SELECT rule, count(*) FROM quarantine_orders"
        " LATERAL VIEW explode(_broken_rules) AS rule GROUP BY rule"
    )
    assert dict(broken) == {
        "known status": 1,
        "ordered_at is there": 2,
        "types are right": 2,
        "order_id is there": 1,
    }
    wrong = sales.rows("SELECT DISTINCT explode(_wrong_types) FROM quarantine_customers")
    assert {name for (name,) in wrong} == {"größe", "since", "customer_id"}
    source = sales.one(
        "SELECT _source_row FROM quarantine_customers WHERE _source_row LIKE '%tall%'"
    )
    assert '"Größe":"tall"' in source


def test_each_key_is_there_once(sales: Sales) -> None:
    assert sales.rows("SELECT order_id FROM silver_orders GROUP BY 1 HAVING count(*) > 1") == []
    bronze = sales.one("SELECT count(*) FROM bronze_orders")
    assert bronze == len(sales.shop.orders)  # bronze keeps every row


def test_the_unknown_member_takes_orphans_and_has_python_values(sales: Sales) -> None:
    (member,) = sales.rows("SELECT * FROM dim_customers WHERE customers_key = -1")
    assert member[1:4] == (None, "Unknown", "Unknown")
    assert member[4] == 0.0
    assert isinstance(member[4], float)
    assert member[5].isoformat() == "1900-01-01"
    assert sales.one("SELECT count(*) FROM fact_orders WHERE billing_key = -1") == 4
    assert sales.one("SELECT count(*) FROM fact_orders WHERE customer_key = -1") == 3
    assert sales.one("SELECT count(*) FROM fact_order_lines WHERE products_key = -1") > 0


def test_every_foreign_key_finds_a_member(sales: Sales) -> None:
    for column in ("customer_key", "billing_key"):
        query = (
            f"SELECT count(*) FROM fact_orders f ANTI JOIN dim_customers d"  # noqa: S608 - fixed names
            f" ON f.{column} = d.customers_key"
        )
        assert sales.one(query) == 0


def test_a_division_by_zero_and_by_null_is_null(sales: Sales) -> None:
    wrong = sales.one(
        "SELECT count(*) FROM fact_order_lines WHERE unit_price IS NOT NULL"
        " AND (quantity = 0 OR amount IS NULL)"
    )
    assert wrong == 0
    assert sales.one("SELECT count(*) FROM fact_order_lines WHERE quantity = 0") == 4
    exact = (
        "SELECT max(abs(unit_price - amount / quantity)) FROM fact_order_lines WHERE quantity > 0"
    )
    assert sales.one(exact) == 0.0


def test_the_date_dimension_is_the_calendar(sales: Sales) -> None:
    assert sales.one("SELECT count(*) FROM dim_date") == 4018 + 1  # 2020 to 2030, and unknown
    (day,) = sales.rows("SELECT * FROM dim_date WHERE date_key = 20240229")
    assert day[2:] == (2024, 1, 2, "February", 9, 29, 60, 4, "Thursday", False, True)


def test_bronze_says_when_and_whence(sales: Sales) -> None:
    query = "SELECT count(*) FROM bronze_orders WHERE _source_file LIKE '%/a.json'"
    assert sales.one(query + " AND _ingested_at IS NOT NULL") == len(sales.shop.orders)


def test_late_rows_and_columns_are_taken_in_and_figures_agree_again(later: Sales) -> None:
    check_star(later)
    names = dict(later.rows("SELECT customer_id, name FROM dim_customers"))
    assert (names[3], names[4], names[99]) == ("Changed", "Customer 4", "Found at last")
    assert later.one("SELECT count(*) FROM fact_orders WHERE billing_key = -1") == 0
    assert later.one("SELECT max(freight) FROM fact_orders") < 1e9


def test_new_columns_are_in_bronze_and_a_broken_line_is_rescued(later: Sales) -> None:
    assert later.one("SELECT count(*) FROM bronze_orders WHERE channel = 'web'") == 1
    assert later.one("SELECT count(*) FROM bronze_customers WHERE Newsletter = 'yes'") == 3
    rescued = later.rows("SELECT _rescued_data FROM bronze_orders WHERE _rescued_data IS NOT NULL")
    assert rescued == [('{"order_id": 4711, "customer_',)]
    (source,) = later.rows(
        "SELECT _source_row FROM quarantine_orders WHERE _source_row LIKE '%4711%'"
    )
    assert "order_id" in source[0]


def test_clustering_names_columns_that_are_there(later: Sales) -> None:
    clustered = later.module.clustered  # type: ignore[attr-defined]
    assert clustered["fact_orders"] == ["ordered_at_date_key", "customer_key", "billing_key"]
    for table, keys in clustered.items():
        assert set(keys) <= set(later.workspace.spark.table(f"sales.{table}").columns)


def test_the_quality_checks_see_what_is_wrong(later: Sales) -> None:
    script = runpy.run_path(str(later.bundle / "src" / "jobs" / "check_quality.py"))
    with pytest.raises(RuntimeError) as failed:
        script["main"](["--catalog", "spark_catalog", "--schema", "sales"])
    told = str(failed.value)
    aside = expected(later)["customers"][1] / len(later.shop.customers)
    assert f"quarantine_customers: {aside:.2%} of all rows" in told
    assert "fact_orders: 5.00% without customer_key" in told
    assert "dim_" not in told
    assert "bronze_" not in told
    with pytest.raises(RuntimeError, match="silver_orders: cannot be read"):
        script["main"](["--catalog", "spark_catalog", "--schema", "nowhere"])


def test_the_collection_step_names_sources_without_files(later: Sales) -> None:
    script = runpy.run_path(str(later.bundle / "src" / "jobs" / "collect.py"))
    look = script["look"]
    assert look(later.workspace.spark) == {}
    empty = later.folder / "empty"
    empty.mkdir()
    script["FOLDERS"] |= {"Empty": str(empty), "Gone": str(later.folder / "gone")}
    assert look(later.workspace.spark) == {
        "Empty": "no files",
        "Gone": "cannot be listed: AnalysisException",
    }
