import json
import re
from dataclasses import astuple
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from devstack import guide
from devstack.__main__ import _parse
from devstack.processes import Ports, Stack, azurite_connection
from devstack.story import FailedRun, log_alert
from devstack.view import View
from shared import settings
from shared.intake.parse import decode, parse
from shared.vocabulary import Condition, Disposition, FailureKind, Mode, Scope

ROOT = Path(__file__).parents[2]
ANY = Ports(0, 0, 0, 0, 0)


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    return Stack(tmp_path, ANY)


def printed(stack: Stack) -> str:
    output = StringIO()
    guide.tell(stack, View(Console(file=output, width=40)), time_scale=1)
    return output.getvalue()


def test_the_alert_is_one_that_intake_understands(stack: Stack) -> None:
    fired = datetime(2026, 3, 1, 3, 0, 5, tzinfo=UTC)
    run = FailedRun("7e3f2a1c-8d04-4a8e-9f7e-0123456789ab")
    body = json.dumps(log_alert(run, fired)).encode()
    parsed = parse(decode(body), settings.load(stack.environment()).targets)
    (alert,) = parsed.alerts
    (subject,) = alert.subjects
    assert alert.disposition is Disposition.ACCEPTED
    assert (alert.condition, alert.fired_at) == (Condition.FIRED, fired)
    assert (subject.kind, subject.target) == (FailureKind.PIPELINE_RUN, "adf-demo")
    assert (subject.run_id, subject.pipeline) == (run.run_id, "pl_daily_sales")


def test_two_alerts_are_two(stack: Stack) -> None:
    targets = settings.load(stack.environment()).targets
    run = FailedRun("7e3f2a1c-8d04-4a8e-9f7e-0123456789ab")
    marks = {parse(log_alert(run), targets).alerts[0].fingerprint for _ in range(2)}
    assert len(marks) == 2


def test_the_environment_is_one_that_the_app_starts_with(stack: Stack) -> None:
    read = settings.load(stack.environment(RETENTION_DAYS="7"))
    assert (read.mode, read.retention_days) == (Mode.PRODUCTION, 7)
    assert read.arm_endpoint == stack.sandbox_url
    assert read.storage_connection == stack.connection
    held = {next(iter(key.scopes)): key.key for key in read.api_keys}
    assert held == {scope: stack.keys[scope] for scope in Scope}


def test_two_stacks_share_nothing(stack: Stack, tmp_path: Path) -> None:
    other = Stack(tmp_path / "other", ANY)
    assert not set(astuple(stack.ports)) & set(astuple(other.ports))
    assert not set(stack.keys.values()) & set(other.keys.values())


def test_settings_of_the_stack_and_overrides(tmp_path: Path) -> None:
    stack = Stack(tmp_path, ANY, {"AUTO_REMEDIATION_MODE": "pilot", "PUBLIC_URL": "http://x"})
    env = stack.environment(PUBLIC_URL="http://y")
    assert (env["AUTO_REMEDIATION_MODE"], env["PUBLIC_URL"]) == ("pilot", "http://y")


