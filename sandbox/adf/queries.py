"""The query language of runs: filters, order and continuation tokens."""

import json
from collections.abc import Callable, Iterable
from typing import TypeVar

from sandbox.adf.errors import bad_request
from sandbox.clock import parse_iso
from sandbox.wire import Json

T = TypeVar("T")
View = Callable[[T], Json]

PIPELINE_OPERANDS = {
    "PipelineName": "pipelineName",
    "RunStart": "runStart",
    "RunEnd": "runEnd",
    "Status": "status",
    "RunGroupId": "runGroupId",
    "LatestOnly": "isLatest",
}
ACTIVITY_OPERANDS = {
    "ActivityName": "activityName",
    "ActivityRunStart": "activityRunStart",
    "ActivityRunEnd": "activityRunEnd",
    "ActivityType": "activityType",
    "Status": "status",
}
TRIGGER_OPERANDS = {
    "TriggerName": "triggerName",
    "TriggerRunTimestamp": "triggerRunTimestamp",
    "Status": "status",
    "RunGroupId": "runGroupId",
    "LatestOnly": "isLatest",
}
OPERATORS = {"Equals", "NotEquals", "In", "NotIn"}


class Paging:
    """How many runs a page holds, and whether an empty page comes first."""

    def __init__(self) -> None:
        self.page_size = 100
        self.empty_first_page = False

    def page(self, items: list[Json], token: str | None) -> Json:
        """Return a page.

        An EMPTY page with a token is not the end, and a token may look like
        `{"token":null,"range":{...}}` and has to come back whole
        (data-factory-troubleshoot-guide, "REST continuation token NULL error").
        """
        if token is None and self.empty_first_page:
            return {"value": [], "continuationToken": write_token(None)}
        offset = read_token(token)
        following = offset + self.page_size
        answer: Json = {"value": items[offset:following]}
        if following < len(items):
            answer["continuationToken"] = write_token(following)
        return answer


def write_token(offset: int | None) -> str:
    """Write a continuation token."""
    inner = None if offset is None else f"+RID:sandbox#{offset}"
    return json.dumps({"token": inner, "range": {"min": "05C1DFFFFFFFFC", "max": "FF"}})


def read_token(token: str | None) -> int:
    """Read a continuation token back or refuse."""
    if token is None:
        return 0
    try:
        whole = json.loads(token)
        inner = whole["token"]
        return 0 if inner is None and whole["range"] else int(inner.rpartition("#")[2])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise bad_request("The continuation token is invalid.") from error


def window(body: Json) -> tuple[float, float]:
    """Read the time window, of which both bounds are required."""
    try:
        return parse_iso(body["lastUpdatedAfter"]), parse_iso(body["lastUpdatedBefore"])
    except KeyError as error:
        raise bad_request(f"Required property {error} is missing in the request body.") from error
    except (ValueError, TypeError) as error:
        raise bad_request("lastUpdatedAfter and lastUpdatedBefore must be times.") from error


def select(views: Iterable[Json], body: Json, operands: dict[str, str]) -> list[Json]:
    """Apply filters and order to runs that are already written out."""
    filters = body.get("filters") or []
    for entry in filters:
        check_filter(entry, operands)
    chosen = [view for view in views if all(passes(view, x, operands) for x in filters)]
    orders = body.get("orderBy") or []
    if orders and orders[0].get("order") == "DESC":
        chosen.reverse()  # what is equal keeps its order: the newer before the older
    for order in reversed(orders):
        key = operands.get(order.get("orderBy"))
        if key is None:
            raise bad_request(f"Invalid orderBy {order.get('orderBy')}.")
        chosen.sort(key=by(key), reverse=order.get("order") == "DESC")
    return chosen


def by(key: str) -> Callable[[Json], str]:
    """Return a sort key that stands a missing value first."""
    return lambda view: str(view.get(key) or "")


def check_filter(entry: Json, operands: dict[str, str]) -> None:
    """Refuse what this query does not know."""
    if entry.get("operand") not in operands:
        raise bad_request(f"Invalid filter operand {entry.get('operand')}.")
    if entry.get("operator") not in OPERATORS:
        raise bad_request(f"Invalid filter operator {entry.get('operator')}.")
    if not isinstance(entry.get("values"), list):
        raise bad_request("A filter needs values.")


def passes(view: Json, entry: Json, operands: dict[str, str]) -> bool:
    """Apply one filter."""
    operand, values = entry["operand"], [str(x) for x in entry["values"]]
    if operand == "LatestOnly":
        return values[0].lower() != "true" or bool(view["isLatest"])
    found = str(view.get(operands[operand])) in values
    return found if entry["operator"] in {"Equals", "In"} else not found
