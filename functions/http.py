"""What all HTTP functions share: who calls, how answers and errors look."""

from __future__ import annotations

from typing import Any, TypeVar

import azure.functions as func
import msgspec

from shared.auth import Caller, authenticate
from shared.composition import current
from shared.decoding import decode
from shared.errors import InputError, LedgerUnavailable
from shared.vocabulary import Scope

T = TypeVar("T")

_MAX_BODY = 65_536
_RETRY_AFTER = "10"  # seconds; an action group tries again after 5 to 40 s


def answer(status: int, body: Any, **headers: str) -> func.HttpResponse:  # noqa: ANN401 - any JSON value
    """A JSON answer."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return func.HttpResponse(
        msgspec.json.encode(body),
        status_code=status,
        mimetype="application/json",
        headers={"Cache-Control": "no-store", **named},
    )


def page(status: int, html: str) -> func.HttpResponse:
    """A page for people: no script, no frame, nothing kept, nothing told to other sites."""
    return func.HttpResponse(
        html,
        status_code=status,
        mimetype="text/html",
        charset="utf-8",
        headers={
            "Cache-Control": "no-store",
            "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; "
            "form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
            "X-Robots-Tag": "noindex",
        },
    )


def decoded(request: func.HttpRequest, shape: type[T]) -> T:
    """The JSON body as `shape`.

    Raises:
        InputError: it is too long, not JSON, or a field is wrong; names the field.
    """
    body = request.get_body()
    if len(body) > _MAX_BODY:
        raise InputError("body", f"expected at most {_MAX_BODY} bytes")
    try:
        return decode(body, shape)
    except msgspec.ValidationError as error:
        reason, _, path = str(error).partition(" - at `$")
        raise InputError(path.strip("`.") or "body", reason) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise InputError("body", "expected JSON") from None


def problem(status: int, reason: str, field: str = "", **headers: str) -> func.HttpResponse:
    """An error answer: what is wrong and, for bad input, with which field.

    Both may name what came, and what came may be a secret in a wrong place.
    """
    text = current().redactor.text
    body = {"error": text(reason), "field": text(field)} if field else {"error": text(reason)}
    return answer(status, body, **headers)


def malformed(error: InputError) -> func.HttpResponse:
    """The answer to input that cannot be understood."""
    return problem(400, error.expected, error.field)


def unavailable(_error: LedgerUnavailable) -> func.HttpResponse:
    """The answer while storage does not work: nothing was accepted, come again."""
    return problem(503, "storage does not answer; nothing was accepted", Retry_After=_RETRY_AFTER)


def caller(request: func.HttpRequest, *scopes: Scope) -> Caller | func.HttpResponse:
    """Who calls, if they have one of `scopes`; otherwise the answer that refuses them."""
    current().listen()
    known = authenticate(current().settings, request.headers, request.params)
    if known is None:
        return problem(
            401,
            "unknown caller: send an API key in the header X-API-Key",
            WWW_Authenticate='Basic realm="lakemend"',
        )
    if not known.scopes & set(scopes):
        wanted = " or ".join(scopes)
        return problem(403, f"this key has not the scope {wanted}")
    return known


def query_pairs(request: func.HttpRequest) -> list[tuple[str, str]]:
    """The query's names and values as they came: `params` keeps one value of a repeated name."""
    from urllib.parse import parse_qsl, urlsplit

    try:
        return parse_qsl(urlsplit(request.url).query, keep_blank_values=True, max_num_fields=50)
    except ValueError:
        raise InputError("query", "expected at most 50 parameters") from None


def base_url(request: func.HttpRequest) -> str:
    """The address under which the caller reached us."""
    from urllib.parse import urlsplit

    configured = current().settings.public_url
    parts = urlsplit(request.url)
    return configured or f"{parts.scheme}://{parts.netloc}"
