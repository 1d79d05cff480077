"""Mistakes in the catalog's data, each refused with its file, its line and the reason."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from shared.catalog import loader
from shared.errors import ConfigurationError
from shared.remedies.registry import NAMES

FOLDER = Path(loader.__file__).parent
MATRIX, RULES = "catalog.yaml", "rules.yaml"


def own(tmp_path: Path) -> Path:
    """A copy of the shipped catalog that somebody may edit."""
    for name in (MATRIX, RULES):
        (tmp_path / name).write_text((FOLDER / name).read_text("utf-8"), "utf-8")
    return tmp_path / MATRIX


def complaint(path: Path) -> str:
    with pytest.raises(ConfigurationError) as caught:
        loader.load(path, NAMES)
    return str(caught.value)


def line_of(path: Path, text: str) -> int:
    lines = path.read_text("utf-8").splitlines()
    found = [number for number, line in enumerate(lines, 1) if text in line]
    assert len(found) == 1, f"{text!r} stands on lines {found}"
    return found[0]


def add_rule(path: Path, rule: str) -> Path:
    rules = path.with_name(RULES)
    rules.write_text(rules.read_text("utf-8") + rule, "utf-8")
    return rules


def a_rule(content: str) -> str:
    return f"  - id: our-own\n    error_type: Unknown\n    because: a test\n    {content}\n"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("patterns: ['a(b']", "'a(b': not RE2: missing )"),
        (r"patterns: ['a(?=b)']", "not RE2: invalid perl operator"),
        ("patterns: ['x*']", "'x*' matches the empty text, so every text"),
        ("patterns: ['real words', '.*']", "'.*' matches the empty text"),
        ("patterns: ['.']", "'.' matches every text"),
        ("patterns: ['real && x?']", "'x?' matches the empty text"),
        ("patterns: ['real && ']", "'' matches the empty text"),
        ("patterns: ['real && !y*']", "'y*' matches the empty text"),
        ("patterns: ['!real']", "expected a part without !"),
        ("patterns: ['']", "matches the empty text"),
        ("patterns: words", "Expected `array`, got `str`"),
        ("patterns: [5]", "Expected `str`, got `int`"),
        ("codes: ['*']", "'*' would be every code"),
        ("codes: [GOOD, '**']", "'**' would be every code"),
        ("codes: [' ']", "would be every code"),
        ("codes: [2200]", "Expected `str`, got `int`"),
        ("sqlstates: ['4']", "'4' is no SQLSTATE"),
        ("sqlstates: ['425011']", "'425011' is no SQLSTATE"),
        ("{codes: [A_B], systems: [azure]}", ""),
        ("kinds: [UserErrorr]", "no such kind 'UserErrorr'"),
        ("colour: red", "unknown field `colour`"),
        ("weak: perhaps", "Expected `bool`, got `str`"),
        ("hands_off: true", "expected codes, sqlstates, patterns or kinds"),
    ],
)
def test_a_rule_that_is_wrong(tmp_path: Path, content: str, reason: str) -> None:
    if content.startswith("{"):
        content, reason = "codes: [A_B]\n    systems: [azure]", "no such system 'azure'"
    path = own(tmp_path)
    rules = add_rule(path, a_rule(content))
    said = complaint(path)
    last = content.splitlines()[-1].strip()
    line = line_of(rules, "- id: our-own") if "expected codes" in reason else line_of(rules, last)
    assert said.startswith(f"rules.yaml, line {line}: rules.")
    assert "(our-own)" in said
    assert reason in said


@pytest.mark.parametrize(
    ("field", "wrong", "reason"),
    [
        ("id", "planned-end", "the id 'planned-end' is taken"),
        ("id", "''", "expected an id"),
        ("error_type", "Gremlins", "no such error type 'Gremlins'"),
        ("prefer", "pray", "no such remedy 'pray'"),
    ],
)
def test_a_rule_that_names_what_is_not_there(
    tmp_path: Path, field: str, wrong: str, reason: str
) -> None:
    path = own(tmp_path)
    rule = {"id": "our-own", "error_type": "Unknown", "because": "a test", "codes": "[A_B_OUR_OWN]"}
    lines = [f"    {key}: {value}" for key, value in (rule | {field: wrong}).items()]
    rules = add_rule(path, "\n".join(lines).replace("    id", "  - id", 1) + "\n")
    last = [n for n, t in enumerate(rules.read_text("utf-8").splitlines(), 1) if wrong in t][-1]
    assert complaint(path).startswith(f"rules.yaml, line {last}: ")
    assert reason in complaint(path)


def replaced(path: Path, old: str, new: str) -> int:
    """Edit the copy; the line of the last line of `new`."""
    text = path.read_text("utf-8")
    assert text.count(old) >= 1, old
    before = text[: text.index(old)]
    path.write_text(text.replace(old, new, 1), "utf-8")
    return 1 + before.count("\n") + new.rstrip("\n").count("\n")


RERUN = "{remedy: rerun, attempts: 3, backoff: [10, 30, 60]}"


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (
            "batch_parameters: {}",
            "batch_parameters:\n  p:\n    parameter: b\n    floor: -5",
            "1 or",
        ),
        (
            "batch_parameters: {}",
            "batch_parameters:\n  p:\n    floor: 5\n    parameter: ''",
            "a name",
        ),
        (
            "batch_parameters: {}",
            "batch_parameters:\n  p:\n    parameter: b\n    floor: 5\n    flor: 1",
            "unknown field `flor`",
        ),
        (
            "tables: {}",
            "tables:\n  a.b.c:\n    warehouse_id: x\n    ddl: gone.sql",
            "the DDL file gone.sql of a.b.c is not there",
        ),
        (
            "tables: {}",
            "tables:\n  a.b.c:\n    warehouse_id: x\n    ddl: ../../etc/passwd",
            "is not there",
        ),
        (
            "tables: {}",
            "tables:\n  a.b.c:\n    warehouse_id: x\n    ddl: rules.yaml",
            "does not begin with CREATE TABLE IF NOT EXISTS",
        ),
        ("upstreams: {}", "upstreams:\n  pl_a: pl_A", "pl_a cannot be its own upstream"),
        ("upstreams: {}", "upstreams:\n  pl_a: ''", "expected the upstream's name"),
        ("upstreams: {}", "upstreams:\n  pl_a: 5", "Expected `str`, got `int`"),
        ('numpy: ["2.1.3", ', 'numpy: ["latest", ', "'latest' is no version"),
        ('numpy: ["2.1.3", ', 'numpy: ["1.24.4", ', "1.24.4 stands there twice"),
        ('numpy: ["2.1.3", ', 'numpy: ["1.25.0", ', "1.26.4 is newer than 1.25.0 before it"),
        ('numpy: ["2.1.3", ', "numpy: [2.1, ", "Expected `str`, got `float`"),
        ("refreshable_tables: {}", "refreshable_tables:\n  p: []", "expected at least one table"),
        ("Standard_F4s: [", "Standard_F4s: [Standard_F4s, ", "cannot take its own place"),
        (f"- {RERUN}\n", f"- {RERUN}\n      - {RERUN}\n", "rerun stands there twice"),
        (RERUN, RERUN.replace("3", "51"), "expected 1 or more, at most 50"),
        (RERUN, RERUN.replace("60]", "86401]"), "from 0 s to a day"),
        (RERUN, RERUN.replace("60]", "-1]"), "from 0 s to a day"),
        (RERUN, RERUN.replace("attempts", "atempts"), "unknown field `atempts`"),
        (RERUN, RERUN.replace("60]", "soon]"), "Expected `float`, got `str`"),
        ("  verify_growth: 1.5 ", "  verify_growth: 0.5 ", "expected 1 or more, at most 10"),
        ("  wait_interval: 60 ", "  wait_interval: 0 ", "expected 0.01 or more"),
        ("  run_timeout: 43200 ", "  run_timeout: .inf ", "at most 7776000"),
        ("  doubt_looks: 3 ", "  doubt_looks: 0 ", "expected 1 or more"),
        ("  doubt_looks: 3 ", "  doubt_looks: 2.5 ", "Expected `int`, got `float`"),
        ("[PLAYBOOK_RETRY_PIPELINE, PLAYBOOK_RETRY_JOB]", "[PLAYBOOK_DANCE]", "no playbook"),
    ],
)
def test_a_mistake_in_the_matrix(tmp_path: Path, old: str, new: str, reason: str) -> None:
    path = own(tmp_path)
    line = replaced(path, old, new)
    said = complaint(path)
    assert said.startswith(f"catalog.yaml, line {line}: "), said
    assert reason in said


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("timings: {", "line 1: not YAML"),
        ("timings: !!python/object:os.system {}", "line 1: not YAML: could not determine"),
        ("? [a, b]\n: c", "line 1: expected a name"),
        ("a: &x [*x]", "line 1: this stands inside itself"),
        ("a: 2026-13-45", "unknown field"),
        ("", "line 1: the file: Expected `object`, got `null`"),
        ("- a", "Expected `object`, got `array`"),
        ("[" * 3000, "nested too deeply"),
        ("5: x", "expected"),
    ],
)
def test_a_file_that_is_no_catalog_at_all(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / MATRIX
    path.write_text(text, "utf-8")
    assert complaint(path).startswith("catalog.yaml")
    assert reason.lower() in complaint(path).lower()


def classify(path: Path, **asked: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "shared.diagnosis"],
        input=json.dumps(asked),
        env=os.environ | {"CATALOG_PATH": str(path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_an_error_type_is_added_by_editing_yaml_alone(tmp_path: Path) -> None:
    path = own(tmp_path)
    added = (
        "  GremlinsInTheWire:\n    title: Gremlins sit on the wire\n    category: network\n"
        "    transient: true\n    risk: low\n    remedies:\n"
        "      - {remedy: rerun, attempts: 2, backoff: [7]}\n"
        "    guidance: [Feed them before midnight.]\n"
    )
    path.write_text(path.read_text("utf-8") + added, "utf-8")
    rule = "  - id: gremlins\n    error_type: GremlinsInTheWire\n    because: they squeak\n"
    add_rule(path, f"{rule}    codes: [GREMLIN_*]\n    patterns: ['gremlins? (?:sat|sit) on']\n")
    for asked in ({"message": "a gremlin sat on port 443"}, {"code": "GREMLIN_BITES"}):
        answered = classify(path, source_system="adf", **asked)
        assert answered.returncode == 0, answered.stderr
        found = json.loads(answered.stdout)
        assert found["error_type"] == "GremlinsInTheWire"
        assert (found["action"], found["transient"]) == ("retry_with_backoff", True)
    shipped = classify(FOLDER / MATRIX, source_system="adf", code="GREMLIN_BITES")
    assert json.loads(shipped.stdout)["error_type"] == "Unknown"


def test_a_type_that_no_rule_recognises(tmp_path: Path) -> None:
    path = own(tmp_path)
    added = (
        "  GremlinsInTheWire:\n    title: Gremlins\n    category: network\n    transient: true\n"
        "    risk: low\n    remedies: []\n    guidance: [Feed them before midnight.]\n"
    )
    path.write_text(path.read_text("utf-8") + added, "utf-8")
    line = line_of(path, "GremlinsInTheWire:")
    said = complaint(path)
    assert said.startswith(f"catalog.yaml, line {line}: "), said
    assert "no rule recognises GremlinsInTheWire" in said


def test_the_program_says_what_is_wrong_with_a_catalog(tmp_path: Path) -> None:
    path = own(tmp_path)
    rules = add_rule(path, a_rule("patterns: ['a(b']"))
    answered = classify(path, message="x")
    line = line_of(rules, "'a(b'")
    assert answered.returncode == 2
    assert re.match(rf"rules\.yaml, line {line}: .*our-own.*not RE2", answered.stderr)
    assert "Traceback" not in answered.stderr
