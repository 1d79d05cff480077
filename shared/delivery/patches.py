"""The closed set of changes to a specification that a failure may lead to. Pure.

A column that does not cast is cast by try, and its bad values set aside; a missing column becomes
optional; a new one is taken in; a division is guarded; an unknown reader option is dropped. What
is not exactly recognised is not patched.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import msgspec

from shared.delivery.builder.checks import check
from shared.delivery.builder.datatypes import data_type
from shared.delivery.builder.plan import TablePlan, plan
from shared.delivery.builder.spec import Column, Expectation, Specification, Table
from shared.errors import InputError


class Patch(msgspec.Struct, frozen=True):
    """A changed specification, what was changed, and why."""

    spec: Specification
    kind: str
    words: str


_Patcher = Callable[[Table, str], tuple[Table, str] | None]

_CAST = re.compile(r"CAST_INVALID_INPUT|CANNOT_PARSE_TIMESTAMP|cannot be cast to|CAST_OVERFLOW")
_TYPE = re.compile(r"(?:cast|parsed|converted) (?:in)?to (?:type )?[\"'`]?([A-Za-z]+)")
_MISSING = re.compile(
    r"UNRESOLVED_COLUMN[\w.]*\].*?with name `(?P<path>[^`]+(?:`\.`[^`]+)*)`", re.DOTALL
)
_NEW = re.compile(r"UNKNOWN_FIELD_EXCEPTION|UnknownFieldException|[Ee]ncountered unknown field")
_DIVIDED = re.compile(r"\[DIVIDE_BY_ZERO\]|\bDivision by zero\b")
_OPTIONS = re.compile(
    r"CF_UNKNOWN_OPTION_KEYS_ERROR\].*?(?:option keys|keys)?:\s*(?P<keys>.+?)(?:Please|$)",
    re.DOTALL,
)
_OPTION = re.compile(
    r"[Uu]n(?:known|recognized|supported) (?:reader )?option:? ['\"`](?P<key>[^'\"`]+)"
)
_QUOTED = re.compile(r"`([^`]+)`|\"([^\"]+)\"|'([^']+)'")
# Texts, and names in backticks: what stands in them is neither an operator nor a name.
_OPAQUE = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|(`(?:[^`]|``)+`)", re.DOTALL)
_TEXT, _NAME = "\x00", "\x01"
_MASKED = re.compile(f"[{_TEXT}{_NAME}]")
_RAW = re.compile(r"\br['\"]|[\x00\x01]", re.IGNORECASE)
# A divisor ends where it surely ends: no call, index, field or cast of it follows.
_DIVISOR = re.compile(
    r"(?P<sign>[/%])\s*(?P<by>(?:\x01|[^\W\d]\w*+)(?:\.(?:\x01|\w++))*+(?:\([^()]*\))?+|\([^()]*\))"
    r"(?!\w|\s*[(\[.:\x00\x01])"
)
_NO_DIVISOR = frozenset(
    {"all", "and", "any", "array", "between", "binary", "case", "date", "distinct", "else", "end"}
    | {"exists", "false", "from", "in", "interval", "is", "lateral", "like", "map", "not", "null"}
    | {"or", "over", "rlike", "some", "struct", "then", "timestamp", "true", "when"}
)
_OTHER_DIVISION = re.compile(r"\bdiv\b|\bp?mod\s*\(", re.IGNORECASE)
_BY_NUMBER = re.compile(r"[/%]\s*(?:[1-9]\d*(?:\.\d+)?|0?\.\d*[1-9]\d*)(?![\w.])")
_GUARDED = re.compile(r"[/%]\s*nullif\s*\(", re.IGNORECASE)


def patch(spec: Specification, flow: str, message: str) -> Patch | None:
    """The patch for a failure of a flow, None if none is surely right.

    Args:
        spec: the specification as it is.
        flow: the flow that failed, or its table, with or without catalog and schema.
        message: what the platform said.
    """
    name = flow.rpartition(".")[2].strip("`").lower()
    mine = [table for table in plan(spec).tables if name in _names(table)]
    if len(mine) != 1:
        return None
    for kind, patcher in _patchers(mine[0], message):
        done = patcher(mine[0].table, message)
        if done is not None:
            return _checked(spec, mine[0].table, done, kind)
    return None


def is_new_column(message: str) -> bool:
    """Whether a stream stopped because its source has a new column."""
    return bool(_NEW.search(message))


def _names(table: TablePlan) -> set[str]:
    return {
        name.lower()
        for name in (
            table.bronze,
            table.typed,
            table.valid,
            table.silver,
            table.quarantine,
            table.gold,
        )
        if name
    }


def _patchers(table: TablePlan, message: str) -> Iterator[tuple[str, _Patcher]]:
    if _CAST.search(message):
        yield "cast", lambda t, m: _cast(t, m, table)
    if _MISSING.search(message):
        yield "missing column", lambda t, m: _missing(t, m, table)
    if _NEW.search(message):
        yield "new column", _new
    if _DIVIDED.search(message):
        yield "division", lambda t, _: _division(t)
    if _OPTIONS.search(message) or _OPTION.search(message):
        yield "reader option", _option


def _checked(spec: Specification, table: Table, done: tuple[Table, str], kind: str) -> Patch | None:
    changed, words = done
    tables = tuple(changed if each.name == table.name else each for each in spec.tables)
    patched = msgspec.structs.replace(spec, tables=tables)
    try:
        check(patched)
    except InputError:
        return None  # the specification does not allow it
    return Patch(patched, kind, words)


def _cast(table: Table, message: str, planned: TablePlan) -> tuple[Table, str] | None:
    strict = [column for column in table.columns if column.cast == "strict"]
    named = {name.lower() for match in _QUOTED.findall(message) for name in match if name}
    known = {field.column.name: field.name for field in planned.fields}
    meant = [c for c in strict if {c.name.lower(), known[c.name].lower()} & named]
    chosen = meant or [column for column in strict if len(strict) == 1 and _told(column, message)]
    if not chosen:
        return None
    changed = _columns(table, chosen, cast="try")
    changed = msgspec.structs.replace(changed, wrong_types="quarantine")
    words = ", ".join(column.name for column in chosen)
    return changed, f"{table.name}: {words} cast by try, wrong values go to quarantine"


def _told(column: Column, message: str) -> bool:
    """Whether the message is about a cast to the column's own type."""
    wanted = data_type(column.type, "type").sql.partition("(")[0].lower()
    types = {name.lower() for name in _TYPE.findall(message)}
    return wanted in types


