"""Code, Bicep, local settings and documentation name the same settings."""

from __future__ import annotations

import json
from pathlib import Path

from tests.infra import settings_rules
from tests.infra.bicep import File
from tests.infra.conftest import INFRA, ROOT, Plant
from tests.infra.settings_rules import LOCAL_ONLY, check, keys


def example() -> set[str]:
    return set(json.loads((ROOT / "local.settings.json.example").read_text("utf-8"))["Values"])


def prose() -> str:
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    return "\n".join(page.read_text("utf-8") for page in pages)


def app(files: dict[Path, File]) -> File:
    return files[INFRA / "modules" / "function.bicep"]


def test_every_setting_is_set_listed_and_written_about(files: dict[Path, File]) -> None:
    assert check(example(), keys(app(files), "settings"), prose()) == []


def fresh(files: dict[Path, File], names: set[str], set_by_bicep: set[str]) -> list[str]:
    """Problems that the repository as it is does not have."""
    before = check(example(), keys(app(files), "settings"), prose())
    return [p for p in check(names, set_by_bicep, prose()) if p not in before]


def test_a_setting_that_nobody_sets_is_seen(files: dict[Path, File]) -> None:
    problems = fresh(files, example() | {"NEW_SWITCH"}, keys(app(files), "settings"))
    assert [p.partition(":")[0] for p in problems] == ["NEW_SWITCH", "NEW_SWITCH"]
    assert "nobody sets it" in problems[0]
    assert "neither README.md nor docs/" in problems[1]


def test_a_setting_that_bicep_lost_is_seen(files: dict[Path, File], plant: Plant) -> None:
    poor = plant("modules/function.bicep", "  MAX_ALERT_BYTES: '1048576'\n", "")
    problems = fresh(files, example(), keys(poor, "settings"))
    assert [p.partition("(")[0] for p in problems] == ["MAX_ALERT_BYTES: nobody sets it "]


def test_a_setting_that_nothing_reads_is_seen(files: dict[Path, File], plant: Plant) -> None:
    rich = plant("modules/function.bicep", "  API_KEYS:", "  API_KEY: 'x'\n  API_KEYS:")
    assert fresh(files, example(), keys(rich, "settings")) == [
        "API_KEY: set by Bicep, but local.settings.json.example does not list it"
    ]


def test_what_only_the_platform_reads_is_kept_apart(files: dict[Path, File]) -> None:
    platform = keys(app(files), "platformSettings") | keys(app(files), "schedulerSettings")
    assert platform
    assert platform & (keys(app(files), "settings") | example()) == set()


def test_every_exception_has_a_reason() -> None:
    assert all(len(reason) > 15 for reason in LOCAL_ONLY.values())
    assert settings_rules.LOCAL_ONLY.keys() <= example()
