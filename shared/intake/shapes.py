"""What the dialects build: drafts of alerts, and fingerprints."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from shared.errors import InputError
from shared.models import Alert, Subject
from shared.vocabulary import Condition, Disposition

if TYPE_CHECKING:
    from shared.redaction import Redactor  # loads RE2, which starting does not need


def fingerprint(dialect: str, identity: Any) -> str:  # noqa: ANN401 - any JSON value
    """A text that is equal for two deliveries of the same message and for nothing else."""
    document = msgspec.json.encode(identity, order="sorted")
    return f"{dialect}:{hashlib.sha256(document).hexdigest()}"


def clean(alert: Alert, redactor: Redactor) -> Alert:
    """The alert without secrets in its texts. Its fingerprint is of what was sent."""
    subjects = tuple(
        replace(
            subject,
            message=redactor.text(subject.message),
            code=redactor.text(subject.code),
            cluster_name=redactor.text(subject.cluster_name),
            library=redactor.text(subject.library)[:MAX_LIBRARY],
        )
        for subject in alert.subjects
    )
    return replace(
        alert,
        subjects=subjects,
        rule=redactor.text(alert.rule),
        severity=redactor.text(alert.severity),
        reason=redactor.text(alert.reason),
    )


MAX_LIBRARY = 4_000  # characters: a mask may be longer than what it hides
MAX_SUBJECTS = 100  # keeps an alert well below what one row of the ledger holds


class Draft(msgspec.Struct):
    """An alert in the making; subjects that are not ours are refused, the others kept."""

    dialect: str
    rule: str
    fingerprint: str
    condition: Condition = Condition.FIRED
    severity: str = ""
    fired_at: datetime | None = None
    dated: bool = True
    subjects: list[Subject] = []
    refusals: list[str] = []
    ignorances: list[str] = []

    def add(self, subject: Subject | None, place: str) -> None:
        """Add a subject; None means that `place` is not a listed target."""
        if subject is None:
            self.refuse(f"{place} is not a listed target")
        elif subject not in self.subjects:
            self.subjects.append(subject)
        if len(self.subjects) > MAX_SUBJECTS:
            raise InputError("$", f"expected at most {MAX_SUBJECTS} failures in one alert")

    def refuse(self, reason: str) -> None:
        """Note that something the alert names cannot be taken on."""
        self.refusals.append(reason)

    def ignore(self, reason: str) -> None:
        """Note that a part of the alert tells of no failure."""
        self.ignorances.append(reason)

    def ignored(self, reason: str) -> Alert:
        """The alert as one that tells of no failure."""
        self.ignore(reason)
        return self.alert()

    def alert(self) -> Alert:
        """The finished alert: accepted if it has a subject, else refused or ignored."""
        disposition = Disposition.ACCEPTED
        if not self.subjects:
            disposition = Disposition.REFUSED if self.refusals else Disposition.IGNORED
        return Alert(
            fingerprint=self.fingerprint,
            dialect=self.dialect,
            rule=self.rule,
            condition=self.condition,
            subjects=tuple(self.subjects),
            severity=self.severity,
            fired_at=self.fired_at,
            dated=self.dated,
            disposition=disposition,
            reason="; ".join([*self.refusals, *self.ignorances])[:2000],
        )
