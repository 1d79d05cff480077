"""What findings propose: worked out, approved or refused, taken back."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

import azure.durable_functions as df
import azure.functions as func
import msgspec

from functions.approvals import AnswerBody
from functions.findings import guarded, identity_of, text_of
from functions.http import answer, caller, decoded, problem
from shared.auth import Caller
from shared.composition import current
from shared.errors import NothingChanged
from shared.vocabulary import Mode, Scope

if TYPE_CHECKING:
    from shared.findings.model import Finding

bp = df.Blueprint()
log = logging.getLogger("lakemend.proposals")


class _ReversalBody(msgspec.Struct, forbid_unknown_fields=True):
    why: str


@bp.route(route="api/findings/{finding_id}/proposal", methods=["POST"])
async def work_out_proposal(req: func.HttpRequest) -> func.HttpResponse:
    """Work out now what a finding proposes; nothing is changed."""
    known = caller(req, Scope.APPROVER)
    if isinstance(known, func.HttpResponse):
        return known
    return await asyncio.to_thread(_guarded, lambda: _worked_out(req))


@bp.route(route="api/findings/{finding_id}/approval", methods=["POST"])
@bp.durable_client_input(client_name="client")
async def answer_proposal(
    req: func.HttpRequest, client: df.DurableOrchestrationClient
) -> func.HttpResponse:
    """Approve or refuse exactly the change that was shown: its `question_id` must still stand."""
    known = caller(req, Scope.APPROVER)
    if isinstance(known, func.HttpResponse):
        return known
    done = await asyncio.to_thread(_guarded, lambda: _answered(req, known))
    return await _started(client, done)


@bp.route(route="api/findings/{finding_id}/reversal", methods=["POST"])
@bp.durable_client_input(client_name="client")
async def reverse_change(
    req: func.HttpRequest, client: df.DurableOrchestrationClient
) -> func.HttpResponse:
    """Take back an approved change that was made."""
    known = caller(req, Scope.APPROVER)
    if isinstance(known, func.HttpResponse):
        return known
    done = await asyncio.to_thread(_guarded, lambda: _reversed(req, known))
    return await _started(client, done)


def _guarded(work: Callable[[], func.HttpResponse]) -> func.HttpResponse:
    from shared.healing.approvals import AnswerRefused
    from shared.healing.proposals import NoProposal

    try:
        return guarded(work)
    except (AnswerRefused, NoProposal) as error:
        return problem(409, str(error))
    except NothingChanged as error:
        words = current().redactor.text(str(error))
        return problem(503, f"the platform could not be asked: {words}")


async def _started(
    client: df.DurableOrchestrationClient, done: func.HttpResponse
) -> func.HttpResponse:
    """Start the healing of an opened incident; if that fails, a sweep takes it up."""
    told = msgspec.json.decode(done.get_body())
    incident_id = told.get("incident_id") if done.status_code == _ACCEPTED else ""
    if incident_id:
        content = {"incident_id": incident_id}
        try:
            await client.start_new("heal_failure", instance_id=incident_id, client_input=content)
        except Exception as error:  # noqa: BLE001 - it is stored, whatever becomes of the start
            log.warning("incident %s was not started: %s", incident_id, error)
    return done


_ACCEPTED = 202


def _worked_out(req: func.HttpRequest) -> func.HttpResponse:
    from shared.reporting.finding_list import finding_view

    finding = current().proposals.ask(identity_of(req))
    return answer(200, finding_view(finding, current().clock.now()))


def _answered(req: func.HttpRequest, known: Caller) -> func.HttpResponse:
    from shared.healing.approvals import Answer

    body = decoded(req, AnswerBody)
    note = text_of("note", body.note) if body.note else ""
    given = Answer(body.question_id, body.approve, known.name, current().redactor.text(note))
    finding = current().proposals.answer(identity_of(req), given)
    said = "approved" if body.approve else "refused"
    return answer(
        _ACCEPTED,
        {
            "finding_id": finding.finding_id,
            "question_id": body.question_id,
            "said": said,
            "answered_by": known.name,
            "incident_id": finding.incident_id or None,
            "outlook": _outlook(finding),
        },
    )


def _outlook(finding: Finding) -> str:
    """What comes of an answer, in words."""
    context = current().context
    if not finding.incident_id:
        return "nothing is changed"
    if context.policy.mode is Mode.OBSERVE:
        return "observe mode: nothing is changed, the incident says what would have been done"
    if paused := context.paused():
        return f"automation is paused, it waits: {paused}"
    return "it is made under policy; the incident tells how it goes"


def _reversed(req: func.HttpRequest, known: Caller) -> func.HttpResponse:
    body = decoded(req, _ReversalBody)
    why = current().redactor.text(text_of("why", body.why))
    finding = current().proposals.reverse(identity_of(req), known.name, why)
    told = {"finding_id": finding.finding_id, "incident_id": finding.reversal_id}
    return answer(_ACCEPTED, told)
