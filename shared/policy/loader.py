"""Loads the policy: `load` one file, `effective` what the environment narrows, `ready` the phases.

A mistake is refused when the program starts, with the file, the line, the field and the reason.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec

from shared.catalog.loader import NEVER_AUTOMATED
from shared.errors import ConfigurationError
from shared.policy.model import Permit, Permits, Policy, Rerunnable, Selector, Window
from shared.policy.reading import read
from shared.vocabulary import Mode
from shared.yaml_lines import Steps, YamlFile

_CAUTION = (Mode.OBSERVE, Mode.PILOT, Mode.PRODUCTION)  # the most cautious first
_CLOCK_TIME = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")


def load(path: Path, error_types: Collection[str]) -> Policy:
    """The policy at `path`.

    Args:
        path: the YAML file; docs/policy.md explains it, docs/policy.schema.json is its schema.
        error_types: the names that the catalog has; no other may stand in the file.

    Raises:
        ConfigurationError: a mistake, with file, line, field and reason.
    """
    file = YamlFile(path)
    policy = read(file, Policy)
    for at, selector in _selectors(policy):
        _check_patterns(file, at, selector)
    _check_permits(file, policy, error_types)
    _known(file, ["attempts", "error_types"], policy.attempts.error_types, error_types)
    _check_windows(file, policy.windows)
    _check_probes(file, policy.storm.probes, policy.storm.gives_up)
    return policy


def ready(mode: Mode) -> Path:
    """The configuration that comes with the program for a phase of the rollout."""
    return Path(__file__).parent / f"{mode.value}.yaml"


def effective(
    policy: Policy,
    mode_override: Mode | None,
    max_retries: int | None,
    max_cost: float | None,
    rerunnable: Sequence[str],
) -> Policy:
    """The policy with what the environment says about it.

    Mode and ceilings can only become more cautious; work that the file has declared stays as
    declared.

    Args:
        policy: what the file says.
        mode_override: `AUTO_REMEDIATION_MODE`; the more cautious of the two modes holds.
        max_retries: `AUTO_REMEDIATION_MAX_RETRIES`; the lower of the two ceilings holds.
        max_cost: `AUTO_REMEDIATION_MAX_COST_USD` a day; the lower of the two ceilings holds.
        rerunnable: `RERUNNABLE`, patterns of pipelines and jobs; they come after the file's own
            entries, so that the file has the first word.

    Raises:
        ConfigurationError: a ceiling below zero or no number, or an empty pattern.
    """
    _check_overrides(max_retries, max_cost, rerunnable)
    overall = _lower(policy.attempts.overall, max_retries)
    attempts = msgspec.structs.replace(policy.attempts, overall=overall)
    usd = _lower(policy.cost.usd_per_day, max_cost)
    cost = msgspec.structs.replace(policy.cost, usd_per_day=usd)
    return msgspec.structs.replace(
        policy,
        mode=min(policy.mode, mode_override or policy.mode, key=_CAUTION.index),
        attempts=attempts,
        cost=cost,
        rerunnable=(*policy.rerunnable, *_declared(rerunnable)),
    )


def _lower(one: float | None, other: float | None) -> float | None:
    return min((ceiling for ceiling in (one, other) if ceiling is not None), default=None)


def _declared(patterns: Sequence[str]) -> list[Rerunnable]:
    named = tuple(pattern.strip() for pattern in patterns)
    return [Rerunnable(Selector(pipelines=named, jobs=named), rerunnable=True)] if named else []


def _check_overrides(
    max_retries: int | None, max_cost: float | None, rerunnable: Sequence[str]
) -> None:
    if max_retries is not None and max_retries < 0:
        raise ConfigurationError("AUTO_REMEDIATION_MAX_RETRIES: expected 0 or more")
    if max_cost is not None and not 0 <= max_cost < math.inf:
        raise ConfigurationError("AUTO_REMEDIATION_MAX_COST_USD: expected 0 or more")
    if not all(pattern.strip() for pattern in rerunnable):
        raise ConfigurationError("RERUNNABLE: an empty pattern")


def _selectors(policy: Policy) -> Iterator[tuple[Steps, Selector]]:
    for position, selector in enumerate(policy.scope.include):
        yield ["scope", "include", position], selector
    for position, selector in enumerate(policy.scope.exclude):
        yield ["scope", "exclude", position], selector
    for position, entry in enumerate(policy.rerunnable):
        yield ["rerunnable", position, "match"], entry.match
    for position, window in enumerate(policy.windows):
        yield ["windows", position, "match"], window.match


def _check_patterns(file: YamlFile, at: Steps, selector: Selector) -> None:
    for name in ("targets", "environments", "pipelines", "jobs", "clusters"):
        for position, pattern in enumerate(getattr(selector, name)):
            if not pattern.strip():
                raise file.mistake([*at, name, position], "the pattern is empty")
    for tag, pattern in selector.tags.items():
        if not tag.strip() or not pattern.strip():
            raise file.mistake([*at, "tags", tag], "the tag or its pattern is empty")


def _check_permits(file: YamlFile, policy: Policy, error_types: Collection[str]) -> None:
    pilot, production = policy.permits.pilot, policy.permits.production
    for name, permits in (("pilot", pilot), ("production", production)):
        at: Steps = ["permits", name, "error_types"]
        _known(file, at, permits.error_types, error_types)
        for error_type, permit in permits.error_types.items():
            if error_type in NEVER_AUTOMATED and permit is not Permit.OBSERVE:
                raise file.mistake(
                    [*at, error_type], "it is never automated, whatever is permitted"
                )
    for steps, permit in _words(pilot):
        if permit is Permit.ACT:
            raise file.mistake(["permits", "pilot", *steps], "pilot asks or observes, never acts")


_WEEK = 7


def _words(permits: Permits) -> Iterator[tuple[Steps, Permit]]:
    for risk in ("low", "medium", "high", "undeclared"):
        yield [risk], getattr(permits, risk)
    for name, permit in permits.error_types.items():
        yield ["error_types", name], permit


def _known(
    file: YamlFile, at: Steps, named: Mapping[str, object], error_types: Collection[str]
) -> None:
    for name in named:
        if name not in error_types:
            raise file.mistake([*at, name], "the catalog has no such error type")


def _check_windows(file: YamlFile, windows: tuple[Window, ...]) -> None:
    seen: set[str] = set()
    for position, window in enumerate(windows):
        at: Steps = ["windows", position]
        if not window.name.strip():
            raise file.mistake([*at, "name"], "the name is empty")
        if window.name in seen:
            raise file.mistake([*at, "name"], f"the name {window.name!r} is taken")
        seen.add(window.name)
        _check_window(file, at, window)


def _check_window(file: YamlFile, at: Steps, window: Window) -> None:
    once = window.start is not None or window.end is not None
    weekly = bool(window.days or window.opens or window.closes)
    if once == weekly:
        raise file.mistake(at, "expected either start and end, or days, from and to")
    if once:
        _check_once(file, at, window)
    else:
        _check_weekly(file, at, window)


def _check_once(file: YamlFile, at: Steps, window: Window) -> None:
    if window.start is None or window.end is None:
        raise file.mistake(at, "expected both start and end")
    for name, moment in (("start", window.start), ("end", window.end)):
        if not _EARLIEST <= moment.year <= _LATEST:
            raise file.mistake([*at, name], f"expected a year from {_EARLIEST} to {_LATEST}")
    if window.start >= window.end:
        raise file.mistake([*at, "end"], "expected a time after start")
    if window.timezone != "UTC":
        raise file.mistake([*at, "timezone"], "start and end carry their own offset")


_EARLIEST, _LATEST = 2000, 2200  # what is outside is a slip, and overflows in another zone


def _check_weekly(file: YamlFile, at: Steps, window: Window) -> None:
    if not window.days:
        raise file.mistake([*at, "days"], "expected at least one day")
    if len(set(window.days)) < len(window.days):
        raise file.mistake([*at, "days"], "a day stands there twice")
    for name, text in (("from", window.opens), ("to", window.closes)):
        if not _CLOCK_TIME.fullmatch(text):
            raise file.mistake([*at, name], f"expected HH:MM from 00:00 to 23:59, got {text!r}")
    if len(window.days) == _WEEK and window.opens == window.closes:
        raise file.mistake(at, "it never ends: use scope.exclude to leave work alone")
    try:
        ZoneInfo(window.timezone)
    # A folder of zones, such as `Europe`, is an OSError; a path that leads out, a ValueError.
    except (KeyError, ValueError, OSError):
        raise file.mistake(
            [*at, "timezone"], f"expected an IANA time zone, got {window.timezone!r}"
        ) from None


def _check_probes(file: YamlFile, probes: tuple[float, ...], gives_up: float) -> None:
    at: Steps = ["storm", "probes"]
    if not probes:
        raise file.mistake(at, "expected at least one interval")
    for position, (before, after) in enumerate(pairwise(probes), start=1):
        if after <= before:
            raise file.mistake([*at, position], "expected more than the interval before it")
    if gives_up <= probes[0]:
        raise file.mistake(["storm", "gives_up"], "expected more than the first of the probes")
