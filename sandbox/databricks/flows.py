"""What an update of a pipeline does to its tables, and what the event log tells of it."""

import re

from sandbox.databricks.files import Files
from sandbox.databricks.pipeline_models import Pipeline, Update
from sandbox.databricks.tables import Tables
from sandbox.wire import Json

ROWS = 100
_TABLE = re.compile(r"@(?:dlt|dp)\.table\(\s*name\s*=\s*\"([^\"]+)\"")
_RULES = re.compile(r"^(?:WARN|DROP|FAIL) = \{(.*?)^\}", re.MULTILINE | re.DOTALL)
_RULE = re.compile(r"^    \"((?:[^\"\\]|\\.)+)\":", re.MULTILINE)


def sources_of(pipeline: Pipeline, files: Files) -> dict[str, str]:
    """Return the files that a pipeline's libraries mean."""
    found: dict[str, str] = {}
    for library in pipeline.spec.get("libraries", []):
        include = (library.get("glob") or library.get("file") or {}).get("include")
        path = include or (library.get("file") or {}).get("path")
        path = path or (library.get("notebook") or {}).get("path")
        found |= files.matching(path) if path else {}
    return found


def datasets_of(pipeline: Pipeline, files: Files) -> dict[str, list[str]]:
    """Return the tables that a pipeline's sources declare, each with its expectations."""
    found: dict[str, list[str]] = {}
    for text in sources_of(pipeline, files).values():
        names = _TABLE.findall(text)
        rules = [rule for block in _RULES.findall(text) for rule in _RULE.findall(block)]
        found |= {name: rules if number == 0 else [] for number, name in enumerate(names)}
    return found


def events_of(datasets: dict[str, list[str]], outcome: Json) -> list[Json]:
    """Return the event log's entries of flows that completed."""
    return [flow_event(name, rules, outcome) for name, rules in datasets.items()]


def flow_event(name: str, rules: list[str], outcome: Json) -> Json:
    """Return one flow's last entry; the outcome may script its rows and its failed records."""
    rows = rows_of(name, outcome)
    failed = outcome.get("failed_records", {}).get(name, {})
    expectations = [
        {
            "name": rule,
            "dataset": name,
            "passed_records": rows - failed.get(rule, 0),
            "failed_records": failed.get(rule, 0),
        }
        for rule in rules
    ]
    quality: Json = {"dropped_records": sum(failed.values()), "expectations": expectations}
    details: Json = {"status": "COMPLETED", "metrics": {"num_output_rows": rows}}
    if expectations:
        details["data_quality"] = quality
    return {
        "event_type": "flow_progress",
        "origin": {"flow_name": name, "dataset_name": name},
        "message": f"Flow '{name}' has COMPLETED.",
        "details": {"flow_progress": details},
    }


def rows_of(name: str, outcome: Json) -> int:
    """Return the rows that an update writes to a table: none to a quarantine, if not scripted."""
    usual = 0 if name.startswith("quarantine_") else ROWS
    return int(outcome.get("rows", {}).get(name, usual))


def running_event(name: str) -> Json:
    """Return a flow's entry when it begins."""
    return {
        "event_type": "flow_progress",
        "origin": {"flow_name": name, "dataset_name": name},
        "message": f"Flow '{name}' is RUNNING.",
        "details": {"flow_progress": {"status": "RUNNING"}},
    }


def materialize(pipeline: Pipeline, update: Update, files: Files, tables: Tables) -> None:
    """Write the tables of an update, but those that its outcome leaves out or gives no row."""
    catalog, schema = pipeline.spec.get("catalog"), pipeline.spec.get("schema")
    if not catalog or not schema:
        return
    left_out = set(update.outcome.get("missing_tables", []))
    for name in datasets_of(pipeline, files):
        full_name = f"{catalog}.{schema}.{name}"
        if name in left_out:
            continue
        if rows_of(name, update.outcome) or not tables.has(full_name):
            tables.write(full_name)
