"""What passes between HTTP and the domain: calls, answers, refusals, routes and page tokens."""

import base64
import binascii
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

Json: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """A whole answer, where 200 and a JSON object do not tell it all; text is sent as it is."""

    status: int
    body: Json | str | None
    headers: dict[str, str] = field(default_factory=dict)


class ApiError(Exception):
    """A refusal in the platform's own words."""

    def __init__(self, status: int, body: Json, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(f"{status}: {body}")
        self.status = status
        self.body = body
        self.headers = dict(headers or {})


@dataclass(frozen=True)
class Call:
    """One request, taken apart."""

    method: str
    path: str
    query: dict[str, list[str]] = field(default_factory=dict)
    body: Json = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    authorization: str | None = None
    accept: str = "*/*"

    def text(self, name: str) -> str | None:
        """Return a query value, if it was sent."""
        values = self.query.get(name)
        return values[0] if values else None

    def flag(self, name: str) -> bool:
        """Return a boolean query value; absent is false."""
        return (self.text(name) or "").lower() == "true"


Handler: TypeAlias = Callable[[Call], Json | Answer]


@dataclass(frozen=True)
class Route:
    """One method and path, and who answers it."""

    method: str
    pattern: re.Pattern[str]
    handler: Handler

    def match(self, method: str, path: str) -> dict[str, str] | None:
        """Return the path's parameters if this route is meant."""
        found = self.pattern.fullmatch(path) if method == self.method else None
        return found.groupdict() if found else None


def route(method: str, template: str, handler: Handler, *, ignore_case: bool = False) -> Route:
    """Build a route from a path in which `{name}` stands for one segment."""
    pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", template)
    return Route(method, re.compile(pattern, re.IGNORECASE if ignore_case else 0), handler)


def encode_token(state: Json) -> str:
    """Turn a listing's position into an opaque page token."""
    return base64.urlsafe_b64encode(json.dumps(state).encode()).decode()


def decode_token(token: str) -> Json:
    """Read a page token back.

    Raises:
        ValueError: It is none of ours.
    """
    try:
        state = json.loads(base64.urlsafe_b64decode(token.encode()))
    except (binascii.Error, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(token) from error
    if not isinstance(state, dict):
        raise ValueError(token)  # noqa: TRY004 - to callers every foreign token is the same mistake
    return state
