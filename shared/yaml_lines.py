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

from shared.errors import ConfigurationError

T = TypeVar("T")
Steps = list[str | int]

_UNKNOWN_FIELD = re.compile(r"^Object contains unknown field `(.+)`$")


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
        except (yaml.YAMLError, RecursionError) as error:
            raise self._not_yaml(error) from None
        if self._node is not None:
            self._refuse_twins(self._node, set())

    def _refuse_twins(self, node: Any, done: set[int]) -> None:  # noqa: ANN401 - yaml's own nodes
        """YAML takes the last of two equal keys in silence; here that is a mistake."""
        if id(node) in done:  # an alias: it may even name what it stands in
            return
        done.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            for item in node.value:
                self._refuse_twins(item, done)
        if not isinstance(node, yaml.MappingNode):
            return
        seen: set[str] = set()
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                raise ConfigurationError(f"{self._path.name}, line {line}: expected a plain key")
            if key.value in seen:
                raise ConfigurationError(
                    f"{self._path.name}, line {line}: {key.value} stands there twice"
                )
            seen.add(key.value)
            self._refuse_twins(value, done)

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
            return msgspec.convert(data, shape, strict=True)
        except msgspec.ValidationError as error:
            reason, _, path = str(error).partition(" - at `$")
            unknown = _UNKNOWN_FIELD.match(reason)
            field = [unknown.group(1)] if unknown else []
            raise self.mistake([*at, *_steps(path.rstrip("`")), *field], reason) from None

    def mistake(self, steps: Steps, reason: str) -> ConfigurationError:
        """The error that says what is wrong at `steps`, and on which line that is."""
        line = self._line(steps)
        where = ".".join(str(step) for step in steps) or "the file"
        return ConfigurationError(f"{self._path.name}, line {line}: {where}: {reason}")

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
