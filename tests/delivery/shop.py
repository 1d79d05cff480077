"""A shop's messy data, and its star schema's figures computed without Spark."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

Row = dict[str, Any]
_CSV = ("Customer ID", "Name", "Land", "Größe", "Since", "Changed At")


class Shop:
    """Writes batches of files and remembers every record that it wrote."""

    def __init__(self, landing: Path) -> None:
        self.landing = landing
        self.random = random.Random(20240229)  # noqa: S311 - test data
        self.customers: list[Row] = []
        self.orders: list[Row] = []
        self.lines: list[Row] = []
        self.products: list[Row] = []
        self.garbage = 0  # lines that are no JSON

    def first_batch(self) -> None:
        """Nulls, duplicates, wrong types, orphans, blanks, divisions by zero."""
        self._products("a", [_product(n) for n in range(12)])
        self._customers("a", [self._customer(n) for n in range(1, 31)] + _spoilt_customers())
        orders = [self._order(n) for n in range(1, 61)]
        self._orders("a", [*orders, *orders[:5], *_spoilt_orders()])
        lines = [self._line(order, line) for order in range(1, 61) for line in (1, 2)]
        self._lines("a", [*lines, *lines[:3], *_spoilt_lines()])

    def late_batch(self) -> None:
        """Later versions, an older version that comes late, an orphan's parent, a new column."""
        changed = self._customer(3) | {"Name": "Changed", "Changed At": "2024-06-01 00:00:00"}
        outdated = self._customer(4) | {"Name": "Outdated", "Changed At": "2019-01-01 00:00:00"}
        found = self._customer(99) | {"Name": "Found at last"}
        rows = [row | {"Newsletter": "yes"} for row in (changed, outdated, found)]
        self._customers("b", rows, (*_CSV, "Newsletter"))
        paid = self.orders[6] | {"status": "paid", "freight": 77.5, "channel": "web"}
        stale = self.orders[7] | {"status": "open", "freight": 1e9}
        paid["updated_at"], stale["updated_at"] = "2024-12-01T00:00:00", "2019-01-01T00:00:00"
        self._orders("b", [paid, stale], broken=True)

    def _customer(self, number: int) -> Row:
        return {
            "Customer ID": f" {number} " if number % 7 == 0 else str(number),
            "Name": f"Customer {number} ",
            "Land": "" if number % 5 == 0 else self.random.choice(["DE", "FR", "日本"]),
            "Größe": "" if number % 6 == 0 else f"{self.random.uniform(0.5, 9.5):.3f}",
            "Since": f"{1 + number % 28:02}.{1 + number % 12:02}.2021",
            "Changed At": "2024-01-01 00:00:00",
        }

    def _order(self, number: int) -> Row:
        return {
            "order_id": number,
            "customer_id": None if number % 20 == 0 else self.random.randint(1, 30),
            "bill_to": 99 if number % 15 == 0 else self.random.randint(1, 30),
            "ordered_at": f"2024-{1 + number % 12:02}-{1 + number % 28:02}T10:30:00",
            "status": self.random.choice(["open", "paid", "shipped"]),
            "freight": None if number % 9 == 0 else round(self.random.uniform(0, 20), 2),
            "updated_at": "2024-03-01T00:00:00",
        }

    def _line(self, order: int, line: int) -> Row:
        return {
            "order_id": order,
            "line": line,
            "sku": "gone" if (order + line) % 40 == 0 else f"p{self.random.randrange(12)}",
            "quantity": 0 if order % 30 == 0 else self.random.randint(1, 9),
            "amount": None if order % 25 == 0 else round(self.random.uniform(1, 500), 2),
        }

    def _customers(self, name: str, rows: list[Row], header: Iterable[str] = _CSV) -> None:
        columns = list(header)
        lines = [";".join(columns), *(";".join(row[c] for c in columns) for row in rows)]
        self._file("customers", f"{name}.csv", lines)
        self.customers += rows

    def _orders(self, name: str, rows: list[Row], *, broken: bool = False) -> None:
        lines = [json.dumps(row, ensure_ascii=False) for row in rows]
        if broken:
            lines.append('{"order_id": 4711, "customer_')
            self.garbage += 1
        self._file("orders", f"{name}.json", lines)
        self.orders += rows

    def _lines(self, name: str, rows: list[Row]) -> None:
        self._file("order lines", f"{name}.json", [json.dumps(row) for row in rows])
        self.lines += rows

    def _products(self, name: str, rows: list[Row]) -> None:
        import pyarrow as pa
        from pyarrow import parquet

        shape = pa.schema(
            [("sku", pa.string()), ("title", pa.string()), ("list price", pa.decimal128(10, 2))]
        )
        folder = self.landing / "products"
        folder.mkdir(parents=True, exist_ok=True)
        parquet.write_table(pa.Table.from_pylist(rows, shape), folder / f"{name}.parquet")
        self.products += rows

    def _file(self, folder: str, name: str, lines: list[str]) -> None:
        place = self.landing / folder
        place.mkdir(parents=True, exist_ok=True)
        (place / name).write_text("\n".join(lines) + "\n", "utf-8")


