"""Another token in place of our own expired one, then once more.

Only our own token, and only where it can be had anew: from our identity, or from a file that
somebody keeps fresh. A credential of a linked service, a job or a person is not ours to renew:
that goes to a person. An attempt is made where the platform refuses us (`diagnose`), because there
is nothing to read about the failure before that; this file decides and explains.
"""

from __future__ import annotations

from shared.errors import PlatformError
from shared.models import Attempt
from shared.remedies.base import Case, Plan, Refusal

_UNAUTHENTICATED = 401


class RefreshCredential:
    """The remedy `refresh_credential` for credentials that the evidence names: never ours."""

    def plan(self, case: Case, tried: list[Attempt]) -> Plan | Refusal:
        """Always refused: our own expired token shows before there is any evidence."""
        del case, tried
        return Refusal("the expired credential is not our own; renew it where it is kept")


def is_own_expired(error: PlatformError) -> bool:
    """Whether the platform refused our own token."""
    return error.status == _UNAUTHENTICATED
