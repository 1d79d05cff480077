"""The closed set of changes to a specification, and what is not changed."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from shared.delivery.builder.reading import read
from shared.delivery.builder.spec import Specification, Table
from shared.delivery.patches import is_new_column, patch

CAST = '[CAST_INVALID_INPUT] The value \'x\' of the type "STRING" cannot be cast to "DOUBLE"'
MISSING = (
    "[UNRESOLVED_COLUMN.WITH_SUGGESTION] A column, variable, or function parameter with name "
    "`{}` cannot be resolved. Did you mean one of the following? [`other`]. SQLSTATE: 42703"
)
ZERO = "[DIVIDE_BY_ZERO] Division by zero. Use `try_divide` to tolerate divisor being 0."
UNKNOWN = "[CF_UNKNOWN_OPTION_KEYS_ERROR] Found unknown option keys:\nmaxSpeed\nPlease make sure"
NEW = "[UNKNOWN_FIELD_EXCEPTION.NEW_FIELDS_IN_FILE] Encountered unknown fields: [channel]"


def spec(**table: Any) -> Specification:
    columns = [
        {"name": "order id", "type": "long"},
        {"name": "amount", "type": "double", "cast": "strict"},
        {"name": "note", "required": False},
        {"name": "must", "required": True},
    ]
    given = {
        "name": "Orders",
        "format": "json",
        "path": "/Volumes/m/l/o",
        "key": ["order id"],
        "columns": columns,
    }
    body = {"name": "Shop", "catalog": "main", "schema": "shop", "tables": [given | table]}
    return read(msgspec.json.encode(body))


def table_of(found: Any) -> Table:
    assert found is not None
    table: Table = found.spec.tables[0]
    return table


@pytest.mark.parametrize("flow", ["silver_orders", "main.shop.silver_orders", "Typed_Orders"])
def test_a_column_that_does_not_cast(flow: str) -> None:
    found = patch(spec(), flow, CAST)
    table = table_of(found)
    assert {c.name: c.cast for c in table.columns}["amount"] == "try"
    assert table.wrong_types == "quarantine"


def test_of_several_strict_columns_only_a_named_one_is_changed() -> None:
    columns = [
        {"name": "id", "type": "long"},
        {"name": "a", "type": "double", "cast": "strict"},
        {"name": "b", "type": "int", "cast": "strict"},
    ]
    two = spec(columns=columns, key=["id"])
    assert patch(two, "silver_orders", CAST) is None
    table = table_of(patch(two, "silver_orders", CAST + " in column `b`"))
    assert [c.cast for c in table.columns] == ["try", "strict", "try"]


def test_the_only_strict_column_is_changed_only_for_a_cast_to_its_type() -> None:
    assert patch(spec(), "silver_orders", CAST.replace("DOUBLE", "DATE")) is None
    assert patch(spec(), "silver_orders", "[CAST_INVALID_INPUT] a value") is None


def test_a_column_that_is_missing() -> None:
    table = table_of(patch(spec(), "silver_orders", MISSING.format("note")))
    assert [c.name for c in table.columns if c.optional] == ["note"]


@pytest.mark.parametrize("column", ["order id", "order_id", "must", "nobody"])
def test_a_missing_key_or_needed_column_is_for_a_person(column: str) -> None:
    assert patch(spec(), "silver_orders", MISSING.format(column)) is None


def test_a_new_column_is_taken_in_where_it_stopped_the_stream() -> None:
    table = table_of(patch(spec(schema_evolution="fail"), "bronze_orders", NEW))
    assert table.schema_evolution == "add_columns"
    assert patch(spec(), "bronze_orders", NEW) is None
    assert is_new_column(NEW)


def rule(condition: str) -> dict[str, Any]:
    return {"expectations": [{"name": "rate", "condition": condition}]}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("amount / note > 1", "amount / nullif(note, 0) > 1"),
        ("amount/`note` > 1", "amount/ nullif(`note`, 0) > 1"),
        ("amount % (note - 1) = 0", "amount % nullif((note - 1), 0) = 0"),
        ("amount / 100 / note < 1", "amount / 100 / nullif(note, 0) < 1"),
        ("amount / round(note) > 1", "amount / nullif(round(note), 0) > 1"),
        ("amount / CAST(note AS INT) > 1", "amount / nullif(CAST(note AS INT), 0) > 1"),
        ('note = "a / b" OR amount / note > 1', 'note = "a / b" OR amount / nullif(note, 0) > 1'),
        ("`a / b` > 1 AND amount / note > 1", "`a / b` > 1 AND amount / nullif(note, 0) > 1"),
        ("note = 'a/b' AND amount / note > 1", "note = 'a/b' AND amount / nullif(note, 0) > 1"),
    ],
)
def test_a_division_is_guarded(before: str, after: str) -> None:
    table = table_of(patch(spec(**rule(before)), "silver_orders", ZERO))
    assert table.expectations[0].condition == after


@pytest.mark.parametrize(
    "condition",
    [
        "amount / nullif(note, 0) > 1",
        "amount / (note - (1 + 1)) > 1",
        "amount / - note > 1",
        "amount / CAST(note AS DECIMAL(10,2)) > 1",
        "amount / coalesce(round(note), 0) > 1",
        "amount / CASE WHEN note > 0 THEN note END > 1",
        "amount / sqrt (note) > 1",
        "amount / note['a'] > 1",
        "amount / note [0] > 1",
        "amount / note.part (1) > 1",
        "amount / note::int > 1",
        "amount / (note).part > 1",
        'amount / "note" > 1',
        "amount / NOT note",
        "amount / note > 1 AND amount div note > 1",
        "note = 'a / b'",
        'note = "a / b"',
        "`a / b` > 1",
        "1 = 1",
    ],
)
def test_a_division_that_is_not_surely_understood_is_left(condition: str) -> None:
    assert patch(spec(**rule(condition)), "silver_orders", ZERO) is None


def test_an_unknown_reader_option_is_dropped() -> None:
    table = table_of(
        patch(spec(options={"maxSpeed": 1, "multiLine": True}), "bronze_orders", UNKNOWN)
    )
    assert table.options == {"multiLine": True}
    assert patch(spec(options={"multiLine": True}), "bronze_orders", UNKNOWN) is None


@pytest.mark.parametrize("flow", ["", "flow", "silver_customers", "update"])
def test_a_flow_that_is_not_known_is_not_patched(flow: str) -> None:
    assert patch(spec(), flow, CAST) is None


def test_other_words_change_nothing() -> None:
    assert patch(spec(), "silver_orders", "NameError: name 'rows' is not defined") is None
