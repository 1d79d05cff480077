"""From a body to alerts: finds the dialect, unwraps envelopes and batches.

Of a batch the good ones are kept and the bad ones named; a single bad message is an error.
"""

from __future__ import annotations

from typing import Any

import msgspec

from shared.errors import InputError
from shared.intake import azure_monitor, databricks, own
from shared.intake.fields import Node
from shared.intake.shapes import Draft, fingerprint
from shared.models import Alert
from shared.targets import Targets

MAX_BATCH = 5_000  # events in one Event Grid delivery, at most
_MAX_DEPTH = 64
_VALIDATION = "Microsoft.EventGrid.SubscriptionValidationEvent"


class Rejected(msgspec.Struct, frozen=True):
    """One message of a batch that could not be understood."""

    position: int
    field: str
    expected: str
    raw: str


class Parsed(msgspec.Struct, frozen=True):
    """What a body held."""

    alerts: tuple[Alert, ...]
    rejected: tuple[Rejected, ...]
    batch: bool


def decode(body: bytes) -> Any:  # noqa: ANN401 - any JSON value
    """The JSON value in `body`.

    Raises:
        InputError: not JSON in UTF-8, or nested deeper than 64 levels.
    """
    try:
        value = msgspec.json.decode(body.removeprefix(b"\xef\xbb\xbf"))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError("$", f"expected JSON in UTF-8: {error}") from None
    except RecursionError:
        raise InputError("$", f"nested deeper than {_MAX_DEPTH} levels") from None
    if _deeper_than(value, _MAX_DEPTH):
        raise InputError("$", f"nested deeper than {_MAX_DEPTH} levels")
    return value


def validation_code(value: Any) -> str:  # noqa: ANN401 - any JSON value
    """The code of an Event Grid subscription validation, empty if this is none."""
    event = value[0] if isinstance(value, list) and len(value) == 1 else value
    if not isinstance(event, dict) or event.get("eventType") != _VALIDATION:
        return ""
    return Node(event).get("data").get("validationCode").text(limit=200)


def parse(value: Any, targets: Targets) -> Parsed:  # noqa: ANN401 - any JSON value
    """All alerts in a decoded body.

    Raises:
        InputError: a single message that cannot be understood, or a batch that is too large.
    """
    items, batch = _items(value)
    if not batch:
        return Parsed((_one(items[0], targets),), (), batch=False)
    alerts: list[Alert] = []
    rejected: list[Rejected] = []
    for position, item in enumerate(items):
        try:
            alerts.append(_one(item, targets))
        except InputError as error:
            raw = msgspec.json.encode(item.value).decode()[:8000]
            rejected.append(Rejected(position, error.field, error.expected, raw))
    return Parsed(tuple(alerts), tuple(rejected), batch=True)


def _items(value: Any) -> tuple[list[Node], bool]:  # noqa: ANN401 - any JSON value
    body = Node(value)
    if isinstance(value, dict) and isinstance(value.get("records"), list):
        body = body.get("records")
    if not isinstance(body.value, list):
        return [body], False
    if not body.value:
        raise InputError(body.path, "expected at least one event")
    if len(body.value) > MAX_BATCH:
        raise InputError(body.path, f"expected at most {MAX_BATCH} events in one batch")
    return body.items(), True


def _one(body: Node, targets: Targets) -> Alert:
    if not isinstance(body.value, dict):
        raise InputError(body.path, "expected an object")
    if body.has("specversion"):
        return _enveloped(body, targets, "cloudevents", "source", "type")
    if body.has("eventType") and body.has("data"):
        return _enveloped(body, targets, "event_grid", "topic", "eventType")
    return _plain(body, targets)


def _enveloped(body: Node, targets: Targets, dialect: str, source: str, kind: str) -> Alert:
    identity = [body.get("id").text(limit=500), body.get(source).text("", limit=1000)]
    name = body.get(kind).text(limit=500)
    mark = fingerprint(dialect, identity)
    data = body.get("data")
    if not isinstance(data.value, dict) or not _known(data):
        return Draft(dialect, name, mark).ignored(f"events of type {name} tell of no failure")
    inner = _plain(data, targets)
    return msgspec.structs.replace(
        inner, fingerprint=mark, dialect=f"{dialect}/{inner.dialect}", dated=True
    )


def _known(body: Node) -> bool:
    return (
        own.recognises(body)
        or own.is_selftest(body)
        or azure_monitor.recognises(body)
        or body.has("operationName")
        or own.recognises_flat(body)
        or databricks.recognises(body)
    )


def _plain(body: Node, targets: Targets) -> Alert:
    if own.recognises(body):
        return own.parse(body, targets)
    if own.is_selftest(body):
        return own.parse_selftest(body)
    if azure_monitor.recognises(body):
        return azure_monitor.parse(body, targets)
    if body.has("operationName"):
        return databricks.parse_record(body, targets)
    if own.recognises_flat(body):
        return own.parse_flat(body, targets)
    if databricks.recognises(body):
        return databricks.parse(body, targets)
    raise InputError(
        body.path,
        "not an alert that we know: expected an Azure Monitor alert (data.essentials), a "
        "Databricks notification (event_type and run), a cluster or library event (event and "
        "cluster), an Event Grid or CloudEvents envelope, or our own form (failures)",
    )


def _deeper_than(value: Any, depth: int) -> bool:  # noqa: ANN401 - any JSON value
    level = [value]
    for _ in range(depth):
        level = [
            child
            for item in level
            if isinstance(item, dict | list)
            for child in (item.values() if isinstance(item, dict) else item)
        ]
        if not level:
            return False
    return True
