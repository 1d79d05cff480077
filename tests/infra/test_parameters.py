"""azd finds a parameters file in a fresh clone, and it says the same as infra/env."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from infra.scripts.build_parameters import ENVIRONMENTS, build
from tests.infra import bicep
from tests.infra.bicep import Fields, Ref
from tests.infra.conftest import INFRA, ROOT


def test_the_file_that_azd_reads_is_up_to_date() -> None:
    assert (INFRA / "main.bicepparam").read_text("utf-8") == build(INFRA)


def test_git_does_not_leave_it_out() -> None:
    ignored = subprocess.run(
        ["git", "check-ignore", "--no-index", "infra/main.bicepparam"],  # noqa: S607 - any git
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    assert ignored.stdout == b""


def test_it_gives_each_environment_what_its_own_file_gives() -> None:
    made = bicep.load(INFRA / "main.bicepparam")
    assert made.using == "main.bicep"
    declared = bicep.load(INFRA / "main.bicep").parameters
    table = made.variables["environments"]
    assert isinstance(table, Fields)
    for name in ENVIRONMENTS:
        chosen = table.fields[name]
        assert isinstance(chosen, Fields)
        own = bicep.load(INFRA / "env" / f"{name}.bicepparam")
        for parameter in declared:
            value = made.variables[parameter]
            if isinstance(value, Ref) and value.root == "chosen":
                value = chosen.fields[parameter]
            wanted = own.variables[parameter]
            assert _flat(value) == _flat(wanted), (name, parameter)
    assert made.variables["chosen"] == Ref(
        "environments[readEnvironmentVariable('AZURE_ENV_NAME')]", "environments"
    )


def _flat(value: object) -> object:
    return value.fields if isinstance(value, Fields) else value


def test_environments_that_ask_for_different_things_are_refused(tmp_path: Path) -> None:
    shutil.copytree(INFRA / "env", tmp_path / "env")
    staging = tmp_path / "env" / "staging.bicepparam"
    staging.write_text(staging.read_text("utf-8").replace("param alwaysReady = 0\n", ""), "utf-8")
    with pytest.raises(ValueError, match=r"staging\.bicepparam: .*not so: alwaysReady"):
        build(tmp_path)
