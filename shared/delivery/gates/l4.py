"""L4: is the data good enough, and is all of it there?"""

from __future__ import annotations

from collections.abc import Iterator

from shared.delivery.builder.literals import identifier
from shared.delivery.quality import expectations, freshness, rows
from shared.delivery.work import Work
from shared.delivery_models import Check, Finding, Flow, GateName, GateState
from shared.errors import ChangeInDoubt, PlatformRefused
from shared.models import Json


def judge(work: Work) -> None:
    """Pass the gate or fail it."""
    work.enter(GateName.L4)
    current = work.stage.run
    flows = current.flows if current else {}
    wanted = work.plan.quality
    found = [*expectations(flows, wanted), *rows(flows, wanted), *_tables(work, flows)]
    wrong = [check for check in found if check.ok is False]
    if wrong:
        _find(work, wrong)
    work.require(found, "judged")
    note = f"{len(found)} checks"
    work.leave(GateState.PASSED, note, "deliver_promote")


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


def _tables(work: Work, flows: dict[str, Flow]) -> Iterator[Check]:
    """All expected tables: there, readable, fresh."""
    stage = work.stage
    expected = list(work.plan.expected_tables) or stage.tables or sorted(flows)
    hours = work.plan.quality.max_age_hours
    missing = []
    for name in expected:
        full_name = name if name.count(".") == 2 else f"{stage.catalog}.{stage.schema}.{name}"  # noqa: PLR2004 - catalog, schema, table
        row = work.api.table(full_name)
        if row is None:
            missing.append(full_name)
            continue
        if hours is not None:
            yield _fresh(work, name, row, hours)
        if work.plan.quality.warehouse:
            yield _readable(work, full_name)
    told = f"missing: {', '.join(missing)}" if missing else f"all {len(expected)} are there"
    yield Check("expected tables", not missing, told)


def _fresh(work: Work, name: str, row: Json, hours: float) -> Check:
    now = int(work.now.timestamp() * 1000)
    return freshness(name, int(row.get("updated_at") or 0), now, hours)


def _readable(work: Work, full_name: str) -> Check:
    quoted = ".".join(identifier(part) for part in full_name.split("."))
    try:
        statement = f"SELECT 1 FROM {quoted} LIMIT 1"  # noqa: S608 - each part is quoted
        work.reads.execute(work.plan.quality.warehouse, statement)
    except (PlatformRefused, ChangeInDoubt) as error:
        return Check(f"reading {full_name}", ok=False, note=str(error))
    return Check(f"reading {full_name}", ok=True, note="a row was asked for")
