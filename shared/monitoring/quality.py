"""What updates write and how much of it passes the pipeline's expectations, update by update.

An update's figures are read once, when it is seen to have ended: one call for each such pipeline.
Source of the events: https://learn.microsoft.com/azure/databricks/ldp/observability
(`details.flow_progress.data_quality.expectations`, `….metrics.num_output_rows`).
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from statistics import median
from typing import Any

import msgspec

from shared.errors import NothingChanged
from shared.findings.model import FindingKind, Seen
from shared.ledger.documents import Documents
from shared.ledger.tables import digest
from shared.notify.model import Severity
from shared.platforms.databricks import WorkspaceApi

Row = dict[str, Any]

_SCOPE = "quality"
_AT_ONCE = 60  # pipelines in one sweep
_OVER = frozenset({"COMPLETED", "FAILED"})
_KEPT, _ENOUGH = 12, 4
_FALL = 0.05  # below the usual share
_SIGMAS = 3 * 1.4826


class Shares(msgspec.Struct, omit_defaults=True):
    """Passed shares of a pipeline's last updates, oldest first, and the last one's worst."""

    update_id: str = ""
    name: str = ""
    shares: list[float] = []
    worst: list[str] = []
    rows: list[int] = []  # written by the last good updates


class Book(msgspec.Struct, omit_defaults=True):
    """The shares of the pipelines in one document."""

    pipelines: dict[str, Shares] = {}


class Quality:
    """Reads the figures of ended updates, and says where the share has fallen."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents

    def looked(self, target: str, api: WorkspaceApi, pipelines: list[Row]) -> list[Seen]:
        """Where it has fallen; `pipelines` are as they are listed."""
        names = "0123456789abcdef"  # so that no document grows out of one row
        books = {n: self._documents.read(_SCOPE, f"{target}|{n}", Book) for n in names}
        known = {k: v for book in books.values() for k, v in book.pipelines.items()}
        fresh: dict[str, Shares] = {}
        for row in islice(_unread(pipelines, known), _AT_ONCE):
            read = _read(api, row, known)
            if read is not None:
                fresh[str(row["pipeline_id"])] = read
        listed = {str(row.get("pipeline_id")) for row in pipelines}
        for name in {digest(identity, 1) for identity in (fresh.keys() | known.keys() - listed)}:
            self._keep(f"{target}|{name}", name, fresh, listed)
        found = {k: v for k, v in (known | fresh).items() if k in listed}
        judged = ((fallen(target, k, v), dwindled(target, k, v)) for k, v in found.items())
        return [seen for both in judged for seen in both if seen is not None]

    def _keep(self, key: str, name: str, fresh: dict[str, Shares], listed: set[str]) -> None:
        def change(book: Book) -> None:
            for identity, shares in fresh.items():
                before = book.pipelines.get(identity, Shares())
                if digest(identity, 1) == name and before.update_id != shares.update_id:
                    book.pipelines[identity] = shares
            book.pipelines = {k: v for k, v in book.pipelines.items() if k in listed}

        self._documents.change(_SCOPE, key, Book, change)


def _unread(pipelines: Iterable[Row], kept: dict[str, Shares]) -> Iterable[Row]:
    for row in pipelines:
        newest = (row.get("latest_updates") or [{}])[0]
        known = kept.get(str(row.get("pipeline_id")), Shares()).update_id
        if newest.get("state") in _OVER and newest.get("update_id") != known:
            yield row


def _read(api: WorkspaceApi, row: Row, kept: dict[str, Shares]) -> Shares | None:
    newest, identity = row["latest_updates"][0], str(row["pipeline_id"])
    try:
        events = api.metric_events(identity, str(newest["creation_time"]))
    except NothingChanged:  # the next sweep asks again
        return None
    counted = expectations(events, str(newest["update_id"]))
    before = kept.get(identity, Shares())
    shares = before.shares
    total = sum(passed + failed for passed, failed in counted.values())
    if total:
        passed = sum(passed for passed, _ in counted.values())
        shares = [*shares, round(passed / total, 4)][-_KEPT:]
    name = str(row.get("name") or identity)
    worst = worst_of(counted) if total else before.worst
    wrote = written(events, str(newest["update_id"])) if newest["state"] == "COMPLETED" else None
    rows = before.rows if wrote is None else [*before.rows, wrote][-_KEPT:]
    return Shares(str(newest["update_id"]), name, shares, worst, rows)


def written(events: Iterable[Row], update_id: str) -> int | None:
    """Rows that the flows of an update wrote; None where it tells none."""
    counts = [
        int(metrics["num_output_rows"])
        for event in events
        if (event.get("origin") or {}).get("update_id") == update_id
        and (metrics := _progress(event).get("metrics") or {}).get("num_output_rows") is not None
    ]
    return sum(counts) if counts else None


def _progress(event: Row) -> Row:
    return dict((event.get("details") or {}).get("flow_progress") or {})


def expectations(events: Iterable[Row], update_id: str) -> dict[str, tuple[int, int]]:
    """Passed and failed records of an update by dataset and expectation."""
    found: dict[str, tuple[int, int]] = {}
    for event in events:
        if (event.get("origin") or {}).get("update_id") != update_id:
            continue
        for entry in (_progress(event).get("data_quality") or {}).get("expectations") or []:
            name = f"{entry.get('dataset')}.{entry.get('name')}"
            passed, failed = found.get(name, (0, 0))
            passed += int(entry.get("passed_records") or 0)
            found[name] = (passed, failed + int(entry.get("failed_records") or 0))
    return found


def worst_of(counted: dict[str, tuple[int, int]]) -> list[str]:
    """The expectations that fail most, as they are told."""
    failing = [(failed, name, passed) for name, (passed, failed) in counted.items() if failed]
    failing.sort(reverse=True)
    return [f"{name}: {n} of {n + passed} records fail" for n, name, passed in failing[:5]]


def fallen(target: str, pipeline_id: str, kept: Shares) -> Seen | None:
    """The last update passed clearly fewer records than the ones before."""
    before, last = kept.shares[:-1], kept.shares[-1:]
    if len(before) < _ENOUGH:
        return None
    usual = median(before)
    spread = median(abs(share - usual) for share in before)
    if last[0] >= usual - max(_FALL, _SIGMAS * spread):
        return None
    name = kept.name or pipeline_id
    summary = f"{name}: {last[0]:.1%} of the records pass their expectations, usual is {usual:.1%}"
    help_ = "look at the records that fail: in the source before this update"
    kind, severity = FindingKind.QUALITY_FALLING, Severity.WARNING
    return Seen(kind, target, pipeline_id, name, severity, summary, tuple(kept.worst), help_)


def dwindled(target: str, pipeline_id: str, kept: Shares) -> Seen | None:
    """The last update wrote clearly fewer rows than the ones before."""
    before, last = kept.rows[:-1], kept.rows[-1:]
    if len(before) < _ENOUGH:
        return None
    usual = median(before)
    spread = median(abs(count - usual) for count in before)
    if usual < _FEW or last[0] >= usual - max(_HALF * usual, _SIGMAS * spread):
        return None
    name = kept.name or pipeline_id
    summary = f"{name}: the last update wrote {last[0]} rows, usual is {usual:.0f}"
    evidence = (f"the updates before wrote {', '.join(map(str, before))}",)
    help_ = "look whether its source still delivers, and whether a filter has changed"
    kind, severity = FindingKind.THROUGHPUT_FALLING, Severity.WARNING
    return Seen(kind, target, pipeline_id, name, severity, summary, evidence, help_)


_FEW, _HALF = 1000, 0.5  # rows; a smaller fall is an odd day
