"""Reading what Databricks clients send."""

from typing import Any

from sandbox.databricks.errors import invalid_parameter
from sandbox.wire import Call, Json, decode_token


def need(body: Json, name: str) -> Any:  # noqa: ANN401 - a JSON value of any kind
    """Return a field of the body or refuse."""
    if body.get(name) is None:
        raise invalid_parameter(f"Missing required field: {name}")
    return body[name]


def need_query(call: Call, name: str) -> str:
    """Return a query value or refuse."""
    value = call.text(name)
    if value is None:
        raise invalid_parameter(f"Missing required field: {name}")
    return value


def number(text: str | int, name: str) -> int:
    """Read a whole number or refuse."""
    try:
        return int(text)
    except (TypeError, ValueError) as error:
        raise invalid_parameter(f"Invalid value for field {name}: {text!r}") from error


def number_of(call: Call, name: str, default: int) -> int:
    """Return a number from the query."""
    value = call.text(name)
    return default if value is None else number(value, name)


def page_state(token: str | None) -> Json:
    """Read a page token or refuse; no token is the first page."""
    if not token:
        return {}
    try:
        return decode_token(token)
    except ValueError as error:
        raise invalid_parameter(f"Invalid page token: {token}") from error
