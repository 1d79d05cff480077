"""Collects what is known of the Azure resource types that `infra/` uses, as test data.

Run it again when a type or an API version is added; it needs network and is no part of the tests:

    npm pack @azure/mcp-linux-x64@2.0.5 && tar xzf azure-mcp-linux-x64-2.0.5.tgz
    python tests/infra/collect_types.py mcp package/dist/azmcp
    pip install azure-mgmt-monitor==7.0.0 azure-mgmt-privatedns==2.0.0 azure-mgmt-durabletask==1.1.0
    python tests/infra/collect_types.py sdk
    pip install azure-mgmt-monitor==6.0.2
    python tests/infra/collect_types.py sdk

`mcp` asks Microsoft's Azure MCP server, which holds the types that the Bicep compiler uses and
answers without an Azure account. What it does not hold is read off the models of Microsoft's Python
SDKs, which are made from the same specifications but know no closed lists of words. Kept are names,
types and which properties are required or read only; no descriptions.
"""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any, ForwardRef, Union, get_args, get_origin

OUT = Path(__file__).parent / "data" / "types.json"
TIMEOUT = 60
DEPTH = 6  # a network's types hold each other without end

MCP_TYPES = (
    "Microsoft.Authorization/roleAssignments",
    "Microsoft.Authorization/roleDefinitions",
    "Microsoft.Consumption/budgets",
    "Microsoft.Databricks/workspaces",
    "Microsoft.DataFactory/factories",
    "Microsoft.EventGrid/topics",
    "Microsoft.EventGrid/topics/eventSubscriptions",
    "Microsoft.Insights/components",
    "Microsoft.Insights/workbooks",
    "Microsoft.KeyVault/vaults",
    "Microsoft.ManagedIdentity/userAssignedIdentities",
    "Microsoft.Network/networkSecurityGroups",
    "Microsoft.Network/privateEndpoints",
    "Microsoft.Network/privateEndpoints/privateDnsZoneGroups",
    "Microsoft.Network/virtualNetworks",
    "Microsoft.Network/virtualNetworks/subnets",
    "Microsoft.OperationalInsights/workspaces",
    "Microsoft.Resources/resourceGroups",
    "Microsoft.Storage/storageAccounts",
    "Microsoft.Storage/storageAccounts/blobServices",
    "Microsoft.Storage/storageAccounts/blobServices/containers",
    "Microsoft.Storage/storageAccounts/managementPolicies",
    "Microsoft.Storage/storageAccounts/queueServices",
    "Microsoft.Storage/storageAccounts/tableServices",
    "Microsoft.Storage/storageAccounts/tableServices/tables",
    "Microsoft.Web/serverfarms",
    "Microsoft.Web/sites",
    "Microsoft.Web/sites/basicPublishingCredentialsPolicies",
    "Microsoft.Web/sites/config",
)

_OLD = "azure.mgmt.monitor.v2021_05_01_preview.models"
_MONITOR, _DNS = "azure.mgmt.monitor.models", "azure.mgmt.privatedns.models"
_DURABLE = "azure.mgmt.durabletask.models"
SDK_TYPES = {
    "Microsoft.Insights/actionGroups@2023-01-01": (_MONITOR, "ActionGroupResource"),
    "Microsoft.Insights/activityLogAlerts@2020-10-01": (_MONITOR, "ActivityLogAlertResource"),
    "Microsoft.Insights/metricAlerts@2018-03-01": (_MONITOR, "MetricAlertResource"),
    "Microsoft.Insights/scheduledQueryRules@2023-12-01": (_MONITOR, "ScheduledQueryRuleResource"),
    "Microsoft.Insights/diagnosticSettings@2021-05-01-preview": (
        _OLD,
        "DiagnosticSettingsResource",
    ),
    "Microsoft.Network/privateDnsZones@2024-06-01": (_DNS, "PrivateZone"),
    "Microsoft.Network/privateDnsZones/virtualNetworkLinks@2024-06-01": (
        _DNS,
        "VirtualNetworkLink",
    ),
    "Microsoft.DurableTask/schedulers@2026-02-01": (_DURABLE, "Scheduler"),
    "Microsoft.DurableTask/schedulers/taskHubs@2026-02-01": (_DURABLE, "TaskHub"),
    "Microsoft.DurableTask/schedulers/retentionPolicies@2026-02-01": (_DURABLE, "RetentionPolicy"),
}

Shape = Any  # "string" | "int" | "bool" | "any" | {"enum"…} | {"array"…} | {"ref"…}
_PLAIN = {"string": "string", "int": "int", "bool": "bool", "any": "any", "null": "any"}


