"""Reads configuration in YAML and remembers on which line each value stands.

Every mistake becomes one `ConfigurationError` that names the file, the line, the field and the
reason.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import yaml

from shared import decoding
from shared.errors import ConfigurationError

T = TypeVar("T")
Steps = list[str | int]

_AT = re.compile(r" - at `(?:key` in `)?\$(.*)`$")
_UNKNOWN_FIELD = re.compile(r"unknown field `(.+)`$")


class _Loader(yaml.SafeLoader):
    """Plain words as in YAML 1.2: `22:00` is no number, `no` is no boolean, a date is a text."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - PyYAML's own name and way


for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"-?(?:0|[1-9][0-9]*)", "-0123456789"),
    (
        "float",
        r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]*)?(?:[eE][-+]?[0-9]+)?|-?\.(?:inf|[0-9]+)|\.nan",
        "-.0123456789",
    ),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("merge", r"<<", "<"),
):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), list(_first)
    )


class YamlFile:
    """A YAML file that remembers on which line each value stands.

    Raises:
        ConfigurationError: it cannot be read, is not YAML, or has a key twice.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._node = yaml.compose(path.read_text("utf-8"), Loader=_Loader)
        except OSError as error:
            raise ConfigurationError(f"{path.name}: cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise ConfigurationError(f"{path.name}: not UTF-8") from None
        except yaml.YAMLError as error:
            raise self._not_yaml(error) from None
        except RecursionError:
            raise ConfigurationError(f"{path.name}: nested too deeply") from None
        if self._node is not None:
            self._refuse_twins(self._node, set(), set())

    def _refuse_twins(self, node: Any, above: set[int], done: set[int]) -> None:  # noqa: ANN401 - yaml's own nodes
        """YAML takes the last of two equal keys in silence; here that is a mistake."""
        if id(node) in above:
            raise self._at(node, "this stands inside itself")
        if id(node) in done:  # an alias of what was looked at
            return
        done.add(id(node))
        inside = above | {id(node)}
        if isinstance(node, yaml.SequenceNode):
            for item in node.value:
                self._refuse_twins(item, inside, done)
        if isinstance(node, yaml.MappingNode):
            self._refuse_equal_keys(node)
            for _, value in node.value:
                self._refuse_twins(value, inside, done)

    def _refuse_equal_keys(self, node: yaml.MappingNode) -> None:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise self._at(key, "expected a name")
            if key.value in seen:
                raise self._at(key, f"{key.value} stands there twice")
            seen.add(key.value)

    def _at(self, node: Any, reason: str) -> ConfigurationError:  # noqa: ANN401 - yaml's own nodes
        line = node.start_mark.line + 1
        return ConfigurationError(f"{self._path.name}, line {line}: {reason}")

    def data(self) -> Any:  # noqa: ANN401 - whatever stands in the file
        """What stands in the file, unchecked.

        Raises:
            ConfigurationError: a tag that is not plain YAML, or a value that its tag does not fit.
        """
        try:
            return _Loader("").construct_document(self._node) if self._node else None
        except (yaml.YAMLError, ValueError) as error:
            raise self._not_yaml(error) from None

    def _not_yaml(self, error: Exception) -> ConfigurationError:
        mark = getattr(error, "problem_mark", None)
        where = f"{self._path.name}, line {mark.line + 1}" if mark else self._path.name
        return ConfigurationError(f"{where}: not YAML: {getattr(error, 'problem', None) or error}")

    def document(self, shape: type[T]) -> T:
        """The whole file as `shape`."""
        return self.convert([], self.data(), shape)

    def entries(self, at: Steps, values: dict[str, Any], shape: type[T]) -> dict[str, T]:
        """A mapping's values, one by one: msgspec does not tell which key a mistake is under."""
        return {name: self.convert([*at, name], value, shape) for name, value in values.items()}

    def convert(self, at: Steps, data: Any, shape: type[T]) -> T:  # noqa: ANN401 - YAML values
        """`data`, which stands at `at`, as `shape`.

        Raises:
            ConfigurationError: it is not.
        """
        try:
            return decoding.convert(data, shape)
        except msgspec.ValidationError as error:
            text = str(error)
            found = _AT.search(text)
            reason = _AT.sub("", text)
            unknown = _UNKNOWN_FIELD.search(reason)
            inside = _steps(found.group(1) if found else "")
            field = [unknown.group(1)] if unknown else []
            raise self.mistake([*at, *inside, *field], reason) from None

    def mistake(self, steps: Steps, reason: str) -> ConfigurationError:
        """An error about the value at `steps`, with its line; a list's element by its `id` too."""
        place = f"{self._path.name}, line {self._line(steps)}"
        where = ".".join(str(step) for step in steps) or "the file"
        name = self._name(steps)
        return ConfigurationError(f"{place}: {where}{f' ({name})' if name else ''}: {reason}")

    def _line(self, steps: Steps) -> int:
        node: Any = self._node
        line = node.start_mark.line if node else 0
        for step in steps:
            found = _child(node, step)
            if found is None:
                break
            key, node = found
            line = key.start_mark.line
        return int(line) + 1

    def _name(self, steps: Steps) -> str:
        """The `id` of the list's element that `steps` lead into, empty if it has none."""
        node: Any = self._node
        for step in steps:
            found = _child(node, step)
            if found is None:
                return ""
            node = found[1]
            identity = _child(node, "id") if isinstance(step, int) else None
            if identity is not None:
                return str(identity[1].value)
        return ""


def _child(node: Any, step: str | int) -> tuple[Any, Any] | None:  # noqa: ANN401 - yaml's own nodes
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        return node.value[step], node.value[step]
    if isinstance(node, yaml.MappingNode):
        return next((pair for pair in node.value if pair[0].value == str(step)), None)
    return None


def _steps(path: str) -> Steps:
    """`.a[0].b` as its steps; msgspec writes `[...]` for a mapping's value."""
    steps: Steps = []
    for part in path.replace("[", ".[").split("."):
        if part.startswith("["):
            inner = part.strip("[]")
            if inner.isdigit():
                steps.append(int(inner))
        elif part:
            steps.append(part)
    return steps
