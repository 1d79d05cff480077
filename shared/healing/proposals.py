"""Proposals of findings: asked for once, answered once, then made like any other repair.

An approved proposal is an incident of the kind `proposal`: policy, locks, limits, intents and the
timeline are those of every healing. Its id follows from the answer, so that it is opened once.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import datetime, timedelta

from shared.clock import iso
from shared.errors import ConfigurationError, LakemendError, NothingChanged, PlatformMissing
from shared.findings.model import Finding, FindingState
from shared.healing import approvals, changes
from shared.healing.approvals import Answer, AnswerRefused
from shared.healing.assess import Assessment, assess
from shared.healing.context import Context, find
from shared.healing.finding_incidents import begin, draft, failure_of, note, offered
from shared.ledger.findings import Findings
from shared.ledger.incidents import new_incident_id
from shared.ledger.tables import digest
from shared.models import Incident, Question
from shared.policy.decide import Option
from shared.vocabulary import (
    Action,
    DecisionKind,
    IncidentState,
    Mode,
    Reason,
)

log = logging.getLogger("lakemend.proposals")

# A proposal stands for a day: then it is worked out anew, as the findings behind it are.
STANDS = timedelta(days=1)
_MOST_ASKED = 20  # of one sweep: each costs two calls or three
_GONE = "what it would change is not there any more"
_WHY = "a person decides on every change that a finding proposes"
_OTHERWISE = "nothing is changed and the finding stays"


class NoProposal(LakemendError):
    """There is nothing to approve; the text says why."""


class Proposals:
    """What findings propose, as questions and as approved changes."""

    def __init__(self, context: Context, findings: Findings) -> None:
        self._context = context
        self._findings = findings

    # Asking

    def ask_all(self) -> int:
        """Work out what open findings propose, where nobody was asked yet; counts the questions."""
        asked = 0
        now = self._context.clock.now()
        wanted = [f for f in self._findings.standing() if offered(f) and _wants_question(f, now)]
        # Another order every hour: those that propose nothing must not keep the others waiting.
        wanted.sort(key=lambda f: digest(f"{now:%Y%m%d%H}|{f.finding_id}"))
        for finding in wanted[:_MOST_ASKED]:
            try:
                self.ask(finding.finding_id)
                asked += 1
            except (NoProposal, NothingChanged, ConfigurationError) as error:
                text = self._context.redactor.text(str(error))
                log.info("finding %s proposes nothing yet: %s", finding.finding_id, text)
        return asked

    def ask(self, finding_id: str) -> Finding:
        """Work out what a finding proposes, as things are now, and ask for it.

        A question that still stands for the same change is left as it is.

        Raises:
            LedgerMissing: no such finding.
            NoProposal: it proposes nothing that can be done from here, now.
            NothingChanged: a platform could not be asked.
        """
        finding = self._findings.get(finding_id)
        self._may_ask(finding)
        try:
            found = assess(self._context, draft(self._context, finding, finding.remedy))
        except PlatformMissing:
            raise NoProposal(_GONE) from None
        question = self._question(finding, found, _offer(found))
        now = self._context.clock.now()

        def change(fresh: Finding) -> Finding:
            if not _same(fresh.question, question, now) and fresh.resolved_at is None:
                fresh.question = question
                fresh.incident_id, fresh.reversal_id = "", ""
            return fresh

        finding = self._findings.change(finding_id, change)
        if finding.question is not None and finding.question.question_id == question.question_id:
            words = f"Asks whether to {question.summary}"
            note(
                self._context,
                finding,
                Action.APPROVAL_REQUESTED,
                words,
                key=f"asked-{question.question_id}",
            )
        return finding

    def _may_ask(self, finding: Finding) -> None:
        if finding.resolved_at is not None:
            raise NoProposal("the finding stands no longer")
        if not offered(finding):
            raise NoProposal("the finding proposes no change that could be made from here")
        if finding.incident_id:
            incident = find(self._context, finding.incident_id)
            if incident is None or not incident.state.closed:
                raise NoProposal("an approved change is under way")

    def _question(self, finding: Finding, found: Assessment, option: Option) -> Question:
        now = self._context.clock.now()
        before = finding.question.question_id if finding.question else ""
        seed = f"{finding.finding_id}|{iso(finding.first_seen)}|{before}|{option.action}"
        return Question(
            question_id=digest(seed, 12),
            action=option.action,
            remedy=finding.remedy,
            summary=found.plans[option.spec.remedy].summary,
            why=_WHY,
            asked_at=now,
            expires_at=now + STANDS,
            cost_usd=option.cost_usd,
            otherwise=_OTHERWISE,
        )

    # Answering

    def answer(self, finding_id: str, given: Answer) -> Finding:
        """Write an answer down; an approved change is opened as an incident, for a healing to make.

        Raises:
            LedgerMissing: no such finding.
            AnswerRefused: the question is another one by now, is answered or has expired.
            NothingChanged: a platform could not be asked whether the change is still the same.
        """
        finding = self._findings.get(finding_id)
        self._object(finding, given)
        if given.approve:
            self._check(finding)
        now = self._context.clock.now()
        refused = ""

        def change(fresh: Finding) -> Finding:
            nonlocal refused
            refused = approvals.take(fresh.question, given, now, over=bool(fresh.resolved_at))
            return fresh

        finding = self._findings.change(finding_id, change)
        if refused:
            raise AnswerRefused(refused)
        self._note_answer(finding, given)
        return self.open(finding) if given.approve else finding

    def _object(self, finding: Finding, given: Answer) -> None:
        now, over = self._context.clock.now(), finding.resolved_at is not None
        refused = approvals.objection(finding.question, given.question_id, now, over=over)
        if refused:
            raise AnswerRefused(refused)

    def _check(self, finding: Finding) -> None:
        """That what was shown is still what would be done; else the new question is asked.

        Raises:
            AnswerRefused: it is not.
        """
        question = finding.question
        try:
            found = assess(self._context, draft(self._context, finding, finding.remedy))
            option = _offer(found)
        except PlatformMissing:
            raise AnswerRefused(f"this cannot be done any more: {_GONE}") from None
        except NoProposal as error:
            raise AnswerRefused(f"this cannot be done any more: {error}") from None
        if question is not None and option.action != question.action:
            self.ask(finding.finding_id)
            words = "what would be done has changed since it was shown: read the finding again"
            raise AnswerRefused(words)

    def _note_answer(self, finding: Finding, given: Answer) -> None:
        question = finding.question
        action = Action.APPROVAL_GIVEN if given.approve else Action.APPROVAL_REFUSED
        said = "approved" if given.approve else "refused"
        summary = question.summary if question else ""
        added = f": {given.note}" if given.note else ""
        words = f"{given.by} {said} to {summary}{added}"
        note(
            self._context, finding, action, words, key=f"answer-{given.question_id}", actor=given.by
        )

    # Making it

    def open(self, finding: Finding) -> Finding:
        """Open the incident of an approved change, once; returns the finding that names it."""
        question = finding.question
        if question is None or not question.approved or question.answered_at is None:
            return finding
        incident = draft(self._context, finding, question.remedy)
        root = incident.failure.root_key
        incident.incident_id = new_incident_id(question.answered_at, root)
        incident.question = question
        begin(self._context, finding, incident, f"Opened to {question.summary}, as approved")

        def change(fresh: Finding) -> Finding:
            fresh.incident_id = incident.incident_id
            return fresh

        return self._findings.change(finding.finding_id, change)

    def unopened(self) -> Iterator[Finding]:
        """Findings that were approved and whose incident is not opened: whoever answered died."""
        for finding in self._findings.standing():
            question = finding.question
            if question is not None and question.approved and not finding.incident_id:
                yield finding

    # Taking it back

    def reverse(self, finding_id: str, by: str, why: str) -> Finding:
        """Take back a change that was made: opens an incident that does nothing else.

        Raises:
            LedgerMissing: no such finding.
            AnswerRefused: nothing was changed, it cannot be taken back, or it is by now.
        """
        finding = self._findings.get(finding_id)
        made = self._made(finding)
        loans = changes.ways_back(made.attempts[-1].memo)
        if not loans:
            raise AnswerRefused("there is no way back from this change")
        incident = draft(self._context, finding, finding.remedy)
        incident.failure = failure_of(finding, f"back-{made.incident_id}")
        # The same for everybody who asks: one of them opens it.
        ended = made.closed_at or made.opened_at
        incident.incident_id = new_incident_id(ended, incident.failure.root_key)
        incident.loans, incident.closing = loans, IncidentState.HEALED
        incident.outcome = f"to be taken back: {'; '.join(loan.summary for loan in loans)}"
        words = f"{by} wants it taken back: {why}"
        new = begin(
            self._context, finding, incident, f"Opened to take back an approved change. {words}"
        )
        if not new and finding.reversal_id:
            raise AnswerRefused("it is being taken back, or was")
        key = f"back-{incident.incident_id}"
        note(self._context, finding, Action.CHANGE_TAKEN_BACK, words, key=key, actor=by)

        def change(fresh: Finding) -> Finding:
            fresh.reversal_id = incident.incident_id
            return fresh

        return self._findings.change(finding_id, change)

    def _made(self, finding: Finding) -> Incident:
        """The incident in which the change was made.

        Raises:
            AnswerRefused: it was not, or we may not change anything now.
        """
        context = self._context
        if context.policy.mode is Mode.OBSERVE:
            raise AnswerRefused("observe mode changes nothing, this neither")
        if paused := context.paused():
            raise AnswerRefused(f"automation is paused: {paused}")
        incident = find(context, finding.incident_id) if finding.incident_id else None
        if incident is None or not incident.state.closed:
            raise AnswerRefused("no approved change of this finding has ended")
        intents = incident.attempts[-1].intents if incident.attempts else []
        if not any(intent.outcome in {"taken", "found"} for intent in intents):
            raise AnswerRefused("nothing was changed")
        return incident


def _wants_question(finding: Finding, now: datetime) -> bool:
    """Whether to ask by ourselves: once a day, and no more when somebody has answered."""
    if finding.state(now) is not FindingState.OPEN or finding.incident_id:
        return False
    question = finding.question
    return question is None or (not question.answered_by and now >= question.expires_at)


def _same(standing: Question | None, question: Question, now: datetime) -> bool:
    """Whether a question stands that asks for the same."""
    if standing is None or standing.answered_by or now >= standing.expires_at:
        return False
    return standing.action == question.action


def _offer(found: Assessment) -> Option:
    """The change that could be made.

    Raises:
        NoProposal: why it could not.
    """
    option = found.situation.options[0] if found.situation.options else None
    if option is None or option.refusal or not found.plans:
        raise NoProposal(option.refusal if option else "there is nothing to change")
    if found.decision.reason is Reason.OUT_OF_SCOPE:
        raise NoProposal(found.decision.note)
    if found.decision.kind is DecisionKind.ESCALATE and found.decision.reason not in _LATER:
        raise NoProposal(found.decision.note or found.decision.reason.value)
    return option


_LATER = frozenset({Reason.OVER_BUDGET, Reason.BREAKER_OPEN})  # as of now; decided again then
