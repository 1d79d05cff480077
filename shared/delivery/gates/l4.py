"""L4: is the data good enough, and is all of it there?"""

from __future__ import annotations

from collections.abc import Iterator

from shared.clock import from_millis
from shared.delivery import sources
from shared.delivery.checks import run_checks
from shared.delivery.leaving import GateFailed
from shared.delivery.quality import expectations, freshness, quarantined, rows
from shared.delivery.tables import count, full_name, planned_tables, read_one, warehouse_of
from shared.delivery.work import Work
from shared.delivery_models import Check, Finding, Flow, GateName, GateState
from shared.errors import PlatformRefused
from shared.models import Json


def judge(work: Work) -> None:
    """Pass the gate, fail it, or come back later."""
    gate = work.enter(GateName.L4)
    if not gate.phase:
        _in_time(work)
        _require(work, list(_data(work)), "judged")
    if work.plan.check_tasks:
        resolved = sources.load(work)
        _require(work, run_checks(work, resolved), "checked")
    note = f"{len(work.delivery.gates[-1].checks)} checks"
    work.leave(GateState.PASSED, note, "deliver_promote")


def _in_time(work: Work) -> None:
    """Looking has a time of its own; what the job's checks take is bounded where they run."""
    minutes = work.plan.deploy_timeout_minutes
    if work.now > work.due(minutes):
        raise GateFailed(f"not done within {minutes:g} minutes")


def _data(work: Work) -> Iterator[Check]:
    current = work.stage.run
    flows = current.flows if current else {}
    wanted = work.plan.quality
    yield from expectations(flows, wanted)
    yield from rows(flows, wanted)
    yield from _sources(work, flows)
    yield from _tables(work, flows)


def _require(work: Work, found: list[Check], phase: str) -> None:
    wrong = [check for check in found if check.ok is False]
    if wrong:
        _find(work, wrong)
    try:
        work.require(found, phase)
    except GateFailed as failed:
        raise GateFailed(str(failed), told=True) from None


def _find(work: Work, wrong: list[Check]) -> None:
    told = "; ".join(f"{check.name}: {check.note}" for check in wrong)
    target = work.stage.target
    finding = Finding(
        at=work.now,
        gate=GateName.L4.value,
        target=target,
        category="data quality",
        error_type="QualityBelowThreshold",
        root_cause=told[:2000],
        guidance=[
            "Read the rows that were set aside in the quarantine tables of the named sources.",
            "Repair the source, or change the rule or the threshold where it asks too much.",
            "Deliver again.",
        ],
    )
    key = (finding.target, finding.root_cause)

    def note(fresh: object) -> None:
        findings = fresh.findings  # type: ignore[attr-defined]  # a delivery
        if key not in {(f.target, f.root_cause) for f in findings}:
            findings.append(finding)

    work.change(note)


def _sources(work: Work, flows: dict[str, Flow]) -> Iterator[Check]:
    """Sources of a specification: not too much set aside, enough rows in silver."""
    wanted = work.plan.quality
    for source in planned_tables(work):
        if wanted.max_quarantined is not None:
            yield from quarantined(source.bronze, source.quarantine, flows, wanted.max_quarantined)
        if wanted.min_table_rows:
            yield _rows_in(work, source.silver, flows, wanted.min_table_rows)


def _rows_in(work: Work, name: str, flows: dict[str, Flow], least: int) -> Check:
    """Rows of a table: all of them by a warehouse, or the update's where they say enough."""
    what = f"rows in {name}"
    warehouse = warehouse_of(work)
    if warehouse:
        found = count(work, warehouse, full_name(work, name))
        return Check(what, found >= least, f"{found} rows, wanted {least}")
    written = flows[name].rows if name in flows else 0
    told = f"{written} rows by this update, wanted {least}"
    if written >= least or work.stage.previous is None:
        return Check(what, written >= least, told)
    return Check(what, ok=None, note=f"{told}; no warehouse is named that counts those before")


def _tables(work: Work, flows: dict[str, Flow]) -> Iterator[Check]:
    """All expected tables: there, readable, fresh."""
    stage = work.stage
    expected = list(work.plan.expected_tables) or stage.tables or sorted(flows)
    arriving = {source.bronze for source in planned_tables(work)} or set(expected)
    hours, warehouse = work.plan.quality.max_age_hours, warehouse_of(work)
    missing = []
    for name in expected:
        full = full_name(work, name)
        row = work.api.table(full)
        if row is None:
            missing.append(full)
            continue
        if hours is not None and name in arriving:
            yield _fresh(work, name, row, hours, flows)
        if warehouse:
            yield _readable(work, warehouse, full)
    told = f"missing: {', '.join(missing)}" if missing else f"all {len(expected)} are there"
    if not expected:  # nothing is known to be good: that is not green
        told = "the update told of no table, and the plan names none: name them (expected_tables)"
    yield Check("expected tables", bool(expected) and not missing, told)


def _fresh(work: Work, name: str, row: Json, hours: float, flows: dict[str, Flow]) -> Check:
    """When a table was last written: by the update that was followed, or before it."""
    current, now = work.stage.run, work.now
    written = from_millis(int(row.get("updated_at") or 0))
    if current is not None and name in flows and flows[name].rows:
        written = max(written, current.ended_at or now)
    return freshness(name, written, now, hours)


def _readable(work: Work, warehouse: str, name: str) -> Check:
    try:
        read_one(work, warehouse, name)
    except PlatformRefused as error:
        return Check(f"reading {name}", ok=False, note=str(error))
    return Check(f"reading {name}", ok=True, note="a row was asked for")
