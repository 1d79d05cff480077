"""What asks a person: answered in time, too late, twice, by link, over a kill."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import requests

from shared.composition import Composition
from tests.e2e.guards import ASKED, Guarded, asked, decided, fail, say
from tests.e2e.hosts import Host
from tests.e2e.world import Json, actions


def test_an_approval_in_time_lets_exactly_that_action_through(guarded: Guarded) -> None:
    world = guarded(**ASKED).world
    pipeline, alert = fail(world)
    incident = asked(world, alert)
    question = incident["question"]
    assert question["summary"] == f"rerun pipeline {pipeline} from its failed activity"
    assert world.reruns(pipeline) == []

    assert say(world, incident, "reader").status_code == 403
    assert say(world, incident, approve="yes").json()["field"] == "approve"
    assert say(world, incident, question_id="another").status_code == 409
    assert (
        world.post(
            "/api/incidents/nothing/approval", {"question_id": "q", "approve": True}, "approver"
        ).status_code
        == 404
    )
    answer = say(world, incident, note="looked at the sink, it is safe")
    assert answer.status_code == 202, answer.text

    healed = world.incident_of(alert)
    assert healed["state"] == "healed"
    assert healed["attempts"][0]["approved_by"] == "approver"
    assert len(world.reruns(pipeline)) == 1
    assert ("act", "approved") in decided(healed)
    given = next(e for e in healed["timeline"] if e["action"] == "Approval Given")
    assert given["actor"] == "approver"
    assert "it is safe" in given["summary"]
    assert healed["audit"]["whole"]

    again = say(world, incident)
    assert again.status_code == 409
    assert again.json()["error"] == "approver has approved it already"


def test_ten_answers_at_once_are_one(guarded: Guarded) -> None:
    world = guarded(**ASKED).world
    pipeline, alert = fail(world)
    incident = asked(world, alert)

    with ThreadPoolExecutor(10) as pool:
        codes = list(
            pool.map(lambda n: say(world, incident, approve=n % 2 == 0).status_code, range(10))
        )

    assert sorted(codes) == [202, *[409] * 9]
    ended = world.incident_of(alert)
    said = [a for a in actions(ended) if a in {"Approval Given", "Approval Refused"}]
    assert len(said) == 1
    healed = ended["state"] == "healed"
    assert len(world.reruns(pipeline)) == (1 if healed else 0)
    assert healed is (said == ["Approval Given"])


def test_a_refusal_and_silence_both_go_to_a_person(guarded: Guarded) -> None:
    world = guarded(**ASKED, approval={"expires": 3, "look": 1}).world
    refused_pipeline, refused_alert = fail(world)
    silent_pipeline, silent_alert = fail(world)
    waiting = asked(world, refused_alert)
    assert say(world, waiting, approve=False, note="not tonight").status_code == 202

    refused = world.incident_of(refused_alert)
    assert refused["state"] == "escalated"
    assert ("escalate", "approval_refused") in decided(refused)
    assert "not tonight" in refused["outcome"]

    silent = world.incident_of(silent_alert)
    assert silent["state"] == "escalated"
    assert ("escalate", "approval_expired") in decided(silent)
    late = say(world, silent)
    assert (late.status_code, late.json()["error"]) == (409, "this question has expired")
    assert world.reruns(refused_pipeline) == world.reruns(silent_pipeline) == []


def test_a_signed_link_shows_first_and_answers_once(guarded: Guarded) -> None:
    host = guarded({"APPROVAL_SIGNING_KEY": "a-key-for-signing-links"}, **ASKED)
    world = host.world
    pipeline, alert = fail(world)
    incident = asked(world, alert)
    link = signed(host, incident)

    for _ in range(3):  # scanners open links
        shown = requests.get(link, timeout=30)
        assert shown.status_code == 200
        assert f"rerun pipeline {pipeline}" in shown.text
        assert "<form" in shown.text
    assert world.incident(incident["incident_id"])["state"] == "awaiting_approval"

    assert requests.post(link, {"answer": "approve"}, timeout=30).status_code == 400
    assert requests.post(link, {"answer": "perhaps", "name": "x"}, timeout=30).status_code == 400
    forged = f"{link[:-2]}{'aa' if not link.endswith('aa') else 'bb'}"
    assert requests.get(forged, timeout=30).status_code == 404
    form = {"answer": "approve", "name": "<b>on call</b>"}
    assert requests.post(forged, form, timeout=30).status_code == 404

    done = requests.post(link, form, timeout=30)
    assert done.status_code == 202, done.text
    assert "<b>on call" not in done.text
    assert requests.post(link, form, timeout=30).status_code == 409
    healed = world.incident_of(alert)
    assert healed["state"] == "healed"
    assert healed["attempts"][0]["approved_by"] == "<b>on call</b> (by signed link)"
    assert "<form" not in requests.get(link, timeout=30).text
    assert len(world.reruns(pipeline)) == 1


def signed(host: Host, incident: Json) -> str:
    """The link as the message has it."""
    token = Composition(host.environment).links.sign(
        incident["incident_id"], incident["question"]["question_id"]
    )
    return f"{host.world.base_url}/api/approvals/{token}"


def test_an_approval_survives_a_kill(guarded: Guarded) -> None:
    host = guarded(**ASKED)
    world = host.world
    pipeline, alert = fail(world)
    incident = asked(world, alert)
    host.service.kill()
    host.service.start()
    assert say(world, incident).status_code == 202
    host.service.kill()
    host.service.start()

    assert world.incident_of(alert)["state"] == "healed"
    assert len(world.reruns(pipeline)) == 1
