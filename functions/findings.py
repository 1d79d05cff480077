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
from shared.clock import iso
from shared.composition import current
from shared.errors import InputError, LedgerMissing, LedgerUnavailable
from shared.vocabulary import Action, Scope

if TYPE_CHECKING:
    from collections.abc import Callable

    from shared.findings.model import Finding

bp = df.Blueprint()

_ID = re.compile(r"[0-9a-f]{32}")
_MAX_WHY = 1000
_MOST_HISTORY = 50
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
    return guarded(lambda: _listed(req))


@bp.route(route="api/findings/{finding_id}", methods=["GET"])
def read_finding(req: func.HttpRequest) -> func.HttpResponse:
    """One finding."""
    known = caller(req, Scope.READER)
    if isinstance(known, func.HttpResponse):
        return known
    return guarded(lambda: _told_in_full(current().findings.get(identity_of(req))))


@bp.route(route="api/findings/{finding_id}/silence", methods=["POST", "DELETE"])
def silence_finding(req: func.HttpRequest) -> func.HttpResponse:
    """Hear no more of a finding for a reason and until a time; DELETE ends that."""
    known = caller(req, Scope.APPROVER)
    if isinstance(known, func.HttpResponse):
        return known
    if req.method == "DELETE":
        return guarded(lambda: _unsilenced(req, known))
    return guarded(lambda: _silenced(req, known))


def guarded(work: Callable[[], func.HttpResponse]) -> func.HttpResponse:
    """The answer of `work`, or what is to be said where it fails."""
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


def _told_in_full(finding: Finding) -> func.HttpResponse:
    """A finding with what became of an approved change, and its own timeline."""
    from shared.healing.context import find
    from shared.reporting.finding_list import change_view, finding_view

    parts = current()
    context = parts.context
    made = find(context, finding.incident_id) if finding.incident_id else None
    back = find(context, finding.reversal_id) if finding.reversal_id else None
    rows = context.audit.timeline(finding.finding_id)[-_MOST_HISTORY:]
    more = {
        "change": change_view(finding, made, back),
        "history": [
            {"at": r.at, "who": r.actor, "what": r.action, "summary": r.summary, "why": r.reason}
            for r in reversed(rows)
        ],
    }
    return answer(200, finding_view(finding, parts.clock.now()) | more)


def _silenced(req: func.HttpRequest, known: Caller) -> func.HttpResponse:
    from shared.findings.model import Silence

    body = decoded(req, _SilenceBody)
    now = current().clock.now()
    why = text_of("why", body.why)
    who = f"{known.name} ({text_of('who', body.who)})" if body.who else known.name
    clean = current().redactor.text
    silence = Silence(who, clean(why), now, _until(body, now))
    finding = _changed(req, silence)
    words = f"Silenced until {iso(silence.until)}: {silence.why}"
    _note(finding, Action.FINDING_SILENCED, words, silence.why, who)
    return _shown(finding)


def _unsilenced(req: func.HttpRequest, known: Caller) -> func.HttpResponse:
    finding = _changed(req, None)
    _note(finding, Action.SILENCE_ENDED, "Its silence was ended", "", known.name)
    return _shown(finding)


def _changed(req: func.HttpRequest, silence: Any) -> Finding:  # noqa: ANN401 - lazy type
    def change(finding: Finding) -> Finding:
        finding.silence = silence
        return finding

    return current().findings.change(identity_of(req), change)


def _note(finding: Finding, action: Action, words: str, why: str, who: str) -> None:
    from shared.healing.finding_incidents import note

    note(current().context, finding, action, words, reason=why, actor=who)


def identity_of(req: func.HttpRequest) -> str:
    """The id of a finding in the path.

    Raises:
        LedgerMissing: it is none.
    """
    identity = str(req.route_params["finding_id"])
    if not _ID.fullmatch(identity):
        raise LedgerMissing("not an id of a finding")
    return identity


def text_of(name: str, raw: str) -> str:
    """A text of a body.

    Raises:
        InputError: it is empty, too long or holds control characters.
    """
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
