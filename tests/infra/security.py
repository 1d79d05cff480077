"""What must hold of every resource, whatever the environment: one list of rules."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from tests.infra.bicep import Either, Fields, File, Plain, Resource, Text, Value, at, values

# Built-in roles that may be assigned, and what for. The ids are the same in every tenant.
# https://learn.microsoft.com/azure/role-based-access-control/built-in-roles
ROLES = {
    "b7e6dc6d-f1e8-4753-8033-0f276bb0955b": "Storage Blob Data Owner",
    "974c5e8b-45b9-4653-ba55-5f855dd0fb88": "Storage Queue Data Contributor",
    "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3": "Storage Table Data Contributor",
    "ba92f5b4-2d11-453d-a403-e96b0029c9fe": "Storage Blob Data Contributor",
    "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1": "Storage Blob Data Reader",
    "3913510d-42f4-4e42-8a64-420c390055eb": "Monitoring Metrics Publisher",
    "4633458b-17de-408a-b874-0445c86b69e6": "Key Vault Secrets User",
    "b86a8fe4-44ce-4948-aee5-eccb2c155cd7": "Key Vault Secrets Officer",
    "d5a91429-5739-47e2-a06b-3470a27159e7": "EventGrid Data Sender",
    "0ad04412-c4d5-4796-b79c-f76d14c8d402": "Durable Task Data Contributor",
}
# The only things that a custom role may allow.
# https://learn.microsoft.com/azure/role-based-access-control/permissions/analytics#microsoftdatafactory
FACTORY_ACTIONS = frozenset(
    f"Microsoft.DataFactory/factories/{name}"
    for name in (
        "pipelines/read",
        "pipelines/createrun/action",
        "pipelineruns/read",
        "querypipelineruns/action",
        "querypipelineruns/read",
        "pipelineruns/queryactivityruns/action",
        "pipelineruns/queryactivityruns/read",
        "pipelineruns/activityruns/read",
        "integrationruntimes/read",
        "integrationruntimes/getstatus/read",
        "linkedServices/read",
        "triggers/triggerruns/rerun/action",
    )
)
# Path in a resource and the values it may have. What is not set has an unsafe default somewhere.
DEMANDS: dict[str, dict[str, tuple[object, ...]]] = {
    "Microsoft.Storage/storageAccounts": {
        "properties.allowSharedKeyAccess": (False,),
        "properties.allowBlobPublicAccess": (False,),
        "properties.allowCrossTenantReplication": (False,),
        "properties.minimumTlsVersion": ("TLS1_2", "TLS1_3"),
        "properties.supportsHttpsTrafficOnly": (True,),
    },
    "Microsoft.Storage/storageAccounts/blobServices/containers": {
        "properties.publicAccess": ("None",),
    },
    "Microsoft.KeyVault/vaults": {
        "properties.enableRbacAuthorization": (True,),
        "properties.enablePurgeProtection": (True,),
        "properties.accessPolicies": (None,),
    },
    "Microsoft.OperationalInsights/workspaces": {"properties.features.disableLocalAuth": (True,)},
    "Microsoft.Insights/components": {"properties.DisableLocalAuth": (True,)},
    "Microsoft.EventGrid/topics": {
        "properties.disableLocalAuth": (True,),
        "properties.minimumTlsVersionAllowed": ("1.2",),
    },
    "Microsoft.EventGrid/topics/eventSubscriptions": {
        "properties.deadLetterDestination": (None,),
        "properties.deadLetterWithResourceIdentity.identity.type": ("SystemAssigned",),
    },
    "Microsoft.Web/sites": {
        "properties.httpsOnly": (True,),
        "properties.siteConfig.minTlsVersion": ("1.2", "1.3"),
        "properties.siteConfig.scmMinTlsVersion": ("1.2", "1.3"),
        "properties.siteConfig.ftpsState": ("Disabled",),
        "properties.siteConfig.remoteDebuggingEnabled": (False,),
        "identity.type": ("UserAssigned",),
    },
    "Microsoft.Web/sites/basicPublishingCredentialsPolicies": {"properties.allow": (False,)},
    "Microsoft.Authorization/roleAssignments": {"properties.condition": (None,)},
}
_GUID = re.compile(r"'([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})'")
_SECRET_NAME = re.compile(r"(key|secret|password|token|sas)$", re.IGNORECASE)
_LISTS = re.compile(r"\b(list(?:Keys|AccountSas|ServiceSas|Secrets)?)\s*\(|\.list\w*\(")
_VAULT_ONLY = re.compile(r"@Microsoft\.KeyVault\(|^\$\{vaultReference\}")


def check(file: File) -> list[str]:
    """What is unsafe in a file, one text each."""
    return [problem for rule in RULES for problem in rule(file)]


def _demands(file: File) -> Iterator[str]:
    for resource in file.resources:
        if resource.existing:
            continue
        for path, allowed in DEMANDS.get(resource.type.partition("@")[0], {}).items():
            found = at(resource.body, path)
            if _literal(found) not in allowed:
                yield f"{_place(file, resource)}.{path}: expected {_or(allowed)}"


def _literal(value: Value | None) -> object:
    if isinstance(value, Plain):
        return value.value
    if isinstance(value, Text) and not value.computed:
        return value.text
    return None if value is None else value


def _or(allowed: tuple[object, ...]) -> str:
    return " or ".join("nothing" if value is None else repr(value) for value in allowed)


def _place(file: File, resource: Resource) -> str:
    return f"{file.path.name}:{resource.body.line} {resource.symbol}"


def _secrets_in(file: File) -> Iterator[str]:
    for name, parameter in file.parameters.items():
        if _SECRET_NAME.search(name) and not parameter.secure:
            yield f"{file.path.name} param {name}: a secret, expected @secure()"
        if parameter.secure and parameter.default not in (None, Text("")):
            yield f"{file.path.name} param {name}: a secret must have no default"
    for resource in file.resources:
        if resource.type.startswith("Microsoft.KeyVault/vaults/secrets@"):
            yield f"{_place(file, resource)}: secrets are written by a script, not by Bicep"


def _secrets_out(file: File) -> Iterator[str]:
    tainted = _tainted(file)
    for name, value in file.outputs.items():
        if _shows(value, tainted):
            yield f"{file.path.name} output {name}: shows a secret"
        elif _SECRET_NAME.search(name) or re.search(r"[kK]ey\b|\bkeys\b", str(value)):
            yield f"{file.path.name} output {name}: looks like a secret"
    if match := _LISTS.search(file.source):
        yield f"{file.path.name}: {match.group(0)} reads keys; everybody comes with a token"


def _tainted(file: File) -> set[str]:
    """Names that hold a secret: secure parameters, and variables made of what holds one."""
    found = {name for name, parameter in file.parameters.items() if parameter.secure}
    before = -1
    while len(found) != before:
        before = len(found)
        found |= {name for name, value in file.variables.items() if _shows(value, found)}
    return found


def _shows(value: Value, tainted: set[str]) -> bool:
    text = str(value)
    return "getSecret" in text or any(re.search(rf"\b{each}\b", text) for each in tainted)


# Tokens and keys as they are given out, or anything long and random.
_TOKEN = re.compile(
    r"\b(?:dapi|dose|dkea)[0-9a-f]{32}|AccountKey=|SharedAccessKey=|[?&]sig=|\beyJ[\w-]{20,}|"
    r"\bgh[pousr]_\w{30,}|'[A-Za-z0-9+/]{40,}={0,2}'|\b[0-9a-f]{32,}\b"
)


def tokens(text: str) -> list[str]:
    """What looks like a secret written into a file."""
    return [match.group(0)[:12] for match in _TOKEN.finditer(text)]


def _literals(file: File) -> Iterator[str]:
    yield from (f"{file.path.name}: a secret in the file: {each}…" for each in tokens(file.source))


def _roles(file: File) -> Iterator[str]:
    for guid in _GUID.findall(file.source):
        if guid not in ROLES:
            yield f"{file.path.name}: {guid} is not a known role"
    for resource in file.resources:
        if resource.type.startswith("Microsoft.Authorization/roleAssignments@"):
            if at(resource.body, "properties.principalType") is None:
                yield f"{_place(file, resource)}: principalType is missing"
            if "scope" not in resource.body.fields:
                yield f"{_place(file, resource)}: expected the one resource as its scope"


def _custom_roles(file: File) -> Iterator[str]:
    for resource in file.resources:
        if not resource.type.startswith("Microsoft.Authorization/roleDefinitions@"):
            continue
        for text in _texts(file, at(resource.body, "properties.permissions")):
            if text not in FACTORY_ACTIONS:
                yield f"{_place(file, resource)}: may not allow {text}"


def _texts(file: File, value: Value | None) -> Iterator[str]:
    """All texts in a value; a variable stands for what it holds."""
    for each in values(value) if value else ():
        if isinstance(each, Text):
            yield each.text
        elif getattr(each, "text", "") in file.variables:
            yield from _texts(file, file.variables[each.text])  # type: ignore[union-attr]


def _settings(file: File) -> Iterator[str]:
    """A setting that holds a secret is a reference to the vault, or empty."""
    settings = file.variables.get("settings")
    if not isinstance(settings, Fields):
        return
    for name in sorted(SECRET_SETTINGS & set(settings.fields)):
        value = settings.fields[name]
        options = value.options if isinstance(value, Either) else [value]
        for option in options:
            text = option.text if isinstance(option, Text) else str(option)
            if text and not _VAULT_ONLY.search(text):
                yield f"{file.path.name} {name}: expected a reference to the vault"


# Settings whose values let somebody in, or hold an address that does.
SECRET_SETTINGS = frozenset(
    {
        "API_KEYS",
        "APPROVAL_SIGNING_KEY",
        "AUDIT_SIGNING_KEY",
        "NOTIFICATION_URLS",
        "PLAYBOOK_RETRY_PIPELINE",
        "PLAYBOOK_RERUN_UPSTREAM",
        "PLAYBOOK_RESTART_CLUSTER",
        "PLAYBOOK_RETRY_JOB",
        "PLAYBOOK_REINSTALL_LIBRARIES",
    }
)

RULES: tuple[Callable[[File], Iterator[str]], ...] = (
    _demands,
    _secrets_in,
    _secrets_out,
    _literals,
    _roles,
    _custom_roles,
    _settings,
)
