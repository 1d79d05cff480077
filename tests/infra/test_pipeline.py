"""The pipeline is pinned, asks for little, and deploys what was tested."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.infra.conftest import INFRA, ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
_SECRET = re.compile(r"\$\{\{[^}]*\bsecrets\b")
_PINNED = re.compile(r"^[\w.-]+/[\w.-]+@[0-9a-f]{40}$")


def workflow(path: Path) -> dict[Any, Any]:
    found = yaml.safe_load(path.read_text("utf-8"))
    assert isinstance(found, dict)
    return found


def problems(found: dict[Any, Any]) -> Iterator[str]:
    """What a reviewer would object to in a workflow."""
    if found.get("permissions") != {"contents": "read"}:
        yield "permissions: expected contents: read for all, more where it is needed"
    if found.get("defaults", {}).get("run", {}).get("shell") != "bash":
        yield "shell: expected bash for all; the default one has no pipefail"
    if "pull_request_target" in found[True]:  # YAML reads the key `on` as a boolean
        yield "pull_request_target runs a stranger's code with our rights"
    for name, job in found["jobs"].items():
        steps = job.get("steps", [])
        uses = [step["uses"] for step in steps if "uses" in step] + [job.get("uses", "./")]
        yield from (f"{name}: {u} is not pinned" for u in uses if not _fixed(u))
        signs_in = any(u.startswith(("Azure/login@", "./.github")) for u in uses if u != "./")
        may = job.get("permissions", {}).get("id-token") == "write"
        if signs_in is not may:
            yield f"{name}: id-token is for the jobs that sign in"
        yield from (f"{name}: may not {each}" for each in _too_much(name, job))
        for step in steps:
            yield from (f"{name}: {each}" for each in _step_problems(step))


# What a job may beyond reading the code.
MAY = {"id-token": "write", "contents": "read"}


def _too_much(name: str, job: dict[str, Any]) -> Iterator[str]:
    allowed = MAY | ({"pull-requests": "write"} if name == "what-if" else {})
    granted = job.get("permissions", {})
    if not isinstance(granted, dict):
        yield f"permissions: {granted}"
        return
    yield from (f"{key}: {value}" for key, value in granted.items() if allowed.get(key) != value)


def _step_problems(step: dict[str, Any]) -> Iterator[str]:
    given = step.get("with", {})
    if "${{" in step.get("run", "") or "${{" in str(given.get("script", "")):
        yield "an expression inside a script can be made to say anything"
    if "shell" in step:
        yield "a shell of its own may have no pipefail"
    if "continue-on-error" in step or "|| true" in step.get("run", ""):
        yield "a step that may fail unseen"
    if step.get("uses", "").startswith("Azure/login@") and (
        "creds" in given or set(given) != {"client-id", "tenant-id", "subscription-id"}
    ):
        yield "signs in with something else than a token of the job"
    if _SECRET.search(str(step)):
        yield "a secret: the jobs sign in with a token of their own"


def _fixed(uses: str) -> bool:
    return uses.startswith("./") or bool(_PINNED.match(uses))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda p: p.name)
def test_nothing_to_object_to(path: Path) -> None:
    assert list(problems(workflow(path))) == []


def test_faults_are_seen() -> None:
    path = ROOT / ".github" / "workflows" / "deploy.yml"
    text = path.read_text("utf-8")
    for good, bad, expected in (
        ("@3d3c42e5aac5ba805825da76410c181273ba90b1", "@v7", "is not pinned"),
        ("      id-token: write\n", "", "id-token is for"),
        ('echo "$EXPECTED', 'echo "${{ inputs.sha256 }}', "an expression inside a script"),
        ("permissions:\n  contents: read\n\n", "\n", "permissions: expected"),
        ("    shell: bash", "    shell: sh", "shell: expected bash"),
        (
            "      id-token: write",
            "      id-token: write\n      packages: write",
            "may not packages",
        ),
        ("      contents: read\n", "      contents: write\n", "may not contents: write"),
        (
            "          client-id: ${{ vars",
            "          creds: ${{ secrets",
            "signs in with something",
        ),
        ("          client-id: ${{ vars", "          client-id: ${{ secrets", "a secret: the jobs"),
        ("        run: infra/scripts/inputs.sh", "        run: a || true", "may fail unseen"),
        ("  workflow_call:", "  pull_request_target:\n  workflow_call:", "a stranger's code"),
    ):
        assert good in text
        seen = list(problems(yaml.safe_load(text.replace(good, bad, 1))))
        assert any(expected in problem for problem in seen), (bad, seen)


def test_environments_follow_each_other_with_the_same_zip() -> None:
    jobs = workflow(ROOT / ".github" / "workflows" / "pipeline.yml")["jobs"]
    assert {"test", "bicep"} <= set(jobs["dev"]["needs"])
    assert "dev" in jobs["staging"]["needs"]
    assert "staging" in jobs["prod"]["needs"]
    for name in ("dev", "staging", "prod"):
        assert jobs[name]["with"]["environment"] == name
        assert jobs[name]["with"]["sha256"] == "${{ needs.test.outputs.sha256 }}"
        assert (INFRA / "env" / f"{name}.bicepparam").is_file()
    assert jobs["dev"]["if"] == "github.event_name == 'push'"


def test_the_pipeline_hands_over_what_the_environments_ask_for() -> None:
    job = workflow(ROOT / ".github" / "workflows" / "deploy.yml")["jobs"]["deploy"]
    asked = set()
    for path in INFRA.glob("env/*.bicepparam"):
        asked |= set(re.findall(r"readEnvironmentVariable\('(\w+)'", path.read_text("utf-8")))
    assert asked - set(job["env"]) == set()


def steps(path: str, job: str) -> list[dict[str, Any]]:
    found = workflow(ROOT / ".github" / "workflows" / path)["jobs"][job]["steps"]
    assert isinstance(found, list)
    return found


def index(found: list[dict[str, Any]], part: str) -> int:
    """Where the one step is whose script or action has this part."""
    places = [i for i, s in enumerate(found) if part in s.get("run", "") + s.get("uses", "")]
    assert len(places) == 1, part
    assert "if" not in found[places[0]], f"{part}: skipped by a condition"
    return places[0]


def test_the_zip_is_tested_audited_and_listed_before_it_is_handed_on() -> None:
    found = steps("pipeline.yml", "test")
    order = [
        ".ci/run",
        "pip-audit==",
        "package.sh out/app.zip",
        "cyclonedx-bom==",
        "upload-artifact@",
    ]
    assert [index(found, part) for part in order] == sorted(index(found, part) for part in order)
    assert "sha256=$(cut -d' ' -f1 app.zip.sha256)" in found[index(found, "package.sh")]["run"]
    assert found[index(found, "package.sh")]["id"] == "package"


def test_the_zip_is_checked_and_secrets_are_there_before_the_code_runs() -> None:
    found = steps("deploy.yml", "deploy")
    order = [
        "infra/scripts/inputs.sh",
        "download-artifact@",
        "sha256sum --check",
        "Azure/login@",
        "az deployment sub create",
        "infra/scripts/secrets.sh",
        "config-zip",
        "infra/scripts/postdeploy.sh",
    ]
    places = {part: index(found, part) for part in order}
    assert places["sha256sum --check"] < places["Azure/login@"]
    assert places["infra/scripts/inputs.sh"] < places["az deployment sub create"]
    rest = [places[part] for part in order[3:]]
    assert rest == sorted(rest)
    check = found[places["sha256sum --check"]]
    assert check["env"] == {"EXPECTED": "${{ inputs.sha256 }}"}
    assert "--build-remote false" in found[places["config-zip"]]["run"]


def test_the_preview_sees_the_parameters_of_the_deployment() -> None:
    deployed = workflow(ROOT / ".github" / "workflows" / "deploy.yml")["jobs"]["deploy"]["env"]
    found = steps("pipeline.yml", "what-if")
    preview = found[index(found, "what-if --location")]
    assert preview["env"] == {k: v for k, v in deployed.items() if k != "TARGET"}
    pinned = set(re.findall(r"bicep install --version (\S+)", preview["run"]))
    for path in WORKFLOWS:
        pinned |= set(re.findall(r"bicep install --version (\S+)", path.read_text("utf-8")))
    assert len(pinned) == 1
    assert "bicep install" in preview["run"]
    assert "--validation-level ProviderNoRbac" in preview["run"]


AZ = """#!/bin/sh
case "$*" in
  *what-if*|*"sub show"*) printf '%s' "$ANSWER"; exit "${STATUS:-0}" ;;
