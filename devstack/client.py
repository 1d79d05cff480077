"""HTTP with JSON towards this machine. No proxy is ever asked."""

import http.client
import json
import socket
from dataclasses import dataclass
from typing import Any, TypeAlias
from urllib.parse import urlsplit

Json: TypeAlias = dict[str, Any]

_TIMEOUT = 30.0
_SERVER_ERROR = 500


@dataclass(frozen=True)
class Reply:
    """An answer; `body` is empty where it was no JSON object."""

    status: int
    body: Json


def call(
    method: str, url: str, body: Json | None = None, key: str = "", timeout: float = _TIMEOUT
) -> Reply:
    """Send one request.

    Raises:
        OSError: nobody answered.
    """
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=timeout)
    headers = {"Content-Type": "application/json", **({"X-API-Key": key} if key else {})}
    path = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
    content = None if body is None else json.dumps(body)
    try:
        connection.request(method, path, content, headers)
        response = connection.getresponse()
        return Reply(response.status, _object(response.read()))
    except http.client.HTTPException as error:
        raise ConnectionError(f"{url}: {error!r}") from error
    finally:
        connection.close()


def answers(probe: str) -> bool:
    """Whether somebody serves at `http://host:port/path`, or listens at `tcp://host:port`."""
    parts = urlsplit(probe)
    try:
        if parts.scheme == "tcp":
            socket.create_connection((parts.hostname or "", parts.port or 0), timeout=1).close()
            return True
        return call("GET", probe, timeout=1).status < _SERVER_ERROR
    except OSError:
        return False


def _object(content: bytes) -> Json:
    try:
        value = json.loads(content)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
