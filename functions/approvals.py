"""What operators decide: answers to questions, and the switch that pauses everything."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

import azure.durable_functions as df
import azure.functions as func
import msgspec

from functions.http import answer, caller, decoded, malformed, page, problem, unavailable
from shared.auth import Caller
from shared.composition import current
from shared.errors import InputError, LedgerMissing, LedgerUnavailable
from shared.telemetry import signals
from shared.vocabulary import Action, Scope

if TYPE_CHECKING:
    from shared.models import Incident
    from shared.notify.links import Ticket

bp = df.Blueprint()
log = logging.getLogger("lakemend.approvals")

AUTOMATION = "automation"  # the timeline of what is about everything
_MAX_TEXT = 1000
_MOST_HISTORY = 20
_MOST_MINUTES = 60 * 24 * 31


class AnswerBody(msgspec.Struct, forbid_unknown_fields=True):
    """What somebody says to a question: that of an incident or of a finding."""

    question_id: str
    approve: bool
    note: str = ""


class _PauseBody(msgspec.Struct, forbid_unknown_fields=True):
    why: str
    until: datetime | None = None
    minutes: int | None = None
    who: str = ""


@bp.route(route="api/incidents/{incident_id}/approval", methods=["POST"])
@bp.durable_client_input(client_name="client")
async def answer_question(
    req: func.HttpRequest, client: df.DurableOrchestrationClient
) -> func.HttpResponse:
    """Approve or refuse exactly the action that was shown: its `question_id` must still stand."""
    known = caller(req, Scope.APPROVER)
    if isinstance(known, func.HttpResponse):
        return known
    try:
        body = decoded(req, AnswerBody)
        note = _text("note", body.note)
    except InputError as error:
        return malformed(error)
    incident_id = req.route_params["incident_id"]
    return await _answer(client, incident_id, body.question_id, body.approve, known.name, note)


@bp.route(route="api/approvals/{token}", methods=["GET", "POST"])
@bp.durable_client_input(client_name="client")
async def answer_link(
    req: func.HttpRequest, client: df.DurableOrchestrationClient
) -> func.HttpResponse:
    """A signed link: GET shows the question and changes nothing, POST answers it."""
    from functions import approval_page

    ticket = await asyncio.to_thread(lambda: current().links.read(req.route_params["token"]))
    if ticket is None:
        return page(404, approval_page.unknown())
    try:
        incident = await asyncio.to_thread(_incident, ticket)
    except LedgerUnavailable as error:
        return unavailable(error)
    if incident is None:
        return page(404, approval_page.unknown())
    if req.method == "GET":
        shown = current().redactor.tree(msgspec.to_builtins(incident))
        return page(200, approval_page.question(shown, ticket.question_id, _now()))
    return await _answer_form(req, client, ticket)


async def _answer_form(
    req: func.HttpRequest, client: df.DurableOrchestrationClient, ticket: Ticket
) -> func.HttpResponse:
    from functions import approval_page

    try:
        said, name, note = _form(req.get_body()[:20_000])
    except InputError as error:
        return page(400, approval_page.result(f"{error.field}: {error.expected}"))
    # A link proves who was sent it, not who opened it: the name is what they say.
    by = f"{name} (by signed link)"
    done = await _answer(
        client, ticket.incident_id, ticket.question_id, said == "approve", by, note
    )
    told = msgspec.json.decode(done.get_body())
    words = told.get("error") or f"Written down: {told['said']} by {told['answered_by']}."
    return page(done.status_code, approval_page.result(words))


def _form(body: bytes) -> tuple[str, str, str]:
    """Answer, name and note of the page's form."""
    try:
        fields = parse_qs(body.decode())
    except UnicodeDecodeError:
        raise InputError("body", "expected UTF-8") from None
    said = fields.get("answer", [""])[0]
    name = _text("name", fields.get("name", [""])[0].strip())
    note = _text("note", fields.get("note", [""])[0].strip())
    if said not in {"approve", "refuse"}:
        raise InputError("answer", "expected approve or refuse")
    if not name:
        raise InputError("name", "expected who answers")
    return said, name, note


def _incident(ticket: Ticket) -> Incident | None:
    try:
        return current().context.incidents.get(ticket.incident_id)
    except LedgerMissing:
        return None


