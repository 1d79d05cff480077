"""A delivery as people read it: in a list, live, and as a summary for a pull request. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import msgspec

from shared.clock import iso
from shared.delivery_models import Delivery, DeliveryState, Flow, Gate, Run, Stage

Json = dict[str, Any]

_TITLES = {
    DeliveryState.SUCCEEDED: "delivered",
    DeliveryState.ROLLED_BACK: "not delivered, rolled back",
    DeliveryState.CANCELLED: "cancelled, rolled back",
    DeliveryState.FAILED: "not delivered, a person is needed",
}
_MARKS = {True: "ok", False: "failed", None: "noted"}
_CATEGORIES = ("data quality", "resource", "network", "configuration")


def brief(delivery: Delivery) -> Json:
    """One line of the list."""
    gate = delivery.gate
    return {
        "delivery_id": delivery.delivery_id,
        "pipeline": delivery.plan.name,
        "target": delivery.plan.target,
        "state": delivery.state.value,
        "gate": gate.name.value if gate else "",
        "by": delivery.by,
        "opened_at": delivery.opened_at,
        "closed_at": delivery.closed_at,
        "outcome": delivery.outcome,
    }


def detail(delivery: Delivery, now: datetime) -> Json:
    """Everything of one delivery, with the progress of the update that runs now."""
    current = delivery.stage.run if delivery.stages else None
    return {
        **brief(delivery),
        "plan": delivery.plan,
        "version": delivery.version,
        "step": delivery.step,
        "waiting_for": delivery.waiting_for,
        "failure": delivery.failure,
        "gates": delivery.gates,
        "progress": progress(delivery.stage, current, now) if current else None,
        "stages": [_stage(stage) for stage in delivery.stages],
        "findings": delivery.findings,
        "changes": delivery.changes,
        "cancel": delivery.cancel,
        "next_steps": delivery.next_steps,
        "updated_at": delivery.updated_at,
    }


def progress(stage: Stage, current: Run, now: datetime) -> Json:
    """How far an update has come: flows done, rows and rates."""
    flows = current.flows
    done = sum(1 for flow in flows.values() if flow.status == "COMPLETED")
    end = current.ended_at or now
    passed = (end - current.started_at).total_seconds() if current.started_at else 0.0
    left = (stage.deadline - now).total_seconds() if stage.deadline else None
    return {
        "update_id": current.update_id,
        "try": current.number,
        "state": current.state or "not started",
        "flows_done": done,
        "flows_seen": len(flows),
        "tables_expected": len(stage.tables),
        "rows": sum(flow.rows for flow in flows.values()),
        "seconds": round(passed, 1),
        "seconds_left": round(max(left, 0.0), 1) if left is not None else None,
        "flows": {name: _flow(flow) for name, flow in sorted(flows.items())},
    }


def _flow(flow: Flow) -> Json:
    return {
        "status": flow.status,
        "rows": flow.rows,
        "dropped": flow.dropped,
        "rows_per_second": flow.rate,
        "expectations": {
            name: {"passed": passed, "failed": failed}
            for name, (passed, failed) in flow.expectations.items()
        },
    }


def _stage(stage: Stage) -> Json:
    return {
        "target": stage.target,
        "workspace": stage.workspace,
        "pipeline_name": stage.pipeline_name,
        "pipeline_id": stage.pipeline_id,
        "jobs": stage.jobs,
        "tables": f"{stage.catalog}.{stage.schema}" if stage.catalog else "",
        "folders": stage.folders,
        "first_delivery": stage.looked and stage.previous is None,
        "updates": [run.update_id for run in stage.runs if run.update_id],
        "delivered_at": stage.delivered_at,
        "rolled_back_at": stage.rolled_back_at,
        "rollback": stage.rollback_note.removeprefix("ok: "),
    }


def summary(delivery: Delivery) -> Json:
    """What was done, the gates, the figures, the failures and what is left to do."""
    last = delivery.closed_at or delivery.updated_at
    plan = delivery.plan
    return {
        "delivery_id": delivery.delivery_id,
        "pipeline": plan.name,
        "result": delivery.state.value,
        "outcome": delivery.outcome,
        "by": delivery.by,
        "source": plan.source,
        "commit": plan.commit,
        "clean": plan.clean,
        "opened_at": iso(delivery.opened_at),
        "closed_at": iso(delivery.closed_at) if delivery.closed_at else None,
        "seconds": round((last - delivery.opened_at).total_seconds(), 1),
        "stages": msgspec.to_builtins([_stage(stage) for stage in delivery.stages]),
        "gates": [_gate(gate) for gate in delivery.gates],
        "metrics": list(_metrics(delivery)),
        "failures": failures(delivery),
        "changes": delivery.changes,
        "cancel": msgspec.to_builtins(delivery.cancel),
        "next_steps": delivery.next_steps,
    }


def failures(delivery: Delivery) -> Json:
    """The failure report: by category, with cause, what was tried and what a person does."""
    found = [msgspec.to_builtins(finding) for finding in delivery.findings]
    counts = {c: sum(1 for f in delivery.findings if f.category == c) for c in _CATEGORIES}
    return {"found": found, "by_category": {c: n for c, n in counts.items() if n}}


def _gate(gate: Gate) -> Json:
    passed = (gate.ended_at - gate.started_at).total_seconds() if gate.ended_at else None
    return {
        "gate": gate.name.value,
        "target": gate.target,
        "version": gate.version,
        "state": gate.state.value,
        "seconds": round(passed, 1) if passed is not None else None,
        "note": gate.note,
        "checks": [{"name": c.name, "result": _MARKS[c.ok], "note": c.note} for c in gate.checks],
    }


def _metrics(delivery: Delivery) -> Iterator[Json]:
    for stage in delivery.stages:
        current = stage.run
        if current is not None and current.update_id:
            end = current.ended_at or delivery.updated_at
            yield {"target": stage.target, "tries": len(stage.runs)} | progress(stage, current, end)


def markdown(told: Json) -> str:
    """The summary as Markdown. What came from outside is escaped."""
    return "\n".join(_lines(told)).rstrip() + "\n"


def _lines(told: Json) -> Iterator[str]:
    state = DeliveryState(told["result"])
    yield f"# {_text(told['pipeline'])}: {_TITLES.get(state, state.value.replace('_', ' '))}\n"
    yield f"{_text(told['outcome'] or 'under way')}\n"
    yield from _facts(told)
    yield "\n## Gates\n"
    yield "| gate | target | version | result | seconds | note |"
    yield "|---|---|---|---|---|---|"
    for gate in told["gates"]:
        cells = [gate[k] for k in ("gate", "target", "version", "state", "seconds", "note")]
        yield f"| {' | '.join(_cell(cell) for cell in cells)} |"
    yield from _checks(told["gates"])
    yield from _figures(told["metrics"])
    yield from _found(told["failures"])
    if told["changes"]:
        yield "\n## Changes of the specification\n"
        yield from (f"- {_text(change)}" for change in told["changes"])
    if told["next_steps"]:
        yield "\n## Next steps\n"
        yield from (f"{n}. {_text(step)}" for n, step in enumerate(told["next_steps"], start=1))


def _facts(told: Json) -> Iterator[str]:
    yield f"- Delivery `{told['delivery_id']}`, by {_text(told['by'])}, {told['seconds']} s"
    if told["cancel"]:
        why = f": {_text(told['cancel']['why'])}" if told["cancel"].get("why") else ""
        yield f"- Stopped or taken back by {_text(told['cancel']['by'])}{why}"
    if told["commit"]:
        tree = {True: "clean", False: "with changes that are in no commit", None: "not told"}
        yield f"- Commit {_text(told['commit'])}, tree {tree[told['clean']]}"
    for stage in told["stages"]:
        what = f"pipeline `{stage['pipeline_id']}`" if stage["pipeline_id"] else "no pipeline"
        back = f"; rolled back: {_text(stage['rollback'])}" if stage["rolled_back_at"] else ""
        yield f"- {stage['target']}: {what}, tables in `{stage['tables'] or '-'}`{back}"


def _checks(gates: list[Json]) -> Iterator[str]:
    rows = [(gate, check) for gate in gates for check in gate["checks"]]
    if not rows:
        return
    yield "\n<details><summary>All checks</summary>\n"
    yield "| gate | check | result | note |"
    yield "|---|---|---|---|"
    for gate, check in rows:
        name = f"{gate['gate']}, {gate['target']}"
        cells = (name, check["name"], check["result"], check["note"])
        yield f"| {' | '.join(_cell(cell) for cell in cells)} |"
    yield "\n</details>"


def _figures(metrics: list[Json]) -> Iterator[str]:
    if metrics:
        yield "\n## Figures\n"
    for number, one in enumerate(metrics):
        if number:
            yield ""  # ends the table before
        yield (
            f"{one['target']}: try {one['try']}, {one['flows_done']} of {one['flows_seen']} flows, "
            f"{one['rows']} rows in {one['seconds']} s\n"
        )
        yield "| flow | state | rows | dropped | rows/s |"
        yield "|---|---|---|---|---|"
        for name, flow in one["flows"].items():
            keys = ("status", "rows", "dropped", "rows_per_second")
            yield f"| {' | '.join(_cell(c) for c in (name, *(flow[k] for k in keys)))} |"


def _found(found: Json) -> Iterator[str]:
    if not found["found"]:
        return
    yield "\n## Failures\n"
    counts = ", ".join(f"{name} {count}" for name, count in found["by_category"].items())
    yield f"By category: {counts}.\n"
    for number, one in enumerate(found["found"], start=1):
        yield f"{number}. **{_text(one['error_type'])}** ({one['category']}, {one['gate']})"
        yield f"   - Root cause: {_text(one['root_cause'])}"
        if one.get("where"):
            yield f"   - Where: {_text(one['where'])}"
        yield f"   - Tried: {_text(one.get('tried') or 'nothing: for a person')}"
        yield f"   - Resolved: {'yes' if one.get('resolved') else 'no'}"
        if not one.get("resolved"):
            yield from (f"   - Do: {_text(step)}" for step in one.get("guidance") or [])


def _text(text: Any) -> str:  # noqa: ANN401 - a value to show
    line = " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())
    return "".join(f"\\{c}" if c in "\\`*[]<>|" else c for c in line)


def _cell(value: Any) -> str:  # noqa: ANN401 - a value to show
    return "" if value is None else _text(value)
