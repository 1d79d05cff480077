"""Bicep files read into plain values by the tree-sitter grammar: what the checks work on.

Values that only Azure knows (what another resource answers, a parameter) stay references.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import tree_sitter_bicep
from tree_sitter import Language, Node, Parser

_PARSER = Parser(Language(tree_sitter_bicep.language()))
# The grammar knows templates only. In a parameter file `param x = …` gives a value and no type,
# which reads like a variable.
_ASSIGNMENT = re.compile(rb"^param(?= +\w+ *=)", re.MULTILINE)


class BicepError(Exception):
    """A file that does not parse; the text says where."""


@dataclass(frozen=True)
class Text:
    """A string; `parts` of it are computed where it interpolates."""

    text: str
    computed: bool = False


@dataclass(frozen=True)
class Plain:
    """A number, a boolean or null."""

    value: int | bool | None


@dataclass(frozen=True)
class Items:
    """An array, or the body of a loop (then one item stands for all)."""

    items: list[Value]


@dataclass(frozen=True)
class Fields:
    """An object; `computed` values have names that are computed."""

    fields: dict[str, Value]
    line: int
    computed: list[Value] = field(default_factory=list)


@dataclass(frozen=True)
class Either:
    """One of several values, by a condition or merged by `union`."""

    options: list[Value]
    merged: bool = False


@dataclass(frozen=True)
class Ref:
    """Anything else, as it is written; `root` is the name that it starts with."""

    text: str
    root: str


Value = Text | Plain | Items | Fields | Either | Ref


@dataclass(frozen=True)
class Parameter:
    """A declared parameter, or a value in a parameter file (then without type)."""

    type: str
    default: Value | None
    decorators: dict[str, list[Value]]

    @property
    def secure(self) -> bool:
        """Whether it is marked as a secret."""
        return "secure" in self.decorators


@dataclass(frozen=True)
class Resource:
    """One resource declaration; `type` with its API version."""

    symbol: str
    type: str
    existing: bool
    body: Fields


@dataclass(frozen=True)
class Module:
    """One module declaration."""

    symbol: str
    path: str
    body: Fields


@dataclass
class File:
    """One parsed file."""

    path: Path
    source: str
    using: str = ""
    parameters: dict[str, Parameter] = field(default_factory=dict)
    variables: dict[str, Value] = field(default_factory=dict)
    resources: list[Resource] = field(default_factory=list)
    modules: list[Module] = field(default_factory=list)
    outputs: dict[str, Value] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)
    called: set[str] = field(default_factory=set)
    loops: set[str] = field(default_factory=set)

    def resource(self, symbol: str) -> Resource | None:
        """The resource of that symbolic name."""
        return next((r for r in self.resources if r.symbol == symbol), None)

    def module(self, symbol: str) -> Module | None:
        """The module of that symbolic name."""
        return next((m for m in self.modules if m.symbol == symbol), None)


def load(path: Path) -> File:
    """The file at `path`.

    Raises:
        BicepError: it does not parse.
    """
    return parse(path.read_bytes(), path)


def parse(source: bytes, path: Path = Path("test.bicep")) -> File:
    """A file from its text.

    Raises:
        BicepError: it does not parse.
    """
    if path.suffix == ".bicepparam":
        source = _ASSIGNMENT.sub(b"var", source)
    root = _PARSER.parse(source).root_node
    for node in _walk(root):
        if node.is_error or node.is_missing:
            line = node.start_point[0] + 1
            raise BicepError(f"{path.name}:{line}: does not parse: {_text(node)[:60]!r}")
    file = File(path, source.decode())
    for node in _walk(root):
        _note_name(file, node)
    decorators: dict[str, list[Value]] = {}
    for node in root.named_children:
        if node.type == "decorators":
            decorators = _decorators(node)
            continue
        _declare(file, node, decorators)
        decorators = {}
    return file


def _note_name(file: File, node: Node) -> None:
    """Sort a name by what it is there for: used, called, or a loop's own."""
    parent = node.parent
    if node.type in {"loop_variable", "loop_enumerator"}:
        file.loops.add(_text(node))
    if node.type != "identifier" or parent is None or parent.type in {"type", "decorator"}:
        return
    first = parent.named_children[0] == node
    if parent.type.endswith("_declaration") or parent.type == "object_property":
        if not first:
            file.used.add(_text(node))
    elif parent.type == "call_expression" and first:
        file.called.add(_text(node))
    elif parent.type == "for_statement" and first:
        file.loops.add(_text(node))
    else:
        file.used.add(_text(node))