async def _answer(
    client: df.DurableOrchestrationClient,
    incident_id: str,
    question_id: str,
    approve: bool,  # noqa: FBT001 - the answer itself
    by: str,
    note: str,
) -> func.HttpResponse:
    from shared.healing.approvals import Answer, AnswerRefused, event_of
    from shared.healing.approvals import answer as write

    given = Answer(question_id, approve, by, current().redactor.text(note))
    try:
        with signals.about(incident_id=incident_id):
            await asyncio.to_thread(lambda: write(current().context, incident_id, given))
    except LedgerMissing:
        return problem(404, "no such incident")
    except AnswerRefused as error:
        await _wake(client, incident_id, event_of(question_id))  # the first answer's may be lost
        return problem(409, str(error))
    except LedgerUnavailable as error:
        return unavailable(error)
    await _wake(client, incident_id, event_of(question_id))
    said = "approved" if approve else "refused"
    return answer(
        202,
        {"incident_id": incident_id, "question_id": question_id, "said": said, "answered_by": by},
    )


async def _wake(client: df.DurableOrchestrationClient, incident_id: str, event: str) -> None:
    """Tell the healing; if that fails, it looks for its answer by itself before long."""
    try:
        await client.raise_event(incident_id, event, {})
    except Exception as error:  # noqa: BLE001 - the answer is stored, whatever becomes of the event
        with signals.about(incident_id=incident_id):
            log.warning("incident %s was not told of its answer: %s", incident_id, error)


@bp.route(route="api/pause", methods=["GET"])
def read_pause(req: func.HttpRequest) -> func.HttpResponse:
    """Whether automation is paused: by whom, why, since when, until when."""
    known = caller(req, Scope.READER, Scope.APPROVER)
    if isinstance(known, func.HttpResponse):
        return known
    context = current().context
    try:
        pause, paused = context.pauses.current(), bool(context.paused())
        history = context.audit.timeline(AUTOMATION)[-_MOST_HISTORY:]
    except LedgerUnavailable as error:
        return unavailable(error)
    body = {
        "paused": paused,
        "enabled": context.settings.enabled,
        "mode": context.policy.mode.value,
        "pause": pause,
        "history": [{"at": e.at, "who": e.actor, "what": e.summary} for e in reversed(history)],
    }
    return answer(200, body)


@bp.route(route="api/pause", methods=["POST", "DELETE"])
def set_pause(req: func.HttpRequest) -> func.HttpResponse:
    """POST pauses all automation (`why`, and `until` or `minutes`); DELETE lets it go on."""
    known = caller(req, Scope.APPROVER)
    if isinstance(known, func.HttpResponse):
        return known
    try:
        return _lift(known) if req.method == "DELETE" else _pause(req, known)
    except InputError as error:
        return malformed(error)
    except LedgerUnavailable as error:
        return unavailable(error)


def _pause(req: func.HttpRequest, known: Caller) -> func.HttpResponse:
    context = current().context
    body = decoded(req, _PauseBody)
    why = current().redactor.text(_text("why", body.why.strip()))
    if not why:
        raise InputError("why", "expected a reason")
    who = _text("who", body.who.strip())
    by = f"{who} (key {known.name})" if who else known.name
    pause = context.pauses.set(by, why, _until(body))
    _note(Action.PAUSED, by, f"Automation {pause.words()}")
    return answer(200, {"paused": True, "pause": pause})


def _lift(known: Caller) -> func.HttpResponse:
    standing = current().context.pauses.lift()
    if standing is not None:
        _note(Action.UNPAUSED, known.name, f"Automation goes on; it was {standing.words()}")
    return answer(200, {"paused": bool(current().context.paused()), "pause": None})


def _until(body: _PauseBody) -> datetime | None:
    if body.until is not None and body.minutes is not None:
        raise InputError("until", "expected either until or minutes, not both")
    if body.minutes is not None:
        if not 1 <= body.minutes <= _MOST_MINUTES:
            raise InputError("minutes", f"expected a whole number from 1 to {_MOST_MINUTES}")
        return _now() + timedelta(minutes=body.minutes)
    if body.until is None:
        return None
    if body.until.tzinfo is None:
        raise InputError("until", "expected a time with its offset, such as 2026-01-31T18:00:00Z")
    try:
        until = body.until.astimezone(UTC)
    except OverflowError:
        until = None
    if until is None or not _now() < until <= _now() + timedelta(days=366):
        raise InputError("until", "expected a time to come, within a year")
    return until


def _note(action: Action, by: str, words: str) -> None:
    """Pauses are about everything: they have a timeline of their own."""
    context = current().context
    context.audit.append(AUTOMATION, [context.entry(action, words, actor=by)])


def _now() -> datetime:
    return current().clock.now()


def _text(field: str, text: str) -> str:
    if len(text) > _MAX_TEXT:
        raise InputError(field, f"expected at most {_MAX_TEXT} characters")
    return "".join(c for c in text if c.isprintable() or c in "\n\t")
