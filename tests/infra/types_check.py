"""Does a resource fit its official type? Names, types, required and read-only properties."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.infra.bicep import Either, Fields, File, Items, Module, Plain, Ref, Resource, Text, Value

KNOWN: dict[str, Any] = json.loads((Path(__file__).parent / "data" / "types.json").read_text())
# What Bicep itself reads in a resource's body.
_BICEP = frozenset({"parent", "scope", "dependsOn"})
# Bicep's own functions, as far as they are used here.
# https://learn.microsoft.com/azure/azure-resource-manager/bicep/bicep-functions
FUNCTIONS = frozenset(
    {
        "cidrSubnet",
        "concat",
        "contains",
        "empty",
        "environment",
        "fail",
        "guid",
        "join",
        "json",
        "loadTextContent",
        "readEnvironmentVariable",
        "resourceGroup",
        "resourceId",
        "string",
        "subscription",
        "subscriptionResourceId",
        "take",
        "tenant",
        "union",
        "uniqueString",
        "allowed",
        "description",
        "maxLength",
        "maxValue",
        "minLength",
        "minValue",
        "secure",
    }
)
_MEMBER = re.compile(r"\b(\w+)!?\.properties\.(\w+)")


def check(file: File) -> list[str]:
    """What is wrong with the resources of a file, one text each."""
    found = [p for resource in file.resources for p in _resource(file, resource)]
    return found + list(_references(file))


def _resource(file: File, resource: Resource) -> Iterator[str]:
    place = f"{file.path.name}:{resource.body.line} {resource.symbol}"
    known = KNOWN.get(resource.type)
    if known is None:
        yield f"{place}: the type {resource.type} is not in data/types.json (see collect_types.py)"
        return
    if resource.existing:
        return
    body = Fields(
        {k: v for k, v in resource.body.fields.items() if k not in _BICEP}, resource.body.line
    )
    yield from _Checker(file, known["types"]).object(body, known["body"], place, complete=True)


class _Checker:
    def __init__(self, file: File, types: dict[str, Any]) -> None:
        self._file = file
        self._types = types

    def object(
        self, value: Fields, kind: dict[str, Any], place: str, *, complete: bool
    ) -> Iterator[str]:
        if "by" in kind:
            kind, problem = self._variant(value, kind, place)
            if problem:
                yield problem
                return
        properties, additional = kind["properties"], kind.get("additional")
        for name, inner in value.fields.items():
            if name in properties:
                shape, flag = properties[name]
                if flag == "readonly":
                    yield f"{place}.{name}: is read only"
                yield from self.value(inner, shape, f"{place}.{name}", complete=complete)
            elif additional is not None:
                yield from self.value(inner, additional, f"{place}.{name}", complete=complete)
            else:
                yield f"{place}.{name}: no such property, expected one of {sorted(properties)}"
        if complete:
            required = {n for n, (_, flag) in properties.items() if flag == "required"}
            for name in sorted(required - set(value.fields)):
                yield f"{place}.{name}: required, but missing"

    def _variant(
        self, value: Fields, kind: dict[str, Any], place: str
    ) -> tuple[dict[str, Any], str]:
        chosen = value.fields.get(kind["by"])
        word = chosen.text if isinstance(chosen, Text) else ""
        if word not in kind["variants"]:
            allowed = sorted(kind["variants"])
            return kind, f"{place}.{kind['by']}: expected one of {allowed}, got {word!r}"
        variant = kind["variants"][word]
        if "by" in variant:
            return self._variant(value, variant, place)
        return {**variant, "properties": kind["base"] | variant["properties"]}, ""

    def value(self, value: Value, shape: Any, place: str, *, complete: bool) -> Iterator[str]:
        if isinstance(value, Either):
            for option in value.options:
                whole = complete and not value.merged
                yield from self.value(option, shape, place, complete=whole)
        elif isinstance(value, Ref):
            yield from self._reference(value, shape, place, complete=complete)
        elif shape == "any" or value == Plain(None):
            return
        elif isinstance(shape, dict) and "enum" not in shape:
            yield from self._nested(value, shape, place, complete=complete)
        elif problem := _scalar(value, shape):
            yield f"{place}: {problem}"

    def _nested(
        self, value: Value, shape: dict[str, Any], place: str, *, complete: bool
    ) -> Iterator[str]:
        if "array" in shape:
            if not isinstance(value, Items):
                yield f"{place}: expected an array"
                return
            for index, item in enumerate(value.items):
                yield from self.value(item, shape["array"], f"{place}[{index}]", complete=complete)
            return
        if not isinstance(value, Fields):
            yield f"{place}: expected an object"
            return
        inner = {"properties": shape["object"]} if "object" in shape else self._types[shape["ref"]]
        yield from self.object(value, inner, place, complete=complete)

    def _reference(self, value: Ref, shape: Any, place: str, *, complete: bool) -> Iterator[str]:
        if value.text in self._file.variables:
            inner = self._file.variables[value.text]
            yield from self.value(inner, shape, place, complete=complete)
        elif value.text in self._file.parameters:
            declared = self._file.parameters[value.text].type
            if not _fits(declared, shape):
                yield f"{place}: the parameter {value.text} is of type {declared}"


def _scalar(value: Value, shape: Any) -> str:
    if isinstance(shape, dict) and "enum" in shape:
        words = shape["enum"]
        if not isinstance(value, Text):
            return f"expected one of {words}"
        # An open list grows on Azure's side, but a word of the same letters is a slip.
        return "" if value.computed or value.text in words else f"expected one of {words}"
    expected = {"string": Text, "int": Plain, "bool": Plain}[shape]
    if not isinstance(value, expected):
        return f"expected {shape}"
    if isinstance(value, Plain) and isinstance(value.value, bool) is not (shape == "bool"):
        return f"expected {shape}"
    return ""


def _fits(declared: str, shape: Any) -> bool:
    if shape == "any":
        return True
    if isinstance(shape, dict):
        wanted = "array" if "array" in shape else "string" if "enum" in shape else "object"
    else:
        wanted = shape
    return declared == wanted or (wanted == "array" and declared.endswith("[]"))


def _references(file: File) -> Iterator[str]:
    """Properties that are read off a resource and that its type does not have."""
    for symbol, name in sorted(set(_MEMBER.findall(file.source))):
        resource = file.resource(symbol)
        kind = KNOWN.get(resource.type) if resource else None
        if kind is None:
            continue
        names = _property_names(kind)
        if names and name not in names:
            yield f"{file.path.name} {symbol}.properties.{name}: no such property"


def _property_names(kind: dict[str, Any]) -> set[str]:
    shape = kind["body"].get("properties", {}).get("properties", ["any", ""])[0]
    if not isinstance(shape, dict):
        return set()
    if "object" in shape:
        return set(shape["object"])
    return set(kind["types"][shape["ref"]].get("properties", {}))


def check_names(file: File) -> list[str]:
    """Names that nobody declared, and what is declared for nothing."""
    symbols = {r.symbol for r in file.resources} | {m.symbol for m in file.modules}
    declared = set(file.parameters) | set(file.variables) | symbols | file.loops
    unknown = {f"{file.path.name}: there is no {name}" for name in file.used - declared - FUNCTIONS}
    unknown |= {f"{file.path.name}: no function {n}" for n in file.called - FUNCTIONS}
    idle = (set(file.parameters) | set(file.variables)) - file.used
    idle |= {r.symbol for r in file.resources if r.existing} - file.used
    return sorted(unknown) + sorted(f"{file.path.name}: nothing uses {name}" for name in idle)


def check_modules(file: File, files: dict[Path, File]) -> list[str]:
    """What is wrong with the calls of modules: parameters, and outputs that are read."""
    found = [p for module in file.modules for p in _call(file, module, files)]
    for symbol, name in sorted(set(re.findall(r"\b(\w+)!?\.outputs\.(\w+)", file.source))):
        module = file.module(symbol)
        target = files.get(_target(file, module)) if module else None
        if target is None or name not in target.outputs:
            found.append(f"{file.path.name} {symbol}.outputs.{name}: no such output")
    return found


def _target(file: File, module: Module) -> Path:
    return (file.path.parent / module.path).resolve()


def _call(file: File, module: Module, files: dict[Path, File]) -> Iterator[str]:
    place = f"{file.path.name}:{module.body.line} {module.symbol}"
    target = files.get(_target(file, module))
    if target is None:
        yield f"{place}: there is no file {module.path}"
        return
    given = module.body.fields.get("params", Fields({}, module.body.line))
    if isinstance(given, Fields):
        yield from check_values(given.fields, target, place, file)


def check_values(
    given: dict[str, Value], target: File, place: str, source: File | None = None
) -> Iterator[str]:
    """What is wrong with the values that are given to the parameters of `target`."""
    for name in sorted(set(given) - set(target.parameters)):
        yield f"{place}: {target.path.name} has no parameter {name}"
    for name, parameter in target.parameters.items():
        if name not in given:
            if parameter.default is None:
                yield f"{place}: the parameter {name} of {target.path.name} is missing"
            continue
        value = given[name]
        if isinstance(value, Ref) and source and value.text in source.parameters:
            if source.parameters[value.text].type != parameter.type:
                yield f"{place}.{name}: expected {parameter.type}"
        elif problem := _unfit(value, parameter.type):
            yield f"{place}.{name}: {problem}"
        if not parameter.secure and _is_secret(value, source):
            yield f"{place}.{name}: a secret for a parameter that is not @secure()"
        allowed = parameter.decorators.get("allowed")
        words = (
            [v.text for v in allowed[0].items if isinstance(v, Text)]
            if allowed and isinstance(allowed[0], Items)
            else []
        )
        if words and isinstance(value, Text) and not value.computed and value.text not in words:
            yield f"{place}.{name}: expected one of {words}"


def _is_secret(value: Value, source: File | None) -> bool:
    secure = {n for n, p in source.parameters.items() if p.secure} if source else set()
    return "getSecret(" in str(value) or (isinstance(value, Ref) and value.root in secure)


def check_numbers(given: dict[str, Value], target: File, files: dict[Path, File]) -> list[str]:
    """Numbers outside what a parameter allows, here or in a module that it is handed on to."""
    found = []
    for name, value in given.items():
        if not isinstance(value, Plain) or isinstance(value.value, bool) or value.value is None:
            continue
        for decorators in _limits(target, name, files):
            found += [f"{name}: {p}" for p in _outside(value.value, decorators)]
    return found


def _limits(file: File, name: str, files: dict[Path, File]) -> Iterator[dict[str, list[Value]]]:
    if name in file.parameters:
        yield file.parameters[name].decorators
    for module in file.modules:
        target = files.get(_target(file, module))
        given = module.body.fields.get("params")
        if target is None or not isinstance(given, Fields):
            continue
        for inner, value in given.fields.items():
            if isinstance(value, Ref) and value.text == name:
                yield from _limits(target, inner, files)


def _outside(value: int, decorators: dict[str, list[Value]]) -> Iterator[str]:
    least, most = _number(decorators.get("minValue")), _number(decorators.get("maxValue"))
    if least is not None and value < least:
        yield f"expected at least {least}"
    if most is not None and value > most:
        yield f"expected at most {most}"
    allowed = decorators.get("allowed")
    if allowed and isinstance(allowed[0], Items) and Plain(value) not in allowed[0].items:
        yield "expected one of the allowed numbers"


def _number(arguments: list[Value] | None) -> int | None:
    return arguments[0].value if arguments and isinstance(arguments[0], Plain) else None


def _unfit(value: Value, declared: str) -> str:
    match value:
        case Text():
            kind = "string"
        case Plain():
            kind = "bool" if isinstance(value.value, bool) else "int"
        case Items():
            kind = "array"
        case Fields():
            kind = "object"
        case _:
            return ""
    return "" if kind == declared else f"expected {declared}, got {kind}"
