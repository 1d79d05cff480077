"""The sense of the source tables: columns, keys, measures, expectations."""

from __future__ import annotations

import re
from collections.abc import Sequence

from shared.delivery.builder import names
from shared.delivery.builder.datatypes import DataType, data_type
from shared.delivery.builder.fields import match
from shared.delivery.builder.literals import coerce
from shared.delivery.builder.spec import Column, Expectation, ForeignKey, Measure, Table
from shared.errors import InputError

_PATH = re.compile(r"^(/|abfss://|s3://|gs://|wasbs://|dbfs:/)")
_TABLE_NAME = re.compile(r"^[^./\\]+(\.[^./\\]+){0,2}$")
_TOPIC = re.compile(r"^[A-Za-z0-9._-]{1,249}$")
_OPTION = re.compile(r"^[A-Za-z][A-Za-z0-9._-]*$")
_SECRET = re.compile(r"^[A-Za-z0-9._@-]{1,128}/[A-Za-z0-9._@-]{1,128}$")
_SECRET_WORDS = re.compile(
    r"password|secret|sasl\.jaas|account\.?key|token|sharedaccess", re.IGNORECASE
)
_QUOTED = re.compile(r"'(?:[^'\\]|\\.)*'|`[^`]*`|\"(?:[^\"\\]|\\.)*\"", re.DOTALL)
_MASK = " \x01 "
_QUOTED_CALL = re.compile(r"\x01\s*\(")  # a function whose name nobody sees here
_DISTINCT = re.compile(r"\bis\s+(?:not\s+)?distinct\s+from\b", re.IGNORECASE)
# What reads other tables, secrets or services, or runs other code.
_ELSEWHERE = re.compile(
    r"\b(?:select|from|table|values|with|identifier|java_method|(?:try_)?reflect|(?:try_)?secret"
    r"|list_secrets|http_request|remote_query|read_files|vector_search|ai_\w+)\b",
    re.IGNORECASE,
)
_KINDS = ("not_null", "min", "max", "one_of", "matches", "condition")
_RESERVED_OPTIONS = frozenset(
    {
        "cloudfiles.format",
        "cloudfiles.infercolumntypes",
        "cloudfiles.schemaevolutionmode",
        "cloudfiles.schemahints",
        "path",
        "rescueddatacolumn",
        "subscribe",
    }
)


def check_tables(tables: Sequence[Table]) -> None:
    """Refuse tables that make no sense, alone or together.

    Raises:
        InputError: the first thing that is wrong.
    """
    by_name = _tables_by_name(tables)
    for position, table in enumerate(tables):
        _table(table, f"tables[{position}]", by_name)


def _tables_by_name(tables: Sequence[Table]) -> dict[str, Table]:
    found: dict[str, Table] = {}
    for position, table in enumerate(tables):
        field = f"tables[{position}].name"
        if names.checked(table.name, field) in found:
            raise InputError(field, f"expected another name: {table.name!r} is given twice")
        found[table.name] = table
    return found


def _table(table: Table, at: str, by_name: dict[str, Table]) -> None:
    if table.alias is not None:
        names.checked(table.alias, f"{at}.alias")
    if table.external_location is not None:
        names.checked(table.external_location, f"{at}.external_location")
    _path(table, at)
    _options(table, at)
    types = _columns(table, at)
    _known(table.key, types, f"{at}.key")
    _known(table.cluster_by, types, f"{at}.cluster_by")
    for position, name in enumerate(table.cluster_by):
        if types[name].name == "boolean":
            raise InputError(f"{at}.cluster_by[{position}]", "a boolean cannot be clustered by")
    if table.sequence_by is not None:
        _known((table.sequence_by,), types, f"{at}.sequence_by")
        if not table.key:
            raise InputError(f"{at}.sequence_by", "expected a key: without one nothing is replaced")
    if table.role == "dimension" and not table.key:
        raise InputError(f"{at}.key", "a dimension needs a key")
    for position, key in enumerate(table.foreign_keys):
        _foreign_key(key, types, by_name, f"{at}.foreign_keys[{position}]")
    for position, measure in enumerate(table.measures):
        _measure(measure, types, f"{at}.measures[{position}]")
    _expectations(table, types, at)


def _path(table: Table, at: str) -> None:
    field = f"{at}.path"
    names.checked(table.path, field)
    if table.format == "kafka":
        match(table.path, _TOPIC, field, "the name of a Kafka topic")
        if "kafka.bootstrap.servers" not in {*table.options, *table.secrets}:
            raise InputError(f"{at}.options", "expected kafka.bootstrap.servers")
    elif table.format == "delta" and "/" not in table.path:
        match(table.path, _TABLE_NAME, field, "catalog.schema.table or a folder")
    elif not _PATH.match(table.path):
        raise InputError(field, "expected an absolute path or an abfss://, s3:// or gs:// address")
    elif ".." in table.path.split("/"):
        raise InputError(field, "expected a path without ..")


def _options(table: Table, at: str) -> None:
    for name in (*table.options, *table.secrets):
        match(name, _OPTION, f"{at}.options.{name}", "an option of letters, digits, dots, dashes")
        if name.lower() in _RESERVED_OPTIONS:
            raise InputError(f"{at}.options.{name}", "this option follows from the specification")
    for name in table.options:
        if _SECRET_WORDS.search(name):
            raise InputError(f"{at}.options.{name}", "expected it in secrets, as scope/key")
    for name, reference in table.secrets.items():
        match(reference, _SECRET, f"{at}.secrets.{name}", "scope/key of a Databricks secret")
        if name in table.options:
            raise InputError(f"{at}.secrets.{name}", "expected it in options or secrets, not both")


