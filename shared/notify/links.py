"""Addresses in messages: of an incident, and signed ones under which a question is answered.

A signed link is a key to one answer: it holds the incident and the question, and is worth nothing
once the question is answered or has expired. Opening it only shows the question, because mail and
chat scanners open every link.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

from shared.models import Incident, Question

if TYPE_CHECKING:
    from itsdangerous import Signer


class Ticket(msgspec.Struct, frozen=True):
    """What a signed link stands for."""

    incident_id: str
    question_id: str


class Links:
    """Makes and reads links. Without `public_url` there are none, without a key no signed ones."""

    def __init__(self, public_url: str, key: str) -> None:
        self._base = public_url
        self._key = key

    def incident(self, incident: Incident) -> str:
        """Where the incident is shown, empty if our own address is not configured."""
        return f"{self._base}/api/incidents/{incident.incident_id}" if self._base else ""

    def approval(self, incident: Incident, question: Question) -> str:
        """Where this question can be answered without a key, empty if there is no such place."""
        if not self._base or not self._key:
            return ""
        return f"{self._base}/api/approvals/{self.sign(incident.incident_id, question.question_id)}"

    def sign(self, incident_id: str, question_id: str) -> str:
        """The signed part of the link."""
        value = f"{incident_id}.{question_id}"
        return str(self._signer().sign(value).decode())

    def read(self, token: str) -> Ticket | None:
        """What a signed part stands for, None if we have not signed it."""
        from itsdangerous import BadSignature

        if not self._key or len(token) > _LONGEST:
            return None
        try:
            value = self._signer().unsign(token).decode()
        except (BadSignature, UnicodeError):
            return None
        incident_id, _, question_id = value.partition(".")
        return Ticket(incident_id, question_id)

    def _signer(self) -> Signer:
        from itsdangerous import Signer

        return Signer(self._key, salt="lakemend.approval", digest_method=hashlib.sha256)


_LONGEST = 500
