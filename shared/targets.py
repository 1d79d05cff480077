"""The factories and workspaces that we may touch: nothing else is ever called.

Hosts come from configuration alone, never from a payload; a resource that is not listed here is
refused. ARM ids are compared without regard to case: alerts send lower case, diagnostic logs upper
case, ARM itself a mixture.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

import msgspec

from shared.errors import ConfigurationError

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_WORKSPACE_HOST = re.compile(r"^adb-(\d+)\.\d+\.azuredatabricks\.net$")
_FACTORY_ID = re.compile(
    r"^/subscriptions/([^/]+)/resourcegroups/([^/]+)/providers/microsoft\.datafactory/"
    r"factories/([^/]+)",
    re.IGNORECASE,
)


class DataFactory(msgspec.Struct, frozen=True, tag="data_factory", tag_field="kind"):
    """One data factory. `name` is also its target name in incidents and policy."""

    name: str
    subscription_id: str
    resource_group: str
    environment: str = "production"
    tags: dict[str, str] = {}

    @property
    def resource_id(self) -> str:
        """The factory's ARM id, in lower case."""
        return (
            f"/subscriptions/{self.subscription_id}/resourcegroups/{self.resource_group}"
            f"/providers/microsoft.datafactory/factories/{self.name}"
        ).lower()


class Workspace(msgspec.Struct, frozen=True, tag="databricks", tag_field="kind"):
    """One Databricks workspace.

    `token_setting` names the setting that holds its token; without one our own identity is used.
    `workspace_id` is the number in notifications; it is read off an `adb-<id>…` host when missing.
    """

    name: str
    host: str
    workspace_id: str = ""
    resource_id: str = ""
    token_setting: str = ""
    environment: str = "production"
    tags: dict[str, str] = {}

    @property
    def known_id(self) -> str:
        """The workspace's number, empty when neither given nor readable off the host."""
        if self.workspace_id:
            return self.workspace_id
        match = _WORKSPACE_HOST.match(urlsplit(self.host).hostname or "")
        return match.group(1) if match else ""


Target = DataFactory | Workspace


class Targets:
    """The listed targets, looked up in the ways in which payloads name them."""

    def __init__(self, listed: Sequence[Target]) -> None:
        self._listed = tuple(listed)
        self.factories = tuple(t for t in listed if isinstance(t, DataFactory))
        self.workspaces = tuple(t for t in listed if isinstance(t, Workspace))
        _refuse_twins(listed)

    def __iter__(self) -> Iterator[Target]:
        return iter(self._listed)

    def by_name(self, name: str) -> Target | None:
        """The target called `name`, without regard to case."""
        return next((t for t in self._listed if t.name.lower() == name.lower()), None)

    def factory(self, name_or_id: str) -> DataFactory | None:
        """The factory that an ARM id (or the id of something in it) or a bare name means."""
        if not name_or_id.startswith("/"):
            return next((f for f in self.factories if f.name.lower() == name_or_id.lower()), None)
        match = _FACTORY_ID.match(name_or_id)
        if match is None:
            return None
        wanted = match.group(0).lower()
        return next((f for f in self.factories if f.resource_id == wanted), None)

    def workspace(self, identity: str) -> Workspace | None:
        """The workspace with this number, name or ARM id.

        Where exactly one workspace is listed and nothing tells its number, that one is meant by
        an empty identity or any number: there is nothing to compare with.
        """
        wanted = identity.lower()
        for listed in self.workspaces:
            if wanted and wanted in _names(listed):
                return listed
        if len(self.workspaces) != 1:
            return None
        only = self.workspaces[0]
        return only if not wanted or (wanted.isdigit() and not only.known_id) else None


def _names(workspace: Workspace) -> set[str]:
    names = {workspace.name, workspace.known_id, workspace.resource_id}
    return {name.lower() for name in names if name}


def _refuse_twins(listed: Sequence[Target]) -> None:
    seen: set[str] = set()
    for target in listed:
        if target.name.lower() in seen:
            raise ConfigurationError(f"TARGETS: two targets are called {target.name!r}")
        seen.add(target.name.lower())


def check_endpoint(setting: str, url: str) -> str:
    """`url` without its trailing slash, if it is https, or http towards loopback.

    Raises:
        ConfigurationError: it is neither.
    """
    scheme, host = _scheme_and_host(url)
    if (scheme == "https" and host) or (scheme == "http" and host in _LOOPBACK):
        return url.rstrip("/")
    # Only so much of it is said: an address may hold a signature or a password.
    raise ConfigurationError(
        f"{setting}: expected an https:// URL (http:// only towards this machine), without user "
        f"name, got {scheme}://{host}"
    )


def _scheme_and_host(url: str) -> tuple[str, str]:
    """Scheme and host of a URL, both empty where readers of URLs may not agree what they are."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "", ""
    if "@" in parts.netloc or "\\" in url or url != url.strip():
        return "", ""
    return parts.scheme, (parts.hostname or "").lower()


def check_urls(urls: dict[str, str], hosts: Sequence[str]) -> dict[str, str]:
    """The URLs that are set, checked.

    Raises:
        ConfigurationError: one is not https, or not on a configured host.
    """
    checked = {}
    for name, url in urls.items():
        if not url:
            continue
        check_endpoint(name, url)
        _, host = _scheme_and_host(url)
        if not any(host == h.lower() or host.endswith(f".{h.lower()}") for h in hosts):
            raise ConfigurationError(
                f"{name}: the host {host} is not among PLAYBOOK_HOSTS ({', '.join(hosts)})"
            )
        checked[name] = url
    return checked
