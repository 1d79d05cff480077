"""The sense of a specification: what a type cannot say. Every complaint names the field."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from datetime import date, time
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

import msgspec

from shared.delivery.builder import names
from shared.delivery.builder.fields import host, match, plain
from shared.delivery.builder.quartz import check_cron
from shared.delivery.builder.spec import Schedule, Specification
from shared.delivery.builder.table_checks import check_tables
from shared.errors import InputError

_CATALOG = re.compile(r"^[\w-]{1,255}$")
_CRON = re.compile(r"^[0-9A-Za-z*?,/#LW -]+$")
_EMAIL = re.compile(r"^[^@\s,;<>\"]+@[^@\s,;<>\"]+\.[^@\s,;<>\"]+$")
_TAG = re.compile(r"^[\w .:/=+@-]{0,255}$", re.ASCII)
_LONGEST_CALENDAR = 300 * 366  # days


def check(spec: Specification) -> None:
    """Refuse what makes no sense.

    Raises:
        InputError: the first thing that is wrong.
    """
    for path, value in _scalars(msgspec.to_builtins(spec), ""):
        _harmless(value, path)
    names.checked(spec.name, "name")
    _home(spec)
    _modes(spec)
    _surroundings(spec)
    check_tables(spec.tables)


def _scalars(value: Any, path: str) -> Iterator[tuple[str, str | float]]:  # noqa: ANN401 - any part
    if isinstance(value, str | float):
        yield path, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield f"{path}.{key}".lstrip("."), key
            yield from _scalars(inner, f"{path}.{key}".lstrip("."))
    elif isinstance(value, list | tuple):
        for position, inner in enumerate(value):
            yield from _scalars(inner, f"{path}[{position}]")


def _harmless(value: str | float, path: str) -> None:
    if isinstance(value, str):
        names.no_substitution(value, path)
    elif not math.isfinite(value):
        raise InputError(path, "expected a finite number")


def _home(spec: Specification) -> None:
    if spec.schema and spec.target:
        raise InputError("target", "expected schema or target, not both: they mean the same")
    if not spec.home:
        raise InputError("schema", "expected the schema that the tables go to")
    field = "schema" if spec.schema else "target"
    match(spec.catalog, _CATALOG, "catalog", "letters, digits, dashes and underscores")
    match(spec.home, _CATALOG, field, "letters, digits, dashes and underscores")
    for name, target in spec.targets.items():
        at = f"targets.{name}"
        if target.host is not None:
            host(target.host, f"{at}.host")
        for word in ("catalog", "schema"):
            given = getattr(target, word)
            if given is not None:
                match(given, _CATALOG, f"{at}.{word}", "letters, digits, dashes and underscores")
        for word in ("profile", "warehouse", "run_as"):
            plain(getattr(target, word), f"{at}.{word}")
        if target.photon is False and spec.serverless:
            raise InputError(f"{at}.photon", "serverless always has Photon: set serverless: false")


def _modes(spec: Specification) -> None:
    if spec.mode == "continuous" and spec.schedule:
        raise InputError(
            "schedule", "a continuous pipeline never ends, so no job runs it: use checks_schedule"
        )
    if spec.mode == "triggered" and spec.checks_schedule:
        raise InputError(
            "checks_schedule", "the checks of a triggered pipeline follow it: use schedule"
        )
    if spec.mode == "continuous" and spec.collection:
        raise InputError("collection", "nothing comes before a continuous pipeline")
    for field in ("schedule", "checks_schedule"):
        schedule = getattr(spec, field)
        if schedule:
            _schedule(schedule, field)


def _schedule(schedule: Schedule, field: str) -> None:
    if (schedule.daily_at is None) == (schedule.cron is None):
        raise InputError(field, "expected daily_at or cron")
    if schedule.daily_at is not None:
        try:
            time.fromisoformat(schedule.daily_at)
        except ValueError:
            raise InputError(f"{field}.daily_at", "expected HH:MM, quoted") from None
        match(schedule.daily_at, re.compile(r"^\d\d:\d\d$"), f"{field}.daily_at", "HH:MM, quoted")
    if schedule.cron is not None:
        match(schedule.cron, _CRON, f"{field}.cron", "a Quartz expression")
        check_cron(schedule.cron, f"{field}.cron")
    zone(schedule.timezone, f"{field}.timezone")


def zone(name: str, field: str) -> ZoneInfo:
    """The time zone of that name.

    Raises:
        InputError: there is none.
    """
    if name not in available_timezones():
        raise InputError(field, "expected a name of the IANA database, such as America/New_York")
    return ZoneInfo(name)


def _surroundings(spec: Specification) -> None:
    plain(spec.profile, "profile")
    plain(spec.warehouse, "warehouse")
    for position, address in enumerate(spec.notify):
        match(address, _EMAIL, f"notify[{position}]", "an e-mail address")
    for position, identity in enumerate(spec.webhooks):
        plain(identity, f"webhooks[{position}]")
    for key, value in spec.tags.items():
        match(key, _TAG, f"tags.{key}", "ASCII letters, digits and . : / = + @ - _ in the key")
        match(value, _TAG, f"tags.{key}", "ASCII letters, digits and . : / = + @ - _ in the value")
    _collection(spec)
    _compute(spec)
    for position, principal in enumerate(_principals(spec)):
        names.checked(principal, f"permissions[{position}]")
    _days(spec)


def _collection(spec: Specification) -> None:
    given = spec.collection
    if given is None:
        return
    if (given.notebook is None) == (given.job_id is None):
        raise InputError("collection", "expected notebook or job_id")
    if given.notebook is not None and not given.notebook.startswith("/"):
        raise InputError("collection.notebook", "expected an absolute workspace path")


def _compute(spec: Specification) -> None:
    if spec.compute is None:
        return
    if spec.serverless:
        raise InputError("compute", "serverless takes no cluster: set serverless: false")
    plain(spec.compute.node_type, "compute.node_type")
    match(
        spec.compute.spark_version, re.compile(r"^[\w.-]+$"), "compute.spark_version", "a runtime"
    )
    if spec.compute.max_workers < spec.compute.min_workers:
        raise InputError("compute.max_workers", "expected at least min_workers")


def _principals(spec: Specification) -> Sequence[str]:
    own = (spec.permissions.principal,) if spec.permissions.principal else ()
    return (*own, *spec.permissions.readers)


def _days(spec: Specification) -> None:
    first = _day(spec.date_dimension.first, "date_dimension.first")
    last = _day(spec.date_dimension.last, "date_dimension.last")
    if not 0 <= (last - first).days <= _LONGEST_CALENDAR:
        raise InputError("date_dimension.last", "expected a day after first, within 300 years")


def _day(text: str, field: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise InputError(field, "expected yyyy-mm-dd") from None
