"""Brings what stands in a policy file into the shape of the model, with errors that help.

Walks the model's own types, so that a new field needs nothing here: spans of time become seconds,
numbers where a name is expected become text, and an unknown field, an unknown word and an empty
list of patterns are refused with what was expected.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, TypeVar, get_args, get_type_hints

import msgspec
from msgspec import inspect

from shared.policy.model import Selector
from shared.yaml_lines import Steps, YamlFile

T = TypeVar("T")

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_SPAN = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([smhd])")


def read(file: YamlFile, shape: type[T]) -> T:
    """The file as `shape`.

    Raises:
        ConfigurationError: a mistake, with file, line, field and reason.
    """
    return file.convert([], _ready(file, [], file.data(), inspect.type_info(shape)), shape)


def seconds(text: str) -> float | None:
    """The seconds that `90s`, `15m`, `4h` or `7d` means; None if the text is none of these."""
    match = _SPAN.fullmatch(text)
    return float(match.group(1)) * _UNITS[match.group(2)] if match else None


def _ready(file: YamlFile, at: Steps, value: Any, shape: inspect.Type) -> Any:  # noqa: ANN401 - YAML
    if isinstance(shape, inspect.Metadata):
        if (shape.extra or {}).get("span") and isinstance(value, str):
            return _seconds(file, at, value)
        return _ready(file, at, value, shape.type)
    if isinstance(shape, inspect.UnionType):
        some = next(kind for kind in shape.types if not isinstance(kind, inspect.NoneType))
        return None if value is None else _ready(file, at, value, some)
    if isinstance(shape, inspect.StructType):
        return _struct(file, at, value, shape)
    if isinstance(shape, inspect.VarTupleType) and isinstance(value, list):
        return [_ready(file, [*at, i], v, shape.item_type) for i, v in enumerate(value)]
    if isinstance(shape, inspect.DictType) and isinstance(value, dict):
        return {str(k): _ready(file, [*at, str(k)], v, shape.value_type) for k, v in value.items()}
    if isinstance(shape, inspect.EnumType):
        return _one_of(file, at, value, [str(word.value) for word in shape.cls])
    if isinstance(shape, inspect.LiteralType):
        return _one_of(file, at, value, [str(word) for word in shape.values])
    number = isinstance(value, int) and not isinstance(value, bool)
    if isinstance(shape, inspect.StrType) and number:
        return str(value)  # the id of a job
    return value


def _struct(file: YamlFile, at: Steps, value: Any, shape: inspect.StructType) -> Any:  # noqa: ANN401
    if not isinstance(value, dict):
        raise file.mistake(at, f"expected a mapping, got {_called(value)}")
    fields = {field.encode_name: field for field in shape.fields}
    for name in value:
        if name not in fields:
            raise file.mistake([*at, str(name)], f"unknown field, expected {_either(fields)}")
    if shape.cls is Selector:
        _refuse_empty(file, at, value)
    ready = {k: _ready(file, [*at, k], v, fields[k].type) for k, v in value.items()}
    _check_entries(file, at, ready, shape)
    return ready


def _refuse_empty(file: YamlFile, at: Steps, value: dict[str, Any]) -> None:
    """A field that is given empty would match everything, as if it were not there."""
    for name, patterns in value.items():
        if patterns in ([], {}):
            raise file.mistake([*at, name], "expected at least one pattern")


def _check_entries(
    file: YamlFile, at: Steps, ready: dict[str, Any], shape: inspect.StructType
) -> None:
    """Mappings entry by entry: msgspec does not tell which key a mistake is under."""
    hints = get_type_hints(shape.cls, include_extras=True)
    for field in shape.fields:
        entries = ready.get(field.encode_name)
        if isinstance(field.type, inspect.DictType) and isinstance(entries, dict):
            kind = get_args(hints[field.name])[1]
            file.entries([*at, field.encode_name], entries, kind)


def _seconds(file: YamlFile, at: Steps, text: str) -> float:
    span = seconds(text)
    if span is None:
        raise file.mistake(at, f"expected seconds or a span such as 90s, 15m, 4h, 7d, got {text!r}")
    return span


def _one_of(file: YamlFile, at: Steps, value: Any, words: list[str]) -> Any:  # noqa: ANN401 - YAML
    if value not in words:
        raise file.mistake(at, f"expected {_either(words)}, got {_called(value)}")
    return value


def _either(words: Iterable[str]) -> str:
    *rest, last = words
    return f"{', '.join(rest)} or {last}" if rest else last


def _called(value: Any) -> str:  # noqa: ANN401 - YAML values
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    return "nothing" if value is None else repr(value)


def field_types(shape: type[msgspec.Struct]) -> tuple[inspect.Field, ...]:
    """The fields of a struct of the model, as they are called in the file."""
    info = inspect.type_info(shape)
    return info.fields if isinstance(info, inspect.StructType) else ()
