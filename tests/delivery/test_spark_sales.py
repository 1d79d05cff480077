"""The example specification's code, run on Spark over messy input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from shared.delivery.builder.reading import read
from shared.delivery.builder.render import render


@pytest.fixture(scope="module")
def sales(workspace: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("sales")
    text = Path("examples/sales.yaml").read_text("utf-8")
    text = text.replace("/Volumes/main/landing", str(folder / "landing"))
    for path, content in render(read(text)).items():
        file = folder / "bundle" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content, "utf-8")
    landing = folder / "landing"
    for n in ("customers", "products", "orders", "order lines"):
        (landing / n).mkdir(parents=True)
    (landing / "customers" / "a.csv").write_text(
        "Customer ID;Name;Land;Größe;Since;Changed At\n"
        "1;Anna;DE;1.5;03.02.2021;2024-01-01 00:00:00\n"
        "2;Bob;;x;03.02.2021;2024-01-01 00:00:00\n"
    )
    (landing / "orders" / "a.json").write_text(
        '{"order_id": 1, "customer_id": 1, "bill_to": 9, "ordered_at": "2024-01-01T10:00:00", "status": "open", "freight": 2}\n'
    )
    (landing / "order lines" / "a.json").write_text(
        '{"order_id": 1, "line": 1, "sku": "a", "quantity": 0, "amount": 2}\n'
    )
    import pyarrow as pa
    from pyarrow import parquet

    parquet.write_table(
        pa.table(
            {"sku": ["a"], "title": ["A"], "list price": pa.array([None], pa.decimal128(10, 2))}
        ),
        landing / "products" / "a.parquet",
    )
    import time

    t = time.time()
    workspace.update(folder / "bundle", "sales")
    print("update", time.time() - t)
    return workspace


def test_x(sales: Any) -> None:
    for t in sales.spark.catalog.listTables("sales"):
        print(t.name)
        if t.name != "dim_date":
            sales.spark.table(f"sales.{t.name}").show(truncate=60)
    assert 0
