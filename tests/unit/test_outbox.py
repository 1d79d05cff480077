"""The outbox against a real Table service, and turns of delivery with channels that fail."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from shared.errors import LedgerUnavailable
from shared.ledger import tables
from shared.ledger.tables import Storage
from shared.notify.deliver import MAX_SENDS, MAX_TRIES, Deliverer, Sends, Summary, pause
from shared.notify.model import Message, MessageKind, Severity
from shared.notify.outbox import Delivery, DeliveryState, Outbox
from shared.notify.routing import Channel
from shared.redaction import Redactor
from tests.clocks import StepClock
from tests.storage import running_azurite

NOW = datetime(2026, 11, 20, 3, 12, 0, 123000, tzinfo=UTC)
MAIL, CHAT = Channel("mail", "mailtos://a"), Channel("Chat", "slack://b")


class Post:
    """Stands where the notification library would: notes what it is given, fails where told."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, Message]] = []
        self.broken: set[str] = set()
        self.stuck: dict[str, threading.Event] = {}

    def send(self, channel: Channel, message: Message) -> str:
        if channel.name in self.stuck:
            self.stuck[channel.name].wait(30)
        if channel.name in self.broken:
            return "error=500 for password=hunter2hunter2"
        self.sent.append((channel.name, message))
        return ""

    def titles(self, channel: str) -> list[str]:
        return [message.title for name, message in self.sent if name == channel]


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Storage]:
    with running_azurite(tmp_path_factory.mktemp("azurite")) as connection:
        yield Storage(f"u{uuid4().hex[:8]}", connection)  # each test has tables of its own


@pytest.fixture
def clock() -> StepClock:
    return StepClock(NOW)


@pytest.fixture
def outbox(storage: Storage, clock: StepClock) -> Outbox:
    storage._prefix = f"u{uuid4().hex[:8]}"
    storage._create_one(f"{storage._prefix}{tables.MESSAGES}")
    table = storage.table(tables.MESSAGES)
    return Outbox(lambda: table, Redactor(["topsecret-1"]), clock, wanted=True)


@pytest.fixture
def post() -> Post:
    return Post()


def message(name: str, **more: object) -> Message:
    fields = {"kind": MessageKind.HEALED, "severity": Severity.INFO, "body": "b", "at": NOW} | more
    return Message(message_id=name, title=f"title {name}", **fields)  # type: ignore[arg-type]  # a table of fields


def to_both(_message: Message) -> list[str]:
    return ["mail", "Chat"]


def turn(
    outbox: Outbox, clock: StepClock, post: Sends, *channels: Channel, **more: float
) -> Summary:
    deliverer = Deliverer(outbox, channels or (MAIL, CHAT), lambda: post, clock)
    return deliverer.run(lambda delivery, _reason: pytest.fail(f"given up: {delivery}"), **more)


def test_a_message_put_twice_is_one(outbox: Outbox) -> None:
    assert outbox.put([message("1"), message("2"), message("1")]) == 2
    assert outbox.put([message("2"), message("3")]) == 1
    assert outbox.fan_out(to_both) == 3
    assert outbox.put([message("1"), message("2"), message("3")]) == 0
    assert outbox.fan_out(to_both) == 0
    assert len(outbox.due("mail")) == 3
    assert len(outbox.due("CHAT")) == 3


def test_a_message_that_was_sent_is_not_sent_again_when_it_is_put_again(
    outbox: Outbox, clock: StepClock, post: Post
) -> None:
    outbox.put([message("1")])
    turn(outbox, clock, post)
    outbox.put([message("1")])
    clock.sleep(3600)
    turn(outbox, clock, post)
    assert post.titles("mail") == ["title 1"]
    progress = outbox.progress("mail", "1")
    assert progress is not None
    assert (progress.state, progress.attempts) == (DeliveryState.DELIVERED, 1)


def test_a_fan_out_that_was_cut_off_is_done_again_without_doubles(outbox: Outbox) -> None:
    outbox.put([message("1"), message("2")])

    def dies(which: Message) -> list[str]:
        if which.message_id == "2":
            raise RuntimeError("killed")
        return ["mail"]

    with pytest.raises(RuntimeError):
        outbox.fan_out(dies)
    outbox.fan_out(to_both)
    assert sorted(d.message.message_id for d in outbox.due("mail")) == ["1", "2"]


