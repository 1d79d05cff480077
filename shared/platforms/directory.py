"""Clients of the listed targets, connected when first used and kept."""

from __future__ import annotations

import threading
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from shared.clock import Clock
from shared.errors import ConfigurationError
from shared.platforms import data_factory, databricks, key_vault, source_files
from shared.platforms.data_factory import FactoryClient
from shared.platforms.databricks import WorkspaceApi
from shared.platforms.key_vault import KeyVault
from shared.platforms.package_index import PackageIndex
from shared.platforms.playbooks import Playbooks
from shared.platforms.source_files import SourceFiles
from shared.settings import TOKEN_FILE, Settings, read_token
from shared.targets import DataFactory, Workspace

if TYPE_CHECKING:
    from collections.abc import Callable

    from azure.core.credentials import TokenCredential

T = TypeVar("T")
_making = threading.Lock()


class Platforms:
    """One client per target."""

    def __init__(
        self, settings: Settings, clock: Clock, credential: Callable[[], TokenCredential]
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._credential = credential
        self._factories: dict[str, FactoryClient] = {}
        self._workspaces: dict[str, WorkspaceApi] = {}

    @cached_property
    def playbooks(self) -> Playbooks:
        """The configured playbooks."""
        return Playbooks(self._settings.playbooks, self._settings.call_timeout)

    @cached_property
    def package_index(self) -> PackageIndex | None:
        """The team's package index, None if none is configured."""
        url = self._settings.package_index_url
        return PackageIndex(url, self._clock, self._settings.call_timeout) if url else None

    @cached_property
    def source_files(self) -> SourceFiles | None:
        """The storage account whose files we may look for, None if none is configured."""
        connection = self._settings.source_storage_connection
        url = self._settings.source_storage_account_url
        if not connection and not url:
            return None
        credential = None if connection else self._credential()
        return source_files.connect(connection, url, credential, self._clock)

    def key_vault(self, url: str) -> KeyVault:
        """A reader of the vault at `url`.

        Raises:
            ConfigurationError: it is neither configured nor a vault's usual address, or there is no
                token for it.
        """
        listed = url.rstrip("/") in self._settings.key_vault_urls
        token = read_token(self._settings.azure_access_token)
        host = urlsplit(url).hostname or ""
        usual = url.startswith("https://") and host.endswith(key_vault.SUFFIXES)
        if not listed and (not usual or token):
            raise ConfigurationError(f"KEY_VAULT_URLS: {host or 'a vault'} is not listed")
        credential = None if token else self._credential()
        timeout = self._settings.call_timeout
        return key_vault.connect(url, token, credential, self._clock, timeout)

    def renew(self, target: str) -> bool:
        """Forget a target's client, so that the next one is made with a new token.

        Returns:
            Whether a new token can be had: not where a fixed one is configured.
        """
        self._factories.pop(target, None)
        self._workspaces.pop(target, None)
        configured = self._configured_token(target)
        return not configured or configured.startswith(TOKEN_FILE)

    def _configured_token(self, target: str) -> str:
        listed = self._settings.targets.by_name(target)
        if isinstance(listed, Workspace):
            return self._settings.workspace_tokens.get(listed.name, "")
        return self._settings.azure_access_token

    def factory(self, target: str) -> FactoryClient:
        """The client of the factory called `target`.

        Raises:
            ConfigurationError: no such factory is listed.
        """
        return self._made(self._factories, target, self._connect_factory)

    def workspace(self, target: str) -> WorkspaceApi:
        """The client of the workspace called `target`.

        Raises:
            ConfigurationError: no such workspace is listed.
        """
        return self._made(self._workspaces, target, self._connect_workspace)

    def _made(self, made: dict[str, T], target: str, connect: Callable[[str], T]) -> T:
        """A target's client, made by one thread at a time.

        The Databricks SDK works out its settings on a class that all threads share (0.156): two
        first clients at once can break each other.
        """
        found = made.get(target)
        if found is None:
            with _making:
                found = made.get(target) or connect(target)
                made[target] = found
        return found

    def _connect_factory(self, target: str) -> FactoryClient:
        listed = self._settings.targets.by_name(target)
        if not isinstance(listed, DataFactory):
            raise ConfigurationError(f"TARGETS: no data factory is called {target!r}")
        token = read_token(self._settings.azure_access_token)
        return data_factory.connect(
            listed,
            self._settings.arm_endpoint,
            token,
            None if token else self._credential(),
            self._clock,
            self._settings.call_timeout,
        )

    def _connect_workspace(self, target: str) -> WorkspaceApi:
        listed = self._settings.targets.by_name(target)
        if not isinstance(listed, Workspace):
            raise ConfigurationError(f"TARGETS: no Databricks workspace is called {target!r}")
        token = read_token(self._settings.workspace_tokens.get(listed.name, ""))
        return databricks.connect(
            listed,
            token,
            None if token else self._credential(),
            self._clock,
            self._settings.call_timeout,
        )