class Mcp:
    """Reads one answer of `azmcp bicepschema get`."""

    def __init__(self, items: list[dict[str, Any]]) -> None:
        self._named = {
            i["name"]: i for i in items if i["$type"] in {"Object", "DiscriminatedObject"}
        }
        self._resource = next(i for i in items if i["$type"] == "Resource")
        self.types: dict[str, Any] = {}

    def read(self) -> tuple[str, dict[str, Any]]:
        """The type's name with its version, and its compact form."""
        name = self._resource["name"]
        body = self._object(self._resource["bodyType"])
        return name, {"source": "mcp", "body": body, "types": self.types}

    def _object(self, item: dict[str, Any]) -> dict[str, Any]:
        if item["$type"] == "DiscriminatedObject":
            key = item["discriminator"]
            variants = {}
            for element in item["elements"]:
                value = next(p["type"] for p in element["properties"] if p["name"] == key)
                variants[value] = self._object(element)
            base = self._properties(item["baseProperties"])
            return {"by": key, "base": base, "variants": variants}
        found: dict[str, Any] = {"properties": self._properties(item["properties"])}
        if item.get("additionalPropertiesType"):
            found["additional"] = self._shape(item["additionalPropertiesType"])
        return found

    def _properties(self, listed: list[dict[str, Any]]) -> dict[str, Any]:
        return {p["name"]: self._property(p) for p in listed}

    def _property(self, entry: dict[str, Any]) -> list[Any]:
        flag = _flag(entry.get("flags", ""))
        # Nobody writes what is in there; only what hangs off `properties` is read by others.
        unseen = (
            flag == "readonly" and entry["type"] not in _PLAIN and entry["name"] != "properties"
        )
        return ["any" if unseen else self._shape(entry["type"]), flag]

    def _shape(self, text: str) -> Shape:
        if text in self._named:
            self._remember(text)
            return {"ref": text}
        if text.endswith("[]"):
            return {"array": self._shape(text.removesuffix("[]"))}
        if text in _PLAIN:
            return _PLAIN[text]
        return _words(text)

    def _remember(self, name: str) -> None:
        if name not in self.types:
            self.types[name] = {}  # a type may hold itself
            self.types[name] = self._object(self._named[name])


def _flag(flags: str) -> str:
    if "ReadOnly" in flags:
        return "readonly"
    return "required" if "Required" in flags else ""


def _words(text: str) -> Shape:
    words = text.split(" | ")
    if words[-1] == "string":
        return {"enum": words[:-1], "open": True}
    return {"enum": words}


class Sdk:
    """Reads the models of one SDK, of either generation."""

    def __init__(self, module: Any) -> None:
        self._module = module
        self.types: dict[str, Any] = {}

    def read(self, name: str) -> dict[str, Any]:
        """The compact form of a resource's model."""
        body = self._model(getattr(self._module, name))
        body["properties"]["name"] = ["string", "required"]
        return {"source": "sdk", "body": body, "types": self.types}

    def _model(self, model: Any) -> dict[str, Any]:
        flat = self._old(model) if hasattr(model, "_attribute_map") else self._new(model)
        nested: dict[str, Any] = {}
        for path, shape, flag in flat:
            _put(nested, path, shape, flag)
        found: dict[str, Any] = {"properties": nested}
        children = self._children(model)
        if not children:
            return found
        key, classes = children
        variants = {value: self._model(each) for value, each in classes.items()}
        return {"by": key, "base": nested, "variants": variants}

    def _children(self, model: Any) -> tuple[str, dict[str, Any]] | None:
        for attribute, children in vars(model).get("_subtype_map", {}).items():
            if children:
                key = model._attribute_map[attribute]["key"].replace("\\.", ".")
                return key, {value: getattr(self._module, c) for value, c in children.items()}
        return None

    def _old(self, model: Any) -> list[tuple[list[str], Shape, str]]:
        rules = getattr(model, "_validation", {})
        found = []
        for attribute, entry in model._attribute_map.items():
            if not entry["key"]:
                continue  # what the model has no name for
            path = [p.replace("\\", "") for p in re.split(r"(?<!\\)\.", entry["key"])]
            rule = rules.get(attribute, {})
            flag = (
                "readonly" if rule.get("readonly") else "required" if rule.get("required") else ""
            )
            found.append((path, self._wire(entry["type"]), flag))
        return found

    def _new(self, model: Any) -> list[tuple[list[str], Shape, str]]:
        notes: dict[str, Any] = {}
        for base in reversed(model.__mro__):
            notes |= vars(base).get("__annotations__", {})
        found = []
        for attribute, note in notes.items():
            field = getattr(model, "_attr_to_rest_field", {}).get(attribute) or _field(
                model, attribute
            )
            if field is None:
                continue
            wire = field._rest_name_input or attribute
            if field._visibility == ["read"]:
                flag = "readonly"
            else:
                flag = "" if _optional(note) else "required"
            found.append(([wire], self._note(note), flag))
        return found

    def _wire(self, text: str) -> Shape:
        if text.startswith("["):
            return {"array": self._wire(text[1:-1])}
        if text.startswith("{"):
            return self._map(self._wire(text[1:-1]))
        plain = {"str": "string", "bool": "bool", "int": "int", "long": "int", "float": "int"}
        plain |= {"iso-8601": "string", "duration": "string", "object": "any"}
        return plain.get(text) or self._named(text)

    def _note(self, note: Any) -> Shape:
        origin, inner = get_origin(note), get_args(note)
        if origin is Union:
            return self._either([each for each in inner if each is not type(None)])
        if origin is list:
            return {"array": self._note(inner[0])}
        if origin is dict:
            return self._map(self._note(inner[1]))
        named = note.__forward_arg__ if isinstance(note, ForwardRef) else note
        if isinstance(named, str) and named.startswith("_models."):
            return self._named(named.removeprefix("_models."))
        plain: dict[Any, str] = {str: "string", bool: "bool", int: "int", datetime: "string"}
        return plain.get(named, "any")

    def _either(self, notes: list[Any]) -> Shape:
        if len(notes) == 1:
            return self._note(notes[0])
        words = next(each.__forward_arg__ for each in notes if isinstance(each, ForwardRef))
        enum = getattr(self._module, words.removeprefix("_models."))
        return {"enum": [str(each.value) for each in enum], "open": True}

    def _map(self, shape: Shape) -> Shape:
        name = f"map of {json.dumps(shape)}"
        self.types[name] = {"properties": {}, "additional": shape}
        return {"ref": name}

    def _named(self, name: str) -> Shape:
        if name not in self.types:
            self.types[name] = {}  # a type may hold itself
            self.types[name] = self._model(getattr(self._module, name))
        return {"ref": name}


