"""Silver: typed, cleaned, checked, one row a key; what breaks a rule is set aside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shared.delivery.builder.literals import coerce, identifier, sql, sql_text
from shared.delivery.builder.names import Taken
from shared.delivery.builder.plan import Field, TablePlan
from shared.delivery.builder.spec import Action, Expectation

_AUDIT = ("_source_file", "_source_modified_at", "_ingested_at")
_WRONG_TYPES: dict[str, Action] = {"quarantine": "drop", "null": "warn", "fail": "fail"}
_INFINITY = "CAST('Infinity' AS DOUBLE)"


@dataclass(frozen=True)
class Rule:
    """What a row should keep: true or false for every row, never null."""

    name: str
    condition: str
    action: Action


def context(table: TablePlan) -> dict[str, Any]:
    """What the template of a silver file needs."""
    all_rules = rules(table)
    return {
        "text": [*(_text(field) for field in table.ordered), *_about_the_source(table)],
        "typed": [*(_typed(field) for field in table.ordered), *_about_the_row(table)],
        "missing": _may_be_missing(table),
        "broken": _broken(all_rules),
        "rules": {
            action: {rule.name: rule.condition for rule in all_rules if rule.action == action}
            for action in ("warn", "drop", "fail")
        },
        "rank": _rank(table) if table.key else "",
        "columns": [*(field.quoted for field in table.ordered), *_AUDIT],
        "quarantined": ["_broken_rules", "_wrong_types", "_source_row", *_AUDIT],
    }


def rules(table: TablePlan) -> list[Rule]:
    """Keys and required columns, types, rescued data; then what is declared."""
    taken = Taken()
    fields = table.by_source
    found = [
        Rule(taken.claim(f"{field.name} is there"), f"{field.quoted} IS NOT NULL", "drop")
        for field in table.ordered
        if field in table.key or field.column.required
    ]
    if any(_may_be_wrong(field) for field in table.fields):
        action = _WRONG_TYPES[table.table.wrong_types]
        found.append(Rule(taken.claim("types are right"), "size(_wrong_types) = 0", action))
    if table.table.format != "delta":
        found.append(Rule(taken.claim("nothing rescued"), "_rescued_data IS NULL", "warn"))
    found.extend(
        Rule(taken.claim(rule.name), _condition(rule, fields), rule.action)
        for rule in table.table.expectations
    )
    return found


def _text(field: Field) -> str:
    """Text without blanks around it; text of nothing but blanks is null."""
    return f"nullif(trim(CAST({field.source} AS STRING)), '') AS {field.quoted}"


def _about_the_source(table: TablePlan) -> list[str]:
    return ["to_json(struct(*)) AS _source_row", *_kept(table)]


def _kept(table: TablePlan) -> list[str]:
    rescued = [] if table.table.format == "delta" else ["_rescued_data"]
    return [*rescued, *_AUDIT, *_offset(table)]


def _offset(table: TablePlan) -> list[str]:
    """Tells messages of one millisecond apart."""
    return ["_offset"] if table.table.format == "kafka" else []


def _typed(field: Field) -> str:
    value = _value(field)
    if field.column.default is not None:
        value = f"coalesce({value}, {_literal(field.column.default, field)})"
    return value if value == field.quoted else f"{value} AS {field.quoted}"


def _value(field: Field) -> str:
    """What the text says, in the column's type."""
    text, kind, strict = field.quoted, field.kind, field.column.cast == "strict"
    if kind.name == "string":
        return text
    if field.column.format is not None:
        moment = "to_timestamp" if strict else "try_to_timestamp"
        parsed = f"{moment}({text}, {sql_text(field.column.format)})"
        return f"CAST({parsed} AS DATE)" if kind.name == "date" else parsed
    value = f"{'CAST' if strict else 'try_cast'}({text} AS {kind.sql})"
    if kind.fractional:  # NaN and the infinities spoil every sum they enter
        return f"CASE WHEN abs({value}) < {_INFINITY} THEN {value} END"
    return value


def _may_be_wrong(field: Field) -> bool:
    return field.kind.name != "string" and field.column.cast == "try"


def _about_the_row(table: TablePlan) -> list[str]:
    wrong = ", ".join(
        f"IF({field.quoted} IS NOT NULL AND {_value(field)} IS NULL, {sql_text(field.name)}, NULL)"
        for field in table.fields
        if _may_be_wrong(field)
    )
    return [f"{_names(wrong)} AS _wrong_types", "_source_row", *_kept(table)]


def _names(items: str) -> str:
    return f"array_compact(array({items}))" if items else "CAST(array() AS ARRAY<STRING>)"


def _broken(all_rules: list[Rule]) -> str:
    names = ", ".join(
        f"IF({rule.condition}, NULL, {sql_text(rule.name)})"
        for rule in all_rules
        if rule.action == "drop"
    )
    return f"{_names(names)} AS _broken_rules"


def _may_be_missing(table: TablePlan) -> list[str]:
    """Of the readers only Delta's cannot be told which columns to expect."""
    if table.table.format != "delta":
        return []
    return [field.column.name for field in table.fields if field.column.optional]


def _rank(table: TablePlan) -> str:
    """The newest row of a key first; the last column makes ties come out the same every time."""
    order = []
    if table.table.sequence_by:
        order.append(f"{table.by_source[table.table.sequence_by].quoted} DESC NULLS LAST")
    arrival = ["_source_modified_at", *_offset(table), "_ingested_at"]
    order += [f"{column} DESC NULLS LAST" for column in arrival]
    order.append(f"xxhash64({', '.join(field.quoted for field in table.ordered)})")
    keys = ", ".join(field.quoted for field in table.key)
    return f"row_number() OVER (PARTITION BY {keys} ORDER BY {', '.join(order)}) AS _rank"


def _condition(rule: Expectation, fields: Mapping[str, Field]) -> str:
    if rule.condition is not None:
        return f"coalesce(({rule.condition}), FALSE)"
    field = fields[rule.column or ""]
    if rule.not_null:
        return f"{field.quoted} IS NOT NULL"
    return f"{field.quoted} IS NULL OR ({' AND '.join(_bounds(rule, field))})"


def _bounds(rule: Expectation, field: Field) -> list[str]:
    found = []
    if rule.min is not None:
        found.append(f"{field.quoted} >= {_literal(rule.min, field)}")
    if rule.max is not None:
        found.append(f"{field.quoted} <= {_literal(rule.max, field)}")
    if rule.one_of:
        found.append(f"{field.quoted} IN ({', '.join(_literal(v, field) for v in rule.one_of)})")
    if rule.matches is not None:
        found.append(f"{field.quoted} RLIKE {sql_text(rule.matches)}")
    return found


def _literal(value: Any, field: Field) -> str:  # noqa: ANN401 - any scalar of the specification
    return sql(coerce(value, field.kind, field.column.name), field.kind)


def cluster_columns(table: TablePlan) -> list[str]:
    """What the silver table is clustered by."""
    chosen = [table.by_source[name] for name in table.table.cluster_by] or list(table.key)
    return [field.name for field in chosen if field.kind.name != "boolean"][:4]


def unquoted(name: str) -> str:
    """A column's name for an argument that takes identifiers: quoted only where it must be."""
    return name if name.isascii() and name.isidentifier() else identifier(name)
