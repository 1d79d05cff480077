"""How much may be done, and when repeating it is stopped: pure rules over what was done lately.

A log belongs to one thing (a pipeline, a job, a cluster), to one error type, or to everything.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec

from shared.policy.model import BlastRadius, BreakerLimits

HOUR = timedelta(hours=1)
# A log is one row of 480,000 characters at most, and an act has about 140.
MOST_PER_HOUR = 2_000
MOST_PER_TARGET = 500
_KEPT = 500  # outcomes of one kind


class Act(msgspec.Struct, frozen=True, omit_defaults=True):
    """One attempt: its key (incident and number), when, on which thing, by which remedy."""

    key: str
    at: datetime
    thing: str = ""
    remedy: str = ""


class Log(msgspec.Struct, omit_defaults=True):
    """What was begun, what failed and what worked lately; whether the breaker is open and why."""

    begun: list[Act] = []
    failed: list[Act] = []
    worked: list[Act] = []
    opened_at: datetime | None = None
    why: str = ""
    probe: str = ""  # the attempt that was let through to try
    probed_at: datetime | None = None


def since(acts: list[Act], now: datetime, seconds: float) -> list[Act]:
    """Those of the last `seconds`."""
    return [act for act in acts if act.at > now - timedelta(seconds=seconds)]


def crowded(limits: BlastRadius, overall: Log, known: int | None, key: str, thing: str) -> str:
    """Which limit on everything one more act would exceed, empty if none.

    Args:
        limits: the blast radius.
        overall: the log of everything, pruned to the last hour.
        known: how many pipelines and jobs there are, None if that is not known.
        key: the attempt that asks; it does not count against itself.
        thing: what it would act on.
    """
    others = [act for act in overall.begun if act.key != key]
    if len(others) >= limits.actions_per_hour:
        return f"{len(others)} actions in the last hour, the limit for everything"
    touched = {act.thing for act in others} | {thing}
    if limits.percent_of_targets >= _ALL:
        return ""
    if known is None and len(touched) > limits.percent_from:
        return "it is not known how many pipelines and jobs there are, and their share is limited"
    share = _ALL * len(touched) / max(known or 0, 1)
    if len(touched) > limits.percent_from and share > limits.percent_of_targets:
        return (
            f"it would be {len(touched)} of {known} pipelines and jobs within an hour, "
            f"more than {limits.percent_of_targets:g} %"
        )
    return ""


_ALL = 100.0


def worn(limits: BlastRadius, log: Log, now: datetime, key: str) -> str:
    """Whether a thing was acted on too often within the hour; empty if not."""
    others = [act for act in since(log.begun, now, HOUR.total_seconds()) if act.key != key]
    if len(others) < limits.actions_per_hour_per_target:
        return ""
    return f"{len(others)} actions on it in the last hour, the limit for one target"


def cooling(cooldown: float, log: Log, now: datetime, incident_id: str) -> float:
    """Seconds until another incident than the last one may act on a thing."""
    others = [act for act in log.begun if not act.key.startswith(f"{incident_id}/")]
    if not others:
        return 0.0
    ends = max(act.at for act in others) + timedelta(seconds=cooldown)
    return max(0.0, (ends - now).total_seconds())


def tripped(limits: BreakerLimits, log: Log, now: datetime) -> str:
    """Why the open breaker stops an attempt, empty if it may pass."""
    if log.opened_at is None:
        return ""
    ready = log.opened_at + timedelta(seconds=limits.half_open_after)
    if now >= ready:
        return ""
    return f"the breaker is open until {ready:%Y-%m-%d %H:%M} UTC: {log.why}"


def tried(limits: BreakerLimits, log: Log, now: datetime, key: str) -> str:
    """Whether another attempt tries the half-open breaker; this one waits what becomes of it."""
    if log.opened_at is None or log.probe in {"", key} or _forgotten(limits, log, now):
        return ""
    return f"the breaker is half open and another attempt tries it: {log.why}"


def _forgotten(limits: BreakerLimits, log: Log, now: datetime) -> bool:
    patience = timedelta(seconds=max(limits.half_open_after, limits.window))
    return log.probed_at is not None and now > log.probed_at + patience


def begin(log: Log, act: Act) -> None:
    """Note that an attempt begins; once for each key."""
    if all(known.key != act.key for known in log.begun):
        log.begun = [*log.begun, act]
    try_breaker(log, act)


def try_breaker(log: Log, act: Act) -> None:
    """Where the breaker is half open, note that this attempt tries it."""
    if log.opened_at is not None:
        log.probe, log.probed_at = act.key, act.at


def withdraw(log: Log, key: str) -> None:
    """Note that an attempt did not begin after all."""
    log.begun = [act for act in log.begun if act.key != key]
    if log.probe == key:
        log.probe, log.probed_at = "", None


def conclude(limits: BreakerLimits, log: Log, act: Act, *, healed: bool) -> str:
    """Note how an attempt ended, once for each key.

    Returns:
        Why the breaker has opened by it, empty if it has not.
    """
    if any(known.key == act.key for known in [*log.failed, *log.worked]):
        return ""
    if healed:
        return _succeeded(limits, log, act)
    log.failed = [*since(log.failed, act.at, limits.window), act][-_KEPT:]
    if log.probe == act.key:
        return _open(log, act.at, f"{log.why}; the attempt to close it failed")
    # By incident: one that is tried five times in vain is one failure that cannot be repaired.
    incidents = {one.key.partition("/")[0] for one in log.failed}
    if log.opened_at is None and len(incidents) >= limits.failures:
        minutes = limits.window / 60
        words = f"remediation failed in {len(incidents)} incidents within {minutes:g} min"
        return _open(log, act.at, words)
    return ""


def _succeeded(limits: BreakerLimits, log: Log, act: Act) -> str:
    if log.opened_at is not None and log.probe == act.key:
        log.opened_at, log.probed_at, log.why, log.probe = None, None, "", ""
        log.failed, log.worked = [], [act]
        return ""
    log.worked = [*since(log.worked, act.at, limits.ineffective_window), act][-_KEPT:]
    same = [one for one in log.worked if (one.thing, one.remedy) == (act.thing, act.remedy)]
    if log.opened_at is None and act.thing and len(same) >= limits.ineffective:
        hours = limits.ineffective_window / 3600
        words = f"{act.remedy} worked {len(same)} times within {hours:g} h and did not last"
        return _open(log, act.at, words)
    return ""


def _open(log: Log, at: datetime, why: str) -> str:
    log.opened_at, log.why = at, why
    log.probe, log.probed_at = "", None
    return why


def prune(log: Log, now: datetime, seconds: float, most: int = MOST_PER_HOUR) -> None:
    """Forget what is older than `seconds`, and of the rest all but the newest `most`."""
    log.begun = since(log.begun, now, seconds)[-most:]