def test_a_services_environment_is_not_ours(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TARGETS", "[]")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    assert not {"TARGETS", "HTTP_PROXY"} & set(stack.environment())


def test_the_connection_string_names_the_ports() -> None:
    text = azurite_connection(1, 2, 3)
    ports = re.findall(r"(\w+)Endpoint=http://127\.0\.0\.1:(\d+)/devstoreaccount1;", text)
    assert ports == [("Blob", "1"), ("Queue", "2"), ("Table", "3")]


def test_what_is_printed_can_be_copied(stack: Stack) -> None:
    lines = printed(stack).splitlines()
    commands = [line for line in lines if line.startswith("curl ")]
    assert len(commands) == 3
    assert all(line.count("'") % 2 == 0 for line in commands)
    assert all(any(key in line for line in lines) for key in stack.keys.values())


def test_a_moved_port_is_told(stack: Stack) -> None:
    assert guide.moved_ports(stack) == []
    stack.wanted = Ports(0, 0, 0, 1, 0)
    assert guide.moved_ports(stack) == [
        f"port 1 is taken, sandbox listens on {stack.ports.sandbox}"
    ]


@pytest.mark.parametrize("terminal", [True, False])
def test_entries_are_aligned(*, terminal: bool) -> None:
    output = StringIO()
    view = View(Console(file=output, force_terminal=terminal, width=100, no_color=True))
    since = datetime(2026, 3, 1, 3, 0, tzinfo=UTC)
    for action, at in (("Decision Made", "03:00:02"), ("Incident Closed", "03:01:40")):
        entry = {"at": f"2026-03-01T{at}Z", "action": action, "summary": "why [so]"}
        view.entry(entry, since)
    text = re.sub(r"\x1b\[[0-9;]*m", "", output.getvalue())
    first, second = text.splitlines()
    assert first.index("why [so]") == second.index("why [so]")
    assert "+2.0 s" in first
    assert "+100.0 s" in second


RUN = "d12da786-1f0e-4c5d-9c55-3f6a2b7c8d9e"
SUMMARIES = (
    f"Done: rerun pipeline, as {RUN}",
    f"Attempt 1 healed: run {RUN} is Succeeded",
    "Attempt 1: " + "rerun pipeline pl_daily_sales from its failed activity, " * 4,
    "",
    "one-word-that-is-" + "longer-" * 20,
)


@pytest.mark.parametrize("width", [40, 80, 97, 98, 120])
@pytest.mark.parametrize("summary", SUMMARIES)
def test_no_id_is_cut_and_no_line_is_longer_than_the_terminal(width: int, summary: str) -> None:
    output = StringIO()
    view = View(Console(file=output, force_terminal=True, width=width, no_color=True))
    since = datetime(2026, 3, 1, 3, 0, tzinfo=UTC)
    entry = {"at": "2026-03-01T03:00:02Z", "action": "Auto-Remediation Succeeded"}
    view.entry(entry | {"summary": summary}, since)
    lines = re.sub(r"\x1b\[[0-9;]*m", "", output.getvalue()).splitlines()
    longest_word = max((len(word) for word in summary.split()), default=0)
    allowed = max(width, 51) if longest_word <= len(RUN) else longest_word + 55
    assert all(len(line) <= allowed for line in lines), lines
    assert " ".join(" ".join(lines).split()).endswith(" ".join(summary.split()))
    assert (RUN in summary) is any(RUN in line for line in lines)


def test_a_time_scale_is_told() -> None:
    assert guide.pace(20) == "time is compressed 20 to 1: a pause of 10 s takes 0.5 s here"
    assert guide.pace(0.5) == "time is stretched 0.5 to 1: a pause of 10 s takes 20 s here"


def test_without_a_terminal_a_wait_is_told_once() -> None:
    output = StringIO()
    view = View(Console(file=output, force_terminal=False))
    with view.progress():
        for seconds in (1, 2, 3):
            view.waiting("verifying", seconds)
    assert output.getvalue() == "  ... verifying\n"


def test_ports_come_from_flags_then_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SANDBOX_PORT", "8901")
    monkeypatch.setenv("LAKEMEND_PORT", "7072")
    options = _parse(["--lakemend-port", "7073"])
    assert (options.sandbox, options.devhost, options.table) == (8901, 7073, 10002)


@pytest.mark.parametrize("wrong", [["--sandbox-port", "70000"], ["--time-scale", "0"]])
def test_wrong_flags_are_refused(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        _parse(wrong)
    assert f"argument {wrong[0]}" in capsys.readouterr().err


def test_the_example_settings_are_all_there_are_and_safe() -> None:
    values = json.loads((ROOT / "local.settings.json.example").read_text())["Values"]
    source = (ROOT / "shared/settings.py").read_text()
    known = set(re.findall(r'env(?:\.get\(|, )"([A-Z_][A-Z0-9_]*)"', source))
    assert known - set(values) == set()
    assert settings.load(values).mode is Mode.OBSERVE
