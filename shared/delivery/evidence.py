"""What the event log says about an update: its errors, oldest first, and how its flows go."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any

from shared.clock import from_iso, from_millis, iso
from shared.delivery.work import Work
from shared.delivery_models import Flow
from shared.models import EvidenceLine

Row = dict[str, Any]

_MOST_LINES = 40
_LONGEST = 4_000
# Data of rows, which the platform quotes: it must not reach the record.
_ROW_DATA = re.compile(
    r"(Input data: |Output record: )'.*?'(?=\. (?:Output record|Missing input)|$)", re.DOTALL
)
_VALUE = re.compile(r"(The value )'[^']*'(?= of the type)")
_PLACE = re.compile(r"File \"([^\"]+)\", line (\d+)")
_SKEW = timedelta(minutes=5)  # between our clock and the platform's


def events_of(work: Work, pipeline_id: str, update_id: str) -> list[Row]:
    """All events of one update, oldest first."""
    update = work.reads.update(pipeline_id, update_id)
    created = int(update.get("creation_time") or 0)
    since = from_millis(created) if created else work.now
    rows = work.api.events(pipeline_id, iso(since - _SKEW))
    return [row for row in rows if (row.get("origin") or {}).get("update_id") == update_id]


def error_lines(work: Work, pipeline_id: str, update_id: str) -> list[EvidenceLine]:
    """The errors of an update: the first one that happened comes first, its inner cause before."""
    return lines_of(events_of(work, pipeline_id, update_id), work.context.redactor.text)


def lines_of(events: Iterable[Row], redacted: Callable[[str], str]) -> list[EvidenceLine]:
    """The errors among events, without data of rows and without what `redacted` takes out."""
    lines: list[EvidenceLine] = []
    for event in events:
        if event.get("level") != "ERROR":
            continue
        origin = event.get("origin") or {}
        source = f"flow {origin.get('flow_name') or 'update'}"
        for exception in reversed((event.get("error") or {}).get("exceptions") or []):
            text = redacted(bare(f"{exception.get('message') or ''}{_frame(exception)}"))
            lines.append(EvidenceLine(source, "", text, str(exception.get("class_name") or "")))
        if not (event.get("error") or {}).get("exceptions"):
            text = redacted(bare(str(event.get("message") or "")))
            lines.append(EvidenceLine(source, "", text))
    return lines[:_MOST_LINES]


def _frame(exception: Row) -> str:
    """The innermost frame of the exception, where the platform tells it."""
    stack = exception.get("stack") or []
    if not stack or not stack[0].get("file_name"):
        return ""
    return f'\n  File "{stack[0]["file_name"]}", line {stack[0].get("line_number")}'


def bare(text: str) -> str:
    """A message without the data of rows that it quotes."""
    text = _ROW_DATA.sub(r"\1[left out]", text)
    return _VALUE.sub(r"\1[left out]", text)[:_LONGEST]


def place_of(lines: Iterable[EvidenceLine]) -> str:
    """The file and line that an error names, empty if none does."""
    for line in lines:
        found = _PLACE.findall(line.message)
        if found:
            path, number = found[-1]
            return f"{path}, line {number}"
    return ""


def flows_of(events: Iterable[Row]) -> dict[str, Flow]:
    """How each flow goes: its last state, the rows written and what became of expectations."""
    found: dict[str, Flow] = {}
    begun: dict[str, str] = {}
    for event in events:
        progress = _details(event).get("flow_progress") or {}
        origin = event.get("origin") or {}
        name = str(origin.get("dataset_name") or origin.get("flow_name") or "")
        if event.get("event_type") != "flow_progress" or not name:
            continue
        flow = found.setdefault(name, Flow())
        begun.setdefault(name, str(event.get("timestamp")))
        _add(flow, progress)
        flow.seconds = _between(begun[name], str(event.get("timestamp")))
    return found


def _details(event: Row) -> Row:
    """An event's details: an object, or the text of one as in the event log's table."""
    details = event.get("details") or {}
    if isinstance(details, str):
        try:
            details = json.loads(details)
        except ValueError:
            return {}
    return details if isinstance(details, dict) else {}


def _add(flow: Flow, progress: Row) -> None:
    flow.status = str(progress.get("status") or flow.status)
    flow.rows += int((progress.get("metrics") or {}).get("num_output_rows") or 0)
    quality = progress.get("data_quality") or {}
    flow.dropped += int(quality.get("dropped_records") or 0)
    for row in quality.get("expectations") or []:
        passed, failed = flow.expectations.get(str(row["name"]), (0, 0))
        passed += int(row.get("passed_records") or 0)
        failed += int(row.get("failed_records") or 0)
        flow.expectations[str(row["name"])] = (passed, failed)


def _between(first: str, last: str) -> float:
    try:
        return max((from_iso(last) - from_iso(first)).total_seconds(), 0.0)
    except ValueError:
        return 0.0
