"""HTTP for the Azure SDKs: connections stay open, the environment is asked once."""

from __future__ import annotations

from typing import Any

_CONNECTIONS = 64  # kept open; azure-core's own ten are closed and opened again under load


def transport_to(url: str) -> Any:  # noqa: ANN401 - azure-core's type, imported where it is used
    """A transport of azure-core for requests to `url`'s host.

    Proxies and certificates that the environment names hold as ever; requests would look them up,
    and a .netrc, at every request, which is a quarter of a small request's processor time.
    """
    import requests
    from azure.core.pipeline.transport import RequestsTransport
    from requests.adapters import HTTPAdapter

    session = requests.Session()
    named = session.merge_environment_settings(url, {}, None, None, None)
    session.trust_env = False
    session.proxies.update(named["proxies"])
    for scheme in ("https://", "http://"):
        session.mount(scheme, HTTPAdapter(pool_maxsize=_CONNECTIONS))
    verify = True if named["verify"] is None else named["verify"]
    return RequestsTransport(session=session, session_owner=True, connection_verify=verify)
