"""Sends one message to one channel through Apprise. Imported only where messages are sent.

Apprise answers yes or no and says why in its log only, so the log of the sending thread is kept.
"""

from __future__ import annotations

import logging
import threading
import warnings
from typing import Any

import apprise
from apprise.common import NotifyFormat, NotifyType
from apprise.plugins.base import NotifyBase

from shared.addresses import internal, is_loopback, resolved
from shared.notify.model import Message, Severity
from shared.notify.routing import Channel
from shared.notify.text import markdown_body, plain_body, title_of

# All plugins are loaded here, once and by one thread; one of them imports what Python deprecates.
with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    apprise.Apprise.instantiate("json://localhost")

_TYPES = {
    Severity.INFO: NotifyType.INFO,
    Severity.WARNING: NotifyType.WARNING,
    Severity.CRITICAL: NotifyType.FAILURE,
}
_NOT_UNDERSTOOD = "the URL is not understood by the notification library"
_INTERNAL = "points at an internal address"


class Sender:
    """Sends through Apprise; one service object a channel, so that its own pauses are kept."""

    def __init__(self, *, allow_loopback: bool = False) -> None:
        self._allow_loopback = allow_loopback
        self._services: dict[Channel, NotifyBase] = {}
        self._log = _ThreadLog()
        # Addresses of channels are secrets: what the library logs goes nowhere but to us.
        logger = logging.getLogger("apprise")
        logger.setLevel(logging.WARNING)
        logger.propagate = False
        logger.addHandler(self._log)

    def send(self, channel: Channel, message: Message) -> str:
        """Send; returns why that failed, empty when it was accepted. Raises nothing.

        The name of the host is looked up anew each time, and no internal address is sent to. The
        library looks it up once more by itself: a name that changes between the two is not seen.
        """
        service = self._service(channel)
        problem = self._problem(service)
        if service is None or problem:
            return problem
        # Where plain text is not rendered as it is, the library escapes it, but for Markdown: there
        # it would escape our links as well.
        markdown = service.resolve_format(NotifyFormat.TEXT) == NotifyFormat.MARKDOWN
        self._log.begin()
        try:
            accepted = service.notify(
                title=title_of(message),
                body=markdown_body(message) if markdown else plain_body(message),
                notify_type=_TYPES[message.severity],
                body_format=NotifyFormat.MARKDOWN if markdown else NotifyFormat.TEXT,
            )
        except Exception as error:  # noqa: BLE001 - about 130 plugins, each with errors of its own
            return type(error).__name__
        finally:
            said = self._log.end()
        return "" if accepted else said or "not accepted"

    def check(self, channel: Channel) -> str:
        """What is wrong with a channel, without sending anything; empty when nothing is."""
        return self._problem(self._service(channel))

    def _service(self, channel: Channel) -> NotifyBase | None:
        if channel in self._services:
            return self._services[channel]
        service = _instance(channel)
        if service is not None:
            self._services[channel] = service
        return service

    def _problem(self, service: NotifyBase | None) -> str:
        if service is None:
            return _NOT_UNDERSTOOD
        hosts = _hosts(service)
        local = bool(hosts) and all(is_loopback(host) for host in hosts)
        if _plain(service) and not (local and self._allow_loopback):
            return "not encrypted: use the encrypted form of the URL's scheme"
        if any(self._leads_inside(host) for host in hosts):
            return _INTERNAL
        return ""

    def _leads_inside(self, host: str) -> bool:
        addresses = resolved(host)  # of no such name: sending will say so
        return any(internal(a, allow_loopback=self._allow_loopback) for a in addresses)


def _instance(channel: Channel) -> NotifyBase | None:
    asset = apprise.AppriseAsset(
        app_id="Lakemend",
        app_desc="Lakemend",
        app_url="",
        image_url_mask="",
        image_url_logo="",
        http_redirects=False,
        async_mode=False,
        pgp_autogen=False,
        pem_autogen=False,
    )
    try:
        service = apprise.Apprise.instantiate(channel.url, asset=asset, suppress_exceptions=True)
    except Exception:  # noqa: BLE001 - its text may hold the URL
        return None
    if not isinstance(service, NotifyBase):
        return None
    # Two waits a request, connecting and reading: together within the channel's time.
    service.socket_connect_timeout = service.socket_read_timeout = channel.timeout_seconds / 2
    return service


def _plain(service: NotifyBase) -> bool:
    """Whether the service's scheme is the one without TLS of two, or has no other."""
    return str(service.schema) in _names(type(service).protocol) and not service.secure


def _names(protocol: Any) -> tuple[str, ...]:  # noqa: ANN401 - None, a name or several
    return (protocol,) if isinstance(protocol, str) else tuple(protocol or ())


def _hosts(service: NotifyBase) -> list[str]:
    """The hosts that the service connects to as far as its URL names them.

    Of most services the place of the host holds a token: only a template tells.
    """
    templates: tuple[object, ...] = tuple(type(service).templates)
    named = any("{host}" in str(template) for template in templates)
    hosts = [getattr(service, "host", "") if named else "", getattr(service, "smtp_host", "")]
    return [str(host) for host in hosts if host]


class _ThreadLog(logging.Handler):
    """Keeps what a thread logs between `begin` and `end`."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._lines: dict[int, list[str]] = {}

    def begin(self) -> None:
        self._lines[threading.get_ident()] = []

    def end(self) -> str:
        return " ".join(self._lines.pop(threading.get_ident(), []))

    def emit(self, record: logging.LogRecord) -> None:
        lines = self._lines.get(threading.get_ident())
        if lines is not None:
            lines.append(record.getMessage())
