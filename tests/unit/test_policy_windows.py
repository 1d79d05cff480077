"""Maintenance windows: open when they should be, also when the clocks change."""

from __future__ import annotations

import zoneinfo
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from shared.policy.model import Policy, Selector, Weekday, Window
from shared.policy.scope import Work
from shared.policy.windows import ends_at, open_window
from shared.vocabulary import FailureKind

WORK = Work("adf-prod", "prod", FailureKind.PIPELINE_RUN, "pl_sales", "pl_sales")
DAYS: tuple[Weekday, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"]
# Both changes of 2026, in UTC.
CHANGES = {
    "Europe/Berlin": ("2026-03-29T01:00", "2026-10-25T01:00"),
    "America/New_York": ("2026-03-08T07:00", "2026-11-01T06:00"),
    "Australia/Lord_Howe": ("2026-04-04T15:00", "2026-10-03T15:30"),
}


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def weekly(days: tuple[Weekday, ...], opens: str, closes: str, zone: str = "UTC") -> Window:
    return Window("w", days=days, opens=opens, closes=closes, timezone=zone)


def span(window: Window, inside: str) -> tuple[str, str]:
    """First and last moment of the time that is open at `inside`, minute by minute, in UTC."""
    policy = Policy(windows=(window,))
    first = at(inside)
    assert open_window(policy, WORK, first) == window
    while open_window(policy, WORK, first - timedelta(minutes=1)):
        first -= timedelta(minutes=1)
    return f"{first:%d %H:%M}", f"{ends_at(window, first):%d %H:%M}"


def test_once() -> None:
    start = datetime.fromisoformat("2026-12-24T20:00:00+01:00")
    window = Window("w", start=start, end=at("2026-12-27T06:00"))
    policy = Policy(windows=(window,))
    assert open_window(policy, WORK, at("2026-12-24T18:59:59.999")) is None
    assert open_window(policy, WORK, at("2026-12-24T19:00")) == window
    assert open_window(policy, WORK, at("2026-12-27T05:59:59")) == window
    assert open_window(policy, WORK, at("2026-12-27T06:00")) is None
    assert ends_at(window, at("2026-12-25T00:00")) == at("2026-12-27T06:00")
    assert ends_at(window, at("2026-12-25T00:00")).tzinfo is UTC


@pytest.mark.parametrize(
    ("window", "inside", "expected"),
    [
        # 21 November 2026 is a Saturday.
        (weekly(("sat",), "22:00", "23:30"), "2026-11-21T22:15", ("21 22:00", "21 23:30")),
        (weekly(("sat",), "22:00", "06:00"), "2026-11-22T05:59", ("21 22:00", "22 06:00")),
        (weekly(("sat",), "00:00", "00:00"), "2026-11-21T12:00", ("21 00:00", "22 00:00")),
        (
            weekly(("sat",), "22:00", "06:00", "Europe/Berlin"),
            "2026-11-21T21:00",
            ("21 21:00", "22 05:00"),
        ),
        (
            weekly(("sun",), "01:00", "02:00", "Pacific/Kiritimati"),
            "2026-11-21T11:30",
            ("21 11:00", "21 12:00"),
        ),
        # 02:00 to 03:00 does not exist in Berlin on 29 March; it still lasts an hour.
        (
            weekly(("sun",), "02:00", "03:00", "Europe/Berlin"),
            "2026-03-29T00:30",
            ("29 00:00", "29 01:00"),
        ),
        (
            weekly(("sun",), "02:30", "04:00", "Europe/Berlin"),
            "2026-03-29T01:30",
            ("29 00:30", "29 02:00"),
        ),
        (
            weekly(("sat",), "22:00", "02:30", "Europe/Berlin"),
            "2026-03-29T00:00",
            ("28 21:00", "29 01:30"),
        ),
        # 02:30 comes twice on 25 October: the first opens, the second closes.
        (
            weekly(("sun",), "02:30", "04:00", "Europe/Berlin"),
            "2026-10-25T00:30",
            ("25 00:30", "25 03:00"),
        ),
        (
            weekly(("sun",), "01:00", "02:30", "Europe/Berlin"),
            "2026-10-25T01:29",
            ("24 23:00", "25 01:30"),
        ),
        (
            weekly(("sun",), "02:30", "03:30", "America/New_York"),
            "2026-03-08T07:15",
            ("08 06:30", "08 07:30"),
        ),
        (
            weekly(("sun",), "01:15", "01:45", "America/New_York"),
            "2026-11-01T06:00",
            ("01 05:15", "01 06:45"),
        ),
        # Lord Howe changes by half an hour: 02:00 to 02:30 does not exist, 01:30 to 02:00 is twice.
        (
            weekly(("sun",), "02:00", "02:30", "Australia/Lord_Howe"),
            "2026-10-03T15:15",
            ("03 15:00", "03 15:30"),
        ),
        (
            weekly(("sun",), "01:30", "01:45", "Australia/Lord_Howe"),
            "2026-04-04T14:59",
            ("04 14:30", "04 15:15"),
        ),
        # A day that Samoa never had.
        (
            weekly(("fri",), "22:00", "06:00", "Pacific/Apia"),
            "2011-12-30T10:00",
            ("30 08:00", "30 16:00"),
        ),
        (
            weekly(("thu",), "12:00", "12:00", "Pacific/Apia"),
            "2011-12-30T21:00",
            ("29 22:00", "30 22:00"),
        ),
    ],
)
def test_weekly(window: Window, inside: str, expected: tuple[str, str]) -> None:
    assert span(window, inside) == expected


def test_of_overlapping_windows_the_one_that_ends_last() -> None:
    short, long = weekly(("sat",), "20:00", "22:00"), weekly(("sat",), "21:00", "03:00")
    other = Window(
        "x", match=Selector(pipelines=("other",)), days=("sat",), opens="00:00", closes="00:00"
    )
    for windows in ((short, long, other), (other, long, short)):
        policy = Policy(windows=windows)
        assert open_window(policy, WORK, at("2026-11-21T20:30")) == short
        assert open_window(policy, WORK, at("2026-11-21T21:30")) == long
        assert open_window(policy, WORK, at("2026-11-22T02:59")) == long
        assert open_window(policy, WORK, at("2026-11-22T03:00")) is None


def test_of_one_windows_own_overlapping_times_the_latest_end() -> None:
    """On 25 October midnight to midnight lasts 25 hours and the next day follows without a gap."""
    window = weekly(("sun", "mon"), "02:30", "02:30", "Europe/Berlin")
    # Sunday's is over at 01:30 UTC on Monday, when Monday's begins.
    assert ends_at(window, at("2026-10-26T01:29")) == at("2026-10-26T01:30")
    assert ends_at(window, at("2026-10-26T01:30")) == at("2026-10-27T01:30")
    twice = weekly(("sat", "sun"), "02:30", "02:30", "Europe/Berlin")
    # Saturday's closes at the second 02:30 of Sunday, Sunday's opened at the first.
    assert ends_at(twice, at("2026-10-25T00:29")) == at("2026-10-25T01:30")
    assert ends_at(twice, at("2026-10-25T00:30")) == at("2026-10-26T01:30")


def test_zones_are_known_where_the_system_has_none() -> None:
    zoneinfo.reset_tzpath(to=[])
    try:
        assert ZoneInfo.no_cache("Europe/Berlin").utcoffset(at("2026-07-01T00:00")) == timedelta(
            hours=2
        )
    finally:
        zoneinfo.reset_tzpath()


def test_a_closed_window_has_no_end() -> None:
    with pytest.raises(ValueError, match="is not open"):
        ends_at(weekly(("sat",), "20:00", "22:00"), at("2026-11-21T19:59"))


clock_times = st.builds(
    "{:02}:{:02}".format, st.integers(0, 23), st.sampled_from([0, 1, 15, 29, 30, 31, 59])
)
weeklies = st.builds(
    weekly,
    st.lists(st.sampled_from(DAYS), min_size=1, unique=True).map(tuple),
    clock_times,
    clock_times,
    st.sampled_from(ZONES),
)
moments = st.datetimes(datetime(1990, 1, 1), datetime(2037, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis adds the zone


def near_change(zone: str) -> st.SearchStrategy[datetime]:
    """Moments within three days of a change of clocks."""
    changes = CHANGES.get(zone, ("2026-06-01T00:00",))
    minutes = st.integers(-4320, 4320)
    return st.builds(
        lambda change, shift: at(change) + timedelta(minutes=shift),
        st.sampled_from(changes),
        minutes,
    )


cases = weeklies.flatmap(lambda w: st.tuples(st.just(w), near_change(w.timezone) | moments))


def by_the_wall_clock(window: Window, now: datetime) -> bool:
    """Whether a clock on the wall says that it is open: told from day and time alone."""
    local = now.astimezone(ZoneInfo(window.timezone))
    opens, closes = time.fromisoformat(window.opens), time.fromisoformat(window.closes)
    today, yesterday = DAYS[local.weekday()], DAYS[local.weekday() - 1]
    shown = local.time()
    if closes > opens:
        return today in window.days and opens <= shown < closes
    begun = today in window.days and shown >= opens
    return begun or (yesterday in window.days and shown < closes)


def is_open(window: Window, now: datetime) -> bool:
    return open_window(Policy(windows=(window,)), WORK, now) is not None


def steady(zone: str, now: datetime, hours: int = 48) -> bool:
    """Whether no clock changes within some hours of `now`."""
    near = (now + timedelta(hours=h) for h in range(-hours, hours + 1))
    return len({moment.astimezone(ZoneInfo(zone)).utcoffset() for moment in near}) == 1


@given(cases)
def test_the_end_is_after_now_and_outside(case: tuple[Window, datetime]) -> None:
    window, now = case
    assume(is_open(window, now))
    end = ends_at(window, now)
    assert now < end <= now + timedelta(hours=25)
    assert end.utcoffset() == timedelta(0)
    assert not is_open(window, end) or ends_at(window, end) > end


@given(cases)
def test_on_steady_days_it_is_open_exactly_by_the_wall_clock(case: tuple[Window, datetime]) -> None:
    window, now = case
    assume(steady(window.timezone, now))
    assert is_open(window, now) == by_the_wall_clock(window, now)


@given(cases)
def test_it_is_never_missed_whatever_the_clocks_do(case: tuple[Window, datetime]) -> None:
    window, now = case
    if by_the_wall_clock(window, now):
        assert is_open(window, now)


@given(cases)
def test_it_is_open_outside_by_what_the_clocks_change_at_most(
    case: tuple[Window, datetime],
) -> None:
    window, now = case
    assume(is_open(window, now))
    minutes = range(-60, 61)
    near = (now + timedelta(minutes=shift) for shift in minutes)
    # A window may lie in the very hour that does not exist.
    changing = not steady(window.timezone, now, hours=2)
    assert changing or any(by_the_wall_clock(window, moment) for moment in near)


@given(st.lists(weeklies, max_size=4).map(tuple), moments)
def test_of_many_the_latest_end_wins(windows: tuple[Window, ...], now: datetime) -> None:
    chosen = open_window(Policy(windows=windows), WORK, now)
    ends = [ends_at(window, now) for window in windows if is_open(window, now)]
    assert (chosen is None) == (not ends)
    if chosen is not None:
        assert ends_at(chosen, now) == max(ends)


@given(weeklies, moments)
def test_a_window_for_other_work_is_never_open(window: Window, now: datetime) -> None:
    other = Window(
        "x",
        match=Selector(environments=("dev",)),
        days=window.days,
        opens=window.opens,
        closes=window.closes,
        timezone=window.timezone,
    )
    assert open_window(Policy(windows=(other,)), WORK, now) is None
