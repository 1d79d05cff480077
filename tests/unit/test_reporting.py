"""Reports: what counts of an incident, how figures are added up, what callers may ask."""

from __future__ import annotations

import csv
import io
import math
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import InputError
from shared.ledger.rollups import Status
from shared.ledger.search import Position, Wanted
from shared.models import Attempt, AuditEntry, Decision, Diagnosis, Failure, Incident, Question
from shared.reporting import listing
from shared.reporting.facts import AttemptFact, Fact, fact_of, worth_following
from shared.reporting.listing import Allowed, next_cursor, parse
from shared.reporting.metrics import as_csv, cell, report
from shared.reporting.rollout import rollout
from shared.reporting.rollup import Key, Rollup, added, grouped, rolled
from shared.reporting.spread import ERROR, Spread
from shared.reporting.view import view
from shared.reporting.window import window_of
from shared.vocabulary import DecisionKind, FailureKind, IncidentState, Reason, Verdict

NOW = datetime(2026, 11, 20, 3, 12, 0, 123000, tzinfo=UTC)
FAILURE = Failure(FailureKind.PIPELINE_RUN, "adf", "p", "run-1", group="run-1")
STATUS = Status(NOW, 4)
WEEK = window_of("7d", NOW)


def incident(state: IncidentState, **more: object) -> Incident:
    one = Incident("20261120-031200123-ab", state, FAILURE, NOW, NOW, "owner")
    for name, value in ({"closed_at": NOW + timedelta(minutes=5)} | more).items():
        setattr(one, name, value)
    return one


def attempt(verdict: Verdict | None, **more: object) -> Attempt:
    one = Attempt(1, "GatewayTimeout", "rerun", ["rerun_pipeline"], NOW, verdict=verdict)
    for name, value in more.items():
        setattr(one, name, value)
    return one


# Facts


def test_a_healed_incident_counts_from_the_failure_to_the_good_run() -> None:
    tried = [
        attempt(Verdict.FAILED, cost_usd=0.25),
        attempt(Verdict.HEALED, ended_at=NOW + timedelta(seconds=90), cost_usd=0.5),
    ]
    fact = fact_of(
        incident(IncidentState.HEALED, attempts=tried, failed_at=NOW - timedelta(seconds=30))
    )
    assert fact is not None
    assert (fact.day, fact.end, fact.remedy) == ("20261120", "healed", "rerun")
    assert fact.healed_after == 120
    assert fact.unaided
    assert [a.cost_micros for a in fact.attempts] == [250_000, 500_000]
    assert fact_of(incident(IncidentState.WAITING)) is None


def test_what_a_person_approved_was_not_unaided() -> None:
    asked = Question("q", "a", "rerun", "s", "w", NOW, NOW, approved=True, answered_by="ops")
    tried = [attempt(Verdict.HEALED, approved_by="ops")]
    fact = fact_of(incident(IncidentState.HEALED, attempts=tried, question=asked))
    assert fact is not None
    assert (fact.unaided, fact.question) == (False, "approved")


@pytest.mark.parametrize(
    ("state", "kind", "reason", "remedy", "end", "followed"),
    [
        ("observed", "observe", "observe_mode", "rerun", "would_heal", True),
        ("observed", "observe", "already_recovered", "", "left", True),
        ("observed", "observe", "out_of_scope", "", "out_of_scope", True),
        ("escalated", "escalate", "never_automated", "", "escalated", True),
        ("cancelled", "observe", "stopped_by_somebody", "", "cancelled", False),
    ],
)
def test_how_an_incident_ended(
    state: str, kind: str, reason: str, remedy: str, end: str, *, followed: bool
) -> None:
    decision = Decision(DecisionKind(kind), Reason(reason), remedy)
    one = incident(IncidentState(state), decision=decision)
    fact = fact_of(one)
    assert fact is not None
    assert (fact.end, fact.reason) == (end, reason)
    assert worth_following(one) is followed


# Spreads


@given(st.lists(st.floats(1, 2_500_000), min_size=1, max_size=60), st.floats(0.01, 1))
def test_a_percentile_is_at_most_the_bucket_error_off(values: list[float], share: float) -> None:
    spread = Spread()
    for value in values:
        spread.add(value)
    exact = sorted(values)[max(1, math.ceil(share * len(values))) - 1]
    estimated = spread.percentile(share)
    assert estimated is not None
    assert abs(estimated / exact - 1) <= ERROR + 1e-9
    assert spread.mean == pytest.approx(sum(values) / len(values), abs=0.001)


