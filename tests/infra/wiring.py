"""What makes alerts fire, arrive and be let in: rules over the Bicep files and the queries."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.infra.bicep import Fields, File, Items, Plain, Ref, Resource, Text, Value, at, values

# Metrics, log categories and the columns of tables, as far as they are used or a slip is near.
# https://learn.microsoft.com/azure/azure-monitor/reference/
KNOWN: dict[str, Any] = json.loads((Path(__file__).parent / "data" / "monitor.json").read_text())
_ALERTS = re.compile(r"^Microsoft\.Insights/(scheduledQueryRules|metricAlerts|activityLogAlerts)@")
# Rules whose alerts are sent to Lakemend; all others go to people.
TO_LAKEMEND = {
    ("failure-alerts.bicep", "pipelineRuns"),
    ("failure-alerts.bicep", "jobRuns"),
    ("factory.bicep", "failedRuns"),
    ("heartbeat.bicep", "beat"),
}
# What the host and the SDKs read, by their own names, and what it is set to.
PLATFORM = {
    "AZURE_CLIENT_ID": "identityClientId",
    "AzureWebJobsStorage__blobServiceUri": "blobEndpoint",
    "AzureWebJobsStorage__queueServiceUri": "queueEndpoint",
    "AzureWebJobsStorage__tableServiceUri": "tableEndpoint",
    "AzureWebJobsStorage__credential": "managedidentity",
    "AzureWebJobsStorage__clientId": "identityClientId",
    "PYTHON_ENABLE_OPENTELEMETRY": "true",
    "APPLICATIONINSIGHTS_AUTHENTICATION_STRING": "Authorization=AAD;ClientId=${identityClientId}",
    "APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL": "true",
    "APPLICATIONINSIGHTS_SDKSTATS_DISABLED": "true",
    "APPLICATIONINSIGHTS_CONTROLPLANE_DISABLED": "true",
    "PYTHON_ISOLATE_WORKER_DEPENDENCIES": "1",
}
_ENTRA = "signIn.properties.identityProviders.azureActiveDirectory"
# Values of function.bicep and main.bicep that nothing but their text can tell to be right.
EXACT = {
    "function.bicep": {
        "settings.AUDIT_STORAGE_ACCOUNT_URL": "tableEndpoint",
        "settings.APPLICATIONINSIGHTS_CONNECTION_STRING": "insightsConnectionString",
        "app.properties.keyVaultReferenceIdentity": "identityId",
        "signIn.properties.platform.enabled": "!empty(webhookClientId)",
        f"{_ENTRA}.enabled": "!empty(webhookClientId)",
        f"{_ENTRA}.registration.clientId": "webhookClientId",
    },
    "main.bicep": {
        "app.params.identityId": "identity.outputs.id",
        "app.params.identityClientId": "identity.outputs.clientId",
        "app.params.blobEndpoint": "storage.outputs.blobEndpoint",
        "app.params.queueEndpoint": "storage.outputs.queueEndpoint",
        "app.params.tableEndpoint": "storage.outputs.tableEndpoint",
        "app.params.webhookClientId": "applicationId",
        "intake.params.webhookClientId": "applicationId",
        "vault.params.webhookMode": "webhookMode",
    },
    "vault.bicep": {"vault.properties.enabledForTemplateDeployment": "webhookMode == 'key'"},
    "events.bicep": {"topic.properties.inputSchema": "CloudEventSchemaV1_0"},
    "event-subscription.bicep": {
        "subscription.properties.eventDeliverySchema": "CloudEventSchemaV1_0",
        "subscription.properties.destination.properties.resourceId": (
            "${app.id}/functions/event_grid_alert"
        ),
    },
}


def check(file: File) -> list[str]:
    """What would keep alerts from coming, one text each."""
    return [f"{file.path.name} {problem}" for rule in RULES for problem in rule(file)]


def _text(value: Value | None) -> object:
    if isinstance(value, Plain):
        return value.value
    return value.text if isinstance(value, Text | Ref) else None


def _items(value: Value | None) -> list[Value]:
    return value.items if isinstance(value, Items) else []


def _alerts(file: File) -> Iterator[str]:
    for resource in file.resources:
        if not _ALERTS.match(resource.type):
            continue
        if at(resource.body, "properties.enabled") != Plain(value=True):
            yield f"{resource.symbol}: expected enabled: true"
        mine = (file.path.name, resource.symbol) in TO_LAKEMEND
        group = "actionGroupId" if mine else "peopleGroupId"
        if _groups(resource) != {group}:
            yield f"{resource.symbol}: expected the action group {group}"
        if "activityLogAlerts" not in resource.type:
            yield from _criteria(resource)
        if mine and "scheduledQueryRules" in resource.type:
            yield from _stateless(resource)


def _groups(resource: Resource) -> set[object]:
    actions = at(resource.body, "properties.actions")
    found = _items(at(actions, "actionGroups") if isinstance(actions, Fields) else actions)
    return {
        _text(at(each, "actionGroupId") if isinstance(each, Fields) else each) for each in found
    }


def _criteria(resource: Resource) -> Iterator[str]:
    criteria = _items(at(resource.body, "properties.criteria.allOf"))
    if not criteria:
        yield f"{resource.symbol}: no criteria"
    for criterion in criteria:
        found = (_text(at(criterion, "operator")), _text(at(criterion, "threshold")))
        if found != ("GreaterThan", 0):
            yield f"{resource.symbol}: expected one to be enough, GreaterThan 0"


def _stateless(resource: Resource) -> Iterator[str]:
    """A rule that resolves by itself is silent while it is fired; so is a muted one."""
    if at(resource.body, "properties.autoMitigate") != Plain(value=False):
        yield f"{resource.symbol}: expected autoMitigate: false"
    if at(resource.body, "properties.muteActionsDuration") is not None:
        yield f"{resource.symbol}: expected no muteActionsDuration"


def _receivers(file: File) -> Iterator[str]:
    for resource in file.resources:
        if not resource.type.startswith("Microsoft.Insights/actionGroups@"):
            continue
        if at(resource.body, "properties.enabled") != Plain(value=True):
            yield f"{resource.symbol}: expected enabled: true"
        hooks = at(resource.body, "properties.webhookReceivers")
        found = [v for v in values(hooks) if isinstance(v, Fields)] if hooks else []
        signed = [hook for hook in found if at(hook, "useAadAuth") == Plain(value=True)]
        if len(signed) != 1 or len(found) != 2:
            yield f"{resource.symbol}: expected one receiver with useAadAuth: true, one with a key"
        for hook in found:
            yield from _receiver(file, hook, by_key=hook not in signed)


def _receiver(file: File, hook: Fields, *, by_key: bool) -> Iterator[str]:
    address = at(hook, "serviceUri")
    text = str(_text(address))
    for name, value in file.variables.items():
        for start in (f"${{{name}}}", name):
            if text.startswith(start):
                text = f"{_text(value)}{text.removeprefix(start)}"
    if not text.startswith("https://${hostName}/azure-monitor"):
        yield f"serviceUri: expected https://…/azure-monitor, got {text}"
    if by_key is not text.endswith("?api_key=${senderKey}"):
        yield "serviceUri: expected the key in the address where no token is sent, and only there"
    if at(hook, "useCommonAlertSchema") != Plain(value=True):
        yield "expected useCommonAlertSchema: true"


def _sign_in(file: File) -> Iterator[str]:
    for resource in file.resources:
        if not resource.type.startswith("Microsoft.Web/sites@") or resource.existing:
            continue
        policies = {
            _text(at(r.body, "name"))
            for r in file.resources
            if "/basicPublishingCredentialsPolicies@" in r.type
        }
        if policies != {"ftp", "scm"}:
            yield "expected basicPublishingCredentialsPolicies for ftp and scm"
        signs = file.resource("signIn")
        place = "properties.identityProviders.azureActiveDirectory.validation.allowedAudiences"
        if signs is None or len(_items(at(signs.body, place))) == 0:
            yield "allowedAudiences: expected the application, empty lets every token in"


def _platform(file: File) -> Iterator[str]:
    settings = file.variables.get("platformSettings")
    if isinstance(settings, Fields):
        found = {name: _text(value) for name, value in settings.fields.items()}
        for name in sorted(found.keys() | PLATFORM.keys()):
            if found.get(name) != PLATFORM.get(name):
                yield f"{name}: expected {PLATFORM.get(name, 'nothing')}"


def _exact(file: File) -> Iterator[str]:
    for path, wanted in EXACT.get(file.path.name, {}).items():
        symbol, _, inner = path.partition(".")
        place = file.resource(symbol) or file.module(symbol)
        found = at(place.body if place else file.variables.get(symbol), inner)
        if _text(found) != wanted:
            yield f"{path}: expected {wanted}"


def _modules(file: File) -> Iterator[str]:
    wanted = {"actionGroupId": "intakeId", "peopleGroupId": "people.outputs.id"}
    for module in file.modules if file.path.name == "main.bicep" else []:
        for name, value in wanted.items():
            found = at(module.body, f"params.{name}")
            if found is not None and _text(found) != value:
                yield f"{module.symbol}.{name}: expected {value}"


def _scopes(file: File) -> Iterator[str]:
    symbols = {resource.symbol for resource in file.resources}
    for resource in file.resources:
        if resource.type.startswith("Microsoft.Authorization/roleAssignments@"):
            scope = at(resource.body, "scope")
            if not isinstance(scope, Ref) or scope.text not in symbols:
                yield f"{resource.symbol}: expected the one resource as its scope"


def _names(file: File) -> Iterator[str]:
    for resource in file.resources:
        if resource.type.startswith("Microsoft.Insights/metricAlerts@"):
            for each in _items(at(resource.body, "properties.criteria.allOf")):
                kind = str(_text(at(each, "metricNamespace")))
                if _text(at(each, "metricName")) not in KNOWN["metrics"].get(kind, []):
                    yield f"{resource.symbol}: {kind} has no metric {_text(at(each, 'metricName'))}"
        if resource.type.startswith("Microsoft.Insights/diagnosticSettings@"):
            target = file.resource(str(_text(at(resource.body, "scope"))))
            kind = target.type.partition("@")[0] if target else ""
            for each in _items(at(resource.body, "properties.logs")):
                if _text(at(each, "category")) not in KNOWN["categories"].get(kind, []):
                    yield f"{resource.symbol}: {kind} has no logs {_text(at(each, 'category'))}"
                if at(each, "enabled") != Plain(value=True):
                    yield f"{resource.symbol}: expected enabled: true"


def _subnets(file: File) -> Iterator[str]:
    subnet = file.resource("appSubnet")
    if subnet is not None:
        found = [v for v in values(subnet.body) if isinstance(v, Fields)]
        services = [_text(at(v, "serviceName")) for v in found if at(v, "serviceName")]
        if services != ["Microsoft.App/environments"]:
            yield "appSubnet: expected the delegation to Microsoft.App/environments"


RULES: tuple[Callable[[File], Iterator[str]], ...] = (
    _alerts,
    _receivers,
    _sign_in,
    _platform,
    _exact,
    _modules,
    _scopes,
    _names,
    _subnets,
)
_COMMON = {"TimeGenerated", "_ResourceId", "Type", "TenantId"}


def check_query(text: str) -> list[str]:
    """Tables that are none and columns that no table of the query has."""
    code = "\n".join(line.partition("//")[0] for line in text.splitlines())
    code = re.sub(r'"[^"]*"', '""', code)
    tables = set(re.findall(r"\w+", code)) & set(KNOWN["tables"])
    tables |= set(re.findall(r"^([A-Z]\w+)$", code, re.MULTILINE))
    problems = [f"there is no table {name}" for name in sorted(tables - set(KNOWN["tables"]))]
    columns = _COMMON | {c for t in tables & set(KNOWN["tables"]) for c in KNOWN["tables"][t]}
    made = set(re.findall(r"\b(\w+) ?=(?!=|~)", code))
    used = set(re.findall(r"(?<![.\w])_?[A-Z]\w+\b(?!\()", code)) - tables
    return problems + [f"there is no column {name}" for name in sorted(used - columns - made)]