def _columns(table: Table, at: str) -> dict[str, DataType]:
    types: dict[str, DataType] = {}
    folded: set[str] = set()
    for position, column in enumerate(table.columns):
        here = f"{at}.columns[{position}]"
        names.free_of_audit(column.name, f"{here}.name")
        if column.name.casefold() in folded:
            raise InputError(f"{here}.name", "expected another name: Spark ignores case")
        folded.add(column.name.casefold())
        types[column.name] = data_type(column.type, f"{here}.type")
        _column(column, types[column.name], here)
    return types


def _column(column: Column, kind: DataType, here: str) -> None:
    if column.format is not None and not kind.temporal:
        raise InputError(f"{here}.format", "only a date or timestamp has a format")
    for word in ("default", "unknown"):
        value = getattr(column, word)
        if value is not None:
            coerce(value, kind, f"{here}.{word}")


def _known(wanted: Sequence[str], types: dict[str, DataType], field: str) -> None:
    for position, name in enumerate(wanted):
        if name not in types:
            raise InputError(f"{field}[{position}]", f"there is no column {name!r} in this table")
        if name in wanted[:position]:
            raise InputError(f"{field}[{position}]", f"the column {name!r} is named twice")


def _foreign_key(
    key: ForeignKey, types: dict[str, DataType], by_name: dict[str, Table], here: str
) -> None:
    _known(key.columns, types, f"{here}.columns")
    if key.role is not None:
        names.checked(key.role, f"{here}.role")
    other = by_name.get(key.references)
    if other is None:
        raise InputError(f"{here}.references", f"there is no table {key.references!r}")
    if len(other.key) != len(key.columns):
        raise InputError(
            f"{here}.columns", f"expected as many columns as the key of {key.references!r} has"
        )
    others = {column.name: data_type(column.type, here) for column in other.columns}
    for mine, theirs in zip(key.columns, other.key, strict=True):
        if theirs in others and not types[mine].joins(others[theirs]):
            raise InputError(
                f"{here}.columns",
                f"{mine!r} is {types[mine].sql.lower()}, the key is {others[theirs].sql.lower()}",
            )


def _measure(measure: str | Measure, types: dict[str, DataType], here: str) -> None:
    operands = (measure,) if isinstance(measure, str) else measure.columns
    for name in operands:
        if name not in types:
            raise InputError(here, f"there is no column {name!r} in this table")
        if not types[name].numeric:
            raise InputError(here, f"expected a number, {name!r} is {types[name].sql.lower()}")
    if isinstance(measure, Measure):
        names.free_of_audit(measure.name, f"{here}.name")
        kind = data_type(measure.type, f"{here}.type")
        if not kind.numeric:
            raise InputError(f"{here}.type", "expected a type of numbers")
        if measure.otherwise is not None and not kind.integral:
            coerce(measure.otherwise, kind, f"{here}.otherwise")


def _expectations(table: Table, types: dict[str, DataType], at: str) -> None:
    seen: set[str] = set()
    for position, rule in enumerate(table.expectations):
        here = f"{at}.expectations[{position}]"
        if names.checked(rule.name, f"{here}.name").casefold() in seen:
            raise InputError(f"{here}.name", "expected another name: it is given twice")
        seen.add(rule.name.casefold())
        _expectation(rule, types, here)


def _expectation(rule: Expectation, types: dict[str, DataType], here: str) -> None:
    values = {kind: getattr(rule, kind) for kind in _KINDS}
    given = [k for k, v in values.items() if v is not None and v is not False and v != ()]
    if not given or (len(given) > 1 and given != ["min", "max"]):
        raise InputError(
            here, f"expected exactly one of {', '.join(_KINDS)} (min and max may meet)"
        )
    if "condition" in given:
        if rule.column is not None:
            raise InputError(f"{here}.column", "a condition names its columns itself")
        _condition(rule.condition or "", f"{here}.condition")
        return
    if rule.column is None or rule.column not in types:
        raise InputError(f"{here}.column", "expected a column of this table")
    kind = types[rule.column]
    for word in ("min", "max"):
        if getattr(rule, word) is not None:
            coerce(getattr(rule, word), kind, f"{here}.{word}")
    for place, value in enumerate(rule.one_of):
        coerce(value, kind, f"{here}.one_of[{place}]")
    if rule.matches is not None and kind.name != "string":
        raise InputError(f"{here}.matches", "only a string can match")


def _condition(text: str, field: str) -> None:
    """One closed expression: quotes and brackets end where they begin, nothing follows."""
    if any(_unsure(text, found) for found in _QUOTED.finditer(text)):
        raise InputError(field, r"expected plain texts: no r'...', no \" within \"...\"")
    bare = _QUOTED.sub(_MASK, text)
    if re.search(r"['\"`;]|--|/\*", bare):
        raise InputError(field, "expected one expression: no ; no comments, quotes closed")
    if _ELSEWHERE.search(_DISTINCT.sub("=", bare)) or _QUOTED_CALL.search(bare):
        raise InputError(
            field, "expected an expression over the row's own columns (a column's name in `...`)"
        )
    depth = 0
    for character in bare:
        depth += {"(": 1, ")": -1}.get(character, 0)
        if depth < 0:
            break
    if depth or not bare.strip(" ()"):
        raise InputError(field, "expected an expression with its brackets closed")


def _unsure(text: str, quoted: re.Match[str]) -> bool:
    """Whether a quoted part may end elsewhere for Spark: raw, or a name by Spark's settings."""
    raw = text[: quoted.start()][-1:] in {"r", "R"} and not quoted[0].startswith("`")
    return raw or (quoted[0].startswith('"') and "\\" in quoted[0])
