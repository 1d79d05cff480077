"""Names and literals: whatever goes in, what comes out is a name or a literal, and nothing else."""

from __future__ import annotations

import ast
import keyword
import re
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.delivery.builder import literals, names
from shared.delivery.builder.datatypes import data_type
from shared.delivery.builder.names import Taken


@pytest.mark.parametrize(
    ("given_name", "made"),
    [
        ("Order Lines", "order_lines"),
        ("Größe (cm)", "grosse_cm"),
        ("Señor/Über--Straße", "senor_uber_strasse"),
        ("Заказы", "zeakaazeyeru"),
        ("订单", "t_8ba25355"),
        ("ひらがな", "hirakana"),
        ("2024 sales", "t_2024_sales"),
        ("class", "t_class"),
        ("con", "t_con"),
        ("../../etc/passwd", "etc_passwd"),
        ("🎉", "t"),
    ],
)
def test_tables_and_files_get_ascii_names(given_name: str, made: str) -> None:
    assert names.ascii_name(given_name) == made


@given(st.text())
@example("x" * 500)
@example("ﷺ" * 40)
def test_every_text_makes_a_name_that_is_safe_anywhere(text: str) -> None:
    made = names.ascii_name(text)
    assert re.fullmatch(r"[a-z][a-z0-9_]{0,34}", made)
    assert not keyword.iskeyword(made)
    column = names.column_name(text)
    assert re.fullmatch(r"\w{1,80}", column)
    assert names.ascii_name(text) == made  # stable


def test_long_names_that_differ_late_stay_apart() -> None:
    one, other = (names.ascii_name("x" * 200 + end) for end in "ab")
    assert one != other


def test_names_that_collide_are_numbered_without_regard_to_case() -> None:
    taken = Taken("dim_date")
    found = [taken.claim(name) for name in ("a", "A", "a_2", "a", "dim_date")]
    assert found == ["a", "A_2", "a_2_2", "a_3", "dim_date_2"]
    assert len({name.lower() for name in found}) == len(found)


@given(st.text())
@example('it\'s "both" \\ \n\r\t\0 \u202e \u2028 {{ }} ${x}')
@example('"""')
@example("\\'")
@example('\\"')
def test_python_literals_mean_the_text_and_stay_on_their_line(text: str) -> None:
    literal = literals.python(text)
    assert ast.literal_eval(literal) == text
    assert len(literal.splitlines()) == 1
    assert literal.isprintable()


@given(st.text())
@example("`; DROP TABLE x; --")
def test_identifiers_end_where_they_should(text: str) -> None:
    quoted = literals.identifier(text)
    assert quoted[0] == quoted[-1] == "`"
    assert "`" not in quoted[1:-1].replace("``", "")
    assert quoted[1:-1].replace("``", "`") == text


@given(st.text())
@example("\\' OR 1=1 --")
@example("${env:SECRET}")
def test_sql_texts_end_where_they_should_and_hold_no_variable(text: str) -> None:
    quoted = literals.sql_text(text)
    body = re.sub(r"\\(u0024|.)", "", quoted[1:-1], flags=re.DOTALL)
    assert quoted[0] == quoted[-1] == "'"
    assert "'" not in body
    assert "\\" not in body
    assert "${" not in quoted


@pytest.mark.parametrize(
    ("value", "kind", "in_python", "in_sql"),
    [
        (0, "double", "0.0", "0.0D"),
        ("3", "double", "3.0", "3.0D"),
        (1, "float", "1.0", "CAST(1.0D AS FLOAT)"),
        (7, "long", "7", "CAST(7 AS BIGINT)"),
        (1, "decimal(5,2)", 'decimal.Decimal("1.00")', "CAST('1.00' AS DECIMAL(5,2))"),
        (True, "boolean", "True", "TRUE"),
        ("2024-02-29", "date", "datetime.date(2024, 2, 29)", "DATE'2024-02-29'"),
        (
            "2024-02-29T12:00:00+02:00",
            "timestamp",
            'datetime.datetime.fromisoformat("2024-02-29T10:00:00+00:00")',
            "TIMESTAMP'2024-02-29 10:00:00+00:00'",
        ),
        (5, "string", '"5"', "'5'"),
    ],
)
def test_values_take_the_columns_type(value: Any, kind: str, in_python: str, in_sql: str) -> None:
    wanted = data_type(kind, "type")
    found = literals.coerce(value, wanted, "default")
    assert literals.python(found) == in_python
    assert literals.sql(found, wanted) == in_sql


def test_values_are_python_values() -> None:
    assert literals.coerce("1.239", data_type("decimal(4,2)", ""), "") == Decimal("1.24")
    assert literals.coerce("2024-01-01", data_type("date", ""), "") == date(2024, 1, 1)
    moment = literals.coerce("2024-01-01T00:00", data_type("timestamp", ""), "")
    assert moment == datetime(2024, 1, 1, tzinfo=UTC)