def test_nothing_has_no_percentile_and_the_ends_are_kept_in() -> None:
    spread = Spread()
    assert spread.percentile(0.5) is None
    assert spread.mean is None
    for value in (-5, 0, 0.5):
        spread.add(value)
    assert spread.percentile(0.9) == 1.0
    spread.add(1e12)
    assert spread.percentile(1) == pytest.approx(2_700_000, rel=0.1)


# Rollups

names = st.sampled_from(["A", "B", "a|b", "x/y#?", "Ü ="])
durations = st.none() | st.floats(0, 1e6)
facts = st.builds(
    Fact,
    incident_id=st.uuids().map(str),
    day=st.just("20261120"),
    state=st.sampled_from(["healed", "escalated", "observed"]),
    end=st.sampled_from(["healed", "would_heal", "escalated"]),
    error_type=names,
    remedy=names,
    environment=st.sampled_from(["", "production"]),
    mode=st.sampled_from(["observe", "production"]),
    reason=st.sampled_from(["", "allowed", "observe_mode"]),
    attempts=st.lists(
        st.builds(
            AttemptFact,
            names,
            names,
            st.sampled_from([v.value for v in Verdict]),
            st.integers(0, 10**7),
        ),
        max_size=3,
    ).map(tuple),
    unaided=st.booleans(),
    healed_after=durations,
    recovered_after=durations,
    recovered_by=st.sampled_from(["", "by_hand", "by_itself"]),
    question=st.sampled_from(["", "approved"]),
    estimate_micros=st.none() | st.integers(0, 10**7),
)


def rows_text(rows: dict[Key, Rollup]) -> dict[str, str]:
    return {key.row: row.text for key, row in rows.items()}


@given(st.lists(facts, max_size=12), st.randoms())
def test_computing_again_in_any_order_gives_the_same_rows(
    listed: list[Fact], random: object
) -> None:
    once = rows_text(rolled(listed))
    random.shuffle(listed)  # type: ignore[attr-defined]  # hypothesis' own Random
    assert rows_text(rolled(listed)) == once
    for text in once.values():
        assert msgspec.json.decode(text, type=Rollup).text == text


@given(st.lists(facts, max_size=12), st.integers(0, 12))
def test_days_added_up_are_the_whole(listed: list[Fact], cut: int) -> None:
    whole = added(rolled(listed).values(), Key("", ""))
    parts = [*rolled(listed[:cut]).values(), *rolled(listed[cut:]).values()]
    assert added(parts, Key("", "")) == whole
    assert whole.incidents == len(listed)
    assert whole.tried == sum(len(fact.attempts) for fact in listed)
    assert sum(row.incidents for row in grouped(parts, "error_type")) == len(listed)


@given(st.builds(Key, names, names, names, names), st.builds(Key, names, names, names, names))
def test_row_keys_are_what_storage_takes_and_differ(one: Key, other: Key) -> None:
    assert not set(one.row) & set("/\\#?%")
    assert (one.row == other.row) == (one == other)


def test_attempts_count_where_their_own_error_was() -> None:
    changed = Fact(
        "i",
        "20261120",
        "healed",
        "healed",
        "HttpConnectionFailed",
        "rerun",
        attempts=(
            AttemptFact("GatewayTimeout", "rerun", "failed"),
            AttemptFact("HttpConnectionFailed", "rerun", "healed"),
        ),
        healed_after=60.0,
    )
    rows = list(rolled([changed]).values())
    types = {row["error_type"]: row for row in report(rows, WEEK, STATUS)["by_error_type"]}
    assert types["GatewayTimeout"]["incidents"] == 0
    assert types["GatewayTimeout"]["success_rate"] == 0
    assert types["HttpConnectionFailed"]["success_rate"] == 1
    assert types["HttpConnectionFailed"]["meets_target"]


# Reports


def sample() -> list[Rollup]:
    listed = [
        Fact(
            f"h{n}",
            "20261120",
            "healed",
            "healed",
            "GatewayTimeout",
            "rerun",
            "production",
            "production",
            "allowed",
            (AttemptFact("GatewayTimeout", "rerun", "healed", 500_000),),
            unaided=True,
            healed_after=100.0,
        )
        for n in range(9)
    ]
    listed.append(
        Fact(
            "e1",
            "20261120",
            "escalated",
            "escalated",
            "GatewayTimeout",
            "rerun",
            "production",
            "production",
            "attempts_used_up",
            (AttemptFact("GatewayTimeout", "rerun", "failed", 500_000),),
            recovered_after=7200.0,
            recovered_by="by_hand",
        )
    )
    listed += [
        Fact(
            f"w{n}",
            "20261120",
            "observed",
            "would_heal",
            "GatewayTimeout",
            "rerun",
            "test",
            "observe",
            "observe_mode",
            recovered_after=3600.0 if n else None,
            recovered_by="by_itself" if n else "",
            estimate_micros=250_000,
        )
        for n in range(3)
    ]
    return list(rolled(listed).values())