def _walk(node: Node) -> Iterator[Node]:
    yield node
    for child in node.children:
        yield from _walk(child)


def _text(node: Node) -> str:
    return (node.text or b"").decode()


def _decorators(node: Node) -> dict[str, list[Value]]:
    found = {}
    for call in (c for d in node.named_children for c in d.named_children):
        function, arguments = call.named_children
        found[_text(function)] = [_value(a) for a in arguments.named_children]
    return found


def _declare(file: File, node: Node, decorators: dict[str, list[Value]]) -> None:
    children = [c for c in node.named_children if c.type != "comment"]
    match node.type:
        case "using_statement":
            file.using = _string(children[0]).text
        case "parameter_declaration":
            default = _value(children[2]) if len(children) > 2 else None
            file.parameters[_text(children[0])] = Parameter(_text(children[1]), default, decorators)
        case "variable_declaration":
            file.variables[_text(children[0])] = _value(children[1])
        case "output_declaration":
            file.outputs[_text(children[0])] = _value(children[2])
        case "resource_declaration":
            existing = any(c.type == "existing" for c in node.children)
            kind = _string(children[1]).text
            body = _body(children[2])
            file.resources.append(Resource(_text(children[0]), kind, existing, body))
        case "module_declaration":
            path = _string(children[1]).text
            file.modules.append(Module(_text(children[0]), path, _body(children[2])))
        case "target_scope_assignment" | "comment":
            pass
        case other:
            raise BicepError(f"{file.path.name}: a statement that the checks do not know: {other}")


def _body(node: Node) -> Fields:
    """The object of a declaration, whatever loop or condition it is in."""
    while node.type in {"for_statement", "if_statement"}:
        node = node.named_children[-1]
    value = _value(node)
    if not isinstance(value, Fields):
        raise BicepError(f"line {node.start_point[0] + 1}: expected an object")
    return value


def _value(node: Node) -> Value:
    match node.type:
        case "string":
            return _string(node)
        case "number" | "boolean" | "null":
            return _plain(node)
        case "array":
            return Items([_value(c) for c in node.named_children if c.type != "comment"])
        case "object":
            return _fields(node)
        case "for_statement":
            return Items([_value(node.named_children[-1])])
        case "if_statement" | "parenthesized_expression":
            return _value(node.named_children[-1])
        case "ternary_expression":
            return Either([_value(c) for c in node.named_children[1:]])
        case "call_expression" if _called(node) == "union":
            return Either([_value(c) for c in node.named_children[1].named_children], merged=True)
        case _:
            return Ref(_text(node), _root(node))


def _plain(node: Node) -> Plain:
    text = _text(node)
    return Plain(
        {"true": True, "false": False, "null": None}[text] if text.isalpha() else int(text)
    )


def _called(node: Node) -> str:
    return _text(node.named_children[0])


def _root(node: Node) -> str:
    while node.type != "identifier" and node.named_children:
        node = node.named_children[0]
    return _text(node)


def _string(node: Node) -> Text:
    inside = [c for c in node.named_children if c.type in {"string_content", "escape_sequence"}]
    computed = any(c.type == "interpolation" for c in node.named_children)
    if computed:
        return Text(_text(node)[1:-1], computed=True)
    return Text("".join(_text(c) for c in inside))


def _fields(node: Node) -> Fields:
    found = Fields({}, node.start_point[0] + 1)
    for pair in node.named_children:
        if pair.type == "comment":
            continue
        key, value = (c for c in pair.named_children if c.type != "comment")
        name = _string(key) if key.type == "string" else Text(_text(key))
        if name.computed:
            found.computed.append(_value(value))
        else:
            found.fields[name.text] = _value(value)
    return found


def at(value: Value | None, path: str) -> Value | None:
    """The value under a dotted path of fields, None where there is none."""
    for name in path.split("."):
        if not isinstance(value, Fields):
            return None
        value = value.fields.get(name)
    return value


def values(value: Value) -> Iterator[Value]:
    """The value and everything in it."""
    yield value
    inner: list[Value] = []
    match value:
        case Items():
            inner = value.items
        case Fields():
            inner = [*value.fields.values(), *value.computed]
        case Either():
            inner = value.options
        case _:
            pass
    for each in inner:
        yield from values(each)
