"""Every file parses and fits the official resource types, and the checks see what is wrong."""

from __future__ import annotations

import re
from pathlib import Path

import pycep
import pytest

from tests.infra import bicep, types_check
from tests.infra.bicep import BicepError, File
from tests.infra.conftest import INFRA, Plant

ENVIRONMENTS = sorted(INFRA.glob("env/*.bicepparam"))
TEMPLATES = sorted(INFRA.rglob("*.bicep"))


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda p: p.name)
def test_a_second_parser_reads_it_too(path: Path) -> None:
    parsed = pycep.BicepParser().parse(text=path.read_text("utf-8"))
    ours = {r.symbol for r in bicep.load(path).resources}
    assert set(parsed.get("resources", {})) == ours


def test_resources_fit_their_types(files: dict[Path, File]) -> None:
    problems = [problem for file in files.values() for problem in types_check.check(file)]
    assert problems == []
    assert sum(len(file.resources) for file in files.values()) > 50


def test_modules_are_called_with_what_they_take(files: dict[Path, File]) -> None:
    calls = [p for file in files.values() for p in types_check.check_modules(file, files)]
    assert calls == []
    called = {
        (file.path.parent / m.path).resolve() for file in files.values() for m in file.modules
    }
    alone = {INFRA / "main.bicep", INFRA / "modules" / "event-subscription.bicep"}
    assert set(files) - called == alone


def test_names_are_declared_and_used(files: dict[Path, File]) -> None:
    assert [problem for file in files.values() for problem in types_check.check_names(file)] == []


def test_api_versions_are_one_per_type_and_no_preview(files: dict[Path, File]) -> None:
    versions: dict[str, set[str]] = {}
    for file in files.values():
        for resource in file.resources:
            kind, _, version = resource.type.partition("@")
            versions.setdefault(kind, set()).add(version)
    assert {kind for kind, found in versions.items() if len(found) > 1} == set()
    previews = {kind for kind, found in versions.items() if any("preview" in v for v in found)}
    assert previews == {"Microsoft.Insights/diagnosticSettings"}  # has no newer stable one


def test_the_known_types_are_the_used_ones(files: dict[Path, File]) -> None:
    used = {resource.type for file in files.values() for resource in file.resources}
    assert set(types_check.KNOWN) == used


@pytest.mark.parametrize("path", ENVIRONMENTS, ids=lambda p: p.stem)
def test_each_environment_gives_every_parameter(path: Path, files: dict[Path, File]) -> None:
    given = bicep.load(path)
    main = files[(path.parent / given.using).resolve()]
    assert list(types_check.check_values(given.variables, main, path.name)) == []
    assert given.variables["environmentName"] == bicep.Text(path.stem)


def test_the_three_environments_are_there() -> None:
    assert [path.stem for path in ENVIRONMENTS] == ["dev", "prod", "staging"]


def test_every_file_that_is_loaded_exists(files: dict[Path, File]) -> None:
    loaded = set()
    for file in files.values():
        for name in re.findall(r"loadTextContent\('([^']+)'\)", file.source):
            loaded.add((file.path.parent / name).resolve())
    assert loaded
    assert {path for path in loaded if not path.is_file()} == set()


