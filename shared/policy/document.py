"""Writes what documents the policy: `python -m shared.policy.document docs`.

The schema `policy.schema.json` is written anew; in `policy.md` the table between the two marks is.
Types, ranges and defaults come from the model, the words from `meanings`. With `--check` nothing is
written; the exit code is 1 if a file is not current.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec import inspect

from shared.policy.meanings import MEANINGS
from shared.policy.model import Policy, Selector

START, END = "<!-- settings: written by make policy -->\n", "<!-- end of settings -->\n"
_HEAD = (
    "| setting | what may stand there | default | meaning | why this default |\n"
    "|---|---|---|---|---|\n"
)
_UNITS = ((86_400, "d"), (3600, "h"), (60, "m"), (1, "s"))


class Setting(msgspec.Struct, frozen=True):
    """One field of the file: its path, what it takes, its default, where the model has it."""

    path: str
    expected: str
    default: str
    owner: str
    field: str


def settings() -> list[Setting]:
    """Every field of the policy file in the order of the model, those of a selector once, last."""
    return [*_walk("", Policy), *_walk("selector", Selector)]


def schema() -> str:
    """The JSON schema of the policy file."""
    made = json.loads(msgspec.json.encode(msgspec.json.schema(Policy)))
    for setting in settings():
        described = made["$defs"][setting.owner]["properties"][setting.field]
        described["description"] = MEANINGS[setting.path][0]
    for field in made["$defs"]["Selector"]["properties"].values():
        _widen(field)
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Lakemend policy"}
    return json.dumps(_tidied(head | made), indent=2) + "\n"


def _widen(field: dict[str, Any]) -> None:
    """A selector takes numbers as ids, and no empty field."""
    if field["type"] == "array":
        field |= {"minItems": 1, "items": {"type": ["string", "integer"]}}
    else:
        field |= {"minProperties": 1, "additionalProperties": {"type": ["string", "integer"]}}
    del field["default"]


def _tidied(node: Any) -> Any:  # noqa: ANN401 - any JSON value
    """Docstrings on one line; spans as number or text, which msgspec knows as numbers only."""
    if isinstance(node, list):
        return [_tidied(item) for item in node]
    if not isinstance(node, dict):
        return node
    if isinstance(text := node.get("description"), str):
        node["description"] = " ".join(text.split())
    if node.get("type") == "number" and "pattern" in node:
        node["type"] = ["number", "string"]
    return {name: _tidied(value) for name, value in node.items()}


def table() -> str:
    """The table of settings as Markdown."""
    rows = (
        f"| `{s.path}` | {s.expected} | {s.default} | {' | '.join(MEANINGS[s.path])} |\n"
        for s in settings()
    )
    return _HEAD + "".join(rows)


def _walk(path: str, shape: type) -> Iterator[Setting]:
    info = inspect.type_info(shape)
    for field in info.fields if isinstance(info, inspect.StructType) else ():
        here = f"{path}.{field.encode_name}".lstrip(".")
        many = isinstance(field.type, inspect.VarTupleType)
        inner = field.type.item_type if isinstance(field.type, inspect.VarTupleType) else field.type
        if isinstance(inner, inspect.StructType) and inner.cls is not Selector:
            yield from _walk(f"{here}[]" if many else here, inner.cls)
        else:
            yield Setting(
                here, _expected(field.type), _default(field), shape.__name__, field.encode_name
            )


def _expected(kind: inspect.Type) -> str:
    if isinstance(kind, inspect.Metadata):
        extra = kind.extra or {}
        words = extra.get("words") or ("span" if extra.get("span") else _expected(kind.type))
        return f"{words}{_range(kind.type, span=True)}" if extra.get("span") else str(words)
    if isinstance(kind, inspect.UnionType):
        return " or ".join(_expected(inner) for inner in kind.types)
    if isinstance(kind, inspect.VarTupleType):
        return f"list: {_expected(kind.item_type)}"
    if isinstance(kind, inspect.DictType):
        return f"mapping: name to {_expected(kind.value_type)}"
    if isinstance(kind, inspect.EnumType):
        return ", ".join(f"`{word.value}`" for word in kind.cls)
    if isinstance(kind, inspect.LiteralType):
        return ", ".join(f"`{word}`" for word in kind.values)
    return f"{_KINDS[type(kind)]}{_range(kind)}"


_KINDS = {
    inspect.FloatType: "number",
    inspect.IntType: "whole number",
    inspect.StrType: "text",
    inspect.BoolType: "`true`, `false`",
    inspect.NoneType: "`null`",
    inspect.StructType: "selector",
}


def _range(kind: inspect.Type, *, span: bool = False) -> str:
    if not isinstance(kind, inspect.FloatType | inspect.IntType):
        return ""
    low = "above 0" if kind.gt is not None else f"{kind.ge:g}"
    high = _span(kind.le or 0) if span else f"{kind.le:,.0f}"
    return f", {low} to {high}" if kind.gt is None else f", {low}, to {high}"


def _default(field: inspect.Field) -> str:
    if field.required:
        return "must be there"
    value = field.default_factory() if field.default is msgspec.NODEFAULT else field.default
    if value is None:
        return "`null`"
    if isinstance(value, Selector):
        return "everything"
    if isinstance(value, tuple | list | dict | str) and not value:
        return "none"
    if isinstance(value, tuple):
        return ", ".join(_plain(item, field.type) for item in value)
    return _plain(value, field.type)


def _plain(value: Any, kind: inspect.Type) -> str:  # noqa: ANN401 - any value of the model
    inner = kind.item_type if isinstance(kind, inspect.VarTupleType) else kind
    if isinstance(inner, inspect.Metadata) and (inner.extra or {}).get("span"):
        return f"`{_span(value)}`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def _span(seconds: float) -> str:
    size, unit = next((unit for unit in _UNITS if seconds and seconds % unit[0] == 0), (1, "s"))
    return f"{seconds / size:g}{unit}"


def _with_table(text: str) -> str:
    before, _, rest = text.partition(START)
    _, _, after = rest.partition(END)
    return f"{before}{START}\n{table()}\n{END}{after}"


def main(arguments: list[str]) -> int:
    """Write or check the files; returns the exit code."""
    folder = Path(next(a for a in arguments if not a.startswith("--")))
    page = folder / "policy.md"
    texts = {
        page: _with_table(page.read_text("utf-8")),
        folder / "policy.schema.json": schema(),
    }
    stale = [p for p, t in texts.items() if not p.exists() or p.read_text("utf-8") != t]
    if "--check" in arguments:
        for path in stale:
            sys.stderr.write(f"{path.name} is not current: run make policy\n")
        return 1 if stale else 0
    for path in stale:
        path.write_text(texts[path], "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
