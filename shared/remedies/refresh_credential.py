"""Another token in place of our own expired one, then once more.

Only our own token, and only where it can be had anew: from our identity, or from a file that
somebody keeps fresh. A credential of a linked service, a job or a person is not ours to renew:
that goes to a person. An attempt is made where the platform refuses us (`diagnose`), because there
is nothing to read about the failure before that; this file decides and explains.

Expired is what says so: Azure Resource Manager's 401 `ExpiredAuthenticationToken`, and Databricks'
401 or 403 whose text speaks of an expired token. Any other refusal of our token (a wrong tenant, a
revoked or unknown token, a missing right) is not cured by another one and goes to a person.
"""

from __future__ import annotations

import re

from shared.errors import PlatformError
from shared.models import Attempt
from shared.remedies.base import Case, Plan, Refusal

UNAUTHENTICATED, _FORBIDDEN = 401, 403
_EXPIRED_CODES = frozenset({"ExpiredAuthenticationToken"})
_EXPIRED = re.compile(
    r"\btoken\b.{0,40}\bexpir(?:ed|y)\b|\bexpired\b.{0,20}\btoken\b", re.IGNORECASE
)


class RefreshCredential:
    """The remedy `refresh_credential` for credentials that the evidence names: never ours."""

    def plan(self, case: Case, tried: list[Attempt]) -> Plan | Refusal:
        """Always refused: our own expired token shows before there is any evidence."""
        del case, tried
        return Refusal("the expired credential is not our own; renew it where it is kept")


def is_own_expired(error: PlatformError) -> bool:
    """Whether the platform refused our own token because it has expired."""
    if error.status not in {UNAUTHENTICATED, _FORBIDDEN}:
        return False
    return error.code in _EXPIRED_CODES or _EXPIRED.search(str(error)) is not None
