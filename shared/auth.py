"""Who calls, and what may they do. Pure; keys are compared in constant time.

Three ways in: an API key in the header `X-API-Key` or the query `api_key`, the same key as the
password of HTTP Basic (all that a Databricks webhook can send), and the principal that App Service
authentication puts into `X-MS-CLIENT-PRINCIPAL` (only where `APP_SERVICE_AUTH` is set: without
App Service authentication in front, anybody could write that header).
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Mapping

import msgspec

from shared.decoding import decode
from shared.settings import ApiKey, Settings
from shared.vocabulary import Scope

_ROLE_CLAIMS = frozenset(
    {"roles", "appid", "azp", "http://schemas.microsoft.com/ws/2008/06/identity/claims/role"}
)


class Caller(msgspec.Struct, frozen=True):
    """Somebody whom we know: the name that the audit trail uses, and the scopes."""

    name: str
    scopes: frozenset[Scope]


class _Claim(msgspec.Struct):
    typ: str
    val: str


class _Principal(msgspec.Struct):
    claims: list[_Claim] = []


def authenticate(
    settings: Settings, headers: Mapping[str, str], query: Mapping[str, str]
) -> Caller | None:
    """The caller, None if unknown. Header names are taken without regard to case."""
    lowered = {name.lower(): value for name, value in headers.items()}
    presented = lowered.get("x-api-key") or query.get("api_key") or _basic(lowered)
    if presented:
        return _by_key(settings.api_keys, presented)
    return _by_principal(settings, lowered.get("x-ms-client-principal", ""))


def _by_key(keys: tuple[ApiKey, ...], presented: str) -> Caller | None:
    found: Caller | None = None
    for key in keys:  # all of them, always: the time must not tell which one it was
        if hmac.compare_digest(key.key.encode(), presented.encode()):
            found = Caller(key.name, key.scopes)
    return found


def _basic(headers: Mapping[str, str]) -> str:
    scheme, _, encoded = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        decoded = base64.b64decode(encoded.strip(), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""
    return decoded.partition(":")[2]


def _by_principal(settings: Settings, encoded: str) -> Caller | None:
    if not encoded or not settings.app_service_auth:
        return None
    try:
        principal = decode(base64.b64decode(encoded), _Principal)
    except (msgspec.DecodeError, binascii.Error, ValueError):
        return None
    roles = [claim.val for claim in principal.claims if claim.typ in _ROLE_CLAIMS]
    granted = [settings.app_service_auth[r] for r in roles if r in settings.app_service_auth]
    scopes = frozenset[Scope]().union(*granted)
    return Caller(f"app service: {', '.join(roles)}"[:200], scopes) if scopes else None
