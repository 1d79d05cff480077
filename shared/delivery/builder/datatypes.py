"""The column types of a specification, in Spark's words."""

from __future__ import annotations

import re
from dataclasses import dataclass

from shared.errors import InputError

_DECIMAL = re.compile(r"^decimal\((\d{1,2}), ?(\d{1,2})\)$")
_MOST_DIGITS = 38  # of a decimal in Spark
_PLAIN = {
    "string": ("STRING", "StringType()"),
    "boolean": ("BOOLEAN", "BooleanType()"),
    "int": ("INT", "IntegerType()"),
    "long": ("BIGINT", "LongType()"),
    "float": ("FLOAT", "FloatType()"),
    "double": ("DOUBLE", "DoubleType()"),
    "date": ("DATE", "DateType()"),
    "timestamp": ("TIMESTAMP", "TimestampType()"),
}
_SAME = {"integer": "int", "bigint": "long", "bool": "boolean", "text": "string"}
_INTEGRAL = frozenset({"int", "long"})
_BINARY_FRACTIONS = frozenset({"float", "double"})


@dataclass(frozen=True)
class DataType:
    """A column's type.

    Attributes:
        name: one word of the specification, `decimal` without its digits.
        sql: in Spark SQL, for example `DECIMAL(10,2)`.
        python: in `pyspark.sql.types`, for example `DecimalType(10, 2)`.
        scale: digits behind the point of a decimal, else 0.
    """

    name: str
    sql: str
    python: str
    scale: int = 0

    @property
    def numeric(self) -> bool:
        """Whether it can be a measure."""
        return self.name in _INTEGRAL | _BINARY_FRACTIONS | {"decimal"}

    @property
    def integral(self) -> bool:
        """Whether it holds whole numbers."""
        return self.name in _INTEGRAL

    @property
    def fractional(self) -> bool:
        """Whether it is a binary floating point number."""
        return self.name in _BINARY_FRACTIONS

    @property
    def temporal(self) -> bool:
        """Whether it points at a day."""
        return self.name in {"date", "timestamp"}

    def joins(self, other: DataType) -> bool:
        """Whether a foreign key of this type can point at a key of the other."""
        return self.sql == other.sql or (self.integral and other.integral)


def data_type(text: str, field: str) -> DataType:
    """The type that the specification names.

    Raises:
        InputError: there is no such type.
    """
    word = " ".join(text.lower().split())
    word = _SAME.get(word, word)
    if word in _PLAIN:
        sql, python = _PLAIN[word]
        return DataType(word, sql, python)
    found = _DECIMAL.match(word)
    if not found:
        known = ", ".join(_PLAIN)
        raise InputError(field, f"expected one of {known} or decimal(precision,scale)")
    precision, scale = int(found[1]), int(found[2])
    if not 1 <= precision <= _MOST_DIGITS or scale > precision:
        raise InputError(field, f"expected decimal(p,s) with 1 <= p <= {_MOST_DIGITS} and s <= p")
    python = f"DecimalType({precision}, {scale})"
    return DataType("decimal", f"DECIMAL({precision},{scale})", python, scale)