def test_metrics_of_a_window() -> None:
    told = report(sample(), WEEK, STATUS)
    totals = told["totals"]
    assert (told["from"], told["to"]) == ("2026-11-14", "2026-11-20")
    assert told["as_of"] == "2026-11-20T03:12:00.123Z"
    assert (totals["incidents"], totals["healed"], totals["avoided"]) == (13, 9, 9)
    assert (totals["attempts"], totals["success_rate"], totals["meets_target"]) == (10, 0.9, True)
    assert (totals["cost_usd"], totals["open"]) == (5.0, 4)
    healed = told["time_to_recovery"]["healed"]
    assert (healed["count"], healed["mean_seconds"]) == (9, 100.0)
    assert healed["p50_seconds"] == pytest.approx(100, rel=ERROR)
    assert told["time_to_recovery"]["by_hand"]["mean_seconds"] == 7200.0
    assert told["time_to_recovery"]["by_itself"]["count"] == 2
    assert told["attempts_before_success"] == {"healed": 9, "mean": 1.0, "by_attempts": {"1": 9}}


def test_metrics_of_nothing_say_so() -> None:
    told = report([], WEEK, None)
    assert told["as_of"] is None
    assert told["totals"]["success_rate"] is None
    assert told["totals"]["open"] is None
    assert told["time_to_recovery"]["healed"]["p90_seconds"] is None


def test_the_rollout_report_tells_what_would_have_been() -> None:
    told = rollout(sample(), WEEK, STATUS)
    would = told["would_have_healed"]
    assert told["by_mode"] == {"observe": 3, "production": 10}
    assert (would["incidents"], would["share"]) == (3, round(3 / 13, 4))
    assert (would["estimated_cost_usd"], would["estimated"]) == (0.75, 3)
    assert would["recovered_later"]["by_itself"]["mean_seconds"] == 3600.0
    assert would["recovered_later"]["not_seen"] == 1
    assert [row["remedy"] for row in would["by_remedy"]] == ["rerun"]
    assert told["escalated"]["reasons"] == {"attempts_used_up": 1}
    assert told["escalated"]["recovered_later"]["by_hand"]["count"] == 1


def test_csv_has_a_line_for_each_row_and_one_for_all() -> None:
    lines = list(csv.DictReader(io.StringIO(as_csv(sample(), WEEK, STATUS))))
    assert [line["environment"] for line in lines] == ["production", "test", "all"]
    assert [line["incidents"] for line in lines] == ["10", "3", "13"]
    assert (lines[0]["success_rate"], lines[1]["success_rate"]) == ("0.9", "")
    assert lines[0]["by_hand_p50_seconds"] != ""


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\t=1", "\r=1", " =1", "\n@", "＝1"])  # noqa: RUF001 - a full-width sign
def test_texts_that_would_be_formulas_are_not(text: str) -> None:
    assert cell(text) == f"'{text}"
    row = rolled([Fact("i", "20261120", "healed", "healed", text, text)]).values()
    line = next(csv.DictReader(io.StringIO(as_csv(list(row), WEEK, STATUS), newline="")))
    assert line["error_type"] == f"'{text}"


def test_numbers_are_left_as_they_are() -> None:
    assert [cell(value) for value in (-1.5, 0, None, True, "rerun")] == [
        "-1.5",
        "0",
        "",
        "true",
        "rerun",
    ]


@pytest.mark.parametrize("raw", ["", "7", "0d", "93d", "1h", "007d", "-1d", "7d ", "\u0667d"])
def test_windows_that_are_none(raw: str) -> None:
    with pytest.raises(InputError, match="1d to 92d"):
        window_of(raw, NOW)


def test_a_window_of_one_day_is_today() -> None:
    assert (window_of("1d", NOW).first, window_of("92d", NOW).first) == ("20261120", "20260821")


# The list's query

ALLOWED = Allowed(frozenset({"GatewayTimeout"}), frozenset({"ADF-Prod"}), frozenset({"rerun"}))


def asked(*pairs: tuple[str, str]) -> listing.Listing:
    return parse(pairs, ALLOWED, NOW, "key")


