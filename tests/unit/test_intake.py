"""From payloads to alerts: dialects, refusals, and nothing that crashes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import InputError
from shared.intake.parse import decode, parse
from shared.models import Alert
from shared.targets import DataFactory, Targets, Workspace
from shared.vocabulary import Condition, Disposition, FailureKind

PAYLOADS = Path(__file__).parents[1] / "data" / "payloads"
TARGETS = Targets(
    [
        DataFactory(name="adf-prod", subscription_id="<subscription ID>", resource_group="rg-data"),
        Workspace(name="ws", host="http://127.0.0.1:1", workspace_id="12345"),
    ]
)


def one(payload: Any, targets: Targets = TARGETS) -> Alert:
    parsed = parse(payload, targets)
    assert len(parsed.alerts) == 1, parsed
    return parsed.alerts[0]


def file(name: str) -> Any:
    return json.loads((PAYLOADS / f"{name}.json").read_text("utf-8"))


@pytest.mark.parametrize(
    ("name", "disposition"),
    [
        ("azmon_common_metric_adf_pipelinefailedruns_fired", Disposition.ACCEPTED),
        ("azmon_common_metric_adf_pipelinefailedruns_resolved", Disposition.IGNORED),
        ("azmon_common_log_v2_adfpipelinerun", Disposition.ACCEPTED),
        ("azmon_common_log_v2_documented", Disposition.REFUSED),
        ("azmon_common_activitylog_administrative", Disposition.IGNORED),
        ("azmon_noncommon_metric", Disposition.IGNORED),
        ("azmon_noncommon_activitylog", Disposition.IGNORED),
        ("adf_web_activity_custom_flat", Disposition.ACCEPTED),
        ("aiops_adf_test_payload", Disposition.ACCEPTED),
        ("dbx_task_on_failure", Disposition.ACCEPTED),
        ("dbx_job_on_start", Disposition.IGNORED),
        ("dbx_task_on_success", Disposition.IGNORED),
        ("dbx_job_on_duration_warning", Disposition.IGNORED),
        ("dbx_diagnostic_log_eventhub_record", Disposition.REFUSED),
        ("dbx_pipeline_event_expectations", Disposition.IGNORED),
        ("cloudevents_10", Disposition.IGNORED),
        ("hostile_foreign_resource", Disposition.REFUSED),
    ],
)
def test_what_becomes_of_real_payloads(name: str, disposition: Disposition) -> None:
    alert = one(file(name))
    assert alert.disposition is disposition
    assert alert.reason or disposition is Disposition.ACCEPTED


def test_a_metric_alert_is_a_window() -> None:
    alert = one(file("azmon_common_metric_adf_pipelinefailedruns_fired"))
    (subject,) = alert.subjects
    assert (subject.target, subject.pipeline, subject.run_id) == ("adf-prod", "pl_daily_etl", "")
    assert subject.expected == 2
    assert subject.window_start is not None
    assert subject.window_start.isoformat() == "2019-03-22T13:40:03.064000+00:00"


def test_a_task_notification_is_about_its_job_run() -> None:
    (subject,) = one(file("dbx_task_on_failure")).subjects
    assert (subject.kind, subject.run_id) == (FailureKind.JOB_RUN, "54321")


def test_arm_ids_are_compared_without_case() -> None:
    payload = file("azmon_common_log_v2_adfpipelinerun")
    text = json.dumps(payload).replace("/resourcegroups/rg-data", "/RESOURCEGROUPS/RG-DATA")
    assert one(json.loads(text)).disposition is Disposition.ACCEPTED


def test_a_workspace_that_is_not_listed_is_refused() -> None:
    payload = file("dbx_task_on_failure") | {"workspace_id": "99999"}
    alert = one(payload)
    assert alert.disposition is Disposition.REFUSED
    assert "99999" in alert.reason


def test_an_instruction_in_a_description_changes_nothing() -> None:
    alert = one(file("hostile_prompt_injection_in_error"))
    plain = one(file("azmon_common_metric_adf_pipelinefailedruns_fired"))
    assert alert.subjects == plain.subjects


def test_the_same_message_has_the_same_fingerprint_whatever_the_order_of_its_fields() -> None:
    payload = file("dbx_task_on_failure")
    assert one(payload).fingerprint == one(dict(reversed(payload.items()))).fingerprint


def test_another_firing_is_another_alert() -> None:
    payload = file("azmon_common_log_v2_adfpipelinerun")
    again = json.loads(json.dumps(payload))
    again["data"]["essentials"]["firedDateTime"] = "2019-03-22T14:58:24Z"
    assert one(payload).fingerprint != one(again).fingerprint


@pytest.mark.parametrize(
    "event",
    [
        {"event": "cluster.failed_to_start", "cluster": {"cluster_id": "a-1", "state": "ERROR"}},
        {"event": "cluster.terminated", "event_type": "cluster.terminated", "cluster": "a-1"},
        {"event": "cluster.terminated", "cluster_id": "a-1", "timestamp": 1732627900000},
        {"event": "cluster.unexpected_termination", "cluster": {"id": "a-1"}},
    ],
)
def test_cluster_events_in_the_forms_in_which_they_are_sent(event: dict[str, Any]) -> None:
    (subject,) = one(event).subjects
    assert (subject.kind, subject.cluster_id) == (FailureKind.CLUSTER, "a-1")


@pytest.mark.parametrize(
    ("library", "expected"),
    [
        ("pandas==2.2.0", '{"pypi":{"package":"pandas==2.2.0"}}'),
        ({"pypi": {"package": "pandas==2.2.0"}}, '{"pypi":{"package":"pandas==2.2.0"}}'),
        ({"maven": {"coordinates": "a:b:1"}}, '{"maven":{"coordinates":"a:b:1"}}'),
        ({"whl": "dbfs:/x.whl"}, '{"whl":"dbfs:/x.whl"}'),
    ],
)
def test_libraries(library: Any, expected: str) -> None:
    event = {"event": "library.install_failed", "cluster": "a-1", "library": library}
    assert one(event).subjects[0].library == expected


@pytest.mark.parametrize("library", [{}, {"pypi": {}}, {"a": 1, "b": 2}, {"shell": "rm"}, 5, None])
def test_libraries_that_are_none(library: Any) -> None:
    event = {"event": "library.install_failed", "cluster": "a-1", "library": library}
    with pytest.raises(InputError) as caught:
        parse(event, TARGETS)
    assert caught.value.field.startswith("$.library")


def test_information_is_no_failure() -> None:
    event = {"event": "cluster.restarting", "cluster": {"cluster_id": "a-1"}}
    alert = one(event)
    assert (alert.condition, alert.disposition) == (Condition.INFORMATION, Disposition.IGNORED)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    *("data", "essentials", "alertContext", "condition", "allOf", "dimensions"),
                    *("name", "value", "event", "event_type", "cluster", "library", "run"),
                    *("run_id", "failures", "kind", "target", "specversion", "id", "eventType"),
                    *("records", "operationName", "origin", "level", "error", "properties"),
                    *("alertTargetIDs", "schemaId", "workspace_id", "dataFactory", "runId"),
                ]
            ),
            inner,
            max_size=6,
        )
    ),
    max_leaves=30,
)


@given(json_values)
def test_whatever_comes_is_an_alert_or_an_input_error(value: Any) -> None:
    complaint = None
    try:
        parsed = parse(value, TARGETS)
    except InputError as error:
        complaint = error
    if complaint is None:
        assert parsed.alerts or parsed.rejected
    else:
        assert complaint.field.startswith("$")
        assert complaint.expected


@given(st.binary(max_size=200))
def test_whatever_bytes_come(body: bytes) -> None:
    complaint = None
    try:
        decode(body)
    except InputError as error:
        complaint = error
    assert complaint is None or complaint.field == "$"
