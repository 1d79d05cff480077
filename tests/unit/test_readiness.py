"""Readiness checks one by one, and the differences of specifications."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.monitoring.drift import differences
from shared.monitoring.readiness import Check, checked
from shared.monitoring.subject import Subject
from shared.monitoring.tables import Measured, Point
from shared.monitoring.veil import Veil
from shared.redaction import Redactor

Json = dict[str, Any]

SCHEDULE: Json = {"quartz_cron_expression": "0 0 3 * * ?", "timezone_id": "UTC"}
PRINCIPAL = "3f2a9c1e-0d4b-4c58-9a55-b2d8b8a0c7f1"
JOB: Json = {
    "name": "nightly",
    "schedule": SCHEDULE,
    "timeout_seconds": 3600,
    "run_as": {"service_principal_name": PRINCIPAL},
    "tasks": [{"task_key": "a"}, {"task_key": "b", "depends_on": [{"task_key": "a"}]}],
}
ACL = ({"group_name": "data", "all_permissions": [{"permission_level": "CAN_MANAGE"}]},)
SPEC: Json = {
    "catalog": "main",
    "photon": True,
    "tags": {"owner": "data"},
    "notifications": [{"email_recipients": ["a@b.c"], "alerts": ["on-update-fatal-failure"]}],
    "clusters": [
        {"label": "default", "node_type_id": "x", "autoscale": {"min_workers": 1, "max_workers": 5}}
    ],
}


def verdicts(spec: Json, jobs: tuple[Json, ...] = (JOB,), **more: Any) -> dict[str, bool | None]:
    subject = Subject(spec, jobs, more.pop("run_as", PRINCIPAL), more.pop("acl", ACL), **more)
    return {check.name: check.passed for check in checked(subject)}


def failing(spec: Json, jobs: tuple[Json, ...] = (JOB,), **more: Any) -> set[str]:
    return {name for name, passed in verdicts(spec, jobs, **more).items() if passed is False}


def test_a_sound_pipeline_fails_nothing() -> None:
    assert failing(SPEC) == set()
    serverless = {k: v for k, v in SPEC.items() if k not in {"clusters", "photon"}}
    said = verdicts(serverless | {"serverless": True})
    assert False not in said.values()
    assert said["autoscaling"] is None


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"development": True}, "development"),
        ({"photon": False}, "engine"),
        ({"channel": "preview"}, "channel"),
        ({"catalog": ""}, "catalog"),
        ({"catalog": "hive_metastore"}, "catalog"),
        ({"tags": {"cost": "1"}}, "tags"),
        ({"notifications": [{"email_recipients": [], "alerts": ["on-update-failure"]}]},
         "notifications"),
        ({"notifications": [{"email_recipients": ["a"], "alerts": ["on-update-success"]}]},
         "notifications"),
        ({"configuration": {"pipelines.numUpdateRetryAttempts": 0}}, "retries"),
        ({"configuration": {"spark.sql.adaptive.enabled": "False"}}, "optimisation"),
        ({"continuous": True}, "mode"),  # and a job that starts it
    ],
)  # fmt: skip
def test_one_fault_in_the_specification(change: Json, name: str) -> None:
    assert failing(SPEC | change) == {name}


@pytest.mark.parametrize("bounds", [(0, 5), (3, 3), (5, 1), (1, 65)])
def test_bounds_of_autoscaling(bounds: tuple[int, int]) -> None:
    size = {"min_workers": bounds[0], "max_workers": bounds[1]}
    cluster = {**SPEC["clusters"][0], "autoscale": size}
    assert failing(SPEC | {"clusters": [cluster]}) == {"autoscaling"}


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"timeout_seconds": 0}, "timeouts"),
        ({"schedule": {**SCHEDULE, "pause_status": "PAUSED"}}, "schedule"),
        ({"schedule": None}, "schedule"),
        ({"max_concurrent_runs": 2}, "concurrency"),
        ({"tasks": [{"task_key": "a"}, {"task_key": "b"}]}, "order"),
        ({"tasks": [{"task_key": "a", "max_retries": -1}]}, "retries"),
        ({"run_as": {"user_name": "someone@example.com"}}, "identity"),
    ],
)
def test_one_fault_in_the_job(change: Json, name: str) -> None:
    assert failing(SPEC, (JOB | change,)) == {name}


def test_who_may_and_as_whom() -> None:
    assert failing(SPEC, run_as="someone@example.com") == {"identity"}
    users = {"group_name": "users", "all_permissions": [{"permission_level": "CAN_MANAGE"}]}
    assert failing(SPEC, acl=(*ACL, users)) == {"permissions"}
    alone = {"user_name": "a", "all_permissions": [{"permission_level": "IS_OWNER"}]}
    assert failing(SPEC, acl=(alone,)) == {"permissions"}
    assert verdicts(SPEC, acl=None)["permissions"] is None
    assert failing(SPEC, drift=("photon: true → false",)) == {"drift"}
    assert failing(SPEC, ()) == {"mode"}


def test_what_fails_says_what_to_do() -> None:
    found: list[Check] = checked(Subject({"development": True}))
    assert all(bool(check.remedy) == (check.passed is False) for check in found)
    assert all(check.reason and check.found for check in found)


@given(
    st.dictionaries(
        st.sampled_from(["a", "b", "development"]),
        st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.lists(st.integers()),
    ),
    st.sampled_from(["", None, False, [], {}]),
)
def test_a_specification_does_not_differ_from_itself(spec: Json, empty: Any) -> None:
    assert differences(spec, spec) == []
    assert differences(spec, spec | {"new": empty}) == []
    assert differences(spec | {"x": 1}, spec | {"x": 2}) == ["x: 1 → 2"]


def test_differences_are_named_by_what_entries_are_called() -> None:
    one = {"clusters": [{"label": "a", "num_workers": 1}, {"label": "b", "num_workers": 2}]}
    other = {"clusters": [{"label": "b", "num_workers": 0}, {"label": "a", "num_workers": 1}]}
    assert differences(one, other) == ["clusters.b.num_workers: 2 → 0"]
    assert differences({"l": [1, 2]}, {"l": [2, 1]}) == ["l: [1, 2] → [2, 1]"]
    assert differences({"id": "1"}, {"id": "2"}) == []
    many = {str(n): n for n in range(1, 40)}
    assert len(differences({}, many)) == 21
    assert differences({}, many)[-1] == "and 19 more"


def test_large_tables_are_clustered_by_columns_that_they_have() -> None:
    def told(**table: Any) -> tuple[bool | None, str]:
        points = [Point(0.0, int(table.pop("gib", 500)) * 1024**3)]
        measured = Measured(points=points, **table)
        listed = checked(Subject({}, tables=(("main.sales.orders", measured),)))
        return next((c.passed, c.found) for c in listed if c.name == "clustering")

    assert told() == (False, "large and not clustered: main.sales.orders")
    assert told(gib=50)[0] is True
    assert told(clustered=["day"])[0] is True
    assert told(automatic=True)[0] is True
    assert told(zorder=["day"])[0] is True
    assert told(gib=1, zorder=["dya"], missing=["dya"]) == (
        False, "declared to be clustered by columns that are not there: main.sales.orders: dya",
    )  # fmt: skip
    nothing = next(c for c in checked(Subject({})) if c.name == "clustering")
    assert nothing.passed is None


SECRETS = [
    ({"conf": {"db.password": "OldValue1"}}, {"conf": {"db.password": "NewVal"}}),
    ({"conf": {}}, {"conf": {"fs.azure.account.oauth2.client.secret.x": "NewVal"}}),
    ({"spark_conf": {"fs.azure.account.key.x": "OldValue1"}}, {"spark_conf": {}}),
    ({}, {"tasks": [{"task_key": "a", "params": ["--db-password", "NewVal", "--day", "1"]}]}),
    (
        {"parameters": [{"name": "apiToken", "default": "OldValue1"}]},
        {"parameters": [{"name": "apiToken", "default": "NewVal"}]},
    ),
    ({"env": {"clientSecret": {"v": "OldValue1"}}}, {"env": {"clientSecret": {"v": "NewVal"}}}),
    ({"url": "jdbc:x://h;password=OldValue1"}, {"url": "jdbc:x://h;password=NewVal"}),
    ({"a": {"sas": 12345678}}, {"a": {"sas": "NewVal"}}),
    ({"c": "x" * 200}, {"c": "x" * 118 + " AccountKey=NewVal" + "y" * 40}),
]  # fmt: skip


@pytest.mark.parametrize(("before", "after"), SECRETS)
def test_no_side_of_a_changed_secret_is_shown(before: Json, after: Json) -> None:
    lines = differences(before, after)
    assert len(lines) == 1
    assert not any(part in lines[0] for part in ("OldValue1", "NewVal", "12345678", "#"))
    assert differences(after, after) == []
    # Redacted once more on its way, the line still says what was not set.
    assert Redactor().text(lines[0]) == lines[0]


@pytest.mark.parametrize(("before", "after"), SECRETS)
def test_what_is_kept_holds_no_secret_and_still_tells_a_change(before: Json, after: Json) -> None:
    veil = Veil(Redactor(), "dbx|p1")
    kept = veil.over(before)
    assert "OldValue1" not in str(kept)
    assert "12345678" not in str(kept)
    assert veil.over(kept) == kept
    assert differences(kept, before, veil) == []
    assert len(differences(kept, after, veil)) == 1
    assert differences({"a": [{"task_key": "t", "n": 1}]}, {"a": [{"task_key": "t", "n": 2}]}) == [
        "a.t.n: 1 → 2"
    ]


REFRESH: Json = {"task_key": "refresh", "pipeline_task": {"pipeline_id": "p"}}
LOOSE, PREPARE = {"task_key": "alsoloose"}, {"task_key": "prepare"}
REPORT = {"task_key": "report", "depends_on": [{"task_key": "prepare"}]}
AFTER = REFRESH | {"depends_on": [{"task_key": "prepare"}]}


@pytest.mark.parametrize(
    ("tasks", "passed"),
    [
        ([REFRESH, LOOSE, PREPARE, REPORT], False),
        ([REFRESH, PREPARE, REPORT], False),
        ([AFTER, PREPARE, REPORT], True),
        ([AFTER, PREPARE, LOOSE], False),
        ([REFRESH], True),
        ([{"task_key": "each", "for_each_task": {"task": REFRESH}}, LOOSE], False),
    ],
)
def test_the_order_is_the_pipeline_tasks_own(tasks: list[Json], passed: bool) -> None:
    assert verdicts(SPEC, (JOB | {"tasks": tasks},), pipeline_id="p")["order"] is passed


@pytest.mark.parametrize(
    ("settings", "most", "passed"),
    [
        ({}, 3, True),
        ({}, 500, False),
        ({"pipelines.maxFlowRetryAttempts": "0"}, 0, False),
        ({"pipelines.maxFlowRetryAttempts": 2}, 0, True),
        ({"pipelines.numUpdateRetryAttempts": "-1"}, 0, False),
        ({"pipelines.numUpdateRetryAttempts": "many"}, 0, False),
    ],
)
def test_retries_are_bounded_and_there(settings: Json, most: int, passed: bool) -> None:
    each = {"task_key": "e", "for_each_task": {"task": {"task_key": "t", "max_retries": most}}}
    job = JOB | {"tasks": [each]}
    assert verdicts(SPEC | {"configuration": settings}, (job,))["retries"] is passed


def test_a_job_that_does_not_say_runs_as_it_is_told() -> None:
    silent = {k: v for k, v in JOB.items() if k != "run_as"}
    assert failing(SPEC, (silent | {"run_as_user_name": "someone@example.com"},)) == {"identity"}
    assert failing(SPEC, (silent | {"run_as_user_name": PRINCIPAL},)) == set()


def test_a_job_that_a_scheduled_job_starts_is_scheduled() -> None:
    child = JOB | {"schedule": None}
    assert failing(SPEC, (child | {"started_by": [JOB]},)) == set()
    paused = JOB | {"schedule": {**SCHEDULE, "pause_status": "PAUSED"}}
    assert failing(SPEC, (child | {"started_by": [paused]},)) == {"schedule"}


def test_rights_on_the_jobs_count() -> None:
    users = {"group_name": "users", "all_permissions": [{"permission_level": "CAN_MANAGE"}]}
    assert failing(SPEC, job_acls=(("nightly", ACL),)) == set()
    assert failing(SPEC, job_acls=(("nightly", (users,)),)) == {"permissions"}
    assert failing(SPEC, job_acls=(("nightly", ()),)) == {"permissions"}
