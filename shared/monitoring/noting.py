"""What a look has found becomes findings: new ones are told, those that are gone are resolved."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

import msgspec

from shared.clock import Clock
from shared.findings import model
from shared.findings.model import Finding, FindingKind, Seen
from shared.ledger.findings import Findings
from shared.notify.messages import finding_seen
from shared.notify.outbox import Outbox
from shared.redaction import Redactor
from shared.targets import Targets

_LAST_SEEN_EVERY = timedelta(minutes=15)  # a finding that has not changed is written so often


class Look(msgspec.Struct, frozen=True):
    """What was looked for in a target, and what was found there.

    Only what was looked for can be found gone: a target that did not answer has no `Look`.
    `resources` narrows it to some resources; None means all of the target.
    """

    target: str
    kinds: frozenset[FindingKind]
    seen: tuple[Seen, ...]
    resources: frozenset[str] | None = None

    def covers(self, finding: Finding) -> bool:
        """Whether a finding would have been seen if it still were there."""
        named = self.resources is None or finding.resource in self.resources
        return finding.target == self.target and finding.kind in self.kinds and named


class Notes:
    """Writes findings and leaves messages about them."""

    def __init__(
        self,
        findings: Findings,
        outbox: Outbox,
        redactor: Redactor,
        targets: Targets,
        clock: Clock,
        url: str = "",
    ) -> None:
        self._findings = findings
        self._outbox = outbox
        self._redactor = redactor
        self._targets = targets
        self._clock = clock
        self._url = url

    def take(self, looks: Iterable[Look]) -> int:
        """Bring the ledger in step with what was seen; returns how many findings are new.

        May be repeated at any point, and by two sweeps at once: a finding's id says what it is.
        """
        looks = list(looks)
        if not looks:
            return 0
        standing = {finding.finding_id: finding for finding in self._findings.standing()}
        seen = {one.finding_id: self._clean(one) for look in looks for one in look.seen}
        new = sum(self._note(one, standing.get(identity)) for identity, one in seen.items())
        for identity, finding in standing.items():
            if identity not in seen and any(look.covers(finding) for look in looks):
                self._findings.resolve(identity, self._clock.now())
        return new

    def _note(self, seen: Seen, before: Finding | None) -> bool:
        now = self._clock.now()
        if before is None:
            return self._open(seen)
        fresh = model.refreshed(before, seen, now)
        worth = model.worth_telling(now, fresh, before)
        if not worth and _same(fresh, before) and now - before.last_seen < _LAST_SEEN_EVERY:
            return False
        if worth:
            self._tell(fresh)
        self._findings.change(
            seen.finding_id, lambda standing: model.refreshed(standing, seen, now)
        )
        return False

    def _open(self, seen: Seen) -> bool:
        """The message first: its id is the same when this is repeated, and so it is told once."""
        now = self._clock.now()
        fresh = model.opened(seen, now, self._findings.past(seen.finding_id))
        if model.worth_telling(now, fresh, None):
            self._tell(fresh)
        return self._findings.open(fresh)

    def _tell(self, finding: Finding) -> None:
        target = self._targets.by_name(finding.target)
        environment = target.environment if target else ""
        tags = target.tags if target else {}
        owner = tags.get("owner") or tags.get("team") or ""
        url = f"{self._url}/api/findings/{finding.finding_id}" if self._url else ""
        self._outbox.put([finding_seen(finding, environment, owner, url)])

    def _clean(self, seen: Seen) -> Seen:
        text = self._redactor.text
        return msgspec.structs.replace(
            seen,
            summary=text(seen.summary),
            proposal=text(seen.proposal),
            evidence=tuple(text(line) for line in seen.evidence),
        )


def _same(one: Finding, other: Finding) -> bool:
    facts = ("severity", "summary", "evidence", "proposal", "name")
    return all(getattr(one, fact) == getattr(other, fact) for fact in facts)
