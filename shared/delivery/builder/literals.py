"""Values as source text: the only ways a value of a specification enters generated code."""

from __future__ import annotations

import math
import re
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation

from shared.delivery.builder.datatypes import DataType
from shared.delivery.builder.spec import Scalar
from shared.errors import InputError

Value = str | int | float | bool | Decimal | date | datetime
_SQL_SPECIAL = {"\\": "\\\\", "'": "\\'", "\n": "\\n", "\r": "\\r", "\t": "\\t", "$": "\\u0024"}
_WHOLE = re.compile(r"^[+-]?\d{1,19}$")
_BITS = {"int": 31, "long": 63}


def python(value: Value | None) -> str:
    """A Python literal, written as `ruff format` writes it."""
    if isinstance(value, str):
        return _python_text(value)
    if isinstance(value, datetime):
        return f"datetime.datetime.fromisoformat({_python_text(value.isoformat())})"
    if isinstance(value, date):
        return f"datetime.date({value.year}, {value.month}, {value.day})"
    if isinstance(value, Decimal):
        return f"decimal.Decimal({_python_text(str(value))})"
    return repr(value)


def _python_text(text: str) -> str:
    """Double quotes, unless single ones need fewer escapes, as the formatter prefers."""
    quote = "'" if text.count('"') > text.count("'") else '"'
    return quote + "".join(_escaped(character, quote) for character in text) + quote


def _escaped(character: str, quote: str) -> str:
    if character in {quote, "\\"}:
        return "\\" + character
    return character if character.isprintable() else repr(character)[1:-1]


def identifier(name: str) -> str:
    """A quoted identifier of Spark SQL."""
    return "`" + name.replace("`", "``") + "`"


def sql_text(text: str) -> str:
    """A string literal of Spark SQL. The dollar is escaped: `${...}` would be substituted."""
    return "'" + "".join(_SQL_SPECIAL.get(character, character) for character in text) + "'"


def sql(value: Value, kind: DataType) -> str:
    """A typed literal of Spark SQL: doubles as `0.0D`, dates and timestamps with their word."""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, datetime):
        return f"TIMESTAMP'{value.isoformat(sep=' ')}'"
    if isinstance(value, date):
        return f"DATE'{value.isoformat()}'"
    if isinstance(value, str):
        return sql_text(value)
    if isinstance(value, float):
        return f"CAST({value!r}D AS FLOAT)" if kind.name == "float" else f"{value!r}D"
    if isinstance(value, Decimal):
        return f"CAST('{value}' AS {kind.sql})"
    return f"CAST({value} AS {kind.sql})"


def coerce(value: Scalar, kind: DataType, field: str) -> Value:
    """A value of the specification as one of the column's type: `0` of a double becomes `0.0`.

    Raises:
        InputError: it is no value of that type.
    """
    try:
        return _coerced(value, kind)
    except (TypeError, ValueError, InvalidOperation, OverflowError) as error:
        raise InputError(field, f"expected a value of type {kind.sql.lower()}") from error


def _coerced(value: Scalar, kind: DataType) -> Value:
    if kind.name == "string":
        return _text(value)
    if kind.name == "boolean":
        return _truth(value)
    if isinstance(value, bool):
        raise TypeError(value)
    if kind.integral:
        return _whole(value, kind)
    if kind.fractional:
        return _finite(float(value))
    if kind.name == "decimal":
        return _decimal(value, kind)
    if not isinstance(value, str):
        raise TypeError(value)
    return date.fromisoformat(value) if kind.name == "date" else _moment(value)


def _text(value: Scalar) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _truth(value: Scalar) -> bool:
    if isinstance(value, bool):
        return value
    if str(value).lower() in {"true", "false"}:
        return str(value).lower() == "true"
    raise ValueError(value)


def _whole(value: Scalar, kind: DataType) -> int:
    if isinstance(value, float) or not _WHOLE.match(str(value)):
        raise ValueError(value)
    number = int(value)
    if not -(2 ** _BITS[kind.name]) <= number < 2 ** _BITS[kind.name]:
        raise ValueError(value)
    return number


def _finite(number: float) -> float:
    if not math.isfinite(number):
        raise ValueError(number)
    return number


def _decimal(value: Scalar, kind: DataType) -> Decimal:
    number = Decimal(str(value)).quantize(Decimal(1).scaleb(-kind.scale))
    digits = int(kind.sql[len("DECIMAL(") :].split(",")[0])
    if not number.is_finite() or len(number.as_tuple().digits) > digits:
        raise ValueError(value)
    return number


def _moment(value: str) -> datetime:
    moment = datetime.fromisoformat(value)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
