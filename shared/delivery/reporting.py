"""The failure report of a gate that failed without an update's error: checks, time, silence."""

from __future__ import annotations

import re

from shared.delivery import guidance
from shared.delivery.leaving import GateFailed
from shared.delivery.work import Work
from shared.delivery_models import Delivery, Finding, GateName
from shared.errors import NothingChanged, PlatformThrottled, PlatformUnavailable

_CHECKED = frozenset({GateName.L1, GateName.L2})
_BACK = "deliver_roll_back"
_LATE = re.compile(r"\bnot (?:done|green) within ")
_MOST = 20  # findings of one gate


def report(work: Work, why: str, error: Exception) -> None:
    """Note what failed a gate, where whoever found it has not done so."""
    if isinstance(error, GateFailed) and error.told:
        return
    taking_back = work.delivery.step == _BACK
    found = [] if taking_back else _wrong_checks(work)
    found = found or [_finding(work, why, error)]

    def note(fresh: Delivery) -> None:
        known = {(f.gate, f.target, f.root_cause) for f in fresh.findings}
        fresh.findings += [f for f in found if (f.gate, f.target, f.root_cause) not in known]

    work.change(note)


def _wrong_checks(work: Work) -> list[Finding]:
    gate = work.delivery.gate
    if gate is None or gate.name not in _CHECKED:
        return []
    wrong = [check for check in gate.checks if check.ok is False]
    return [
        Finding(
            at=work.now,
            gate=gate.name.value,
            target=gate.target,
            category=guidance.CONFIGURATION,
            error_type="CheckFailed",
            root_cause=f"{check.name}: {check.note}",
            guidance=guidance.for_check(check.name),
        )
        for check in wrong[:_MOST]
    ]


def _finding(work: Work, why: str, error: Exception) -> Finding:
    gate = work.delivery.gate
    kind, advice = _kind(why, error)
    late = kind == "Timeout"
    return Finding(
        at=work.now,
        gate=gate.name.value if gate and work.delivery.step != _BACK else "rollback",
        target=work.stage.target,
        category=advice.category,
        error_type=kind,
        root_cause=why + (_progress(work) if late else ""),
        tried=_tried(work) if late else "",
        guidance=list(advice.steps),
    )


def _kind(why: str, error: Exception) -> tuple[str, guidance.Advice]:
    if isinstance(error, PlatformUnavailable | PlatformThrottled):
        return "PlatformUnavailable", guidance.for_error(why, guidance.NETWORK)
    if isinstance(error, NothingChanged):
        return "PlatformRefused", guidance.for_error(why, guidance.CONFIGURATION)
    if _LATE.search(why):
        return "Timeout", guidance.Advice(guidance.RESOURCE, (*guidance.LATE, guidance.AGAIN))
    if why.startswith("somebody stopped"):
        steps = (*guidance.STOPPED, guidance.AGAIN)
        return "UpdateStopped", guidance.Advice(guidance.CONFIGURATION, steps)
    if "somebody" in why or "previous version" in why:
        return "LeftAsItIs", guidance.Advice(guidance.CONFIGURATION, guidance.BACK)
    return "GateFailed", guidance.for_error(why, guidance.CONFIGURATION)


def _progress(work: Work) -> str:
    """What had not ended when the time was over."""
    current = work.stage.run
    if current is None or not current.update_id:
        waited = work.delivery.waiting_for
        return f"; it waited: {waited}" if waited else ""
    left = sorted(name for name, flow in current.flows.items() if flow.status != "COMPLETED")
    told = f"; update {current.update_id} is {current.state or 'not seen yet'}"
    return told + (f", not ended: {', '.join(left[:10])}" if left else "")


def _tried(work: Work) -> str:
    """What the delivery did before its time was over."""
    updates = sum(1 for run in work.stage.runs if run.update_id)
    done = [f.tried for f in work.delivery.findings if f.tried and f.target == work.stage.target]
    begun = f"{updates} update{'s' * (updates != 1)} started and followed" if updates else ""
    return "; ".join([*([begun] if begun else []), *done])[:600]
