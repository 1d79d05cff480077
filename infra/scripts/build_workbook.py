"""Puts the workbook together from the queries beside it: `python infra/scripts/build_workbook.py`.

`--check` writes nothing and fails when the workbook is not what the queries give.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

WORKBOOK = Path(__file__).resolve().parents[1] / "workbook"

# Title, query, how it is drawn.
PARTS = (
    ("Healings by type, remedy and outcome", "healings", "table"),
    ("Time to recovery (seconds)", "recovery-time", "timechart"),
    ("Attempts and estimated cost", "attempts-and-cost", "timechart"),
    ("What came in", "intake", "table"),
    ("Oldest alert waiting (seconds)", "queue-age", "timechart"),
    ("Errors of the platforms' APIs", "platform-errors", "timechart"),
    ("Functions failing", "function-failing", "table"),
    ("One incident", "incident", "table"),
)
_LOGS = 0  # query type of the workbook schema: Log Analytics
_PARAMETERS, _TEXT, _QUERY = 9, 1, 3  # item types of the workbook schema
_DAY = 86_400_000


def document() -> dict[str, Any]:
    """The workbook, as Azure stores it."""
    return {
        "version": "Notebook/1.0",
        "items": [_heading(), _parameters(), *(_part(*part) for part in PARTS)],
        "$schema": "https://github.com/Microsoft/Application-Insights-Workbooks/blob/master/schema/workbook.json",
    }


def _heading() -> dict[str, Any]:
    text = "# Lakemend\nWhat came in, what was healed, how long it took and what it cost."
    return {"type": _TEXT, "content": {"json": text}, "name": "heading"}


def _parameters() -> dict[str, Any]:
    window = {
        "id": "5a0b8f3e-2f36-4a43-8f0c-5d1f6a1f0a01",
        "version": "KqlParameterItem/1.0",
        "name": "window",
        "label": "Time",
        "type": 4,
        "isRequired": True,
        "value": {"durationMs": _DAY},
        "typeSettings": {
            "selectableValues": [{"durationMs": _DAY * days} for days in (1, 7, 30, 90)],
            "allowCustom": True,
        },
    }
    incident = {
        "id": "5a0b8f3e-2f36-4a43-8f0c-5d1f6a1f0a02",
        "version": "KqlParameterItem/1.0",
        "name": "incident",
        "label": "Incident",
        "type": 1,
        "value": "",
    }
    content = {
        "version": "KqlParameterItem/1.0",
        "parameters": [window, incident],
        "style": "pills",
        "queryType": _LOGS,
        "resourceType": "microsoft.operationalinsights/workspaces",
    }
    return {"type": _PARAMETERS, "content": content, "name": "parameters"}


def _part(title: str, query: str, drawn: str) -> dict[str, Any]:
    content = {
        "version": "KqlItem/1.0",
        "query": (WORKBOOK / "queries" / f"{query}.kql").read_text("utf-8"),
        "size": 0,
        "title": title,
        "timeContextFromParameter": "window",
        "queryType": _LOGS,
        "resourceType": "microsoft.operationalinsights/workspaces",
        "visualization": drawn,
    }
    return {"type": _QUERY, "content": content, "name": query}


def main(arguments: list[str]) -> int:
    """Write the workbook, or check it; 1 when it is not up to date."""
    target = WORKBOOK / "workbook.json"
    text = json.dumps(document(), indent=2) + "\n"
    if "--check" in arguments:
        return 0 if target.read_text("utf-8") == text else 1
    target.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
