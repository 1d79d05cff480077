"""Playbooks: Logic Apps that a team runs for a kind of repair, called over HTTP.

Only HTTPS, only hosts that are configured, no redirects: the address comes from a setting, and what
answers is told about an incident. A playbook cannot be asked whether it ran, so a call without an
answer is in doubt for good.
"""

from __future__ import annotations

from typing import Any

from shared.errors import (
    ChangeInDoubt,
    PlatformError,
    PlatformRefused,
    PlatformThrottled,
    PlatformUnavailable,
)
from shared.models import Json
from shared.platforms.calls import mutate
from shared.platforms.observed import observed

_MAX_ANSWER = 65_536
_THROTTLED, _TIMEOUT, _SERVER, _CLIENT, _REDIRECT = 429, 408, 500, 400, 300
_UNAUTHENTICATED = 401


@observed("playbook")
class Playbooks:
    """The configured playbooks, by the name of their setting."""

    def __init__(self, urls: dict[str, str], timeout: float) -> None:
        self._urls = urls
        self._timeout = timeout

    def has(self, name: str) -> bool:
        """Whether the setting called `name` holds a URL."""
        return bool(self._urls.get(name))

    def call(self, name: str, body: Json) -> Json:
        """Run a playbook; returns its answer, empty where it answers with nothing.

        Raises:
            NothingChanged: it refused, or was never reached.
            ChangeInDoubt: it may be running.
        """
        return mutate(lambda: self._post(self._urls[name], body), _translate)

    def _post(self, url: str, body: Json) -> Json:
        import requests

        _refuse_the_machine(url)
        answer = requests.post(
            url, json=body, timeout=(5, self._timeout), allow_redirects=False, stream=True
        )
        with answer:
            if answer.status_code >= _REDIRECT:
                raise _Answered(answer.status_code, answer.headers.get("Retry-After", ""))
            content = answer.raw.read(_MAX_ANSWER, decode_content=True)
        return _decoded(content)


class _LeadsInside(Exception):
    """The name of a playbook's host leads to this machine, its metadata or its platform."""


def _refuse_the_machine(url: str) -> None:
    from urllib.parse import urlsplit

    from shared.addresses import is_loopback, of_the_machine, resolved

    host = urlsplit(url).hostname or ""
    # Loopback itself is a host that somebody has listed; a name that leads there is an attack.
    if not is_loopback(host) and any(of_the_machine(address) for address in resolved(host)):
        raise _LeadsInside


class _Answered(Exception):
    """The playbook answered with an error; its text may hold its address, so it is not kept."""

    def __init__(self, status: int, retry_after: str) -> None:
        super().__init__(f"the playbook answered {status}")
        self.status = status
        self.retry_after = retry_after


def _decoded(content: bytes) -> Json:
    import msgspec

    if not content.strip():
        return {}
    try:
        decoded = msgspec.json.decode(content)
    except msgspec.DecodeError:
        return {}
    return decoded if isinstance(decoded, dict) else {}


def _translate(error: Exception, *, changing: bool) -> PlatformError | None:
    import requests

    from shared.platforms.databricks import never_connected

    del changing
    if isinstance(error, _Answered):
        return _refusal(error)
    if isinstance(error, _LeadsInside):
        return PlatformRefused("the playbook's host leads to this machine or its platform")
    if isinstance(error, requests.ConnectTimeout) or never_connected(error):
        return PlatformUnavailable(f"the playbook was not reached: {type(error).__name__}")
    if isinstance(error, requests.RequestException):
        return ChangeInDoubt(f"the playbook did not answer: {type(error).__name__}")
    return None


def _refusal(error: Any) -> PlatformError:  # noqa: ANN401 - _Answered
    if error.status == _THROTTLED:
        raw = error.retry_after
        seconds = float(raw) if raw.isascii() and raw.isdigit() else None
        return PlatformThrottled(str(error), seconds)
    if error.status == _UNAUTHENTICATED:
        # Without the status: no token of ours that could be renewed was refused, but a signature.
        return PlatformRefused(f"{error}: its signature is not valid")
    if _CLIENT <= error.status < _SERVER and error.status != _TIMEOUT:
        return PlatformRefused(str(error), error.status)
    if error.status < _CLIENT:
        return PlatformRefused(f"{error}: a redirect is not followed", error.status)
    return ChangeInDoubt(str(error), error.status)
