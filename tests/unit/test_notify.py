"""Messages out, the pure parts: words, routing, grouping, and what is sent of hostile texts."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from apprise.common import NotifyFormat
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from shared.addresses import internal
from shared.errors import ConfigurationError
from shared.models import Attempt, Diagnosis, EvidenceLine, Failure, Incident, Question
from shared.notify import grouping, messages
from shared.notify.digest import figures
from shared.notify.grouping import Plan
from shared.notify.model import MAX_BODY, MAX_TITLE, Link, Message, MessageKind, Severity
from shared.notify.outbox import Window
from shared.notify.routing import Channel, channels, route
from shared.notify.sending import Sender, _instance
from shared.notify.text import inert, markdown_body, plain_body
from shared.settings import load
from shared.targets import DataFactory, Targets
from shared.vocabulary import FailureKind, IncidentState, Verdict
from tests.unit.test_parts import ENV

NOW = datetime(2026, 11, 20, 3, 12, tzinfo=UTC)
URL = "https://lm.example/api/incidents/20261120-031200000-abc"
SLACK = "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#ops"


def incident(state: IncidentState = IncidentState.ESCALATED, **more: object) -> Incident:
    fields: dict[str, Any] = {
        "incident_id": "20261120-031200000-abc",
        "state": state,
        "failure": Failure(FailureKind.PIPELINE_RUN, "adf-prod", "pl_sales", "run-1", "pl_sales"),
        "opened_at": NOW,
        "updated_at": NOW,
        "owner": "alert",
        "closed_at": NOW + timedelta(minutes=5) if state.closed else None,
        "environment": "production",
        "outcome": "no tries left",
        "guidance": ["Open the gateway's log", "Restart the gateway"],
        "diagnosis": Diagnosis(
            "GatewayTimeout",
            "network",
            True,
            0.95,
            "rule-1",
            "a service did not answer in time",
            (EvidenceLine("activity Load", "2200", "504 Gateway Timeout\nDo now: call +1-900"),),
        ),
        "attempts": [
            Attempt(1, "GatewayTimeout", "rerun", ["act"], NOW, "rerun pipeline pl_sales",
                    verdict=Verdict.FAILED, cost_usd=1.25)
        ],
    } | more  # fmt: skip
    return Incident(**fields)


def plain(**more: object) -> Message:
    fields: dict[str, Any] = {
        "message_id": "1", "kind": MessageKind.HEALED, "severity": Severity.INFO,
        "title": "t", "body": "b", "at": NOW,
    } | more  # fmt: skip
    return Message(**fields)


# Words


def test_an_escalation_says_all_that_who_is_woken_needs() -> None:
    message = messages.closed(incident(), URL, owner="sales")
    assert message.title == "Needs you: pipeline run pl_sales on adf-prod (GatewayTimeout)"
    assert message.body.splitlines() == [
        "Failed: pipeline run pl_sales (run-1) on adf-prod (production)",
        "It is: GatewayTimeout, 95% sure",
        "Because: a service did not answer in time",
        "Outcome: no tries left",
        "Tried: 1. rerun pipeline pl_sales: failed",
        "Do now: ",
        "  1. Open the gateway's log",
        "  2. Restart the gateway",
        # The error text cannot make up a line of ours.
        "Evidence: activity Load: [2200] 504 Gateway Timeout Do now: call +1-900",
    ]
    assert (message.severity, message.owner, message.environment, message.target) == (
        Severity.CRITICAL, "sales", "production", "adf-prod"
    )  # fmt: skip
    assert message.message_id == "20261120-031200000-abc:escalated"
    assert message.at == NOW + timedelta(minutes=5)
    assert message == messages.closed(incident(), URL, owner="sales")


@pytest.mark.parametrize(
    ("state", "kind", "word"),
    [
        (IncidentState.HEALED, MessageKind.HEALED, "Healed"),
        (IncidentState.OBSERVED, MessageKind.OBSERVED, "Observed"),
        (IncidentState.CANCELLED, MessageKind.OBSERVED, "Cancelled"),
    ],
)
def test_other_endings(state: IncidentState, kind: MessageKind, word: str) -> None:
    message = messages.closed(incident(state), URL)
    assert (message.kind, message.severity) == (kind, Severity.INFO)
    assert message.title.startswith(f"{word}: ")
    assert "Do now" not in message.body.replace("Timeout Do now", "")


def test_an_open_incident_has_no_ending() -> None:
    with pytest.raises(ValueError, match="not closed"):
        messages.closed(incident(IncidentState.VERIFYING), URL)


def test_a_question_shows_the_action_the_cost_and_what_happens_otherwise() -> None:
    question = Question(
        "q1", "digest", "scale_up", "add 2 workers to etl", "production asks for scale_up",
        NOW, NOW + timedelta(hours=1), cost_usd=3.2, otherwise="goes to a person",
    )  # fmt: skip
    links = (Link("Answer", "https://lm.example/approve/x?token=y"),)
    message = messages.approval_wanted(incident(), question, links, URL)
    assert message.message_id == "20261120-031200000-abc:approval:q1"
    assert message.links == links
    for line in (
        "Would do: add 2 workers to etl",
        "Asked because: production asks for scale_up",
        "Cost: about 3.20 USD",
        "Answer until: 2026-11-20T04:12:00.000Z",
        "Otherwise: goes to a person",
    ):
        assert line in message.body.splitlines()
    assert plain_body(message).splitlines()[-2:] == [
        "Answer: https://lm.example/approve/x?token=y",
        f"Details: {URL}",
    ]


def test_a_start_says_what_is_done() -> None:
    message = messages.started(incident(IncidentState.REMEDIATING), URL)
    assert "Doing: rerun pipeline pl_sales" in message.body.splitlines()
    assert message.message_id.endswith(":started")


def test_members_of_a_storm_and_those_before_it_was_declared_are_one_group() -> None:
    groups = {messages.closed(incident(incident_id=f"i{n}"), URL).group for n in range(3)}
    assert groups == {"pipeline_run:adf-prod:GatewayTimeout"}
    assert messages.closed(incident(storm="storm-1"), URL).group == "storm-1"


def test_storm_messages() -> None:
    news = messages.StormNews("storm-1", "ThrottlingError", 480, "production", "adf-prod", "429")
    declared = messages.storm_declared(news, URL, NOW)
    over = messages.storm_over(news, URL, NOW)
    assert declared.title == "Storm: 480 failures with ThrottlingError on adf-prod"
    assert (declared.severity, over.severity) == (Severity.CRITICAL, Severity.INFO)
    assert declared.group == over.group == "storm-1"
    assert declared.message_id != over.message_id


def test_delivery_results_differ_by_their_end() -> None:
    good = messages.delivery_result("d1", "sales", "promoted", good=True, at=NOW)
    bad = messages.delivery_result("d1", "sales", "gate: data quality", good=False, at=NOW)
    assert (good.severity, bad.severity) == (Severity.INFO, Severity.WARNING)
    assert good.message_id != bad.message_id


def test_owners_come_from_the_targets_tags() -> None:
    tagged = DataFactory("adf-prod", "s", "rg", tags={"owner": "sales", "team": "data"})
    assert messages.owner_of(Targets([tagged]), incident()) == "sales"
    assert messages.owner_of(Targets([]), incident()) == ""


@given(st.text(), st.text())
def test_no_text_is_too_long(error: str, outcome: str) -> None:
    lines = (EvidenceLine("s", "c", error * 500),)
    diagnosis = Diagnosis("T", "c", None, 1, "r", outcome * 300, lines)
    message = messages.closed(incident(diagnosis=diagnosis, outcome=outcome * 1000), URL)
    assert len(message.title) <= MAX_TITLE
    assert len(message.body) <= MAX_BODY
    labels = {line.split(":")[0] for line in message.body.splitlines()}
    assert {"Failed", "It is"} <= labels


def test_the_digest_counts_what_was_closed_in_its_day() -> None:
    since = NOW - timedelta(hours=24)
    slow = incident(IncidentState.HEALED, closed_at=NOW - timedelta(minutes=1),
                    opened_at=NOW - timedelta(hours=3), attempts=[])  # fmt: skip
    old = incident(IncidentState.HEALED, closed_at=since - timedelta(seconds=1), attempts=[])
    now_open = incident(IncidentState.WAITING)
    escalated = incident(closed_at=NOW - timedelta(hours=1), attempts=[])
    counted = figures([slow, old, now_open, escalated], since, NOW + timedelta(seconds=1))
    assert (counted.healed, counted.escalated, counted.open) == (1, 1, 1)
    assert list(counted.by_type) == [("GatewayTimeout", 2)]
    assert list(counted.slowest) == [("pipeline run pl_sales (run-1)", 3 * 3600 - 60)]
    assert counted.cost_usd == 1.25
    found = replace(counted, findings=(("slow_run", 2),), worst=("p was slow", "q was slow"))
    told = messages.digest(found).body
    assert "2 open: slow_run 2" in told
    assert "p was slow; q was slow" in told
    proposal = replace(slow, failure=replace(slow.failure, kind=FailureKind.PROPOSAL))
    assert figures([slow, proposal], since, NOW + timedelta(seconds=1)).healed == 1
    message = messages.digest(counted)
    assert message.message_id == "digest:2026-11-20"
    assert "Slowest recoveries: pipeline run pl_sales (run-1) 179 min" in message.body


# Routing


def test_short_form_and_list() -> None:
    assert channels("") == ()
    found = channels(f"{SLACK}, mailtos://u:p@example.com?to=a@example.com")
    assert [channel.name for channel in found] == ["channel-1", "channel-2"]
    listed = [{"name": "ops", "url": SLACK, "kinds": ["escalated"], "min_severity": "warning",
               "environments": ["prod*"], "owners": ["sales"], "targets": ["adf-*"]}]  # fmt: skip
    assert channels(json.dumps(listed))[0].kinds == (MessageKind.ESCALATED,)


def test_a_message_goes_where_all_its_filters_match() -> None:
    ops = Channel("ops", "x://", min_severity=Severity.WARNING, environments=("Prod*",))
    sales = Channel("sales", "x://", owners=("sales", "crm-*"))
    everything = Channel("all", "x://")
    listed = (ops, sales, everything)
    loud: dict[str, Any] = {"severity": Severity.CRITICAL, "environment": "production"}
    assert route(listed, plain(**loud, owner="CRM-eu")) == ["ops", "sales", "all"]
    assert route(listed, plain(environment="production")) == ["all"]
    assert route(listed, plain(severity=Severity.CRITICAL, environment="dev")) == ["all"]
    assert route(listed, plain(**loud)) == ["ops", "all"]  # no owner is known
    assert route(listed, plain(kind=MessageKind.TEST)) == ["ops", "sales", "all"]
    assert route(listed, plain(kind=MessageKind.DIGEST)) == ["sales", "all"]
    only = Channel("only", "x://", kinds=(MessageKind.HEALED,), targets=("adf-?",))
    assert route([only], plain(target="adf-1")) == ["only"]
    assert route([only], plain(target="adf-12")) == []
    assert route([only], plain(target="adf-1", kind=MessageKind.DIGEST)) == []


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("hunter2hunter2", "[0].url: expected a URL"),
        ('[{"name": "a"}]', "missing required field `url`"),
        ('[{"name": "a", "url": "slack://x", "kinds": ["jsons://u:hunter2@h"]}]', "kinds"),
        ('[{"name": "a", "url": "slack://x", "hunter2": 1}]', "unknown field"),
        ('[{"name": "a", "url": "slack://x"}, {"name": "A", "url": "slack://y"}]', "[1].name: two"),
        ('[{"name": " ", "url": "slack://x"}]', "[0].name: expected a name"),
        ('[{"name": "a", "url": "slack://x", "timeout_seconds": 90}]', "timeout_seconds"),
        ("json://u:hunter2@example.com/x", "not encrypted, use jsons://"),
        ("mailto://u:hunter2@example.com", "not encrypted, use mailtos://"),
        ("http://example.com/hunter2", "not encrypted, use https://"),
        ("json://u:hunter2@127.0.0.1/x", "not encrypted"),
        ("jsons://127.0.0.1/hunter2", "internal address"),
        ("jsons://[::1]/hunter2", "internal address"),
        ("jsons://localhost/hunter2", "internal address"),
        ("jsons://169.254.169.254/hunter2", "internal address"),
        ("jsons://168.63.129.16/hunter2", "internal address"),
        ("jsons://[fd00:ec2::254]/hunter2", "internal address"),
        ("jsons://[fe80::1%25eth0]/hunter2", "internal address"),
        ("jsons://[::ffff:169.254.169.254]/hunter2", "internal address"),
        ("jsons://10.1.2.3/hunter2", "internal address"),
        ("forms://0.0.0.0/hunter2", "internal address"),
        ("jsons://metadata.google.internal/hunter2", "internal address"),
        ("mailtos://u:hunter2@example.com?smtp=10.0.0.1", "internal address"),
        ("jsons://h.example/hunter2?verify=no", "remove verify="),
        ("jsons://h.example/hunter2?Redirect=yes", "remove redirect="),
        ("jsons://h.example/hunter2?retry=9", "remove retry="),
        (",".join(["slack://hunter2"] * 51), "at most 50"),
    ],
)
def test_mistakes_are_named_and_urls_never_shown(value: str, says: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        channels(value)
    assert str(raised.value).startswith("NOTIFICATION_URLS")
    assert says in str(raised.value)
    assert "hunter2" not in str(raised.value).replace("unknown field `hunter2`", "")


def test_loopback_where_it_is_allowed_and_nothing_else_inside() -> None:
    url = "json://127.0.0.1:8900/sink/x"
    assert channels(url, allow_loopback=True)[0].url == url
    for other in ("json://10.0.0.1/x", "jsons://169.254.169.254/x", "jsons://10.0.0.1/x"):
        with pytest.raises(ConfigurationError):
            channels(other, allow_loopback=True)


@given(st.ip_addresses())
def test_what_is_not_public_is_internal(address: object) -> None:
    found = internal(str(address), allow_loopback=False)
    assert found or not (address.is_private or address.is_link_local or address.is_loopback)  # type: ignore[attr-defined]  # an address


def test_settings_hold_the_channels_and_their_secrets() -> None:
    settings = load(
        ENV | {"NOTIFICATION_URLS": f"{SLACK} jsons://bob:hunter%212@h.example/hook/a1b2c3d4"}
    )
    assert {SLACK, "TIiajkdnlazkcOXrIdevi7FQ", "hunter%212", "hunter!2", "a1b2c3d4"} <= set(
        settings.secrets
    )
    assert not {"hook", "h.example", "#ops"} & set(settings.secrets)
    assert "slack" not in repr(settings.channels)
    with pytest.raises(ConfigurationError, match="NOTIFICATION_ALLOW_LOOPBACK"):
        load(ENV | {"NOTIFICATION_ALLOW_LOOPBACK": "maybe"})


# The library


def test_what_the_library_does_not_take_is_said_when_it_is_asked() -> None:
    sender = Sender(allow_loopback=False)
    for url, problem in (
        ("nosuch://x", "not understood"),
        ("slack://short", "not understood"),
        ("ntfy://topic", "not encrypted"),
        ("syslog://", "not encrypted"),
        ("jsons://2852039166/x", "internal address"),  # 169.254.169.254 as one number
        ("jsons://0x7f000001/x", "internal address"),
        (SLACK, ""),
        ("discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js", ""),  # a number that is no address
    ):
        said = sender.check(channels(url)[0])
        assert problem in said if problem else said == "", url


def test_redirects_are_not_followed_and_waits_are_bounded() -> None:
    service = _instance(Channel("a", "jsons://h.example/x", timeout_seconds=6))
    assert service is not None
    assert service.redirects is False
    assert service.request_timeout == (3.0, 3.0)
    assert service.verify_certificate is True


def test_the_library_is_loaded_only_when_sending() -> None:
    code = (
        "import sys, os; os.environ['NOTIFICATION_URLS'] = 'slack://a/b/c';"
        "import function_app; from shared.composition import current; current().outbox;"
        "current().deliverer;"
        "print([m for m in sys.modules if m.startswith(('apprise', 'azure.data'))])"
    )
    answer = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "[]"


# Hostile texts

MARKUP = ("<!", "<@", "@everyone", "@here", "@channel", "](", "]:", "<at", "<script", "<img", "</")
HOSTILE = (
    "<!channel> <!here|x> <@U123> @everyone @here x@everyone @channel <@&99> "
    "[click](http://evil.example) ![i](http://e/x.png) <https://evil.example|bank> "
    "<at>Bob</at> <script>alert(1)</script> <img src=x onerror=y> "
    "[r]: http://evil.example \u202eoops"
)


def test_nothing_of_a_hostile_text_is_markup() -> None:
    text = inert(HOSTILE)
    for markup in MARKUP:
        assert markup not in text
    assert "\u202e" not in text
    assert text.replace("\u200b", "") == HOSTILE.replace("\u202e", "")  # readable as it was
    assert inert("mail bob@example.com, a < b, x[1] (y)") == "mail bob@example.com, a < b, x[1] (y)"


@given(st.text(alphabet="<>@!#[]()/|:aeh \n*_`\u200b\u202e", max_size=40))
def test_inert_stays_inert(text: str) -> None:
    once = inert(text)
    assert inert(once) == once
    for markup in ("<!", "<@", "<#", "](", "<a", " @a", "\n@e", "<@e"):
        assert markup not in once


@pytest.mark.parametrize(
    "url",
    [
        SLACK,
        "tgram://123456789:abcdefg_hijklmnop/12315544/",
        "mailtos://u:p@example.com?format=html",
    ],
)
def test_the_library_escapes_what_it_is_told_is_plain(url: str) -> None:
    service = _instance(Channel("a", url))
    assert service is not None
    sent: list[str] = []
    service.send = lambda body, **_: sent.append(body) or True  # type: ignore[method-assign,func-returns-value]  # the wire
    service.request_rate_per_sec = 0
    service.notify(title="t", body=plain_body(plain(body=HOSTILE)), body_format=NotifyFormat.TEXT)
    for tag in ("<at", "<script", "<img", "<!", "<@", "<https", "<\u200b"):
        assert tag not in sent[0]
    assert "&lt;" in sent[0]


def test_markdown_is_escaped_but_for_our_links() -> None:
    message = plain(body=f"a *b* `c` # d\n{HOSTILE}", url="https://lm.example/i(1)?a=b&c=d")
    body = markdown_body(message)
    assert body.splitlines()[-1] == "[Details](https://lm.example/i%281%29?a=b&c=d)"
    assert body.startswith("a \\*b\\* \\`c\\` \\# d")
    assert body.count("](") == 1
    assert "<" not in body.replace("\\<", "")


# Grouping


def test_few_go_one_by_one_then_one_sum_then_the_rest_waits() -> None:
    after, plan = grouping.after, grouping.plan
    assert plan(None, 5, NOW) is Plan.EACH
    assert plan(None, 6, NOW) is Plan.SUM
    window: Window | None = None
    for _ in range(4):
        window = after(window, NOW, summed=False)
    assert plan(window, 1, NOW) is Plan.EACH
    assert plan(window, 2, NOW) is Plan.SUM
    window = after(window, NOW, summed=True)
    assert plan(window, 1, NOW + timedelta(seconds=299)) is Plan.HOLD
    assert plan(window, 1, NOW + timedelta(seconds=300)) is Plan.EACH


def test_a_sum_keeps_the_links_of_those_it_lists_and_the_worst_severity() -> None:
    many = [
        plain(message_id=f"{n}", title=f"t{n}", url=f"https://lm.example/{n}") for n in range(7)
    ]
    yes = (Link("Yes", "https://lm.example/y"),)
    many[3] = plain(message_id="3", title="t3", severity=Severity.CRITICAL, links=yes)
    found = grouping.sum_of(many)
    assert found.severity is Severity.CRITICAL
    assert found.title == "7 messages (healed), the first: t0"
    assert found.body.splitlines()[-1] == "and 2 more"
    assert [link.label for link in found.links] == [
        "1. Details", "2. Details", "3. Details", "4. Yes", "5. Details"
    ]  # fmt: skip
