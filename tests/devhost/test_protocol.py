import json
from datetime import UTC, datetime, timedelta, timezone

import pytest

from devhost import protocol
from devhost.protocol import ActionType, Decision, ProtocolError
from devhost.records import Parent, Start, Task

AT = "2026-01-02T03:04:05.000006Z"
CALL = {"actionType": 0, "functionName": "f", "input": '"x"'}
WAIT = {"actionType": 6, "externalEventName": "go"}


def test_times_are_utc_whatever_zone_they_came_in() -> None:
    plus_two = datetime(2026, 1, 2, 5, 4, 5, 6, tzinfo=timezone(timedelta(hours=2)))
    assert protocol.stamp(plus_two) == AT
    assert protocol.moment(AT) == plus_two
    assert protocol.moment("2026-01-02T03:04:05").tzinfo is UTC


def test_the_body_joins_events_that_are_printed_already() -> None:
    start = Start("i", "e", "o", AT, '{"a": "ü"}', "1.0", Parent("p", "x", 1))
    events = [protocol.orchestrator_started(AT), protocol.execution_started(start)]
    body = json.loads(protocol.body(start, events))
    assert body["input"] == '{"a": "ü"}'
    assert body["parentInstanceId"] == "p"
    assert [event["EventType"] for event in body["history"]] == [12, 0]
    assert body["history"][1]["Version"] == "1.0"


def test_a_completion_names_its_task_and_always_has_a_result() -> None:
    event = json.loads(protocol.task_completed(Task(3, "activity"), AT, None))
    assert (event["EventType"], event["TaskScheduledId"], event["Result"]) == (5, 3, None)
    event = json.loads(protocol.task_failed(Task(4, "orchestration"), AT, "r", "d"))
    assert (event["EventType"], event["Reason"], event["Details"]) == (9, "r", "d")


def test_compounds_are_flattened_in_order() -> None:
    nested = [[CALL, {"actionType": 11, "compoundActions": [WAIT, {**CALL, "functionName": "g"}]}]]
    names = [protocol.fingerprint(action) for action in protocol.flatten(nested)]
    assert names == ["call_activity f", "wait_for_external_event go", "call_activity g"]


def test_an_answer_without_output_and_status() -> None:
    decision = protocol.interpret('{"isDone": true, "actions": [[]]}')
    assert decision == Decision(done=True, actions=[], output="null")
    assert decision.continue_as_new is None


def test_an_error_carries_the_state_behind_its_label() -> None:
    state = json.dumps({"isDone": False, "actions": [[CALL]], "error": "x", "customStatus": [1]})
    decision = protocol.interpret_error(f"first\n\nsecond{protocol.ERROR_LABEL}{state}")
    assert decision.error == "first\n\nsecond"
    assert (decision.actions, decision.custom_status) == ([CALL], "[1]")
    assert protocol.interpret_error("plain").error == "plain"


def test_continue_as_new_is_the_last_action() -> None:
    again = {"actionType": ActionType.CONTINUE_AS_NEW, "input": "1"}
    assert Decision(done=True, actions=[CALL, again], output="null").continue_as_new == again


@pytest.mark.parametrize("actions", [[], [WAIT]])
def test_a_changed_orchestrator_is_refused(actions: list[dict[str, protocol.Json]]) -> None:
    with pytest.raises(ProtocolError, match="Non-Deterministic workflow detected"):
        protocol.check_deterministic(["call_activity f"], actions)
    protocol.check_deterministic(["call_activity f"], [CALL, WAIT])


def test_actions_become_tasks() -> None:
    retry = {"maxNumberOfAttempts": 3, "firstRetryIntervalInMilliseconds": 500}
    task = protocol.to_task({**CALL, "actionType": 1, "retryOptions": retry}, 7)
    assert task == Task(7, "activity", "f", '"x"', attempts=2, interval=0.5, of_retry=True)
    timer = protocol.to_task({"actionType": 5, "fireAt": AT, "isCanceled": False}, 1)
    assert timer == Task(1, "timer", fire_at=AT)
    sub = {**CALL, "actionType": 2, "instanceId": "i", "version": "2"}
    assert protocol.to_task(sub, 2) == Task(2, "orchestration", "f", '"x"', child="i", version="2")
    assert protocol.to_task(WAIT, 3) is None


@pytest.mark.parametrize("kind", [7, 8, 9])
def test_entities_and_durable_http_are_refused(kind: int) -> None:
    with pytest.raises(ProtocolError, match="does not support"):
        protocol.to_task({"actionType": kind}, 0)


@pytest.mark.parametrize(
    ("posted", "text"),
    [('{"a": 1}', '{"a": 1}'), ({"a": 1}, '{"a": 1}'), ("plain", '"plain"'), (True, "true")],
)
def test_bodies_encoded_once_and_twice(posted: protocol.Json, text: str) -> None:
    assert protocol.json_text(posted) == text
