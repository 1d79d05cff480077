"""requirements.lock names all that is deployed: tests, zip and bill of materials take it."""

from __future__ import annotations

import re
from importlib.metadata import distribution, version

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.infra.conftest import INFRA, ROOT

LOCK = (ROOT / "requirements.lock").read_text("utf-8")
LOCKED = dict(re.findall(r"^([\w.-]+)==(\S+) \\$", LOCK, re.MULTILINE))
LINUX = {"platform_system": "Linux", "sys_platform": "linux", "platform_machine": "x86_64"}


def asked() -> dict[str, str]:
    text = (ROOT / "requirements.txt").read_text("utf-8")
    return dict(re.findall(r"^([\w.-]+)==(\S+)", text, re.MULTILINE))


def test_what_is_asked_for_is_locked_as_it_is_pinned() -> None:
    wrong = {
        name: pin for name, pin in asked().items() if LOCKED.get(canonicalize_name(name)) != pin
    }
    assert wrong == {}, "run: infra/scripts/lock.sh"


def test_everything_locked_has_a_hash_and_nothing_else_is_there() -> None:
    entries = re.split(r"^(?=\w)", LOCK, flags=re.MULTILINE)
    assert len([e for e in entries if e.strip()]) == len(LOCKED)
    assert [e for e in entries if e.strip() and "--hash=sha256:" not in e] == []
    assert "index-url" not in LOCK


def test_what_is_locked_brings_nothing_along_that_is_not() -> None:
    missing = set()
    seen: set[tuple[str, frozenset[str]]] = set()
    wanted = [Requirement(name) for name in asked()]
    while wanted:
        requirement = wanted.pop()
        name = canonicalize_name(requirement.name)
        if (name, frozenset(requirement.extras)) in seen:
            continue
        seen.add((name, frozenset(requirement.extras)))
        if name not in LOCKED:
            missing.add(name)
            continue
        extras = {"", *requirement.extras}
        for line in distribution(name).requires or []:
            needed = Requirement(line)
            marker = needed.marker
            if marker is None or any(marker.evaluate({**LINUX, "extra": e}) for e in extras):
                wanted.append(needed)
    assert missing == set()
    assert {name for name, _ in seen} == set(LOCKED)  # and nothing that nobody needs


def test_the_tests_run_with_what_is_locked() -> None:
    other = {name: version(name) for name, pin in LOCKED.items() if version(name) != pin}
    assert other == {}


def test_zip_audit_list_and_setup_take_the_lock() -> None:
    pack = (INFRA / "scripts" / "package.sh").read_text("utf-8")
    setup = (ROOT / "Makefile").read_text("utf-8")
    for text in (pack, setup):
        assert re.search(r"--require-hashes\b[^#]*requirements\.lock", text)
    pipeline = (ROOT / ".github" / "workflows" / "pipeline.yml").read_text("utf-8")
    for tool in ("pip-audit", "cyclonedx-py"):
        (line,) = [each for each in pipeline.splitlines() if f"{tool} " in each]
        assert "requirements.lock" in line
        assert "requirements.txt" not in line
