"""Queries, alert rules, documentation and code name the same metrics, dimensions and values."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest

from shared.telemetry.lines import IDS
from shared.telemetry.metrics import METRICS, Metric
from shared.vocabulary import Disposition, IncidentState
from tests.infra.conftest import INFRA, ROOT

QUERIES = INFRA / "workbook" / "queries"
METRIC = {metric.name: metric for metric in METRICS}
# What the code writes into a dimension that a query compares with a text.
VALUES: dict[str, set[str]] = {
    "disposition": {*Disposition, "duplicate"},
    "outcome": {*IncidentState, "ended", "failed"},
}
CODE = [path for part in ("functions", "shared") for path in sorted((ROOT / part).rglob("*.py"))]


def timers() -> set[str]:
    """Names of the functions that a timer calls."""
    return {
        node.name
        for path in (ROOT / "functions").glob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if any("timer_trigger" in ast.unparse(decorator) for decorator in node.decorator_list)
    }


def problems(query: str) -> list[str]:
    """What a query reads of our metrics and nobody writes."""
    used = re.findall(r'"(lakemend\.[\w.]+)"', query)
    found = [f"{name}: no such metric" for name in used if name not in METRIC]
    known = {d for name in used if name in METRIC for d in METRIC[name].dimensions}
    read = set(re.findall(r"Properties\.(\w+)", query))
    found += [f"{name}: no such dimension" for name in sorted(read - known - set(IDS))]
    for name, value in re.findall(r'Properties\.(\w+)\) == "([^"{]*)"', query):
        allowed = VALUES.get(name, timers() if name == "sweep" else set())
        if value not in allowed:
            found.append(f"{name}: nobody writes {value!r}")
    return found


@pytest.mark.parametrize("path", sorted(QUERIES.glob("*.kql")), ids=lambda p: p.stem)
def test_a_query_reads_what_the_code_writes(path: Path) -> None:
    assert problems(path.read_text("utf-8")) == []


@pytest.mark.parametrize(
    ("name", "good", "bad", "told"),
    [
        ("healings", "lakemend.healings", "lakemend.healing", "lakemend.healing: no such metric"),
        ("healings", "Properties.remedy", "Properties.cure", "cure: no such dimension"),
        ("escalated", '"escalated"', '"escalation"', "outcome: nobody writes 'escalation'"),
        ("poison-input", '"poison"', '"poisoned"', "disposition: nobody writes 'poisoned'"),
        (
            "sweep-not-running",
            '"dispatch_sweep"',
            '"dispatch"',
            "sweep: nobody writes 'dispatch'",
        ),
    ],
)
def test_a_slip_in_a_query_is_seen(name: str, good: str, bad: str, told: str) -> None:
    text = (QUERIES / f"{name}.kql").read_text("utf-8")
    assert good in text
    assert told in problems(text.replace(good, bad))


def recorded() -> dict[str, set[str]]:
    """Dimensions that the code records, by the name of the metric's constant."""
    found: dict[str, set[str]] = {}
    for path in CODE:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            if node.func.attr == "record" and isinstance(node.func.value, ast.Name):
                given = {str(keyword.arg) for keyword in node.keywords}
                found.setdefault(node.func.value.id, set()).update(given)
    return found


def constants() -> dict[str, Metric]:
    from shared.telemetry import metrics

    return {name: each for name, each in vars(metrics).items() if isinstance(each, Metric)}


def test_every_metric_is_recorded_with_its_dimensions_and_read_by_a_query() -> None:
    assert set(constants().values()) == set(METRICS)
    code = recorded()
    for name, metric in constants().items():
        assert code.get(name) == set(metric.dimensions), name
    read = "".join(path.read_text("utf-8") for path in QUERIES.glob("*.kql"))
    assert [name for name in METRIC if f'"{name}"' not in read] == []


def test_the_documentation_lists_the_metrics_with_their_dimensions() -> None:
    page = (ROOT / "docs" / "deploy.md").read_text("utf-8")
    rows = re.findall(r"^\| `(lakemend\.[\w.]+)` \|([^|]*)\|", page, re.MULTILINE)
    listed = {name: tuple(re.findall(r"`(\w+)`", told)) for name, told in rows}
    assert listed == {metric.name: metric.dimensions for metric in METRICS}


def test_every_timer_is_counted_under_its_own_name() -> None:
    text = "".join(path.read_text("utf-8") for path in (ROOT / "functions").glob("*.py"))
    assert set(re.findall(r'sweeping\("(\w+)"\)', text)) == timers()


def test_alert_rules_of_our_own_are_documented_and_have_the_query_of_their_name() -> None:
    source = (INFRA / "modules" / "own-alerts.bicep").read_text("utf-8")
    pairs = re.findall(r"key: '([\w-]+)'.*?queries/([\w-]+)\.kql", source, re.DOTALL)
    assert pairs
    assert [key for key, query in pairs if key != query] == []
    page = (ROOT / "docs" / "deploy.md").read_text("utf-8")
    watched = page.partition("Alerts on Lakemend itself")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `([\w-]+)` \|", watched, re.MULTILINE)) == {
        *(key for key, _ in pairs),
        "dead-letters",
        "app-health",
        "heartbeat-silent",
    }


def test_a_rule_looks_over_all_the_time_that_its_query_asks_for() -> None:
    """A rule's query sees only its window: `ago(2h)` within one hour would never be true."""
    source = (INFRA / "modules" / "own-alerts.bicep").read_text("utf-8")
    beating = (INFRA / "modules" / "heartbeat.bicep").read_text("utf-8")
    rules = re.findall(r"windowSize: 'PT(\d+)([MH])'[^@]*?queries/([\w-]+)\.kql", beating)
    rules += re.findall(r"window: 'PT(\d+)([MH])'\s+query: .*?queries/([\w-]+)\.kql", source)
    for length, unit, name in rules:
        minutes = int(length) * (60 if unit == "H" else 1)
        text = (QUERIES / f"{name}.kql").read_text("utf-8")
        asked = [
            int(n) * (60 if u == "h" else 1) for n, u in re.findall(r"ago\((\d+)([mh])\)", text)
        ]
        assert all(each < minutes for each in asked), name
    assert len(rules) >= 9


@pytest.mark.parametrize("path", [ROOT / "host.json", INFRA / "host.scheduler.json"])
def test_the_host_speaks_as_the_app_does(path: Path) -> None:
    host = json.loads(path.read_text("utf-8"))
    assert host["telemetryMode"] == "OpenTelemetry"
    assert "applicationInsights" not in host["logging"]  # does not apply in that mode
    settings = (INFRA / "modules" / "function.bicep").read_text("utf-8")
    assert "PYTHON_ENABLE_OPENTELEMETRY: 'true'" in settings
    assert "APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'Authorization=AAD;ClientId=" in settings
