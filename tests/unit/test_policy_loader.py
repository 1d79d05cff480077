"""The policy file: what it says is what is loaded, and mistakes are refused with their line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import ConfigurationError
from shared.policy.loader import effective, load, ready
from shared.policy.model import (
    Attempts,
    CostLimits,
    ModePermits,
    Permit,
    PilotPermits,
    Policy,
    Rerunnable,
    Selector,
)
from shared.policy.reading import seconds
from shared.vocabulary import Mode

TYPES = frozenset({"DataCorruption", "GatewayTimeout", "QuotaExceeded"})


def policy_file(folder: Path, text: str) -> Path:
    path = folder / "policy.yaml"
    path.write_text(text, "utf-8")
    return path


def loaded(folder: Path, text: str) -> Policy:
    return load(policy_file(folder, text), TYPES)


FULL = """\
mode: production
scope:
  include:
    - targets: [adf-*]
      environments: [prod]
  exclude:
    - {jobs: [scratch_*, 123456789012345], tags: {critical: yes}}
permits:
  pilot: {medium: ask, error_types: {QuotaExceeded: observe}}
  production: {high: observe, undeclared: observe, error_types: {GatewayTimeout: ask}}
rerunnable:
  - match: {pipelines: [pl_append_*]}
    rerunnable: false
  - match: {}
    rerunnable: true
attempts: {overall: 3, error_types: {GatewayTimeout: 2}}
cooldown: 5m
grace: 90
blast_radius: {actions_per_hour: 9, actions_per_hour_per_target: 2, percent_of_targets: 12.5}
breaker: {failures: 4, window: 30m, ineffective: 2, ineffective_window: 1d, half_open_after: 1.5h}
cost:
  usd_per_day: 12.5
  prices: {dbu_price: 0.4, node_vm: {Standard_DS3_v2: 0.25}}
  assumed_run: 45 m
windows:
  - {name: patching, match: {environments: [prod]}, days: [sat, sun], from: 22:00, to: 06:30,
     timezone: Europe/Berlin}
  - {name: migration, start: 2026-12-24T20:00:00+01:00, end: "2026-12-27T06:00:00Z"}
approval: {expires: 2h, look: 1m}
storm: {failures: 9, within: 5m, probes: [1m, 2m, 300], release: 2, release_every: 10s,
        gives_up: 7d}
