"""The API of deliveries: start, follow, stop, take back."""

from __future__ import annotations

import asyncio
import codecs
import logging
from typing import TYPE_CHECKING, Any

import azure.durable_functions as df
import azure.functions as func
import msgspec

from functions.delivery import start
from functions.http import answer, base_url, caller, malformed, problem, unavailable
from functions.observed import sent_with, working
from shared.composition import current
from shared.errors import (
    InputError,
    LedgerConflict,
    LedgerMissing,
    LedgerRefused,
    LedgerUnavailable,
)
from shared.vocabulary import Scope

if TYPE_CHECKING:
    from shared.auth import Caller
    from shared.delivery.plan import Asked
    from shared.delivery_models import Delivery
    from shared.ledger.deliveries import Receipt

bp = df.Blueprint()
log = logging.getLogger("lakemend.delivery")

_MAX_BODY = 12_000_000  # a zip of 5 MB in base64, and a specification beside it
_MAX_TEXT = 1000
_LISTED, _DAYS = 50, 31


@bp.route(route="api/deliveries", methods=["POST"])
@bp.durable_client_input(client_name="client")
async def start_delivery(
    req: func.HttpRequest, client: df.DurableOrchestrationClient
) -> func.HttpResponse:
    """Take in a delivery plan: JSON, Markdown, or a form with a plan and a zip."""
    from shared.delivery.plan import PlanRefused

    known = caller(req, Scope.DEPLOYER)
    if isinstance(known, func.HttpResponse):
        return known
    if len(req.get_body()) > _MAX_BODY:
        return problem(413, f"expected at most {_MAX_BODY} bytes")
    try:
        return await _take_in(req, client, known)
    except PlanRefused as error:
        return answer(400, {"error": "the plan is incomplete or wrong", "problems": error.problems})
    except InputError as error:
        return malformed(error)
    except LedgerConflict:
        return problem(409, "this key stands for another delivery", "delivery_key")
    except LedgerUnavailable as error:
        return unavailable(error)
    except LedgerRefused:
        return problem(413, "the plan is larger than can be stored")


async def _take_in(
    req: func.HttpRequest, client: df.DurableOrchestrationClient, known: Caller
) -> func.HttpResponse:
    asked = await asyncio.to_thread(_asked, req)
    with working("intake", sent_with(req), way="delivery") as span:
        receipt = await asyncio.to_thread(_received, asked, known.name)
        span.set(delivery_id=receipt.delivery_id)
        if not receipt.duplicate:
            await start(client, receipt.delivery_id, span.traceparent)
    url = f"{base_url(req)}/api/deliveries/{receipt.delivery_id}"
    body = {"delivery_id": receipt.delivery_id, "duplicate": receipt.duplicate}
    links = {"status_url": url, "summary_url": f"{url}/summary"}
    return answer(202, body | links, Location=url)


def _received(asked: Asked, name: str) -> Receipt:
    """The delivery, written down; what the ledger finds too large is refused by it."""
    from shared.delivery.receiving import receive

    try:
        return receive(current().context, asked, name)
    except ValueError as error:
        raise LedgerRefused(str(error)) from None


def _asked(req: func.HttpRequest) -> Asked:
    """The plan that a request carries, whatever its form."""
    try:
        return _read(req)
    except ValueError:
        raise InputError("body", "expected a plan, or a form, that can be read") from None


def _read(req: func.HttpRequest) -> Asked:
    from shared.delivery.plan import read_plan

    kind = req.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        plan = req.form.get("plan") or (req.files["plan"].read() if "plan" in req.files else b"")
        bundle = req.files["bundle"].read() if "bundle" in req.files else None
        return read_plan(_fields(plan), bundle)
    return read_plan(_fields(req.get_body(), markdown=kind == "text/markdown"))


def _fields(text: str | bytes, *, markdown: bool = False) -> Any:  # noqa: ANN401 - what was sent
    from shared.delivery.markdown import read_markdown

    content = text.encode() if isinstance(text, str) else text
    start = content.removeprefix(codecs.BOM_UTF8).lstrip()[:1]
    if markdown or start in {b"#", b"-"}:
        try:
            return read_markdown(content.decode("utf-8-sig"))
        except UnicodeDecodeError:
            raise InputError("body", "expected UTF-8") from None
    try:
        return msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise InputError("body", "expected a plan as JSON, or Markdown by text/markdown") from None


@bp.route(route="api/deliveries", methods=["GET"])
def list_deliveries(req: func.HttpRequest) -> func.HttpResponse:
    """The newest deliveries, at most `limit` (50), of the last 31 days."""
    from shared.delivery.summary import brief
    from shared.reporting.listing import whole

    known = caller(req, Scope.READER, Scope.DEPLOYER)
    if isinstance(known, func.HttpResponse):
        return known
    try:
        limit = whole("limit", req.params.get("limit"), _LISTED, _LISTED)
        found = current().context.deliveries.newest(limit, _DAYS)
    except InputError as error:
        return malformed(error)
    except LedgerUnavailable as error:
        return unavailable(error)
    listed = msgspec.to_builtins([brief(delivery) for delivery in found])
    return answer(200, {"deliveries": current().redactor.tree(listed)})