def test_a_fan_out_repeated_after_sending_brings_nothing_back(
    outbox: Outbox, clock: StepClock, post: Post
) -> None:
    outbox.put([message("1")])
    row = next(iter(outbox._table.range("new", "p-", "p.")))
    turn(outbox, clock, post)
    outbox._table.put({k: v for k, v in row.items() if k != "etag"})  # as if its removal was lost
    turn(outbox, clock, post)
    assert post.titles("mail") == ["title 1"]


def test_nothing_is_taken_for_stored_when_the_table_is_missing(
    storage: Storage, clock: StepClock
) -> None:
    outbox = Outbox(lambda: storage.table("nowhere"), Redactor(), clock, wanted=True)
    with pytest.raises(LedgerUnavailable):
        outbox.put([message("1")])


def test_without_channels_nothing_is_kept(outbox: Outbox, clock: StepClock) -> None:
    silent = Outbox(lambda: pytest.fail("asked storage"), Redactor(), clock, wanted=False)
    assert silent.put([message("1")]) == 0


def test_only_one_of_two_instances_takes_a_message(outbox: Outbox) -> None:
    outbox.put([message(str(n)) for n in range(70)])
    outbox.fan_out(to_both)
    due = outbox.due("mail")
    with ThreadPoolExecutor(4) as pool:
        taken = list(pool.map(lambda _: outbox.take(due, 30), range(4)))
    names = [d.message.message_id for part in taken for d in part]
    assert sorted(names) == sorted(str(n) for n in range(70))
    assert outbox.due("mail") == []


def test_what_a_dead_instance_had_taken_is_due_again_after_the_lease(
    outbox: Outbox, clock: StepClock
) -> None:
    outbox.put([message("1")])
    outbox.fan_out(to_both)
    ours = outbox.take(outbox.due("mail"), 30)
    clock.sleep(29)
    assert outbox.due("mail") == []
    clock.sleep(2)
    theirs = outbox.take(outbox.due("mail"), 30)
    assert len(theirs) == 1
    outbox.again(ours, clock.now(), "too late")  # the first one awakes: it has no say any more
    assert outbox.due("mail") == []
    outbox.delivered(theirs)
    progress = outbox.progress("mail", "1")
    assert progress is not None
    assert progress.state is DeliveryState.DELIVERED


def test_a_dead_channel_holds_up_nobody_and_is_tried_with_growing_pauses(
    outbox: Outbox, clock: StepClock, post: Post
) -> None:
    post.broken = {"Chat"}
    outbox.put([message("1"), message("2")])
    summary = turn(outbox, clock, post)
    assert (summary.delivered, summary.failed) == (2, 1)
    assert post.titles("mail") == ["title 1", "title 2"]
    progress = outbox.progress("chat", "1")
    assert progress is not None
    assert (progress.state, progress.attempts) == (DeliveryState.PENDING, 1)
    assert progress.note == "error=500 for password=[redacted]"
    assert [d.message.message_id for d in outbox.due("chat")] == ["2"]
    clock.sleep(5)
    assert len(outbox.due("chat")) == 2
    post.broken = set()
    turn(outbox, clock, post)
    assert sorted(post.titles("Chat")) == ["title 1", "title 2"]


def test_pauses_grow_to_an_hour() -> None:
    assert [pause(n) for n in range(1, 9)] == [5, 15, 45, 135, 405, 1215, 3600, 3600]
    assert pause(10_000) == 3600


@pytest.mark.parametrize(("attempts", "hours"), [(MAX_TRIES - 1, 1.0), (0, 24.1)])
def test_given_up_after_enough_tries_or_a_day(
    outbox: Outbox, clock: StepClock, post: Post, attempts: int, hours: float
) -> None:
    post.broken = {"mail"}
    outbox.put([message("1", incident_id="i-1")])
    outbox.fan_out(to_both)
    for _ in range(attempts):
        outbox.again(outbox.take(outbox.due("mail"), 1), clock.now(), "no")
    clock.sleep(hours * 3600)
    told: list[tuple[str, str]] = []
    deliverer = Deliverer(outbox, [MAIL], lambda: post, clock)

    def given_up(delivery: Delivery, reason: str) -> None:
        told.append((delivery.message.incident_id, reason))

    assert deliverer.run(given_up).given_up == 1
    assert told == [("i-1", "error=500 for password=hunter2hunter2")]
    progress = outbox.progress("mail", "1")
    assert progress is not None
    assert progress.state is DeliveryState.GIVEN_UP
    clock.sleep(7200)
    assert deliverer.run(given_up).given_up == 0


