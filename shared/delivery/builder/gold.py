"""Gold: the star schema. Facts, dimensions with their unknown member, the date dimension."""

from __future__ import annotations

from typing import Any

from shared.delivery.builder.literals import coerce, identifier, python
from shared.delivery.builder.plan import (
    DATE_DIMENSION,
    UNKNOWN_KEY,
    DateKey,
    Field,
    Figure,
    Lookup,
    Plan,
    TablePlan,
)
from shared.delivery.builder.spec import DateDimension

_OPERATIONS = {"add": "try_add", "subtract": "try_subtract", "multiply": "try_multiply"}
_MOST_CLUSTERED = 4
_UNKNOWN_TEXT = "Unknown"
_LONG = "LongType()"


def dimension(table: TablePlan, plan: Plan) -> dict[str, Any]:
    """What the template of a dimension's file needs."""
    columns = [
        (table.surrogate, _LONG, str(UNKNOWN_KEY)),
        *((lookup.name, _LONG, str(UNKNOWN_KEY)) for lookup in table.lookups),
        *((field.name, field.kind.python, _unknown(field, table)) for field in table.ordered),
    ]
    return {
        "source": table.silver,
        "lookups": [_in_silver(n, lookup, plan) for n, lookup in enumerate(table.lookups)],
        "known": [
            f"{_hash('f', table.key)} AS {identifier(table.surrogate)}",
            *_found(table),
            *(f"f.{field.quoted}" for field in table.ordered),
        ],
        "guarded": [_guarded(table), *(identifier(name) for name, _, _ in columns[1:])],
        "columns": [name for name, _, _ in columns],
        "types": [kind for _, kind, _ in columns],
        "unknown": [value for _, _, value in columns],
        "imports": sorted({v.split(".")[0] for _, _, v in columns if v.startswith(("da", "de"))}),
    }


def fact(table: TablePlan, plan: Plan) -> dict[str, Any]:
    """What the template of a fact's file needs."""
    own = [f"{_hash('f', table.key)} AS {identifier(table.surrogate)}"] if table.surrogate else []
    return {
        "source": table.silver,
        "lookups": [_lookup(n, lookup, plan) for n, lookup in enumerate(table.lookups)],
        "columns": [
            *own,
            *_found(table),
            *(_date_key(key, plan.spec.date_dimension) for key in table.dates),
            *(f"f.{field.quoted}" for field in table.ordered),
            *(_figure(figure) for figure in table.figures),
        ],
    }


def cluster_columns(table: TablePlan) -> list[str]:
    """What the gold table is clustered by: what people filter and join by."""
    chosen = [table.by_source[name].name for name in table.table.cluster_by]
    if chosen:
        return chosen
    if table.inference.role == "dimension":
        return [table.surrogate]
    keys = [*(key.name for key in table.dates[:1]), *(lookup.name for lookup in table.lookups)]
    return (keys or [table.surrogate] * bool(table.surrogate))[:_MOST_CLUSTERED]


def dates(spec: DateDimension) -> dict[str, Any]:
    """What the template of the date dimension needs."""
    return {"name": DATE_DIMENSION, "first": spec.first, "last": spec.last}


def _hash(alias: str, fields: tuple[Field, ...]) -> str:
    """The surrogate key: the same for the same key in every run, whatever else comes in."""
    prefix = f"{alias}." if alias else ""
    return f"xxhash64({', '.join(prefix + field.quoted for field in fields)})"


def _guarded(table: TablePlan) -> str:
    """Two keys with one hash must stop the update, not melt into one member."""
    key = identifier(table.surrogate)
    message = "raise_error('two members share one surrogate key')"
    return f"IF(count(1) OVER (PARTITION BY {key}) = 1, {key}, {message}) AS {key}"


def _found(table: TablePlan) -> list[str]:
    return [
        f"coalesce(d{number}._key, {UNKNOWN_KEY}L) AS {identifier(lookup.name)}"
        for number, lookup in enumerate(table.lookups)
    ]


def _lookup(number: int, lookup: Lookup, plan: Plan) -> dict[str, Any]:
    """A fact finds its members in the dimension itself; another fact's row in that one's silver."""
    other = plan.by_name[lookup.references]
    if other.inference.role != "dimension":
        return _in_silver(number, lookup, plan)
    key = identifier(other.surrogate)
    columns = [f"{key} AS _key", *_on_columns(other)]
    return _joined(number, lookup, other.gold, columns, f"{key} <> {UNKNOWN_KEY}")


def _in_silver(number: int, lookup: Lookup, plan: Plan) -> dict[str, Any]:
    """Silver knows every key too, and dimensions that point at each other make no circle there."""
    other = plan.by_name[lookup.references]
    columns = [f"{_hash('', other.key)} AS _key", *_on_columns(other)]
    return _joined(number, lookup, other.silver, columns, "TRUE")


def _on_columns(other: TablePlan) -> list[str]:
    return [f"{field.quoted} AS _on{position}" for position, field in enumerate(other.key)]


def _joined(
    number: int, lookup: Lookup, table: str, columns: list[str], members: str
) -> dict[str, Any]:
    on = " AND ".join(
        f"f.{field.quoted} = d{number}._on{position}"
        for position, field in enumerate(lookup.columns)
    )
    return {"alias": f"d{number}", "table": table, "where": members, "columns": columns, "on": on}


def _date_key(key: DateKey, days: DateDimension) -> str:
    """Yyyymmdd where the date dimension has the day, else the unknown member."""
    day = f"CAST(f.{key.field.quoted} AS DATE)"
    number = f"year({day}) * 10000 + month({day}) * 100 + day({day})"
    within = f"{day} BETWEEN DATE'{days.first}' AND DATE'{days.last}'"
    return f"IF({within}, {number}, {UNKNOWN_KEY}) AS {identifier(key.name)}"


def _figure(figure: Figure) -> str:
    """Null where an operand is null, where it would divide by zero, where the type is too small."""
    left, right = (f"f.{field.quoted}" for field in figure.operands)
    operation = figure.measure.operation
    if operation == "divide":
        value = f"try_divide({left}, {right})"
    else:
        value = f"{_OPERATIONS[operation]}({left}, {right})"
    value = f"try_cast({value} AS {figure.kind.sql})"
    if figure.measure.otherwise is not None:
        value = f"coalesce({value}, CAST({figure.measure.otherwise!r}D AS {figure.kind.sql}))"
    return f"{value} AS {identifier(figure.name)}"


def _unknown(field: Field, table: TablePlan) -> str:
    """A data value in Python: what is declared, a word for texts, nothing for the rest."""
    if field.column.unknown is not None:
        return python(coerce(field.column.unknown, field.kind, field.column.name))
    if field.kind.name == "string" and field not in table.key:
        return python(_UNKNOWN_TEXT)
    return python(None)
