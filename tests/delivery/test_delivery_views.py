"""Quality, the event log and the summary of a delivery: pure, and safe to show."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from shared.delivery.evidence import flows_of, lines_of, place_of
from shared.delivery.guide import words
from shared.delivery.quality import expectations, freshness, quarantined, rows
from shared.delivery.summary import markdown, summary
from shared.delivery.tables import Version
from shared.delivery_models import (
    CancelRequest,
    Check,
    Delivery,
    DeliveryPlan,
    DeliveryState,
    Finding,
    Flow,
    Gate,
    GateName,
    GateState,
    Run,
    Stage,
    Thresholds,
)

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def test_pass_rates_against_thresholds() -> None:
    flows = {"t": Flow(expectations={"a": (95, 5), "b": (90, 10), "c": (0, 0)})}
    wanted = Thresholds(0.95, expectations={"b": 0.9, "d": 0.5})
    assert {c.name: c.ok for c in expectations(flows, wanted)} == {
        "t: a": True,
        "t: b": True,
        "t: c": True,
        "d": False,
    }


def test_just_below_a_threshold_is_below() -> None:
    flows = {"t": Flow(expectations={"a": (9499, 501)})}
    (check,) = expectations(flows, Thresholds(0.95))
    assert check.ok is False
    assert check.note == "94.99% of 10000 records, wanted 95.00%"


def test_rows_and_freshness() -> None:
    found = list(rows({"t": Flow(rows=5)}, Thresholds(min_rows={"t": 5, "u": 1})))
    assert [c.ok for c in found] == [True, False]
    written = datetime(2026, 1, 1, tzinfo=UTC)
    assert freshness("t", written, written + timedelta(hours=1), 1).ok
    assert freshness("t", written, written + timedelta(hours=1, seconds=1), 1).ok is False


def test_what_is_set_aside_is_a_share_of_what_came_in() -> None:
    flows = {"b": Flow(rows=200), "q": Flow(rows=21)}
    assert [c.ok for c in quarantined("b", "q", flows, 0.1)] == [False]
    assert [c.ok for c in quarantined("b", "q", flows, 0.105)] == [True]
    assert list(quarantined("b", "q", {"b": Flow(), "q": Flow(rows=3)}, 0.1)) == []


def test_the_guide_names_the_versions_before_and_after() -> None:
    begun = datetime(2026, 1, 1, 12, tzinfo=UTC)
    at = [begun + timedelta(hours=hours) for hours in (1, -1, -2)]
    versions = [Version(number, moment) for number, moment in zip((7, 6, 5), at, strict=True)]
    assert "version 6 before, 7 after" in words("c.s.t", versions, begun)[0]
    assert words("c.s.t", versions[1:], begun) == ("", "not written since")
    assert words("c.s.t", versions[:1], begun)[1].startswith("made by this delivery")
    assert words("c.s.t", [], begun) == ("", "without a history")


def event(kind: str, second: int, **details: object) -> dict[str, object]:
    return {
        "event_type": "flow_progress",
        "timestamp": f"2026-11-21T12:00:{second:02}.000Z",
        "origin": {"flow_name": "f", "dataset_name": "t"},
        "level": "INFO",
        "details": {"flow_progress": {"status": kind, **details}},
    }


def test_the_event_log_adds_up() -> None:
    quality = {
        "dropped_records": 1,
        "expectations": [{"name": "a", "passed_records": 9, "failed_records": 1}],
    }
    flows = flows_of(
        [
            event("RUNNING", 0),
            event("RUNNING", 5, metrics={"num_output_rows": 10}, data_quality=quality),
            event("COMPLETED", 10, metrics={"num_output_rows": 10}, data_quality=quality),
            {"event_type": "user_action", "details": "text"},
        ]
    )
    assert flows["t"] == Flow("COMPLETED", 20, 2, 10.0, {"a": (18, 2)})
    assert flows["t"].rate == 2.0


def test_the_first_error_comes_first_and_holds_no_row() -> None:
    violated = (
        "[EXPECTATION_VIOLATION.VERBOSITY_ALL] Flow 'f' failed to meet the expectation. Violated "
        'expectations: \'a\'. Input data: \'{"name":"Ada"}\'. Output record: \'{"name":"Ada"}\'. '
        "Missing input data: false"
    )
    errors = [
        {"class_name": "Outer", "message": violated},
        {
            "class_name": "Inner",
            "message": "x",
            "stack": [{"file_name": "/a.py", "line_number": 3}],
        },
    ]
    lines = lines_of(
        [
            {"level": "ERROR", "origin": {"flow_name": "f"}, "error": {"exceptions": errors}},
            {"level": "ERROR", "message": "Update failed"},
        ],
        str,
    )
    assert [line.kind for line in lines] == ["Inner", "Outer", ""]
    assert "Ada" not in "".join(line.message for line in lines)
    assert "Missing input data: false" in lines[1].message
    assert place_of(lines) == "/a.py, line 3"


def a_delivery() -> Delivery:
    gate = Gate(GateName.L1, "dev", 1, GateState.FAILED, NOW, NOW + timedelta(seconds=2))
    gate.checks = [Check("a | b", ok=False, note="<script>alert(1)</script> [x](y)")]
    stage = Stage("dev", "databricks", "Shop (dev)", "p1", catalog="c", schema="s")
    stage.runs = [Run(1, "u1", "FAILED", started_at=NOW, flows={"t": Flow("FAILED")})]
    finding = Finding(
        NOW, "L3 execution", "dev", "resource", "OutOfMemory", "heap", guidance=["Do"]
    )
    return Delivery(
        delivery_id="d-1",
        state=DeliveryState.ROLLED_BACK,
        plan=DeliveryPlan("Shop", "dev", "specification", commit="abc", clean=False),
        opened_at=NOW,
        updated_at=NOW,
        by="key",
        stages=[stage],
        gates=[gate],
        findings=[finding],
        outcome="L1: *wrong*",
        next_steps=["Look"],
    )


def test_the_summary_tells_it_all_and_runs_nothing() -> None:
    told = summary(a_delivery())
    text = markdown(told)
    assert told["failures"]["by_category"] == {"resource": 1}
    assert text.startswith("# Shop: not delivered, rolled back\n")
    assert "with changes that are in no commit" in text
    assert "<script>" not in text
    assert "\\<script\\>" in text
    assert "| a \\| b |".replace("| a", " a") in text
    assert "   - Do: Do" in text
    assert "\n1. Look" in text


def test_each_targets_figures_are_a_table_of_their_own_and_a_cancel_has_its_reason() -> None:
    stages = [
        Stage(target, "w", "p", runs=[Run(1, update_id="u", flows={"t": Flow()})])
        for target in ("dev", "prod")
    ]
    delivery = Delivery(
        "d-1",
        DeliveryState.CANCELLED,
        DeliveryPlan("p", "dev", "specification"),
        NOW,
        NOW,
        "somebody",
        stages=stages,
        cancel=CancelRequest("somebody else", NOW, "a doubt"),
    )
    told = markdown(summary(delivery))
    assert "|\n\nprod: try 1" in told
    assert "by somebody else: a doubt" in told
