"""Who hears what: the setting NOTIFICATION_URLS, parsed, checked and matched. Pure.

Errors name the field and never print a URL: URLs of channels are secrets.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

import msgspec

from shared.addresses import internal, is_loopback, literal
from shared.decoding import decode
from shared.errors import ConfigurationError
from shared.notify.model import Message, MessageKind, Severity

SETTING = "NOTIFICATION_URLS"
_MAX_CHANNELS = 50
_LONGEST_TIMEOUT = 30.0
# What a generic webhook and a mail relay are called in plain and over TLS. All other plain
# schemes are refused when the library is asked (shared/notify/sending.py).
_PLAIN = {"json": "jsons", "xml": "xmls", "form": "forms", "mailto": "mailtos", "http": "https"}
_METADATA = frozenset({"metadata", "metadata.google.internal", "metadata.azure.internal"})
_SWITCHES = {
    "verify": "certificates are always checked",
    "redirect": "redirects are never followed",
    "retry": "messages are repeated by the outbox",
    "wait": "messages are repeated by the outbox",
    "rto": "use timeout_seconds of the channel",
    "cto": "use timeout_seconds of the channel",
}
_TOKEN_LIKE = 16  # characters from which on a part of a path is taken for a secret
_TO_ALL = frozenset({MessageKind.DIGEST, MessageKind.TEST})


class Channel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One place that messages go to. Empty lists let everything through; patterns know `*`."""

    name: str
    url: str
    kinds: tuple[MessageKind, ...] = ()
    min_severity: Severity = Severity.INFO
    environments: tuple[str, ...] = ()
    owners: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    timeout_seconds: float = 10.0

    def __repr__(self) -> str:
        return f"Channel({self.name!r})"

    @property
    def secrets(self) -> list[str]:
        """What of the URL must never appear in a text."""
        parts = urlsplit(self.url)
        pieces = [parts.netloc.rpartition("@")[2].split(":")[0], *parts.path.split("/")]
        found = [self.url, _password(parts)]
        found += [piece for piece in [*pieces, parts.username or ""] if _token_like(piece)]
        found += [value for _, value in parse_qsl(parts.query) if _token_like(value)]
        return [text for secret in found if secret for text in {secret, unquote(secret)}]

    def takes(self, message: Message) -> bool:
        """Whether `message` goes here."""
        if message.kind is MessageKind.TEST:
            return True
        if self.kinds and message.kind not in self.kinds:
            return False
        if message.severity.rank < self.min_severity.rank:
            return False
        return message.kind in _TO_ALL or all(
            _matches(patterns, value)
            for patterns, value in (
                (self.environments, message.environment),
                (self.owners, message.owner),
                (self.targets, message.target),
            )
        )


def route(channels: Sequence[Channel], message: Message) -> list[str]:
    """Names of the channels that `message` goes to."""
    named = [c for c in channels if not message.channels or c.name in message.channels]
    return [channel.name for channel in named if channel.takes(message)]


def channels(raw: str, *, allow_loopback: bool = False) -> tuple[Channel, ...]:
    """The channels that the setting describes: a JSON list, or URLs between commas or spaces.

    Args:
        raw: the setting's value, empty for no channels.
        allow_loopback: whether a channel may be on this machine, as in tests.

    Raises:
        ConfigurationError: names the channel's field and what was expected; never shows a URL.
    """
    text = raw.strip()
    listed = _decoded(text) if text.startswith("[") else _short(text)
    if len(listed) > _MAX_CHANNELS:
        raise ConfigurationError(f"{SETTING}: expected at most {_MAX_CHANNELS} channels")
    seen: set[str] = set()
    for position, channel in enumerate(listed):
        _check(f"{SETTING}[{position}]", channel, seen, allow_loopback=allow_loopback)
    return listed


def _decoded(text: str) -> tuple[Channel, ...]:
    try:
        return decode(text, tuple[Channel, ...])
    except msgspec.DecodeError as error:
        said = re.sub(r"'[^']*'", "a value", str(error))  # a URL in the wrong place is a secret too
        raise ConfigurationError(f"{SETTING}: {said}") from None


def _short(text: str) -> tuple[Channel, ...]:
    urls = [url for url in re.split(r"[,\s]+", text) if url]
    return tuple(Channel(f"channel-{n}", url) for n, url in enumerate(urls, 1))


def _check(where: str, channel: Channel, seen: set[str], *, allow_loopback: bool) -> None:
    if not channel.name.strip():
        raise ConfigurationError(f"{where}.name: expected a name")
    if channel.name.lower() in seen:
        raise ConfigurationError(f"{where}.name: two channels are called {channel.name!r}")
    seen.add(channel.name.lower())
    if not 1 <= channel.timeout_seconds <= _LONGEST_TIMEOUT:
        raise ConfigurationError(f"{where}.timeout_seconds: expected 1 to {_LONGEST_TIMEOUT:.0f}")
    _check_url(f"{where}.url", channel.url, allow_loopback=allow_loopback)


def _check_url(where: str, url: str, *, allow_loopback: bool) -> None:
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").lower()
    except ValueError:
        raise ConfigurationError(f"{where}: expected a URL such as slack://…") from None
    if not parts.scheme or "://" not in url:
        raise ConfigurationError(f"{where}: expected a URL such as slack://… or mailtos://…")
    query = {name.lower(): value for name, value in parse_qsl(parts.query, keep_blank_values=True)}
    for switch in query.keys() & _SWITCHES.keys():
        raise ConfigurationError(f"{where}: remove {switch}=: {_SWITCHES[switch]}")
    _check_scheme(where, parts.scheme.lower(), host, allow_loopback=allow_loopback)
    for named in (host, query.get("smtp", "").lower()):
        _check_host(where, named, allow_loopback=allow_loopback)


def _check_scheme(where: str, scheme: str, host: str, *, allow_loopback: bool) -> None:
    secure = _PLAIN.get(scheme)
    if secure and not (allow_loopback and is_loopback(host)):
        raise ConfigurationError(f"{where}: {scheme}:// is not encrypted, use {secure}://")


def _check_host(where: str, host: str, *, allow_loopback: bool) -> None:
    address = literal(host)
    named = is_loopback(host) and not allow_loopback
    if (
        host.rstrip(".") in _METADATA
        or named
        or (address and internal(address, allow_loopback=allow_loopback))
    ):
        raise ConfigurationError(
            f"{where}: points at an internal address; only public ones are used"
        )


def _password(parts: SplitResult) -> str:
    try:
        return parts.password or ""
    except ValueError:
        return ""


def _token_like(piece: str) -> bool:
    """Whether a part of a URL looks like a credential and not like a word or an address."""
    if "@" in piece or "." in piece:
        return False
    mixed = any(c.isdigit() for c in piece) and any(c.isalpha() for c in piece)
    return len(piece) >= _TOKEN_LIKE or (mixed and len(piece) >= _TOKEN_LIKE // 2)


def _matches(patterns: Sequence[str], value: str) -> bool:
    return not patterns or any(fnmatchcase(value.lower(), p.lower()) for p in patterns)
