"""A YAML file that remembers on which line each value stands, so that a mistake can be shown."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import yaml

from shared.errors import ConfigurationError

T = TypeVar("T")
Steps = list[str | int]

_AT = re.compile(r" - at `(?:key` in `)?\$(.*)`$")
_UNKNOWN_FIELD = re.compile(r"unknown field `(.+)`$")


class YamlFile:
    """One file, read when it is made."""

    def __init__(self, path: Path) -> None:
        """Reads `path`.

        Raises:
            ConfigurationError: it cannot be read, is no YAML, or says a thing twice.
        """
        self._path = path
        try:
            self._node = yaml.compose(path.read_text("utf-8"), Loader=yaml.SafeLoader)
        except OSError as error:
            raise ConfigurationError(f"{path.name}: cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise ConfigurationError(f"{path.name}: not UTF-8") from None
        except yaml.YAMLError as error:
            raise self._not_yaml(error) from None
        except RecursionError:
            raise ConfigurationError(f"{path.name}: nested too deeply") from None
        if self._node is not None:
            self._refuse_twins(self._node, set())

    def document(self, shape: type[T]) -> T:
        """The whole file as `shape`.

        Raises:
            ConfigurationError: it has another shape.
        """
        loader = yaml.SafeLoader("")
        try:
            data = loader.construct_document(self._node) if self._node else None
        except yaml.YAMLError as error:
            raise self._not_yaml(error) from None
        except ValueError as error:  # a date that no calendar has
            raise ConfigurationError(f"{self._path.name}: not YAML: {error}") from None
        return self._convert([], data, shape)

    def entries(self, at: Steps, values: dict[str, Any], shape: type[T]) -> dict[str, T]:
        """A mapping's values, one by one: msgspec does not tell which key a mistake is under."""
        return {name: self._convert([*at, name], value, shape) for name, value in values.items()}

    def mistake(self, steps: Steps, reason: str) -> ConfigurationError:
        """An error about the value at `steps`, with its line; a list's element by its `id` too."""
        place = f"{self._path.name}, line {self._line(steps)}"
        where = ".".join(str(step) for step in steps) or "the file"
        name = self._name(steps)
        return ConfigurationError(f"{place}: {where}{f' ({name})' if name else ''}: {reason}")

    def _not_yaml(self, error: yaml.YAMLError) -> ConfigurationError:
        mark = getattr(error, "problem_mark", None)
        reason = getattr(error, "problem", None) or " ".join(str(error).split())
        place = f", line {mark.line + 1}" if mark else ""
        return ConfigurationError(f"{self._path.name}{place}: not YAML: {reason}")

    def _refuse_twins(self, node: Any, above: set[int]) -> None:  # noqa: ANN401 - yaml's own nodes
        """YAML takes the last of two equal keys in silence; here that is a mistake."""
        if id(node) in above:
            raise self._at(node, "this stands inside itself")
        inside = above | {id(node)}
        if isinstance(node, yaml.SequenceNode):
            for item in node.value:
                self._refuse_twins(item, inside)
        if isinstance(node, yaml.MappingNode):
            self._refuse_equal_keys(node)
            for _, value in node.value:
                self._refuse_twins(value, inside)

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

    def _convert(self, at: Steps, data: Any, shape: type[T]) -> T:  # noqa: ANN401 - YAML values
        try:
            return msgspec.convert(data, shape, strict=True)
        except msgspec.ValidationError as error:
            text = str(error)
            found = _AT.search(text)
            reason = _AT.sub("", text)
            field = _UNKNOWN_FIELD.search(reason)
            inside = _steps(found.group(1) if found else "")
            steps = [*at, *inside, *([field.group(1)] if field else [])]
            raise self.mistake(steps, reason) from None

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
    for part in path.replace("[...]", "").replace("[", ".[").split("."):
        if part.startswith("["):
            inner = part.strip("[]")
            if inner.isdigit():
                steps.append(int(inner))
        elif part:
            steps.append(part)
    return steps
