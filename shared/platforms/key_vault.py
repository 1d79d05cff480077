"""Key vaults: what their secrets are called and when they end. Values are never asked for.

Source of the API rules: https://learn.microsoft.com/rest/api/keyvault/secrets/get-secrets and
…/get-secret-versions. A certificate is listed as a secret that the vault manages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from shared.clock import Clock
from shared.errors import PlatformRefused, PlatformUnavailable
from shared.platforms.calls import read
from shared.platforms.data_factory import fixed_token, translate

if TYPE_CHECKING:
    from azure.core import PipelineClient
    from azure.core.credentials import TokenCredential

Row = dict[str, Any]

# Hosts of vaults by cloud: our token goes nowhere else unless the setting names the vault.
SUFFIXES = (".vault.azure.net", ".vault.azure.cn", ".vault.usgovcloudapi.net")
_VERSION = "7.4"
_MAX_PAGES = 200


class KeyVault:
    """One vault."""

    def __init__(self, url: str, client: PipelineClient[Any, Any], clock: Clock) -> None:
        self._url = url.rstrip("/")
        self._client = client
        self._clock = clock

    def secrets(self) -> list[Row]:
        """All secrets and certificates, each as its current version: `id`, `attributes`, `managed`.

        Raises:
            NothingChanged: the vault does not answer or refuses.
        """
        return self._pages(f"{self._url}/secrets?api-version={_VERSION}")

    def versions(self, name: str) -> list[Row]:
        """All versions of a secret."""
        path = f"{self._url}/secrets/{quote(name, safe='')}/versions"
        return self._pages(f"{path}?api-version={_VERSION}")

    def _pages(self, url: str) -> list[Row]:
        rows: list[Row] = []
        for _ in range(_MAX_PAGES):
            page = read(lambda url=url: self._get(url), translate, self._clock)  # type: ignore[misc]  # the page's own
            rows += page.get("value") or []
            url = str(page.get("nextLink") or "")
            if not url:
                return rows
            if urlsplit(url).hostname != urlsplit(self._url).hostname:
                raise PlatformRefused("the vault's next page is on another host")
        raise PlatformUnavailable("the vault lists more than can be read")

    def _get(self, url: str) -> Row:
        from azure.core.exceptions import HttpResponseError
        from azure.core.rest import HttpRequest

        answer = self._client.send_request(HttpRequest("GET", url))
        if answer.status_code != 200:  # noqa: PLR2004 - OK
            raise HttpResponseError(response=answer)
        return dict(answer.json())


def connect(
    url: str, token: str, credential: TokenCredential | None, clock: Clock, timeout: float
) -> KeyVault:
    """A reader of the vault at `url`, by a fixed token or by identity."""
    from azure.core import PipelineClient
    from azure.core.pipeline.policies import BearerTokenCredentialPolicy, RetryPolicy

    if token or credential is None:
        access: Any = fixed_token(token)
    else:
        access = BearerTokenCredentialPolicy(credential, f"{_audience(url)}/.default")
    client: PipelineClient[Any, Any] = PipelineClient(
        url,
        policies=[RetryPolicy.no_retries(), access],
        connection_timeout=min(timeout, 10),
        read_timeout=timeout,
    )
    return KeyVault(url, client, clock)


def _audience(url: str) -> str:
    host = urlsplit(url).hostname or ""
    known = next((suffix for suffix in SUFFIXES if host.endswith(suffix)), SUFFIXES[0])
    return f"https://{known[1:]}"
