"""The data of an update against the plan's thresholds. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime

from shared.delivery_models import Check, Flow, Thresholds


def expectations(flows: Mapping[str, Flow], wanted: Thresholds) -> Iterator[Check]:
    """Each expectation's pass rate. What looked at no record has nothing against it."""
    for dataset, flow in sorted(flows.items()):
        for name, (passed, failed) in sorted(flow.expectations.items()):
            least = wanted.expectations.get(name, wanted.min_pass_rate)
            total = passed + failed
            rate = passed / total if total else 1.0
            told = f"{rate:.2%} of {total} records, wanted {least:.2%}"
            yield Check(f"{dataset}: {name}", rate >= least, told)
    seen = {name for flow in flows.values() for name in flow.expectations}
    for name in sorted(wanted.expectations.keys() - seen):
        yield Check(name, ok=False, note="the update did not look at this expectation")


def rows(flows: Mapping[str, Flow], wanted: Thresholds) -> Iterator[Check]:
    """Rows that the update wrote, where the plan names a number."""
    for table, least in sorted(wanted.min_rows.items()):
        flow = flows.get(table)
        count = flow.rows if flow else 0
        yield Check(f"rows of {table}", count >= least, f"{count} rows, wanted {least}")


def quarantined(
    bronze: str, quarantine: str, flows: Mapping[str, Flow], most: float
) -> Iterator[Check]:
    """The share of a source's rows that the update set aside."""
    raw = flows[bronze].rows if bronze in flows else 0
    aside = flows[quarantine].rows if quarantine in flows else 0
    if raw:
        told = f"{aside / raw:.2%} of {raw} rows, at most {most:.2%}"
        yield Check(f"set aside in {quarantine}", aside / raw <= most, told)


def freshness(table: str, written: datetime, now: datetime, hours: float) -> Check:
    """How long ago a table was written."""
    age = max((now - written).total_seconds(), 0.0) / 3600
    return Check(f"freshness of {table}", age <= hours, f"{age:.1f} hours, wanted {hours:g}")