"""


def test_everything_that_may_stand_there_is_read(tmp_path: Path) -> None:
    policy = loaded(tmp_path, FULL)
    assert policy.mode is Mode.PRODUCTION
    assert policy.scope.include == (Selector(targets=("adf-*",), environments=("prod",)),)
    assert policy.scope.exclude[0].jobs == ("scratch_*", "123456789012345")
    assert policy.scope.exclude[0].tags == {"critical": "yes"}
    assert policy.permits.pilot.medium is Permit.ASK
    assert policy.permits.production.error_types == {"GatewayTimeout": Permit.ASK}
    assert [entry.rerunnable for entry in policy.rerunnable] == [False, True]
    assert policy.attempts == Attempts(3, {"GatewayTimeout": 2})
    assert (policy.cooldown, policy.grace) == (300.0, 90.0)
    assert policy.blast_radius.percent_of_targets == 12.5
    assert policy.breaker.ineffective_window == 86_400.0
    assert policy.breaker.half_open_after == 5400.0
    assert policy.cost.prices.node_vm == {"Standard_DS3_v2": 0.25}
    assert policy.cost.assumed_run == 2700.0
    weekly, once = policy.windows
    assert (weekly.days, weekly.opens, weekly.closes) == (("sat", "sun"), "22:00", "06:30")
    assert once.start is not None
    assert once.start.isoformat() == "2026-12-24T20:00:00+01:00"
    assert policy.approval.expires == 7200.0
    assert policy.storm.probes == (60.0, 120.0, 300.0)
    assert policy.storm.gives_up == 604_800.0


def test_what_is_left_out_has_the_default(tmp_path: Path) -> None:
    assert loaded(tmp_path, "mode: observe\n") == Policy()


def test_half_a_pilot_does_not_act(tmp_path: Path) -> None:
    pilot = loaded(tmp_path, "permits: {pilot: {medium: ask}}").permits.pilot
    assert (pilot.low, pilot.medium, pilot.high) == (Permit.ASK, Permit.ASK, Permit.OBSERVE)


WEEKLY = "windows:\n  - name: w\n    days: [mon]\n    from: 22:00\n    to: 06:00\n"
ONCE = "windows:\n  - name: w\n    start: 2026-01-02T00:00:00Z\n    end: 2026-01-03T00:00:00Z\n"

# The text, the field that the error names, its reason; the line is that of `<-`.
MISTAKES = [
    ("mode: pilot\nmoode: observe  # <-", "moode", "unknown field, expected mode, scope"),
    ("mode: prod  # <-", "mode", "expected observe, pilot or production, got 'prod'"),
    ("mode: [pilot]  # <-", "mode", "got a list"),
    ("scope: all  # <-", "scope", "expected a mapping, got 'all'"),
    ("scope:  # <-", "scope", "expected a mapping, got nothing"),
    ("scope:\n  include:\n    - job: [a]  # <-", "scope.include.0.job", "unknown field"),
    ("scope:\n  include:\n    - jobs: a  # <-", "scope.include.0.jobs", "Expected `array`"),
    ("scope:\n  include:\n    - jobs: []  # <-", "scope.include.0.jobs", "at least one pattern"),
    ("scope:\n  exclude:\n    - tags: {}  # <-", "scope.exclude.0.tags", "at least one pattern"),
    ("scope:\n  exclude:\n    - tags: {a: ''}  # <-", "scope.exclude.0.tags.a", "is empty"),
    ("scope:\n  exclude:\n    - tags: {a: true}  # <-", "scope.exclude.0.tags.a", "got `bool`"),
    ("scope:\n  include:\n    - jobs:\n      - a\n      - ' '  # <-", "jobs.1", "is empty"),
    ("rerunnable:\n  - match: {jobs: ['']}  # <-\n    rerunnable: true", "jobs.0", "is empty"),
    ("rerunnable:\n  - rerunnable: true  # <-", "rerunnable.0", "missing required field `match`"),
    ("rerunnable:\n  - match: {}\n    rerunnable: yes  # <-", "rerunnable.0.rerunnable", "`bool`"),
    ("permits:\n  pilot:\n    low: act  # <-", "permits.pilot.low", "never acts"),
    ("permits:\n  pilot:\n    undeclared: act  # <-", "permits.pilot.undeclared", "never acts"),
    (
        "permits:\n  pilot:\n    error_types:\n      GatewayTimeout: act  # <-",
        "permits.pilot.error_types.GatewayTimeout",
        "never acts",
    ),
    (
        "permits:\n  production:\n    error_types:\n      QuotaExceeded: ask\n      Foo: ask  # <-",
        "permits.production.error_types.Foo",
        "the catalog has no such error type",
    ),
    (
        "permits:\n  production:\n    error_types:\n      GatewayTimeout: aks  # <-",
        "permits.production.error_types.GatewayTimeout",
        "expected act, ask or observe, got 'aks'",
    ),
    ("attempts:\n  error_types:\n    Foo: 1  # <-", "attempts.error_types.Foo", "no such error"),
    (
        "attempts:\n  error_types:\n    QuotaExceeded: 1\n    GatewayTimeout: -1  # <-",
        "attempts.error_types.GatewayTimeout",
        ">= 0",
    ),
    ("attempts:\n  overall: 51  # <-", "attempts.overall", "<= 50"),
    ("attempts:\n  overall: 2.5  # <-", "attempts.overall", "Expected `int`"),
    ("attempts:\n  overall: true  # <-", "attempts.overall", "Expected `int`"),
    ("cooldown: 5min  # <-", "cooldown", "such as 90s, 15m, 4h, 7d, got '5min'"),
    ("cooldown: -5m  # <-", "cooldown", "such as 90s"),
    ("cooldown: -5  # <-", "cooldown", ">= 0"),
    ("cooldown: 32d  # <-", "cooldown", "<= 2678400"),
    ("cooldown: .nan  # <-", "cooldown", ">= 0"),
    ("cooldown: .inf  # <-", "cooldown", "<= 2678400"),
    ("grace: true  # <-", "grace", "Expected `float`"),
    ("blast_radius:\n  percent_of_targets: 101  # <-", "blast_radius.percent_of_targets", "<= 100"),
    ("breaker:\n  window: 0  # <-", "breaker.window", "> 0"),
    ("breaker:\n  failures: 0  # <-", "breaker.failures", ">= 1"),
    ("breaker:\n  ineffective: 1  # <-", "breaker.ineffective", ">= 2"),
    ("cost:\n  usd_per_day: -1  # <-", "cost.usd_per_day", ">= 0"),
    ("cost:\n  usd_per_day: lots  # <-", "cost.usd_per_day", "Expected `float | null`"),
    ("cost:\n  prices:\n    node_vm:\n      a: 1\n      b: x  # <-", "node_vm.b", "got `str`"),
    ("cost:\n  prices:\n    node_dbu:\n      b: .nan  # <-", "node_dbu.b", ">= 0"),
    (
        (
            "windows:\n  - name: w\n    start: 2026-01-02T00:00:00Z\n"
            "    end: 9999-12-31T23:59:59-12:00  # <-"
        ),
        "windows.0.end",
        "expected a year from 2000 to 2200",
    ),
    (
        (
            "windows:\n  - name: w  # <-\n    days: [mon, tue, wed, thu, fri, sat, sun]\n"
            "    from: 00:00\n    to: 00:00"
        ),
        "windows.0",
        "it never ends",
    ),
    (
        "permits:\n  production:\n    error_types:\n      DataCorruption: ask  # <-",
        "permits.production.error_types.DataCorruption",
        "never automated",
    ),
    ("storm:\n  probes: [60, 120]\n  gives_up: 30  # <-", "storm.gives_up", "the first of"),
    ("windows:\n  - name: w  # <-", "windows.0", "either start and end, or days, from and to"),
    (ONCE.replace("w\n", "w  # <-\n") + "    days: [mon]", "windows.0", "either start and end"),
    ("windows:\n  - name: w  # <-\n    start: 2026-01-02T00:00:00Z", "windows.0", "both start"),
    (ONCE.replace("01-03T00:00:00Z", "01-02T00:00:00Z  # <-"), "windows.0.end", "after start"),
    (ONCE.replace("01-03T00:00:00Z", "01-03T00:00:00  # <-"), "windows.0.end", "timezone"),
    (ONCE.replace("01-03T00:00:00Z", "01-33T00:00:00Z  # <-"), "windows.0.end", "Invalid RFC3339"),
    (ONCE.replace("2026-01-03T00:00:00Z", "soon  # <-"), "windows.0.end", "Invalid RFC3339"),
    (ONCE + "    timezone: Europe/Berlin  # <-", "windows.0.timezone", "their own offset"),
    (WEEKLY.replace("22:00", "24:00  # <-"), "windows.0.from", "HH:MM from 00:00 to 23:59"),
    (WEEKLY.replace("06:00", "6:00  # <-"), "windows.0.to", "got '6:00'"),
    (WEEKLY.replace("06:00", "0600  # <-"), "windows.0.to", "got '0600'"),
    (WEEKLY.replace("06:00\n", "06:00\n    name: v  # <-\n"), "name", "stands there twice"),
    (WEEKLY.replace("[mon]", "[Mon]  # <-"), "windows.0.days.0", "got 'Mon'"),
    (WEEKLY.replace("[mon]", "[mon, mon]  # <-"), "windows.0.days", "twice"),
    (WEEKLY.replace("[mon]", "[]  # <-"), "windows.0.days", "at least one day"),
    (WEEKLY.replace("name: w", "name: ''  # <-"), "windows.0.name", "is empty"),
    (WEEKLY + "    timezone: Europe/Atlantis  # <-", "windows.0.timezone", "IANA time zone"),
    (WEEKLY + "    timezone: Europe  # <-", "windows.0.timezone", "IANA time zone"),
    (WEEKLY + "    timezone: ../etc/passwd  # <-", "windows.0.timezone", "IANA time zone"),
    (WEEKLY + "    timezone: ''  # <-", "windows.0.timezone", "IANA time zone"),
    (WEEKLY + WEEKLY.removeprefix("windows:\n").replace("w\n", "w  # <-\n"), "1.name", "is taken"),
    ("storm:\n  probes: []  # <-", "storm.probes", "at least one interval"),
    ("storm:\n  probes:\n    - 5m\n    - 300  # <-", "storm.probes.1", "more than the interval"),
    ("storm:\n  probes:\n    - 0  # <-", "storm.probes.0", "> 0"),
    ("storm:\n  failures: 1  # <-", "storm.failures", ">= 2"),
    ("grace: 1m\ngrace: 2m  # <-", "grace", "stands there twice"),
    ("? [a, b]  # <-\n: c", "", "expected a name"),
    ("[mode, pilot]  # <-", "the file", "expected a mapping, got a list"),
    ("mode: !!python/name:os.system x  # <-", "", "not YAML"),
    ("grace: !!int x  # <-", "", "not YAML"),
    ("mode: pilot\n\tgrace: 1m  # <-", "", "not YAML"),
]


@pytest.mark.parametrize(("text", "field", "reason"), MISTAKES)
def test_a_mistake_is_refused_with_line_field_and_reason(
    tmp_path: Path, text: str, field: str, reason: str
) -> None:
    line = 1 + text[: text.index("# <-")].count("\n")
    with pytest.raises(ConfigurationError) as caught:
        loaded(tmp_path, text)
    said = str(caught.value)
    assert said.startswith("policy.yaml")
    assert reason in said
    assert field in said
    if "!!int" not in text:  # a value that its own tag does not fit carries no mark
        assert f"line {line}:" in said


@pytest.mark.parametrize("text", ["", "# nothing\n", "mode: &a [*a]", "null"])
def test_a_file_that_says_nothing_or_itself_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"policy\.yaml"):
        loaded(tmp_path, text)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load(tmp_path / "none.yaml", TYPES)


@given(st.text(max_size=60))
def test_any_text_loads_or_is_refused(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        outcome: object = load(path, TYPES)
    except ConfigurationError as error:
        outcome = str(error)
    assert isinstance(outcome, Policy) or "any.yaml" in str(outcome)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("90s", 90), ("15m", 900), ("4h", 14_400), ("7d", 604_800), ("0.5 h", 1800), ("0s", 0)],
)
def test_spans_are_seconds(text: str, expected: float) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["", "5", "5 min", "1h30m", "-1s", "1e3s", "h", "٣s", "5s\n"])
def test_other_texts_are_no_span(text: str) -> None:
    assert seconds(text) is None


CAUTION = [Mode.OBSERVE, Mode.PILOT, Mode.PRODUCTION]


@given(st.sampled_from(Mode), st.none() | st.sampled_from(Mode))
def test_the_more_cautious_mode_holds(mode: Mode, override: Mode | None) -> None:
    result = effective(Policy(mode=mode), override, None, None, ())
    said = [m for m in (mode, override) if m is not None]
    assert result.mode == CAUTION[min(CAUTION.index(m) for m in said)]


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"), [(3, 5, 3), (5, 3, 3), (5, None, 5), (5, 0, 0)]
)
def test_the_lower_ceiling_of_attempts_holds(ours: int, theirs: int | None, expected: int) -> None:
    policy = Policy(attempts=Attempts(ours))
    assert effective(policy, None, theirs, None, ()).attempts.overall == expected


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [(None, None, None), (10.0, None, 10.0), (None, 10.0, 10.0), (0.0, 10.0, 0.0), (9.0, 0.5, 0.5)],
)
def test_the_lower_ceiling_of_cost_holds(
    ours: float | None, theirs: float | None, expected: float | None
) -> None:
    policy = Policy(cost=CostLimits(ours))
    assert effective(policy, None, None, theirs, ()).cost.usd_per_day == expected


def test_the_setting_declares_after_the_file() -> None:
    own = Rerunnable(Selector(pipelines=("pl_append",)), rerunnable=False)
    policy = Policy(rerunnable=(own,))
    result = effective(policy, None, None, None, ["pl_*", " job_*"]).rerunnable
    named = ("pl_*", "job_*")
    assert result == (own, Rerunnable(Selector(pipelines=named, jobs=named), rerunnable=True))
    assert effective(policy, None, None, None, ()) == policy


@pytest.mark.parametrize(
    ("retries", "cost", "rerunnable", "setting"),
    [
        (-1, None, (), "AUTO_REMEDIATION_MAX_RETRIES"),
        (None, -0.01, (), "AUTO_REMEDIATION_MAX_COST_USD"),
        (None, float("nan"), (), "AUTO_REMEDIATION_MAX_COST_USD"),
        (None, float("inf"), (), "AUTO_REMEDIATION_MAX_COST_USD"),
        (None, None, ["pl_*", " "], "RERUNNABLE"),
    ],
)
def test_a_wrong_setting_is_refused_by_name(
    retries: int | None, cost: float | None, rerunnable: list[str], setting: str
) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(setting)):
        effective(Policy(), None, retries, cost, rerunnable)


@pytest.mark.parametrize("mode", list(Mode))
def test_each_phase_has_its_configuration(mode: Mode) -> None:
    policy = load(ready(mode), TYPES)
    assert policy.mode is mode
    assert ready(mode).read_text("utf-8").startswith("# Phase ")


def test_the_pilot_that_comes_with_it_asks_low_risks_only() -> None:
    pilot = load(ready(Mode.PILOT), TYPES).permits.pilot
    assert pilot == PilotPermits() == ModePermits().pilot
    assert (pilot.low, pilot.medium, pilot.high) == (Permit.ASK, Permit.OBSERVE, Permit.OBSERVE)


def test_the_production_that_comes_with_it_has_a_budget() -> None:
    policy = load(ready(Mode.PRODUCTION), TYPES)
    assert policy.cost.usd_per_day is not None
    assert policy.permits.production.undeclared is Permit.ASK
