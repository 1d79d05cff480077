"""Credentials, throttling and quota; memory, CPU, disk and cost from the system tables."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import ConfigurationError, PlatformRefused
from shared.findings.model import FindingKind, Seen
from shared.models import Diagnosis, Failure, Incident
from shared.monitoring.ceilings import ceilings, expiry, own_token
from shared.monitoring.usage import CLUSTERS_SQL, Period, judged, series, usage, warehouse_of
from shared.settings import load
from shared.targets import Targets, Workspace
from shared.vocabulary import FailureKind, IncidentState
from tests.monitoring.conftest import Watch

Json = dict[str, Any]
Make = Callable[..., Watch]

NOW = datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC)
DAY = timedelta(days=1)


def jwt(ends: datetime | None) -> str:
    claims = {"sub": "x"} | ({"exp": int(ends.timestamp())} if ends else {})
    parts = [json.dumps(part).encode() for part in ({"alg": "none"}, claims)]
    coded = [base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts]
    return ".".join([*coded, "c2lnbmF0dXJl"])


def kinds(found: list[Seen]) -> list[FindingKind]:
    return [seen.kind for seen in found]


@given(st.integers(10**9, 4 * 10**9).map(lambda seconds: datetime.fromtimestamp(seconds, UTC)))
def test_a_token_tells_when_it_ends(moment: datetime) -> None:
    assert expiry(jwt(moment)) == moment


@given(st.text() | st.tuples(st.text(), st.text(), st.text()).map(".".join))
def test_what_is_no_token_tells_nothing(text: str) -> None:
    assert expiry(text) is None


def test_a_configured_token_before_its_end(tmp_path: Path) -> None:
    assert own_token("adf", "T", jwt(NOW + 20 * DAY), NOW) == ()
    assert own_token("adf", "T", "", NOW) == ()
    assert own_token("adf", "T", jwt(None), NOW) == ()
    near, over = (own_token("adf", "T", jwt(NOW + n * DAY), NOW)[0] for n in (10, -1))
    assert (near.severity, over.severity) == ("warning", "critical")
    assert "has expired" in over.summary
    path = tmp_path / "token"
    path.write_text(jwt(NOW + DAY / 24), "utf-8")
    assert own_token("adf", "T", f"file:{path}", NOW) == ()  # somebody renews it
    path.write_text(jwt(NOW - DAY), "utf-8")
    assert len(own_token("adf", "T", f"file:{path}", NOW)) == 1  # nobody does
    secret = jwt(NOW - DAY)
    assert secret not in repr(own_token("adf", "T", secret, NOW))


def looked(one: Watch) -> dict[str, str]:
    one.parts.notes.take(ceilings(one.parts.context))
    return one.findings()


def test_access_tokens_and_quota(watch: Make) -> None:
    one = watch()
    millis = one.sandbox.clock.now() * 1000
    day = 86_400_000
    tokens = [
        {"token_id": "a" * 64, "comment": "app", "expiry_time": int(millis + 2 * day)},
        {"token_id": "b" * 64, "comment": "spare", "expiry_time": int(millis + 90 * day)},
        {"token_id": "c" * 64, "comment": "eternal"},
    ]
    one.sandbox.script("databricks/access-tokens", tokens=tokens)
    low = {"available_core_quota": 20, "total_core_quota": 350}
    types = [{"node_type_id": n, **low} for n in ("Standard_DS3_v2", "Standard_E8ds_v5")]
    one.sandbox.script("databricks/node-types", node_types=types)
    one.sandbox.script(
        "databricks/clusters",
        cluster_name="c",
        spark_version="15.4.x-scala2.12",
        node_type_id="Standard_DS3_v2",
        num_workers=1,
    )
    expected = {
        f"token {'a' * 16}": "credential_expires",
        "Standard_DS3_v2": "quota_nearly_used",  # the other type is not in use
    }
    assert looked(one) == expected
    one.sandbox.script("faults", name="f", path="token/list", status=403, times=9)
    one.sandbox.script("databricks/access-tokens", tokens=[])
    assert looked(one) == expected  # what cannot be read resolves nothing
    one.sandbox.control("DELETE", "faults")
    assert list(looked(one)) == ["Standard_DS3_v2"]


def test_throttling_again_and_again(watch: Make) -> None:
    one = watch()
    now = one.clock.now()
    for number in range(3):
        assert "throttling" not in looked(one)
        failure = Failure(FailureKind.PIPELINE_RUN, "adf", "p", f"run-{number}", "p")
        identity = f"{now:%Y%m%d-%H%M%S}{number:03d}-0000000{number}"
        incident = Incident(identity, IncidentState.ESCALATED, failure, now, now, "o")
        incident.diagnosis = Diagnosis("ThrottlingError", "network", True, 0.9, "r", "b")
        one.parts.context.incidents.open(incident)
    one.sandbox.advance(60)
    assert looked(one) == {"throttling": "rate_limited"}
    one.sandbox.advance(86_400 * 2)
    assert looked(one) == {}


# System tables

COLUMNS = ["workspace_id", "what", "resource", "period", "began", "memory", "cpu", "disk_free"]
SPENT = ["workspace_id", "what", "resource", "period", "began", "usd"]
WAREHOUSE = "0123456789abcdef"


def used(resource: str, *memory: float, free: float = 100e9, what: str = "job") -> list[list[str]]:
    return [
        ["77", what, resource, f"r{n}", f"2026-11-{n + 1:02d}T03:00:00Z", str(m), "40", str(free)]
        for n, m in enumerate(memory)
    ]


def spent(resource: str, *usd: float, what: str = "job") -> list[list[str]]:
    return [
        ["77", what, resource, f"r{n}", f"2026-11-{n + 1:02d}T03:00:00Z", str(amount)]
        for n, amount in enumerate(usd)
    ]


def test_the_system_tables_through_a_warehouse(watch: Make) -> None:
    one = watch()
    script = one.sandbox.script
    script("databricks/warehouses", warehouse_id=WAREHOUSE)
    jobs = [*used("1", 70, 95, 96, 97), *used("2", 95, 95, 50), *used("3", 40, free=2e9)]
    script("databricks/statements", match="job_task_run_timeline", columns=COLUMNS, rows=jobs)
    days = used("c-1", 92, 93, 94, what="cluster")
    script("databricks/statements", match="'cluster' AS what", columns=COLUMNS, rows=days)
    updates = used("p-2", 95, 96, 97, what="pipeline")
    script("databricks/statements", match="FROM updates u", columns=COLUMNS, rows=updates)
    costs = [*spent("4", 10, 11, 10, 9, 10, 18, 19, 20), *spent("5", 10, 30, 10, 9, 10, 18, 9, 20)]
    costs += spent("p-1", 5, 5, 6, 5, 5, 9, 9, 9, what="pipeline")
    script("databricks/statements", match="dlt_pipeline_id", columns=SPENT, rows=costs)
    targets = one.parts.settings.targets
    api = one.parts.context.platforms.workspace("dbx")

    one.parts.notes.take(usage(api, WAREHOUSE, targets))

    assert one.findings() == {
        "job 1": "memory_high",
        "job 3": "disk_filling",
        "cluster c-1": "memory_high",
        "job 4": "cost_rising",
        "pipeline p-1": "cost_rising",
        "pipeline p-2": "memory_high",
    }
    found = {f.resource: f for f in one.parts.findings.standing()}
    assert found["job 1"].remedy == "change_node_type"
    assert found["job 4"].summary == ("a run of job 4 costs about 19.00 USD now, it was 10.00 USD")
    statements = [r for r in one.sandbox.requests("sql/statements") if r["method"] == "POST"]
    assert len(statements) == 4


def test_a_warehouse_that_refuses_tells_nothing(watch: Make) -> None:
    one = watch()
    one.sandbox.script("databricks/warehouses", warehouse_id=WAREHOUSE)
    one.sandbox.script(
        "databricks/statements", match="system", error_code="PERMISSION_DENIED", message="no"
    )
    api = one.parts.context.platforms.workspace("dbx")
    with pytest.raises(PlatformRefused):
        usage(api, WAREHOUSE, one.parts.settings.targets)


def test_three_in_a_row_and_not_two() -> None:
    def periods(*values: float) -> list[Period]:
        return [Period(str(n), f"r{n}", cpu=value) for n, value in enumerate(values)]

    assert kinds(judged("w", "job 1", periods(91, 92, 93))) == [FindingKind.CPU_HIGH]
    assert judged("w", "job 1", periods(91, 92)) == []
    assert judged("w", "job 1", periods(91, 92, 93, 20)) == []


def test_cheap_work_may_double() -> None:
    costs = [Period(str(n), f"r{n}", usd=usd) for n, usd in enumerate([0.1] * 6 + [0.3] * 3)]
    assert judged("w", "job 1", costs) == []


def test_rows_come_in_any_order() -> None:
    rows = [dict(zip(COLUMNS, row, strict=True)) for row in used("1", 1, 2, 3)]
    assert series(rows) == series(rows[::-1])
    assert "node_timeline" in CLUSTERS_SQL


def test_the_warehouse_setting() -> None:
    targets = Targets(
        [Workspace("one", "https://a.example"), Workspace("two", "https://b.example")]
    )
    assert warehouse_of("", targets) is None
    first, second = warehouse_of("abc", targets), warehouse_of("Two/abc", targets)
    assert first is not None
    assert second is not None
    assert (first[0].name, first[1], second[0].name) == ("one", "abc", "two")
    for wrong in ("elsewhere/abc", "one/", "a b"):
        listed = json.dumps([{"kind": "databricks", "name": "one", "host": "https://a.example"}])
        with pytest.raises(ConfigurationError, match="SYSTEM_TABLES_WAREHOUSE_ID"):
            load({"TARGETS": listed, "SYSTEM_TABLES_WAREHOUSE_ID": wrong})


def test_a_cell_that_is_not_finite_tells_nothing() -> None:
    cells = ("NaN", "Infinity", "-inf")
    rows = [
        {"what": "job", "resource": "1", "period": str(n), "began": str(n), "memory": cell}
        for n, cell in enumerate(cells)
    ]
    listed = series(rows)["", "job 1"]
    assert [period.memory for period in listed] == [None] * 3
    assert judged("w", "job 1", listed) == []
