"""A specification from text: YAML (which includes JSON) by the rules of YAML 1.2.

So `no` is a text and not false, 17:00 is a text and not 1020, and a date is a text. Aliases, merge
keys and a key given twice are refused: each of them hides something from who reads the file.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec
import yaml

from shared.decoding import convert
from shared.delivery.builder.checks import check
from shared.delivery.builder.spec import Specification
from shared.errors import InputError

MAX_BYTES = 1_048_576
_DEEPEST = 20
_PATH = re.compile(r" - at (?:`key` in )?`\$?\.?(?P<path>[^`]*)`$")


# libyaml's parser where PyYAML has it: eight times as fast as the one in Python.
_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Base):  # type: ignore[misc]  # either of the two, with one interface
    """YAML 1.2's core schema."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - PyYAML's own attribute


def _resolve(tag: str, pattern: str, first: str) -> None:
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(pattern), list(first))


_resolve("null", r"^(?:~|null|Null|NULL|)$", "~nN")
_Loader.yaml_implicit_resolvers.setdefault("", []).append(
    ("tag:yaml.org,2002:null", re.compile(r"^$"))
)
_resolve("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF")
_resolve("int", r"^[-+]?(?:0|[1-9][0-9]{0,18})$", "-+0123456789")
_resolve(
    "float",
    r"^[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?$",
    "-+.0123456789",
)


def read(text: str | bytes) -> Specification:
    """The specification that `text` holds, checked in shape and sense.

    Raises:
        InputError: what is wrong, with the path of the field.
    """
    try:
        specification = convert(load(text), Specification)
    except msgspec.ValidationError as error:
        raise _named(error) from None
    check(specification)
    return specification


def load(text: str | bytes) -> dict[str, Any]:
    """The object that `text`, YAML 1.2 or JSON, holds, without any trick of YAML.

    Raises:
        InputError: it is no object, not to be read, or larger than a specification may be.
    """
    if len(text) > MAX_BYTES:
        raise InputError("specification", f"expected at most {MAX_BYTES} bytes")
    try:
        decoded = text.decode("utf-8-sig") if isinstance(text, bytes) else text
        _refuse_tricks(decoded)
        loaded = yaml.load(decoded, _Loader)  # noqa: S506 - a SafeLoader with fewer types
    except UnicodeDecodeError:
        raise InputError("specification", "expected UTF-8") from None
    except (yaml.YAMLError, ValueError, TypeError) as error:
        raise InputError("specification", f"expected YAML or JSON: {_where(error)}") from None
    if not isinstance(loaded, dict):
        raise InputError("specification", "expected an object with name, catalog, tables")
    return dict(loaded)


def _where(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error).splitlines()[0]
    return f"line {mark.line + 1}: {problem}" if mark else str(problem)


def _refuse_tricks(text: str) -> None:
    """Walk the events once, without building anything."""
    depth = 0
    for event in yaml.parse(text, _Loader):
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise InputError(
                "specification", f"line {_line(event)}: expected no anchors, no aliases"
            )
        if getattr(event, "tag", None):
            raise InputError("specification", f"line {_line(event)}: expected no tags")
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:
            raise InputError("specification", f"line {_line(event)}: expected less nesting")


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 0


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    found: dict[Any, Any] = {}
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        if key in found:
            line = key_node.start_mark.line + 1
            raise InputError("specification", f"line {line}: the key {key!r} is given twice")
        found[key] = loader.construct_object(value_node, deep=True)
    return found


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)


def _named(error: msgspec.ValidationError) -> InputError:
    text = str(error)
    found = _PATH.search(text)
    field = (found["path"] if found else "") or "specification"
    expected = _PATH.sub("", text)
    return InputError(field, expected[:1].lower() + expected[1:])