@bp.route(route="api/deliveries/{delivery_id}", methods=["GET"])
def read_delivery(req: func.HttpRequest) -> func.HttpResponse:
    """One delivery as it is now: gates, progress, findings, timeline."""
    from shared.delivery.summary import detail

    found = _found(req)
    if isinstance(found, func.HttpResponse):
        return found
    try:
        audit = current().context.audit
        entries, whole = audit.read(found.delivery_id, found.audit_count, found.audit_head)
    except LedgerUnavailable as error:
        return unavailable(error)
    chain = {"whole": whole.whole, "entries": whole.count, "problem": whole.problem}
    body = {**detail(found, current().clock.now()), "timeline": entries, "audit": chain}
    return answer(200, current().redactor.tree(msgspec.to_builtins(body)))


@bp.route(route="api/deliveries/{delivery_id}/summary", methods=["GET"])
def summarise_delivery(req: func.HttpRequest) -> func.HttpResponse:
    """What was done, ready for a pull request: Markdown, or JSON where that is asked for."""
    from shared.delivery.summary import markdown, summary

    found = _found(req)
    if isinstance(found, func.HttpResponse):
        return found
    wanted = req.params.get("format", "")
    if wanted not in {"", "json", "markdown"}:
        return problem(400, "expected json or markdown", "format")
    told = current().redactor.tree(summary(found))
    accepts = req.headers.get("Accept", "")
    if wanted == "json" or (not wanted and "application/json" in accepts):
        return answer(200, told)
    return func.HttpResponse(
        markdown(told),
        mimetype="text/markdown",
        charset="utf-8",
        headers={"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"},
    )


def _found(req: func.HttpRequest) -> Delivery | func.HttpResponse:
    known = caller(req, Scope.READER, Scope.DEPLOYER)
    if isinstance(known, func.HttpResponse):
        return known
    try:
        return current().context.deliveries.get(req.route_params["delivery_id"])
    except LedgerMissing:
        return problem(404, "no such delivery")
    except LedgerUnavailable as error:
        return unavailable(error)


class _Why(msgspec.Struct, forbid_unknown_fields=True):
    why: str = ""


@bp.route(route="api/deliveries/{delivery_id}/cancel", methods=["POST"])
@bp.durable_client_input(client_name="client")
async def cancel_delivery(
    req: func.HttpRequest, client: df.DurableOrchestrationClient
) -> func.HttpResponse:
    """Stop a delivery that is under way, and take it back."""
    from shared.delivery.receiving import cancel

    done = await _change(req, cancel)
    if isinstance(done, func.HttpResponse):
        return done
    try:
        await client.raise_event(done.delivery_id, "cancel", {})
    except Exception as error:  # noqa: BLE001 - it is stored, and seen at the next step anyway
        log.warning("delivery %s was not told that it is cancelled: %s", done.delivery_id, error)
    return answer(202, {"delivery_id": done.delivery_id, "state": done.state.value})


@bp.route(route="api/deliveries/{delivery_id}/rollback", methods=["POST"])
@bp.durable_client_input(client_name="client")
async def roll_back_delivery(
    req: func.HttpRequest, client: df.DurableOrchestrationClient
) -> func.HttpResponse:
    """Take back a delivery that is over: the previous version comes back in all its targets."""
    from shared.delivery.receiving import take_back

    done = await _change(req, take_back)
    if isinstance(done, func.HttpResponse):
        return done
    await start(client, done.delivery_id)
    return answer(202, {"delivery_id": done.delivery_id, "state": done.state.value})


async def _change(req: func.HttpRequest, change: Any) -> Delivery | func.HttpResponse:  # noqa: ANN401 - cancel or take_back
    from functions.http import decoded
    from shared.delivery.receiving import NotNow

    known = caller(req, Scope.DEPLOYER)
    if isinstance(known, func.HttpResponse):
        return known
    identity, name = req.route_params["delivery_id"], known.name
    try:
        why = decoded(req, _Why).why if req.get_body() else ""
        if len(why) > _MAX_TEXT:
            return problem(400, f"expected at most {_MAX_TEXT} characters", "why")
        told = current().redactor.text(why)
        done: Delivery = await asyncio.to_thread(
            lambda: change(current().context, identity, name, told)
        )
    except InputError as error:
        return malformed(error)
    except LedgerMissing:
        return problem(404, "no such delivery")
    except NotNow as error:
        return problem(409, str(error))
    except LedgerUnavailable as error:
        return unavailable(error)
    return done
