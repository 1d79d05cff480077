"""Log lines, spans and metrics: what they carry, what never leaves, what they cost unheard."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Iterator

import pytest

from shared.clock import SystemClock
from shared.composition import Composition
from shared.errors import ConfigurationError, PlatformError, PlatformThrottled, PlatformUnavailable
from shared.platforms.calls import mutate, read
from shared.platforms.observed import observed
from shared.redaction import Redactor
from shared.telemetry import signals
from shared.telemetry.lines import Lines
from shared.telemetry.metrics import ALERTS, METRICS, PLATFORM_ERRORS
from tests.heard import Heard

SECRET = "correct-horse-battery"
GIVEN = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"


@pytest.fixture
def heard() -> Iterator[Heard]:
    listener = Heard()
    with signals.heard_by(listener):
        yield listener


def record(*args: object, name: str = "lakemend.x", **more: object) -> logging.LogRecord:
    lines = Lines(logging.LogRecord, lambda: Redactor([SECRET]))
    values = {"name": name, "level": logging.INFO, "pathname": "", "lineno": 1, "exc_info": None}
    return lines(**values | more, msg=args[0], args=args[1:])


def test_a_line_says_what_it_is_about() -> None:
    with signals.about(alert_id="a1", incident_id="i1"), signals.about(incident_id="i2"):
        line = record("hello %s", "you")
    assert (line.getMessage(), line.__dict__["incident_id"]) == ("hello you", "i2")
    assert (line.__dict__["alert_id"], line.__dict__["delivery_id"]) == ("a1", "")
    assert record("after").__dict__["alert_id"] == ""


@pytest.mark.parametrize(
    ("name", "level"), [("lakemend.x", logging.INFO), ("somebody.else", logging.WARNING)]
)
def test_no_secret_is_in_a_line(name: str, level: int) -> None:
    line = record("100 %% of %s and https://a/?sig=%s", SECRET, "abcdefgh", name=name, level=level)
    assert line.getMessage() == "100 % of [redacted] and https://a/?sig=[redacted]"


def test_no_secret_is_in_a_traceback() -> None:
    try:
        int(f"password={SECRET}")
    except ValueError:
        line = record("it failed", exc_info=sys.exc_info())
    told = logging.Formatter("%(message)s").format(line)
    assert SECRET not in told
    assert "password=[redacted]" in told


def test_a_line_about_wrong_settings_is_told_too() -> None:
    def wrong() -> Redactor:
        raise ConfigurationError("API_KEYS: expected JSON")

    lines = Lines(logging.LogRecord, wrong)
    line = lines("lakemend", logging.ERROR, "", 1, "token=%s", ("abcdefgh",), None)
    assert line.getMessage() == "token=[redacted]"


@pytest.mark.parametrize(
    "given",
    [
        "",
        "nonsense",
        "00-" + "0" * 32 + "-" + "b" * 16 + "-01",
        "00-" + "a" * 32 + "-" + "0" * 16 + "-01",
        GIVEN + "\r\nX: y",
        GIVEN.upper(),
    ],
)
def test_what_is_no_traceparent_is_left_aside(given: str) -> None:
    assert signals.checked(given) == ""
    assert signals.checked(GIVEN) == GIVEN


@observed("data_factory", "name")
class Client:
    """Calls that go as the test wants."""

    def __init__(self, *outcomes: Exception | int) -> None:
        self.name = "adf-1"
        self.outcomes = list(outcomes)

    def run(self) -> int:
        return read(self._one, translate, Patient())

    def change(self) -> int:
        return mutate(self._one, translate)

    def pages(self) -> Iterator[int]:
        for _ in range(2):
            yield self.run()

    def handed_on(self) -> Iterator[int]:
        return self._paged()

    def _paged(self) -> Iterator[int]:
        yield read(self._one, translate, Patient())

    def _one(self) -> int:
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


class Patient(SystemClock):
    def sleep(self, seconds: float) -> None:
        del seconds


def translate(error: Exception, *, changing: bool) -> PlatformError | None:
    del changing
    return error if isinstance(error, PlatformError) else None


def test_each_try_of_a_call_is_a_span_and_each_error_counts(heard: Heard) -> None:
    assert Client(PlatformThrottled(f"sig={SECRET}", 0.0), PlatformUnavailable("x"), 7).run() == 7
    assert [s["attempt"] for s in heard.spans] == [1, 2, 3]
    assert [s["status"] for s in heard.spans] == ["429", "no answer", "ok"]
    assert [s.get("failed") for s in heard.spans] == [
        "PlatformThrottled",
        "PlatformUnavailable",
        None,
    ]
    assert {(s["name"], s["target"]) for s in heard.spans} == {("data_factory run", "adf-1")}
    assert [(value, dims["status"]) for _, value, dims in heard.values] == [
        (1, "429"),
        (1, "no answer"),
    ]
    assert heard.count(PLATFORM_ERRORS) == 2
    assert SECRET not in str(heard.spans) + str(heard.values)


def test_a_mutation_is_told_as_one(heard: Heard) -> None:
    assert Client(1).change() == 1
    assert [(s["operation"], s["changing"], s["outgoing"]) for s in heard.spans] == [
        ("change", True, True)
    ]


def test_a_mistake_of_ours_is_no_error_of_the_platform(heard: Heard) -> None:
    with pytest.raises(ZeroDivisionError):
        Client(ZeroDivisionError("mine")).run()
    assert heard.spans[0]["failed"] == "ZeroDivisionError"
    assert heard.values == []


def test_pages_fetched_later_keep_the_name_of_their_call(heard: Heard) -> None:
    client = Client(1, 2, 3, 4)
    first = client.pages()
    assert next(first) == 1
    assert next(client.handed_on()) == 2
    assert next(first) == 3
    client.change()
    assert [s["operation"] for s in heard.spans] == ["run", "handed_on", "run", "change"]


def test_a_span_says_what_it_is_about_and_how_it_ended(heard: Heard) -> None:
    with (
        signals.about(incident_id="i1"),
        pytest.raises(KeyError),
        signals.span("step", parent=GIVEN, way="here"),
    ):
        raise KeyError(SECRET)
    assert heard.spans == [
        {
            "name": "step",
            "outgoing": False,
            "parent": GIVEN,
            "incident_id": "i1",
            "way": "here",
            "failed": "KeyError",
        }
    ]


def test_a_metric_takes_its_own_dimensions_only() -> None:
    with pytest.raises(ValueError, match=r"lakemend\.alerts: expected the dimensions"):
        ALERTS.record(dialect="x")
    assert len({metric.name for metric in METRICS}) == len(METRICS)


def test_unheard_nothing_is_loaded() -> None:
    code = (
        "import sys; from shared.composition import Composition; from shared.telemetry import "
        "signals, metrics; c = Composition({}); c.listen(); s = signals.span('x').__enter__(); "
        "metrics.QUEUE_AGE.record(1.0); assert s.traceparent == ''; "
        "print([m for m in sys.modules if m.startswith('opentelemetry')])"
    )
    answer = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "[]"


def test_a_receiver_must_be_an_address_that_may_be_called() -> None:
    with pytest.raises(ConfigurationError, match="OTEL_EXPORTER_OTLP_ENDPOINT"):
        Composition({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector.example"}).listen()