def test_filters_become_conditions() -> None:
    found = asked(
        ("state", "open"),
        ("state", "healed"),
        ("target", "adf-prod"),
        ("resource", "O'Brien"),
        ("since", "2026-11-19"),
        ("until", "2026-11-20T01:00:00+02:00"),
        ("api_key", "not a filter"),
    )
    assert found.wanted.target == "ADF-Prod"
    assert len(found.wanted.states) == 7
    assert found.wanted.until == datetime(2026, 11, 19, 23, tzinfo=UTC)
    clauses, values = found.wanted.condition
    assert "( resource eq @resource or name eq @resource )" in clauses
    assert values["resource"] == "O'Brien"
    assert found.wanted.days(None) == ["20261119"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("state", "opened"),
        ("state", ""),
        ("error_type", "Nonsense"),
        ("target", "elsewhere"),
        ("remedy", "pray"),
        ("resource", ""),
        ("resource", "a\x00b"),
        ("environment", "e" * 201),
        ("since", "yesterday"),
        ("since", "0001-01-01"),
        ("since", "2026-11-21"),
        ("since", "2026-01-01"),
        ("until", "9999-99-99"),
        ("limit", "0"),
        ("limit", "201"),
        ("limit", "\u0663"),
        ("cursor", ""),
        ("cursor", "%%%"),
        ("cursor", "QUFB"),
        ("cursor", "ü"),
        ("offset", "1"),
    ],
)
def test_every_wrong_value_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(InputError) as refused:
        asked((name, value))
    assert refused.value.field == name
    assert refused.value.expected.startswith(("expected", "no such parameter; expected"))


def test_what_is_given_twice_is_refused() -> None:
    with pytest.raises(InputError, match="expected once"):
        asked(("limit", "1"), ("limit", "2"))


@given(st.text(max_size=80), st.sampled_from(listing.PARAMETERS))
def test_no_text_breaks_the_parser(value: str, name: str) -> None:
    try:
        asked((name, value))
    except InputError as error:
        refused = error.field
    else:
        refused = name
    assert refused == name


def test_a_cursor_keeps_its_window_and_its_place() -> None:
    first = asked(("state", "healed"))
    position = Position("20261119", "00012345-ab")
    cursor = next_cursor(first, position, "key")
    assert cursor is not None
    later = NOW + timedelta(hours=3)
    second = parse([("state", "healed"), ("cursor", cursor)], ALLOWED, later, "key")
    assert second.after == position
    assert second.wanted == first.wanted
    assert next_cursor(first, None, "key") is None
    for pairs, key in (
        ([("state", "open"), ("cursor", cursor)], "key"),
        ([("state", "healed"), ("cursor", cursor)], "another"),
        ([("state", "healed"), ("cursor", cursor[:-3] + "AAA")], "key"),
        ([("state", "healed"), ("cursor", "B" + cursor[1:])], "key"),
    ):
        with pytest.raises(InputError) as refused:
            parse(pairs, ALLOWED, NOW, key)
        assert refused.value.field == "cursor"


def test_days_and_rows_of_a_walk() -> None:
    wanted = Wanted(NOW - timedelta(days=2), NOW)
    assert wanted.days(None) == ["20261120", "20261119", "20261118"]
    assert wanted.days(Position("20261119", "0-a")) == ["20261119", "20261118"]
    assert wanted.days(Position.end_of("20261119")) == ["20261118"]
    low, high = wanted.rows("20261120", None)
    assert low == f"{86_400_000 - 11_520_123:08d}"
    assert high == ""
    assert wanted.rows("20261118", None) == ("", f"{low}~")
    assert wanted.rows("20261119", Position("20261119", "5-a"))[0] == "5-a0"


# One incident


def test_the_view_sorts_the_timeline_by_what_a_reader_asks() -> None:
    def entry(action: str, **more: object) -> AuditEntry:
        return AuditEntry(NOW, "lakemend", action, action.lower(), **more)  # type: ignore[arg-type]  # a table of fields

    diagnosis = Diagnosis("GatewayTimeout", "network", True, 0.95, "r", "b")
    timeline = [
        entry(
            "Failure Diagnosed",
            reason="b",
            details={
                "diagnosis": msgspec.to_builtins(diagnosis),
                "evidence": [{"source": "activity", "message": "504"}],
                "run_id": "run-1",
            },
        ),
        entry("Decision Made", reason="allowed", result="act", details={"tries": 0}),
        entry("Action Taken"),
        entry("Auto-Remediation Succeeded", result="healed"),
        entry("Approval Given"),
        entry("Message Not Delivered"),
    ]
    one = incident(IncidentState.HEALED, failed_at=NOW - timedelta(seconds=2))
    told = view(one, timeline)
    assert told["evidence"][0]["lines"][0]["message"] == "504"
    assert told["evidence"][0]["error_type"] == "GatewayTimeout"
    assert told["decisions"][0]["inputs"] == {"tries": 0}
    assert [line["action"] for line in told["actions"]] == ["Action Taken"]
    assert told["verdicts"][0]["result"] == "healed"
    assert len(told["approvals"]) == len(told["messages"]) == 1
    assert told["seconds"]["to_alert"] == 2
    assert told["seconds"]["to_first_attempt"] is None