def _missing(table: Table, message: str, planned: TablePlan) -> tuple[Table, str] | None:
    found = _MISSING.search(message)
    name = found["path"].rpartition("`.`")[2].lower() if found else ""
    known = {field.column.name: field.name for field in planned.fields}
    meant = [
        column
        for column in table.columns
        if name in {column.name.lower(), known[column.name].lower()} and not column.optional
    ]
    needed = {key.lower() for key in table.key}
    if len(meant) != 1 or meant[0].name.lower() in needed or meant[0].required:
        return None
    changed = _columns(table, meant, optional=True)
    return changed, f"{table.name}: the source may lack {meant[0].name}, which is null then"


def _columns(table: Table, chosen: list[Column], **change: object) -> Table:
    columns = tuple(
        msgspec.structs.replace(column, **change) if column in chosen else column
        for column in table.columns
    )
    return msgspec.structs.replace(table, columns=columns)


def _new(table: Table, _message: str) -> tuple[Table, str] | None:
    if table.schema_evolution != "fail":
        return None
    changed = msgspec.structs.replace(table, schema_evolution="add_columns")
    return changed, f"{table.name}: new columns are taken in, as nullable ones"


def _division(table: Table) -> tuple[Table, str] | None:
    rules = tuple(_guarded(rule) for rule in table.expectations)
    if None in rules or rules == table.expectations:
        return None
    pairs = zip(rules, table.expectations, strict=True)
    names = ", ".join(new.name for new, old in pairs if new is not None and new != old)
    kept = tuple(rule for rule in rules if rule is not None)
    changed = msgspec.structs.replace(table, expectations=kept)
    return changed, f"{table.name}: divisions in {names} give null where the divisor is zero"


def _guarded(rule: Expectation) -> Expectation | None:
    """The rule with every divisor guarded, None if one of them cannot be told apart surely."""
    if rule.condition is None:
        return rule
    kept = iter([match.group(0) for match in _OPAQUE.finditer(rule.condition)])
    bare = _OPAQUE.sub(lambda match: _NAME if match[1] else _TEXT, rule.condition)
    if _RAW.search(rule.condition) or _OTHER_DIVISION.search(bare):
        return None
    divided = len(re.findall(r"[/%]", bare))
    safe = len(_BY_NUMBER.findall(bare)) + len(_GUARDED.findall(bare))
    plain = [m for m in _DIVISOR.finditer(bare) if not _GUARDED.match(bare, m.start())]
    if divided != safe + len(plain) or any(m["by"].lower() in _NO_DIVISOR for m in plain):
        return None
    guarded = _MASKED.sub(lambda _: next(kept), _DIVISOR.sub(_guard, bare))
    return msgspec.structs.replace(rule, condition=guarded)


def _guard(match: re.Match[str]) -> str:
    if match["by"].lower().startswith("nullif"):
        return match.group(0)
    return f"{match['sign']} nullif({match['by']}, 0)"


def _option(table: Table, message: str) -> tuple[Table, str] | None:
    found = _OPTIONS.search(message)
    keys = re.split(r"[\s,]+", found["keys"]) if found else []
    keys += _OPTION.findall(message)
    unknown = {key.strip("`'\"[].").lower() for key in keys}
    dropped = [name for name in table.options if name.lower() in unknown]
    if not dropped:
        return None
    options = {name: value for name, value in table.options.items() if name not in dropped}
    changed = msgspec.structs.replace(table, options=options)
    return changed, f"{table.name}: the reader does not know {', '.join(dropped)}, dropped"
