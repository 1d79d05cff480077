"""The pipeline is pinned, asks for little, and deploys what was tested."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.infra.conftest import INFRA, ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
_PINNED = re.compile(r"^[\w.-]+/[\w.-]+@[0-9a-f]{40}$")


def workflow(path: Path) -> dict[Any, Any]:
    found = yaml.safe_load(path.read_text("utf-8"))
    assert isinstance(found, dict)
    return found


def problems(found: dict[Any, Any]) -> Iterator[str]:
    """What a reviewer would object to in a workflow."""
    if found.get("permissions") != {"contents": "read"}:
        yield "permissions: expected contents: read for all, more where it is needed"
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
        for step in steps:
            if "${{" in step.get("run", ""):
                yield f"{name}: an expression inside a script can be made to say anything"


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
