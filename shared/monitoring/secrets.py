"""Secrets and certificates that end soon.

Looked at are the vaults in KEY_VAULT_URLS, and what linked services of the factories use. Only
names and dates are read, never a value.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import msgspec

from shared.clock import from_millis
from shared.errors import ConfigurationError, NothingChanged
from shared.findings.model import FindingKind, Seen
from shared.healing.context import Context
from shared.monitoring.ceilings import ending
from shared.monitoring.noting import Look
from shared.platforms.calls import as_promised
from shared.platforms.key_vault import KeyVault

log = logging.getLogger("lakemend.sweeps")

Row = dict[str, Any]

KIND = FindingKind.SECRET_EXPIRES
_MOST_VERSIONS = 50  # secrets of a factory whose version is pinned: one call each


class Reference(msgspec.Struct, frozen=True):
    """A secret that a linked service uses; no version: always the newest."""

    vault: str
    secret: str
    version: str
    service: str


class Secrets:
    """One look at all vaults; each is listed once."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._listed: dict[str, dict[str, Row] | None] = {}

    def looks(self) -> Iterator[Look]:
        """What ends soon. A vault or factory that cannot be read is left out, resolving nothing."""
        context = self._context
        for url in context.settings.key_vault_urls:
            rows = self._list(url)
            if rows is not None:
                yield Look(vault_name(url), frozenset({KIND}), self._of_vault(url, rows))
        for factory in context.settings.targets.factories:
            found = self._references(factory.name)
            if found is not None:
                yield self._of_factory(factory.name, found)

    def _of_vault(self, url: str, rows: dict[str, Row]) -> tuple[Seen, ...]:
        now, vault = self._context.clock.now(), vault_name(url)
        return tuple(s for name, row in rows.items() for s in _ending(vault, vault, name, row, now))

    def _references(self, factory: str) -> list[Reference] | None:
        try:
            with as_promised():
                return references(self._context.platforms.factory(factory).linked_services())
        except (NothingChanged, ConfigurationError) as error:
            self._say(factory, error)
            return None

    def _of_factory(self, factory: str, found: list[Reference]) -> Look:
        """The secrets that a factory uses; what a look at a whole vault tells is left to that."""
        own = {vault_name(url) for url in self._context.settings.key_vault_urls}
        found = [one for one in found if one.version or vault_name(one.vault) not in own]
        pinned = [one for one in found if one.version]
        late = set(pinned[_MOST_VERSIONS:])
        rows = {one: None if one in late else self._row(one) for one in found}
        now = self._context.clock.now()
        seen = tuple(
            s for one, row in rows.items() if row is not None for s in _used(factory, one, row, now)
        )
        unread = {_resource(one) for one, row in rows.items() if row is None}
        read = frozenset(_resource(one) for one in rows) - unread
        return Look(factory, frozenset({KIND}), seen, read if unread else None)

    def _row(self, one: Reference) -> Row | None:
        """The secret, or the version that is used; {} for one that is not there."""
        rows = self._list(one.vault)
        if rows is None or not one.version:
            return None if rows is None else rows.get(one.secret.lower(), {})
        try:
            with as_promised():
                listed = self._vault(one.vault).versions(one.secret)
        except (NothingChanged, ConfigurationError) as error:
            self._say(vault_name(one.vault), error)
            return None
        return next((row for row in listed if str(row.get("id")).endswith(f"/{one.version}")), {})

    def _list(self, url: str) -> dict[str, Row] | None:
        name = vault_name(url)
        if name not in self._listed:
            try:
                with as_promised():
                    rows = self._vault(url).secrets()
                    self._listed[name] = {_name(row): row for row in rows}
            except (NothingChanged, ConfigurationError) as error:
                self._say(name, error)
                self._listed[name] = None
        return self._listed[name]

    def _vault(self, url: str) -> KeyVault:
        return self._context.platforms.key_vault(url)

    def _say(self, where: str, error: Exception) -> None:
        text = self._context.redactor.text(str(error))
        log.warning("secrets of %s cannot be told: %s", where, text)


def vault_name(url: str) -> str:
    """What a vault is called in findings: its host."""
    return (urlsplit(url).hostname or url).lower()


def references(services: Iterable[Row]) -> list[Reference]:
    """The secrets that linked services use; names that are worked out in a run are left out."""
    services = list(services)
    vaults: dict[str, str] = {}
    for service in services:
        properties = service.get("properties") or {}
        if properties.get("type") == "AzureKeyVault":
            url = (properties.get("typeProperties") or {}).get("baseUrl")
            vaults[str(service.get("name"))] = url if isinstance(url, str) else ""
    found: dict[tuple[str, str, str], Reference] = {}
    for service in services:
        for node in _nodes(service.get("properties")):
            url = vaults.get(str((node.get("store") or {}).get("referenceName")), "")
            secret, version = node.get("secretName"), node.get("secretVersion")
            if url and isinstance(secret, str):
                version = version if isinstance(version, str) else ""
                one = Reference(url, secret, version, str(service.get("name")))
                found.setdefault((url, secret, version), one)
    return list(found.values())


def _nodes(value: Any) -> Iterator[Row]:  # noqa: ANN401 - any JSON value
    if isinstance(value, list):
        for item in value:
            yield from _nodes(item)
    elif isinstance(value, dict):
        if value.get("type") == "AzureKeyVaultSecret":
            yield value
        for item in value.values():
            yield from _nodes(item)


def _name(row: Row) -> str:
    """The name of a listed secret: `id` is `<vault>/secrets/<name>`."""
    return str(row.get("id") or "").partition("/secrets/")[2].partition("/")[0].lower()


def _resource(one: Reference) -> str:
    return f"{vault_name(one.vault)}/{one.secret.lower()}"


def _used(factory: str, one: Reference, row: Row, now: datetime) -> tuple[Seen, ...]:
    version = f" in its version {one.version}" if one.version else ""
    said = f"linked service {one.service} uses it{version}"
    return _ending(factory, vault_name(one.vault), one.secret, row, now, said)


def _ending(
    target: str, vault: str, name: str, row: Row, now: datetime, user: str = ""
) -> tuple[Seen, ...]:
    attributes = row.get("attributes") or {}
    ends = attributes.get("exp")
    if not ends or attributes.get("enabled") is False:
        return ()
    what = "certificate" if row.get("managed") else "secret"
    said = f"the {what} {name} in {vault}"
    found = ending(target, f"{vault}/{name.lower()}", said, from_millis(float(ends) * 1000), now)
    more = (user,) if user else ()
    help_ = "put a new version into the vault; whoever uses a fixed version has to be told"
    return tuple(
        msgspec.structs.replace(s, kind=KIND, evidence=(*s.evidence, *more), proposal=help_)
        for s in found
    )
