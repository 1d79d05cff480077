"""The share of records that pass, read once for each update."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.monitoring.quality import Shares, dwindled, fallen, written
from tests.monitoring.conftest import Watch

Make = Callable[..., Watch]


def refreshed(watch: Watch, pipeline_id: str, passed: int, failed: int) -> None:
    """An update that ends well and tells its figures in the event log."""
    update = watch.sandbox.script(
        "databricks/updates", pipeline_id=pipeline_id, finished=True, cause="API_CALL"
    )
    entry = {
        "name": "valid_id",
        "dataset": "sales_clean",
        "passed_records": passed,
        "failed_records": failed,
    }
    event = {
        "event_type": "flow_progress",
        "level": "METRICS",
        "origin": {"update_id": update["update_id"]},
        "details": {
            "flow_progress": {
                "data_quality": {"expectations": [entry]},
                "metrics": {"num_output_rows": passed},
            }
        },
    }
    watch.sandbox.script("databricks/events", pipeline_id=pipeline_id, events=[event])
    watch.sandbox.advance(300)
    watch.sweep()


def test_a_fall_is_found_and_a_recovery_resolves_it(watch: Make) -> None:
    one = watch()
    identity = one.sandbox.script("databricks/pipelines", name="sales")["pipeline_id"]
    for _ in range(5):
        refreshed(one, identity, 990, 10)
    assert one.findings() == {}

    refreshed(one, identity, 700, 300)

    found = next(iter(one.parts.findings.standing()))
    assert found.kind == "quality_falling"
    assert "70.0% of the records pass" in found.summary
    assert found.evidence == ("sales_clean.valid_id: 300 of 1000 records fail",)
    before = len(one.sandbox.requests("/events"))
    one.sweep()
    assert len(one.sandbox.requests("/events")) == before  # an update is read once
    assert list(one.findings().values()) == ["quality_falling"]
    refreshed(one, identity, 995, 5)
    assert one.findings() == {}


@pytest.mark.parametrize(
    ("shares", "falls"),
    [
        ([0.9, 0.9, 0.9, 0.1], False),  # too few to compare with
        ([0.9, 0.9, 0.9, 0.9, 0.86], False),
        ([0.9, 0.9, 0.9, 0.9, 0.84], True),
        ([0.5, 0.9, 0.4, 0.95, 0.6, 0.3], False),  # it always varied
        ([], False),
    ],
)
def test_clearly_fewer_than_before(shares: list[float], *, falls: bool) -> None:
    assert (fallen("dbx", "p", Shares("u", "p", shares)) is not None) == falls


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_as_good_as_ever_is_no_fall(shares: list[float]) -> None:
    assert fallen("dbx", "p", Shares("u", "p", [*shares, max(shares)])) is None


def test_an_update_that_writes_less_than_usual(watch: Make) -> None:
    one = watch()
    identity = one.sandbox.script("databricks/pipelines", name="sales")["pipeline_id"]
    for passed in (5000, 5100, 4900, 5000, 5050):
        refreshed(one, identity, passed, 0)
    assert one.findings() == {}

    refreshed(one, identity, 800, 0)

    found = next(iter(one.parts.findings.standing()))
    assert found.kind == "throughput_falling"
    assert found.summary == "sales: the last update wrote 800 rows, usual is 5000"
    refreshed(one, identity, 4800, 0)
    assert one.findings() == {}


@pytest.mark.parametrize(
    ("rows", "falls"),
    [
        ([5000] * 4 + [10], True),
        ([5000] * 3 + [10], False),  # too few to compare with
        ([100] * 5 + [0], False),  # hardly any data at all
        ([9000, 200, 8000, 100, 7000, 10], False),  # it always varied
        ([5000] * 5 + [2600], False),
    ],
)
def test_rows_against_those_before(rows: list[int], *, falls: bool) -> None:
    assert (dwindled("dbx", "p", Shares("u", "p", rows=rows)) is not None) == falls


def test_what_tells_no_rows_counts_as_nothing_known() -> None:
    event = {"origin": {"update_id": "u"}, "details": {"flow_progress": {"status": "RUNNING"}}}
    assert written([event, {}], "u") is None