esac
"""


def script(run: str, tmp_path: Path, **environment: str) -> int:
    """A step's script as GitHub runs it, with a stand-in for az; its exit code."""
    bins = tmp_path / "bin"
    bins.mkdir()
    (bins / "az").write_text(AZ)
    (bins / "az").chmod(0o755)
    path = f"{bins}:{os.environ['PATH']}"
    names = {"AZURE_LOCATION": "x", "TARGET": "dev", "GITHUB_ENV": str(tmp_path / "env")}
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", run]
    done = subprocess.run(  # noqa: S603 - our own script
        command, cwd=tmp_path, env={"PATH": path} | names | environment, check=False
    )
    return done.returncode


CHANGES = """{"changes": [
  {"changeType": "Create", "resourceId": "/b"}, {"changeType": "Modify", "resourceId": "/a"}
]}"""


def test_the_preview_says_what_changes(tmp_path: Path) -> None:
    found = steps("pipeline.yml", "what-if")
    assert script(found[index(found, "what-if --location")]["run"], tmp_path, ANSWER=CHANGES) == 0
    assert (tmp_path / "what-if.txt").read_text() == "Create /b\nModify /a\n"


@pytest.mark.parametrize(
    "fault",
    [{"ANSWER": "", "STATUS": "1"}, {"ANSWER": '{"changes": []}'}, {"ANSWER": "{}"}],
    ids=["refused", "empty", "another answer"],
)
def test_a_preview_that_failed_is_not_green(fault: dict[str, str], tmp_path: Path) -> None:
    found = steps("pipeline.yml", "what-if")
    assert script(found[index(found, "what-if --location")]["run"], tmp_path, **fault) != 0


def test_a_deployment_without_outputs_is_not_green(tmp_path: Path) -> None:
    found = steps("deploy.yml", "deploy")
    run = found[index(found, "az deployment sub create")]["run"]
    assert script(run, tmp_path, ANSWER="", STATUS="1") != 0


def test_outputs_of_a_deployment_become_variables(tmp_path: Path) -> None:
    found = steps("deploy.yml", "deploy")
    run = found[index(found, "az deployment sub create")]["run"]
    assert script(run, tmp_path, ANSWER='{"azurE_KEY_VAULT": {"value": "kv"}}') == 0
    assert (tmp_path / "env").read_text() == "AZURE_KEY_VAULT=kv\n"