FAULTS = {
    "misspelt property": (
        "modules/storage.bicep",
        "allowSharedKeyAccess",
        "allowSharedKeyAcess",
        "account.properties.allowSharedKeyAcess: no such property",
    ),
    "misspelt deep inside": (
        "modules/network.bicep",
        "serviceName:",
        "servicename:",
        "delegations[0].properties.servicename: no such property",
    ),
    "misspelt where an SDK is the source": (
        "modules/scheduler.bicep",
        "ipAllowlist",
        "ipAllowList",
        "scheduler.properties.ipAllowlist: required, but missing",
    ),
    "wrong type": (
        "modules/failure-alerts.bicep",
        "autoMitigate: false",
        "autoMitigate: 'false'",
        "autoMitigate: expected bool",
    ),
    "a word that is none of the list": (
        "modules/function.bicep",
        "ftpsState: 'Disabled'",
        "ftpsState: 'Off'",
        "ftpsState: expected one of",
    ),
    "required property missing": (
        "modules/vault.bicep",
        "    tenantId: tenant().tenantId\n",
        "",
        "vault.properties.tenantId: required, but missing",
    ),
    "unknown kind of destination": (
        "modules/event-subscription.bicep",
        "endpointType: 'AzureFunction'",
        "endpointType: 'Function'",
        "destination.endpointType: expected one of",
    ),
    "wrong type through a parameter": (
        "modules/monitoring.bicep",
        "param retentionDays int",
        "param retentionDays string",
        "the parameter retentionDays is of type string",
    ),
    "wrong type through a variable": (
        "modules/factory.bicep",
        "  'Microsoft.DataFactory/factories/pipelines/read'\n",
        "  true\n",
        "permissions[0].actions[0]: expected string",
    ),
    "reading what is not there": (
        "modules/identity.bicep",
        "identity.properties.clientId",
        "identity.properties.clientID",
        "identity.properties.clientID: no such property",
    ),
    "unknown API version": (
        "modules/events.bicep",
        "Microsoft.EventGrid/topics@2025-02-15'",
        "Microsoft.EventGrid/topics@2019-01-01'",
        "is not in data/types.json",
    ),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_planted_fault_is_seen(fault: tuple[str, str, str, str], plant: Plant) -> None:
    name, good, bad, expected = fault
    assert any(expected in problem for problem in types_check.check(plant(name, good, bad)))


NAME_FAULTS = {
    "misspelt name": ("'${tablePrefix}${table}'", "'${tablePrefx}${table}'", "no tablePrefx"),
    "misspelt function": ("guid(account.id", "guidd(account.id", "no function guidd"),
    "parameter for nothing": ("param skuName string", "param sku string", "nothing uses sku"),
}


@pytest.mark.parametrize("fault", NAME_FAULTS.values(), ids=NAME_FAULTS)
def test_a_planted_fault_in_a_name_is_seen(fault: tuple[str, str, str], plant: Plant) -> None:
    good, bad, expected = fault
    problems = types_check.check_names(plant("modules/storage.bicep", good, bad))
    assert any(expected in problem for problem in problems), problems


CALL_FAULTS = {
    "parameter missing": ("    taskHub: orch", "    //", "the parameter taskHub of function.bicep"),
    "parameter misspelt": ("    taskHub: orch", "    taskhub: orch", "has no parameter taskhub"),
    "wrong type": ("shortName: 'lm-people'", "shortName: 12", "shortName: expected string"),
    "word not allowed": ("webhookMode: 'none'", "webhookMode: 'off'", "webhookMode: expected one"),
    "no such output": (
        "identity.outputs.clientId",
        "identity.outputs.client",
        "identity.outputs.client: no such output",
    ),
    "a secret where none is kept": (
        "shortName: 'lm-people'",
        "shortName: keys.getSecret('action-group-key')",
        "a secret for a parameter that is not @secure()",
    ),
    "no such file": ("'modules/vault.bicep'", "'modules/vaults.bicep'", "there is no file"),
}


@pytest.mark.parametrize("fault", CALL_FAULTS.values(), ids=CALL_FAULTS)
def test_a_planted_fault_in_a_call_is_seen(
    fault: tuple[str, str, str], plant: Plant, files: dict[Path, File]
) -> None:
    good, bad, expected = fault
    problems = types_check.check_modules(plant("main.bicep", good, bad), files)
    assert any(expected in problem for problem in problems), problems


def test_an_environment_without_a_parameter_is_seen(plant: Plant, files: dict[Path, File]) -> None:
    poor = plant("env/prod.bicepparam", "param retentionDays = 400\n", "")
    wrong = plant("env/prod.bicepparam", "param mode = 'observe'", "param mode = 'act'")
    main = files[INFRA / "main.bicep"]
    missing = list(types_check.check_values(poor.variables, main, "prod"))
    assert missing == ["prod: the parameter retentionDays of main.bicep is missing"]
    refused = list(types_check.check_values(wrong.variables, main, "prod"))
    assert refused == ["prod.mode: expected one of ['observe', 'pilot', 'production']"]


NUMBERS = {
    "below": ("maximumInstances = 100", "maximumInstances = 39", "expected at least 40"),
    "above": ("logRetentionDays = 90", "logRetentionDays = 731", "expected at most 730"),
    "none of the list": ("instanceMemory = 2048", "instanceMemory = 1024", "one of the allowed"),
    "at the first level": ("maxRetries = 5", "maxRetries = 51", "expected at most 50"),
}


@pytest.mark.parametrize("path", ENVIRONMENTS, ids=lambda p: p.stem)
def test_numbers_are_within_their_limits(path: Path, files: dict[Path, File]) -> None:
    main = files[INFRA / "main.bicep"]
    assert types_check.check_numbers(bicep.load(path).variables, main, files) == []


@pytest.mark.parametrize("fault", NUMBERS.values(), ids=NUMBERS)
def test_a_number_outside_its_limits_is_seen(
    fault: tuple[str, str, str], plant: Plant, files: dict[Path, File]
) -> None:
    good, bad, expected = fault
    wrong = plant("env/prod.bicepparam", good, bad)
    problems = types_check.check_numbers(wrong.variables, files[INFRA / "main.bicep"], files)
    assert [p for p in problems if expected in p], problems


def test_what_does_not_parse_is_refused_with_its_line() -> None:
    with pytest.raises(BicepError, match=r"test\.bicep:2: does not parse"):
        bicep.parse(b"param a string\nresource x = {\n")