def test_a_channel_that_hangs_does_not_hold_up_the_turn(
    outbox: Outbox, clock: StepClock, post: Post
) -> None:
    release = threading.Event()
    post.stuck = {"Chat": release}
    outbox.put([message("1")])
    deliverer = Deliverer(outbox, (MAIL, CHAT), lambda: post, clock)
    ignored = lambda _delivery, _reason: None  # noqa: E731 - a callback in one line
    first = deliverer.run(ignored, 0.5)
    assert first.slow == ["Chat"]
    assert post.titles("mail") == ["title 1"]
    clock.sleep(3600)  # its lease is long over, yet it still has its turn
    assert deliverer.run(ignored, 0.5).slow == []
    release.set()
    for thread in threading.enumerate():
        if thread.name == "messages-Chat":
            thread.join(10)
    assert post.titles("Chat") == ["title 1"]


def test_a_storm_is_few_messages_at_once_and_as_it_trickles(
    outbox: Outbox, clock: StepClock, post: Post
) -> None:
    storm = [message(f"{n:03}", group="storm", kind=MessageKind.ESCALATED) for n in range(200)]
    outbox.put(storm[:3])
    turn(outbox, clock, post, MAIL)
    assert len(post.sent) == 3
    outbox.put(storm[3:103])
    clock.sleep(15)
    turn(outbox, clock, post, MAIL)
    assert len(post.sent) == 4
    assert "100 messages (escalated)" in post.titles("mail")[-1]
    assert post.sent[-1][1].body.splitlines() == [
        *[f"{n}. title {n + 2:03}" for n in range(1, 6)],
        "and 95 more",
    ]
    outbox.put([*storm[103:], message("other", group="another storm")])
    clock.sleep(15)
    summary = turn(outbox, clock, post, MAIL)
    assert (summary.held, summary.delivered) == (97, 1)
    clock.sleep(300)
    summary = turn(outbox, clock, post, MAIL)
    assert (summary.sent, summary.delivered) == (1, 97)
    assert len(post.sent) == 6
    assert all(outbox.progress("mail", m.message_id).state == "delivered" for m in storm)  # type: ignore[union-attr]  # there is one


def test_a_turn_sends_no_more_than_its_limit_to_a_channel(
    outbox: Outbox, clock: StepClock, post: Post
) -> None:
    outbox.put([message(str(n)) for n in range(MAX_SENDS + 5)])
    assert turn(outbox, clock, post, MAIL).sent == MAX_SENDS
    assert turn(outbox, clock, post, MAIL).sent == 5


def test_texts_are_redacted_before_they_are_stored_and_links_keep_their_token(
    outbox: Outbox,
) -> None:
    hidden = "dapi0123456789ab\u200bcdef0123456789abcdef"
    outbox.put(
        [
            message("1", body=f"password=hunter2hunter2 topsecret-1 {hidden}",
                    url="https://lm.example/a?token=abc&own=topsecret-1"),
        ]
    )  # fmt: skip
    stored = next(iter(outbox._table.range("new", "p-", "p.")))["doc0"]
    for secret in ("hunter2", "topsecret-1", "0123456789ab"):
        assert secret not in stored
    assert "https://lm.example/a?token=abc" in stored


def test_purge_takes_what_is_old(outbox: Outbox, clock: StepClock, post: Post) -> None:
    outbox.put([message("1", group="g")])
    turn(outbox, clock, post, MAIL)
    clock.sleep(3600)
    outbox.put([message("2", group="g")])
    outbox.fan_out(lambda _: ["removed channel"])
    assert (
        outbox.purge(NOW + timedelta(minutes=1)) == 4
    )  # marker, state, window; a queue row of NOW
    assert outbox.put([message("2", group="g")]) == 0
