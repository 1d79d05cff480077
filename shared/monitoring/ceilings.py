"""What will stop work soon: credentials that expire, limits that are hit, quota nearly used."""

from __future__ import annotations

import base64
import binascii
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any

import msgspec

from shared.clock import from_millis, iso
from shared.decoding import decode
from shared.errors import ConfigurationError, NothingChanged
from shared.findings.model import FindingKind, Seen
from shared.healing.context import Context
from shared.ledger.search import Wanted
from shared.models import Incident
from shared.monitoring.noting import Look
from shared.notify.model import Severity
from shared.platforms.databricks import WorkspaceApi
from shared.settings import TOKEN_FILE, read_token
from shared.targets import Target, Workspace

log = logging.getLogger("lakemend.sweeps")

Row = dict[str, Any]
Part = Callable[[Context, Target], tuple[Seen, ...]]

_SOON, _VERY_SOON = timedelta(days=14), timedelta(days=3)
_THROTTLING = "ThrottlingError"
_WINDOW = timedelta(hours=24)
_THROTTLED = 3  # incidents in the window
_MOST_INCIDENTS = 1000
_LEFT = 0.15  # share of a quota


def ceilings(context: Context) -> Iterator[Look]:
    """Look at all targets; what cannot be read is left out and resolves nothing."""
    throttled = _throttled(context)
    for target in context.settings.targets:
        yield Look(target.name, _RATE, rate_limited(target.name, throttled.get(target.name, [])))
        parts: dict[FindingKind, Part] = {FindingKind.CREDENTIAL_EXPIRES: _credentials}
        if isinstance(target, Workspace):
            parts[FindingKind.QUOTA_NEARLY_USED] = _quota
        for kind, part in parts.items():
            look = _safely(context, target, kind, part)
            if look is not None:
                yield look


_RATE = frozenset({FindingKind.RATE_LIMITED})


def _safely(context: Context, target: Target, kind: FindingKind, part: Part) -> Look | None:
    try:
        return Look(target.name, frozenset({kind}), part(context, target))
    except (NothingChanged, ConfigurationError) as error:
        text = context.redactor.text(str(error))
        log.warning("%s of %s cannot be told: %s", kind.value, target.name, text)
        return None


# Credentials


def _credentials(context: Context, target: Target) -> tuple[Seen, ...]:
    settings, now = context.settings, context.clock.now()
    if not isinstance(target, Workspace):
        return own_token(target.name, "AZURE_ACCESS_TOKEN", settings.azure_access_token, now)
    configured = settings.workspace_tokens.get(target.name, "")
    own = own_token(target.name, target.token_setting, configured, now)
    if not configured:  # our identity: the platform renews its tokens
        return own
    listed = context.platforms.workspace(target.name).tokens()
    return (*own, *access_tokens(target.name, listed, now))


def own_token(target: str, setting: str, configured: str, now: datetime) -> tuple[Seen, ...]:
    """A configured token that tells when it ends; one in a file is renewed by somebody else.

    Raises:
        ConfigurationError: the file cannot be read.
    """
    ends = expiry(read_token(configured)) if configured else None
    if ends is None:
        return ()
    if configured.startswith(TOKEN_FILE) and ends > now:
        return ()
    return _ending(target, setting, f"the token in {setting}", ends, now)


def access_tokens(target: str, listed: Iterable[Row], now: datetime) -> tuple[Seen, ...]:
    """The personal access tokens of our own user."""
    found: list[Seen] = []
    for token in listed:
        millis = int(token.get("expiry_time") or -1)
        if millis <= 0:  # never ends
            continue
        identity = str(token.get("token_id") or "")
        what = f"the access token {str(token.get('comment') or '').strip() or identity[:8]}"
        found += _ending(target, f"token {identity[:16]}", what, from_millis(millis), now)
    return tuple(found)


def _ending(
    target: str, resource: str, what: str, ends: datetime, now: datetime
) -> tuple[Seen, ...]:
    if ends - now > _SOON:
        return ()
    severity = Severity.CRITICAL if ends - now <= _VERY_SOON else Severity.WARNING
    said = f"{what} {'has expired' if ends <= now else 'expires'} at {iso(ends)}"
    help_ = "make a new one and put it in its setting, or use a managed identity"
    kind = FindingKind.CREDENTIAL_EXPIRES
    return (Seen(kind, target, resource, resource, severity, said, (said,), help_),)


def expiry(token: str) -> datetime | None:
    """When a JSON web token ends; None for what is none, or does not say.

    https://www.rfc-editor.org/rfc/rfc7519#section-4.1.4
    """
    parts = token.split(".")
    if len(parts) != 3:  # noqa: PLR2004 - header, claims, signature
        return None
    try:
        claims = base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4))
        ends = decode(claims, _Claims).exp
        return from_millis(ends * 1000) if ends else None
    except (binascii.Error, ValueError, OverflowError, msgspec.DecodeError):
        return None


class _Claims(msgspec.Struct):
    exp: float = 0.0


# Limits


def _throttled(context: Context) -> dict[str, list[Incident]]:
    now = context.clock.now()
    wanted = Wanted(now - _WINDOW, now, error_type=_THROTTLING)
    page = context.incidents.search(wanted, None, _MOST_INCIDENTS, 2)
    found: dict[str, list[Incident]] = {}
    for incident in page.incidents:
        found.setdefault(incident.failure.target, []).append(incident)
    return found


def rate_limited(target: str, incidents: list[Incident]) -> tuple[Seen, ...]:
    """Failures because of throttling in the last day."""
    if len(incidents) < _THROTTLED:
        return ()
    by_work = Counter(i.failure.name or i.failure.resource for i in incidents)
    summary = f"{len(incidents)} failures in the last day because of throttling"
    evidence = tuple(f"{name}: {count}" for name, count in by_work.most_common(10))
    help_ = "spread the schedules, lower the degree of parallelism, or ask for a higher limit"
    kind, severity = FindingKind.RATE_LIMITED, Severity.WARNING
    return (Seen(kind, target, "throttling", "throttling", severity, summary, evidence, help_),)


# Quota


def _quota(context: Context, target: Target) -> tuple[Seen, ...]:
    api = context.platforms.workspace(target.name)
    return nearly_used(target.name, api.node_types(), _used_types(api))


def _used_types(api: WorkspaceApi) -> set[str]:
    """The node types of the clusters that are listed."""
    used: set[str] = set()
    for cluster in api.clusters():
        used |= {str(cluster.get("node_type_id")), str(cluster.get("driver_node_type_id"))}
    return used


def nearly_used(target: str, types: dict[str, Row], used: set[str]) -> tuple[Seen, ...]:
    """Node types in use whose family has few cores left, where the workspace tells the quota."""
    found: list[Seen] = []
    for name in sorted(used & types.keys()):
        info = types[name].get("node_info") or {}
        left, total = info.get("available_core_quota"), info.get("total_core_quota")
        if left is None or not total or left > _LEFT * total:
            continue
        summary = f"{left:.0f} of {total:.0f} cores are left for {name}"
        severity = Severity.CRITICAL if left <= 0 else Severity.WARNING
        help_ = "ask for a higher quota, or use a node type of another family"
        kind = FindingKind.QUOTA_NEARLY_USED
        seen = Seen(
            kind, target, name, name, severity, summary, (summary,), help_, "change_node_type"
        )
        found.append(seen)
    return tuple(found)