def _optional(note: Any) -> bool:
    return type(None) in get_args(note)


def _field(model: Any, attribute: str) -> Any:
    for base in model.__mro__:
        found = vars(base).get(attribute)
        if hasattr(found, "_rest_name_input"):
            return found
    return None


def _put(into: dict[str, Any], path: list[str], shape: Shape, flag: str) -> None:
    if len(path) == 1:
        into[path[0]] = [shape, flag]
        return
    inner = into.setdefault(path[0], [{"object": {}}, ""])
    if flag == "required":
        inner[1] = "required"
    _put(inner[0]["object"], path[1:], shape, flag)


def _from_mcp(program: str) -> dict[str, Any]:
    found = {}
    for name in MCP_TYPES:
        answer = subprocess.run(  # noqa: S603 - the program named by who runs this
            [program, "bicepschema", "get", "--resource-type", name],
            capture_output=True,
            text=True,
            check=True,
            timeout=TIMEOUT,
        )
        key, compact = Mcp(json.loads(answer.stdout)["results"]["BicepSchemaResult"]).read()
        found[key] = compact
    return found


def _from_sdks() -> dict[str, Any]:
    found = {}
    for key, (module, name) in SDK_TYPES.items():
        try:
            models = importlib.import_module(module)
        except ModuleNotFoundError:
            continue  # the other installation has it
        if hasattr(models, name):
            found[key] = Sdk(models).read(name)
    return found


def _pruned(compact: dict[str, Any]) -> dict[str, Any]:
    """Without the types further than `DEPTH` from the resource; there anything goes."""
    near: set[str] = set()
    layer = _refs(compact["body"])
    for _ in range(DEPTH):
        near |= layer
        layer = {r for name in layer for r in _refs(compact["types"][name])} - near
    types = {name: _cut(compact["types"][name], near) for name in sorted(near)}
    return {**compact, "body": _cut(compact["body"], near), "types": types}


def _refs(tree: Any) -> set[str]:
    if isinstance(tree, dict):
        own = {tree["ref"]} if isinstance(tree.get("ref"), str) else set()
        return own.union(*(_refs(value) for value in tree.values()))
    return set().union(*(_refs(value) for value in tree)) if isinstance(tree, list) else set()


def _cut(tree: Any, near: set[str]) -> Any:
    if isinstance(tree, dict):
        if isinstance(tree.get("ref"), str):
            return tree if tree["ref"] in near else "any"
        return {key: _cut(value, near) for key, value in tree.items()}
    return [_cut(value, near) for value in tree] if isinstance(tree, list) else tree


def _packed(tree: Any) -> str:
    return json.dumps(tree, separators=(",", ":"), sort_keys=True)


def main(arguments: list[str]) -> None:
    """Read from one source and merge into the test data."""
    known: dict[str, Any] = json.loads(OUT.read_text("utf-8")) if OUT.exists() else {}
    known |= _from_mcp(arguments[1]) if arguments[0] == "mcp" else _from_sdks()
    lines = [f"{json.dumps(key)}: {_packed(_pruned(known[key]))}" for key in sorted(known)]
    OUT.write_text("{\n" + ",\n".join(lines) + "\n}\n", "utf-8")
    sys.stdout.write(f"{len(known)} types\n")


if __name__ == "__main__":
    main(sys.argv[1:])
