"""Proposals whose approver dies half-way, that cannot be made, or that stand for too long."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import requests

from shared.findings.model import Finding, FindingKind, Seen
from shared.healing import closing, diagnose, remediate, verify
from shared.healing.approvals import Answer, AnswerRefused, take
from shared.healing.context import Context, Step
from shared.healing.proposals import NoProposal
from shared.models import Incident
from shared.monitoring.noting import Look
from shared.notify.model import Severity
from shared.vocabulary import IncidentState
from tests.monitoring.conftest import Watch

Make = Callable[..., Watch]

KIND = FindingKind.CPU_HIGH
STEPS: dict[str, Callable[[Context, str], Step]] = {
    "diagnose": diagnose.diagnose,
    "remediate": remediate.remediate,
    "verify": verify.verify,
    "give_back": closing.give_back,
}


def noted(one: Watch, resource: str, remedy: str = "scale_up") -> Finding:
    warning = Severity.WARNING
    seen = Seen(KIND, "dbx", resource, resource, warning, f"{resource} is busy", remedy=remedy)
    one.parts.notes.take([Look("dbx", frozenset({KIND}), (seen,))])
    return one.parts.findings.get(seen.finding_id)


def cluster(one: Watch, **spec: object) -> str:
    body = {"spark_version": "15.4.x-scala2.12", "node_type_id": "Standard_DS3_v2"}
    sized = {"num_workers": 4} | spec
    one.sandbox.script("databricks/clusters", cluster_id="c-1", cluster_name="etl", **body, **sized)
    return "cluster c-1"


def approved(finding: Finding) -> Answer:
    assert finding.question is not None
    return Answer(finding.question.question_id, approve=True, by="ops")


def test_an_answer_whose_writer_died_is_taken_up_once(watch: Make) -> None:
    one = watch()
    finding = one.parts.proposals.ask(noted(one, cluster(one)).finding_id)

    def written(fresh: Finding) -> Finding:  # and then it died
        assert take(fresh.question, approved(finding), one.clock.now(), over=False) == ""
        return fresh

    one.parts.findings.change(finding.finding_id, written)
    left = list(one.restarted().proposals.unopened())
    assert [f.finding_id for f in left] == [finding.finding_id]
    with pytest.raises(AnswerRefused, match="ops has approved it already"):
        one.parts.proposals.answer(finding.finding_id, approved(finding))

    ids = {one.parts.proposals.open(left[0]).incident_id for _ in range(2)}

    assert list(one.parts.context.incidents.opened()) == list(ids)
    assert list(one.parts.proposals.unopened()) == []


def test_a_question_expires_and_is_asked_anew(watch: Make) -> None:
    one = watch()
    identity = noted(one, cluster(one)).finding_id
    assert one.parts.proposals.ask_all() == 1
    first = one.parts.findings.get(identity)
    assert one.parts.proposals.ask_all() == 0
    assert one.parts.proposals.ask(identity).question == first.question
    one.sandbox.advance(86_401)
    with pytest.raises(AnswerRefused, match="expired"):
        one.parts.proposals.answer(identity, approved(first))
    assert one.parts.proposals.ask_all() == 1
    fresh = one.parts.findings.get(identity)
    assert approved(fresh).question_id != approved(first).question_id
    one.parts.notes.take([Look("dbx", frozenset({KIND}), ())])  # it is gone
    with pytest.raises(AnswerRefused, match="expired"):
        one.parts.proposals.answer(identity, approved(fresh))


def test_what_cannot_be_done_is_not_proposed(watch: Make) -> None:
    one = watch()
    full = noted(one, cluster(one, num_workers=16))
    with pytest.raises(NoProposal, match="ceiling"):
        one.parts.proposals.ask(full.finding_id)
    task = {"task_key": "t", "existing_cluster_id": "c-1", "notebook_task": {"notebook_path": "/"}}
    job_id = one.sandbox.script("databricks/jobs", name="j", tasks=[task])["job_id"]
    with pytest.raises(NoProposal, match="no cluster of its own"):
        one.parts.proposals.ask(noted(one, f"job {job_id}").finding_id)
    with pytest.raises(NoProposal, match="no change that could be made"):
        one.parts.proposals.ask(noted(one, "Standard_DS3_v2").finding_id)
    up = noted(one, "cluster c-1", remedy="start_cluster")
    with pytest.raises(NoProposal, match="only a TERMINATED one"):
        one.parts.proposals.ask(up.finding_id)
    assert one.parts.proposals.ask_all() == 0  # and none of them stops the others


def healed(one: Watch, incident_id: str) -> Incident:
    """Goes through a healing as its orchestrator does, with the clock moved."""
    context = one.parts.context
    step = Step("diagnose")
    for _ in range(40):
        if step.next not in STEPS:
            break
        one.sandbox.advance(max(step.seconds, 1))
        step = STEPS[step.next](context, incident_id)
    return context.incidents.get(incident_id)


def test_a_cluster_that_work_waits_for_is_started(watch: Make) -> None:
    one = watch(AUTO_REMEDIATION_MODE="production")
    resource = cluster(one)
    reason = {"code": "USER_REQUEST", "type": "SUCCESS", "parameters": {}}
    one.sandbox.script(
        "databricks/clusters/c-1/break", termination_reason=reason, state="TERMINATED"
    )
    finding = one.parts.proposals.ask(noted(one, resource, "start_cluster").finding_id)
    assert finding.question is not None
    assert finding.question.summary == "start cluster etl"
    done = one.parts.proposals.answer(finding.finding_id, approved(finding))

    incident = healed(one, done.incident_id)

    assert (incident.state, incident.loans) == (IncidentState.HEALED, [])
    assert one.parts.context.platforms.workspace("dbx").cluster("c-1")["state"] == "RUNNING"
    assert list(one.parts.context.incidents.opened()) == []
    with pytest.raises(AnswerRefused, match="no way back"):
        one.parts.proposals.reverse(finding.finding_id, "ops", "why not")


def test_what_somebody_has_set_since_is_not_taken_back(watch: Make) -> None:
    one = watch(AUTO_REMEDIATION_MODE="production")
    finding = one.parts.proposals.ask(noted(one, cluster(one)).finding_id)
    done = one.parts.proposals.answer(finding.finding_id, approved(finding))
    assert healed(one, done.incident_id).state is IncidentState.HEALED
    api = one.parts.context.platforms.workspace("dbx")
    api.resize_cluster("c-1", {"num_workers": 9})
    one.sandbox.advance(600)

    back = one.parts.proposals.reverse(finding.finding_id, "ops", "too dear")

    incident = healed(one, back.reversal_id)
    assert incident.state is IncidentState.ESCALATED
    assert "somebody set it to 9 workers meanwhile" in incident.loans[0].note
    assert incident.outcome.startswith("not taken back, look at it: ")
    assert "somebody set it to 9 workers meanwhile" in incident.outcome
    assert api.cluster("c-1")["num_workers"] == 9


def test_what_is_gone_meanwhile_is_neither_asked_for_nor_approved(watch: Make) -> None:
    one = watch()
    finding = one.parts.proposals.ask(noted(one, cluster(one)).finding_id)
    url = f"{one.sandbox.host}/api/2.1/clusters/permanent-delete"
    headers = {"Authorization": "Bearer sandbox-token"}
    assert requests.post(url, json={"cluster_id": "c-1"}, headers=headers, timeout=10).ok
    with pytest.raises(AnswerRefused, match="not there any more"):
        one.parts.proposals.answer(finding.finding_id, approved(finding))
    with pytest.raises(NoProposal, match="not there any more"):
        one.parts.proposals.ask(finding.finding_id)
