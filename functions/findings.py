"""What was found before it failed: the list, and silences with a reason and an end."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import azure.durable_functions as df
import azure.functions as func
import msgspec

from functions.http import (
    answer,
    caller,
    decoded,
    malformed,
    problem,
    query_pairs,
    unavailable,
)
from shared.auth import Caller
from shared.composition import current
from shared.errors import InputError, LedgerMissing, LedgerUnavailable
from shared.vocabulary import Scope

if TYPE_CHECKING:
    from collections.abc import Callable

    from shared.findings.model import Finding

bp = df.Blueprint()

_ID = re.compile(r"[0-9a-f]{32}")
_MAX_WHY = 1000
_MOST = timedelta(days=366)
_MOST_MINUTES = 366 * 24 * 60


class _SilenceBody(msgspec.Struct, forbid_unknown_fields=True):
    why: str
    until: datetime | None = None
    minutes: int | None = None
    who: str = ""


@bp.route(route="api/findings", methods=["GET"])
def list_findings(req: func.HttpRequest) -> func.HttpResponse:
    """Findings, the open ones if nothing else is asked for; see docs/api.md for the filters."""
    known = caller(req, Scope.READER)
    if isinstance(known, func.HttpResponse):
        return known
    return _guarded(lambda: _listed(req))


@bp.route(route="api/findings/{finding_id}", methods=["GET"])
def read_finding(req: func.HttpRequest) -> func.HttpResponse:
    """One finding."""
    known = caller(req, Scope.READER)
    if isinstance(known, func.HttpResponse):
        return known
    return _guarded(lambda: _shown(current().findings.get(_identity(req))))


@bp.route(route="api/findings/{finding_id}/silence", methods=["POST", "DELETE"])
def silence_finding(req: func.HttpRequest) -> func.HttpResponse:
    """Hear no more of a finding for a reason and until a time; DELETE ends that."""
    known = caller(req, Scope.APPROVER)
    if isinstance(known, func.HttpResponse):
        return known
    if req.method == "DELETE":
        return _guarded(lambda: _unsilenced(req))
    return _guarded(lambda: _silenced(req, known))


def _guarded(work: Callable[[], func.HttpResponse]) -> func.HttpResponse:
    try:
        return work()
    except InputError as error:
        return malformed(error)
    except LedgerMissing:
        return problem(404, "no such finding")
    except LedgerUnavailable as error:
        return unavailable(error)


def _listed(req: func.HttpRequest) -> func.HttpResponse:
    from shared.reporting.finding_list import finding_view, next_cursor, parse

    parts = current()
    settings, now = parts.settings, parts.clock.now()
    names = [target.name for target in settings.targets]
    listing = parse(query_pairs(req), names, now, settings.signing_key)
    page = parts.findings.page(
        listing.where,
        listing.after,
        listing.limit,
        standing=listing.standing,
        resolved=listing.resolved,
    )
    body = {
        "findings": [finding_view(finding, now) for finding in page.findings],
        "next": next_cursor(listing, page.after, settings.signing_key),
    }
    return answer(200, body)


def _shown(finding: Finding) -> func.HttpResponse:
    from shared.reporting.finding_list import finding_view

    return answer(200, finding_view(finding, current().clock.now()))


def _silenced(req: func.HttpRequest, known: Caller) -> func.HttpResponse:
    from shared.findings.model import Silence

    body = decoded(req, _SilenceBody)
    now = current().clock.now()
    why = _text("why", body.why)
    who = f"{known.name} ({_text('who', body.who)})" if body.who else known.name
    clean = current().redactor.text
    silence = Silence(who, clean(why), now, _until(body, now))
    return _changed(req, silence)


def _unsilenced(req: func.HttpRequest) -> func.HttpResponse:
    return _changed(req, None)


def _changed(req: func.HttpRequest, silence: Any) -> func.HttpResponse:  # noqa: ANN401 - lazy type
    def change(finding: Finding) -> Finding:
        finding.silence = silence
        return finding

    return _shown(current().findings.change(_identity(req), change))


def _identity(req: func.HttpRequest) -> str:
    identity = str(req.route_params["finding_id"])
    if not _ID.fullmatch(identity):
        raise LedgerMissing("not an id of a finding")
    return identity


def _text(name: str, raw: str) -> str:
    value = raw.strip()
    if not value or len(value) > _MAX_WHY or not value.isprintable():
        raise InputError(name, f"expected 1 to {_MAX_WHY} printable characters")
    return value


def _until(body: _SilenceBody, now: datetime) -> datetime:
    """The end of a silence: everybody forgets one without an end."""
    if (body.until is None) == (body.minutes is None):
        raise InputError("until", "expected until (with its offset) or minutes, one of them")
    if body.minutes is not None:
        if not 1 <= body.minutes <= _MOST_MINUTES:
            raise InputError("minutes", f"expected a whole number from 1 to {_MOST_MINUTES}")
        return now + timedelta(minutes=body.minutes)
    until = body.until
    if until is None or until.tzinfo is None or not now < until <= now + _MOST:
        raise InputError("until", "expected a moment with its offset, within a year from now")
    return until