def _product(number: int) -> Row:
    price = None if number == 3 else Decimal(number) + Decimal("0.99")
    return {"sku": f"p{number}", "title": f"Product {number}", "list price": price}


def _spoilt_customers() -> list[Row]:
    good = dict(zip(_CSV, ("41", "Spoilt", "DE", "1.0", "01.02.2021", "2024-01-01"), strict=True))
    return [
        good | {"Größe": "tall"},
        good | {"Größe": "NaN"},
        good | {"Größe": "Infinity"},
        good | {"Since": "31.02.2021"},
        good | {"Customer ID": ""},
        good | {"Customer ID": "4x"},
        good | {"Name": "   "},
    ]


def _spoilt_orders() -> list[Row]:
    good = {"order_id": 71, "customer_id": 1, "bill_to": 1, "ordered_at": "2024-01-01T00:00:00"}
    return [
        good | {"status": "lost"},
        good | {"ordered_at": None},
        good | {"ordered_at": "yesterday"},
        good | {"freight": "a lot"},
        good | {"order_id": None},
    ]


def _spoilt_lines() -> list[Row]:
    good = {"order_id": 1, "line": 7, "sku": "p1", "quantity": 1, "amount": 5.0}
    return [
        good | {"quantity": -1},
        good | {"quantity": 10_001},
        good | {"quantity": "1.5"},
        good | {"line": None},
        good | {"amount": "1e999"},
    ]


def text(value: Any) -> str | None:
    """As silver cleans it."""
    cleaned = "" if value is None else str(value).strip()
    return cleaned or None


class Wrong(Exception):
    """A row for quarantine."""


def number(value: Any) -> float | None:
    """A double, or a wrong value."""
    cleaned = text(value)
    if cleaned is None:
        return None
    try:
        found = float(cleaned)
    except ValueError:
        raise Wrong from None
    if not math.isfinite(found):
        raise Wrong
    return found


def whole(value: Any) -> int | None:
    """A whole number, or a wrong value."""
    cleaned = text(value)
    if cleaned is None:
        return None
    try:
        return int(cleaned)
    except ValueError:
        raise Wrong from None


def moment(value: Any, shape: str | None = None) -> datetime | None:
    """A date or timestamp, or a wrong value."""
    cleaned = text(value)
    if cleaned is None:
        return None
    try:
        return datetime.strptime(cleaned, shape) if shape else datetime.fromisoformat(cleaned)  # noqa: DTZ007 - naive as the source is
    except ValueError:
        raise Wrong from None


def _there(value: Any) -> Any:
    if value is None:
        raise Wrong
    return value


def customer(row: Row) -> Row:
    """A customer as silver should have it."""
    size = number(row["Größe"])
    return {
        "customer_id": _there(whole(row["Customer ID"])),
        "name": _there(text(row["Name"])),
        "land": text(row["Land"]) or "unbekannt",
        "größe": 0.0 if size is None else size,
        "since": moment(row["Since"], "%d.%m.%Y"),
        "changed_at": moment(row["Changed At"]),
    }


def order(row: Row) -> Row:
    """An order as silver should have it."""
    status, freight = text(row.get("status")), number(row.get("freight"))
    if status not in {None, "open", "paid", "shipped"}:
        raise Wrong
    return {
        "order_id": _there(whole(row["order_id"])),
        "customer_id": whole(row["customer_id"]),
        "bill_to": whole(row["bill_to"]),
        "ordered_at": _there(moment(row["ordered_at"])),
        "status": status,
        "freight": 0.0 if freight is None else freight,
        "updated_at": moment(row.get("updated_at")),
    }


def line(row: Row) -> Row:
    """An order line as silver should have it."""
    quantity = whole(row["quantity"])
    if quantity is not None and not 0 <= quantity <= 10_000:
        raise Wrong
    return {
        "order_id": _there(whole(row["order_id"])),
        "line": _there(whole(row["line"])),
        "sku": text(row["sku"]),
        "quantity": quantity,
        "amount": number(row["amount"]),
    }


def silver(
    rows: Iterable[Row], clean: Any, key: tuple[str, ...], newest: str | None
) -> tuple[dict[Any, Row], int]:
    """What should be in silver, by key, and how many rows should be in quarantine."""
    kept: dict[Any, Row] = {}
    aside = 0
    for row in rows:
        try:
            found = clean(row)
        except Wrong:
            aside += 1
            continue
        name = tuple(found[column] for column in key)
        before = kept.get(name)
        if before is None or newest is None or _later(found[newest], before[newest]):
            kept[name] = found
    return kept, aside


def _later(one: datetime | None, other: datetime | None) -> bool:
    return one is not None and (other is None or one > other)


def totals(pairs: Iterable[tuple[str, float | None]]) -> Mapping[str, float]:
    """Sums by name, nulls left out."""
    found: dict[str, float] = {}
    for name, value in pairs:
        found[name] = found.get(name, 0.0) + (value or 0.0)
    return found
