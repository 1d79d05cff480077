"""Which column and which value a message about bad data names."""

from __future__ import annotations

import pytest

from shared.diagnosis.facts_in_text import COLUMN_NAME, DATA_TYPE, DataFacts, data_facts, first_step
from shared.redaction import Redactor

CONVERTING = (
    "ErrorCode=TypeConversionFailure,Exception occurred when converting value '+44 07878' for "
    "column name 'telephone2' from type 'String' (precision:255) to type 'Double'"
)


@pytest.mark.parametrize(
    ("message", "column", "value"),
    [
        (CONVERTING, "telephone2", "+44 07878"),
        ("Message=Column 'd' contains an invalid value '2024-13-01'.", "d", "2024-13-01"),
        ("[CAST_INVALID_INPUT] The value 'abc' of the type STRING cannot be cast", "", "abc"),
        ("[CAST_INVALID_INPUT] The value 'abc' of type STRING cannot be cast to INT", "", "abc"),
        ("[CANNOT_PARSE_TIMESTAMP] Text '2024-13-01' could not be parsed", "", "2024-13-01"),
        ('invalid input syntax for type integer: "n/a"', "", "n/a"),
        ('java.lang.NumberFormatException: For input string: "abc"', "", "abc"),
        ("Numeric value 'abc' is not recognized", "", "abc"),
        ("converting the varchar value 'abc' to data type int", "", "abc"),
        ("Column 'ordr_id' does not exist in the table 'orders'.", "ordr_id", ""),
        ("Message=Invalid column name 'Foo'.,SqlErrorNumber=207", "Foo", ""),
        ("Unknown column 'qty' in 'field list'", "qty", ""),
        ('ORA-00904: "QTY": invalid identifier', "QTY", ""),
        ("invalid identifier 'QTY'", "QTY", ""),
        ("Column x does not exist in Parquet file.", "x", ""),
        ("A column with name `ordr_id` cannot be resolved.", "ordr_id", ""),
        ("Arithmetic Overflow., Source = Microsoft.DataTransfer.Common", "", ""),
        ("the columns of the table", "", ""),
        ("", "", ""),
    ],
)
def test_what_a_message_names(message: str, column: str, value: str) -> None:
    assert data_facts([message]) == DataFacts(column, value)


def test_the_first_message_that_names_something_counts() -> None:
    assert data_facts(["it failed", CONVERTING, "Unknown column 'b'"]).column == "telephone2"


@pytest.mark.parametrize(
    ("error_type", "message", "expected"),
    [
        (DATA_TYPE, CONVERTING, "Column 'telephone2' has the value '+44 07878', which"),
        (DATA_TYPE, "Text 'x' could not be parsed", "The value 'x' cannot be converted."),
        (DATA_TYPE, "Column 'amount' would be truncated", "Column 'amount' has a value or a type"),
        (DATA_TYPE, "Arithmetic Overflow", ""),
        (COLUMN_NAME, "Unknown column 'qty'", "Column 'qty' is missing or its name is not"),
        (COLUMN_NAME, "Text 'x' could not be parsed", ""),
        ("GatewayTimeout", CONVERTING, ""),
    ],
)
def test_the_first_step(error_type: str, message: str, expected: str) -> None:
    said = first_step(error_type, [message], Redactor().text)
    assert said.startswith(expected)
    assert bool(said) is bool(expected)


def test_a_value_is_redacted_and_bounded() -> None:
    def step(value: str) -> str:
        return first_step(DATA_TYPE, [f"converting value '{value}'"], Redactor(["hunter2x"]).text)

    assert "hunter2x" not in step("hunter2x")
    assert "AccountKey=abc" not in step("AccountKey=abcdefgh12345678")
    assert len(step("x" * 290)) < 150
    assert "\x07" not in step("a\x07b")


def test_a_long_message_takes_no_time() -> None:
    assert data_facts(["with name `a" * 100_000]) == DataFacts()
