"""What a reviewer looks for, and proof that the rules see it when it is wrong."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from shared.ledger.tables import ALL_TABLES
from tests.infra import bicep, security
from tests.infra.bicep import File, Items, Plain, Text
from tests.infra.conftest import INFRA, ROOT, Plant


def test_nothing_is_unsafe(files: dict[Path, File]) -> None:
    assert [problem for file in files.values() for problem in security.check(file)] == []


def test_every_demand_and_role_is_about_something_that_is_there(files: dict[Path, File]) -> None:
    kinds = {
        r.type.partition("@")[0] for f in files.values() for r in f.resources if not r.existing
    }
    assert set(security.DEMANDS) - kinds == set()
    sources = "".join(file.source for file in files.values())
    assert {name for guid, name in security.ROLES.items() if guid not in sources} == set()


def test_the_tables_are_the_ledgers(files: dict[Path, File]) -> None:
    listed = files[INFRA / "modules" / "storage.bicep"].variables["tables"]
    assert isinstance(listed, Items)
    assert [t.text for t in listed.items if isinstance(t, Text)] == list(ALL_TABLES)


def test_no_environment_acts_unasked() -> None:
    modes = {
        path.stem: bicep.load(path).variables["mode"] for path in INFRA.glob("env/*.bicepparam")
    }
    assert modes == {"dev": Text("observe"), "staging": Text("pilot"), "prod": Text("observe")}


def test_what_runs_beyond_development_is_private() -> None:
    private = {
        path.stem: bicep.load(path).variables["isPrivate"]
        for path in INFRA.glob("env/*.bicepparam")
    }
    assert private == {
        "dev": Plain(value=False),
        "staging": Plain(value=True),
        "prod": Plain(value=True),
    }


def test_no_secret_is_written_into_a_file() -> None:
    paths = [*INFRA.rglob("*.bicepparam"), *INFRA.rglob("*.sh"), *INFRA.rglob("*.py")]
    paths += [ROOT / "azure.yaml", *(ROOT / ".github").rglob("*.yml")]
    pinned = re.compile(r"@[0-9a-f]{40}\b")  # actions
    found = {p.name: security.tokens(pinned.sub("", p.read_text("utf-8"))) for p in paths}
    assert {name: each for name, each in found.items() if each} == {}


@pytest.mark.parametrize(
    "secret",
    [
        "dapi" + "0123456789abcdef" * 2,
        "DefaultEndpointsProtocol=https;AccountKey=x",
        "https://x.example/?sv=1&sig=abc",
        "'" + "Ab1/" * 11 + "=='",
        "eyJ" + "hbGciOiJIUzI1NiJ9" * 2,
    ],
)
def test_a_secret_in_a_parameter_file_is_seen(secret: str) -> None:
    assert security.tokens(f"param packageIndexUrl = {secret}")


FAULTS = {
    "a secret through a variable": (
        "modules/action-group.bicep",
        "output id string = group.id",
        "var inner = '${senderKey}'\nvar outer = inner\noutput id string = '${group.id}${outer}'",
        "output id: shows a secret",
    ),
    "a key in an output": (
        "modules/events.bicep",
        "output id string = topic.id",
        "output id string = topic.properties.sharedKey",
        "output id: looks like a secret",
    ),
    "an output that is called one": (
        "modules/events.bicep",
        "output id string = topic.id",
        "output accessToken string = topic.id",
        "output accessToken: looks like a secret",
    ),
    "a token in a template": (
        "modules/function.bicep",
        "MAX_ALERT_BYTES: '1048576'",
        "MAX_ALERT_BYTES: 'dapi0123456789abcdef0123456789abcdef'",
        "a secret in the file: dapi",
    ),
    "shared key on": (
        "modules/storage.bicep",
        "allowSharedKeyAccess: false",
        "allowSharedKeyAccess: true",
        "allowSharedKeyAccess: expected False",
    ),
    "shared key not mentioned": (
        "modules/storage.bicep",
        "    allowSharedKeyAccess: false\n",
        "",
        "allowSharedKeyAccess: expected False",
    ),
    "shared key by parameter": (
        "modules/storage.bicep",
        "allowSharedKeyAccess: false",
        "allowSharedKeyAccess: isPrivate",
        "allowSharedKeyAccess: expected False",
    ),
    "old TLS": ("modules/storage.bicep", "'TLS1_2'", "'TLS1_0'", "expected 'TLS1_2' or 'TLS1_3'"),
    "public blobs": (
        "modules/storage.bicep",
        "publicAccess: 'None'",
        "publicAccess: 'Blob'",
        "publicAccess: expected 'None'",
    ),
    "local authentication of telemetry": (
        "modules/monitoring.bicep",
        "DisableLocalAuth: true",
        "DisableLocalAuth: false",
        "DisableLocalAuth: expected True",
    ),
    "keys of the topic": (
        "modules/events.bicep",
        "disableLocalAuth: true",
        "disableLocalAuth: false",
        "disableLocalAuth: expected True",
    ),
    "dead letters without identity": (
        "modules/event-subscription.bicep",
        "deadLetterWithResourceIdentity",
        "deadLetterDestination",
        "deadLetterDestination: expected nothing",
    ),
    "plain HTTP": (
        "modules/function.bicep",
        "httpsOnly: true",
        "httpsOnly: false",
        "httpsOnly: expected True",
    ),
    "a role that is too much": (
        "modules/storage.bicep",
        "974c5e8b-45b9-4653-ba55-5f855dd0fb88",
        "b24988ac-6180-42a0-ab88-20f7382dd24c",
        "b24988ac-6180-42a0-ab88-20f7382dd24c is not a known role",
    ),
    "a role on the whole group": (
        "modules/storage.bicep",
        "  scope: account\n  properties: {\n    principalId",
        "  properties: {\n    principalId",
        "expected the one resource as its scope",
    ),
    "a custom role that writes": (
        "modules/factory.bicep",
        "factories/pipelines/read'",
        "factories/pipelines/write'",
        "may not allow Microsoft.DataFactory/factories/pipelines/write",
    ),
    "a wildcard": (
        "modules/factory.bicep",
        "factories/pipelines/read'",
        "factories/*'",
        "may not allow Microsoft.DataFactory/factories/*",
    ),
    "a secret without @secure": (
        "modules/action-group.bicep",
        "@secure()\n",
        "",
        "param senderKey: a secret, expected @secure()",
    ),
    "a secret with a default": (
        "modules/action-group.bicep",
        "param senderKey string = ''",
        "param senderKey string = 'abc'",
        "param senderKey: a secret must have no default",
    ),
    "a secret in an output": (
        "modules/action-group.bicep",
        "output id string = group.id",
        "output id string = '${group.id}${senderKey}'",
        "output id: shows a secret",
    ),
    "keys that are listed": (
        "modules/storage.bicep",
        "output id string = account.id",
        "output id string = account.listKeys().keys[0].value",
        "reads keys",
    ),
    "a secret value in a setting": (
        "modules/function.bicep",
        "'${vaultReference}API-KEYS)' : ''",
        "'[{}]' : ''",
        "API_KEYS: expected a reference to the vault",
    ),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_planted_fault_is_seen(fault: tuple[str, str, str, str], plant: Plant) -> None:
    name, good, bad, expected = fault
    problems = security.check(plant(name, good, bad))
    assert any(expected in problem for problem in problems), problems
