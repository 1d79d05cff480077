"""A synthetic alert through the whole path: "deployed but never fires" must not go unseen.

It is sent to our own public address with a sender's key, stored, dispatched and expanded as any
other; that it was expanded is what "it came back" means. Nothing on a platform is touched.

What comes before our own address (log rule, action group, Entra token, sign-in) is tested from the
other end: a rule in Azure Monitor fires every hour, and its alert is the heartbeat. Azure Monitor
itself watches that it comes, because an app that hears nothing cannot tell why.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

import msgspec

from shared.clock import Clock
from shared.errors import ConfigurationError
from shared.healing.context import Context
from shared.ledger.documents import Documents
from shared.ledger.tables import digest
from shared.models import Json
from shared.notify import messages
from shared.settings import Settings
from shared.telemetry.metrics import HEARTBEATS, SELFTEST
from shared.vocabulary import Scope

log = logging.getLogger("lakemend.selftest")

PATIENCE = timedelta(minutes=10)
_SCOPE, _NAME, _BEAT = "everything", "selftest", "heartbeat"
_TIMEOUT = 15.0  # seconds for our own answer


class SelfTest(msgspec.Struct, omit_defaults=True):
    """The newest self-test: when it was sent, when it came back, and whether that was told."""

    identity: str = ""
    sent_at: datetime | None = None
    back_at: datetime | None = None
    refused: str = ""  # why it could not even be sent
    told: bool = False

    @property
    def seconds(self) -> float | None:
        """How long it took, None while it is not back."""
        if self.sent_at is None or self.back_at is None:
            return None
        return (self.back_at - self.sent_at).total_seconds()

    def late(self, now: datetime) -> bool:
        """Whether it should have come back by now."""
        return self.sent_at is not None and self.back_at is None and now - self.sent_at > PATIENCE


class Beat(msgspec.Struct, omit_defaults=True):
    """When the newest heartbeat arrived."""

    at: datetime | None = None


class SelfTests:
    """Remembers the newest self-test and the newest heartbeat."""

    def __init__(self, documents: Documents, clock: Clock) -> None:
        self._documents = documents
        self._clock = clock

    def newest(self) -> SelfTest:
        """The newest self-test, an empty one if there was none."""
        return self._documents.read(_SCOPE, _NAME, SelfTest)

    def begin(self) -> SelfTest:
        """Begin a new one, in place of the one before."""
        now = self._clock.now()

        def change(test: SelfTest) -> SelfTest:
            test.identity = digest(f"selftest {now.isoformat()}", 20)
            test.sent_at, test.back_at, test.refused, test.told = now, None, "", False
            return test

        return self._documents.change(_SCOPE, _NAME, SelfTest, change)

    def came_back(self, identity: str) -> bool:
        """Note that its alert was expanded; False if it is not the newest one's."""
        now = self._clock.now()

        def change(test: SelfTest) -> tuple[bool, float | None]:
            mine = bool(identity) and test.identity == identity
            first = mine and test.back_at is None
            if first:
                test.back_at = now
            return mine, test.seconds if first else None

        mine, seconds = self._documents.change(_SCOPE, _NAME, SelfTest, change)
        if seconds is not None:
            SELFTEST.record(seconds)
        return mine

    def beat(self) -> None:
        """Note that a heartbeat arrived."""
        now = self._clock.now()

        def change(beat: Beat) -> None:
            beat.at = now

        self._documents.change(_SCOPE, _BEAT, Beat, change)
        HEARTBEATS.record(1)

    def last_beat(self) -> datetime | None:
        """When the newest heartbeat arrived, None if none did."""
        return self._documents.read(_SCOPE, _BEAT, Beat).at

    def note(self, identity: str, *, refused: str = "", told: bool = False) -> None:
        """Note why it could not be sent, or that its silence was told."""

        def change(test: SelfTest) -> None:
            if test.identity == identity:
                test.refused, test.told = refused or test.refused, told or test.told

        self._documents.change(_SCOPE, _NAME, SelfTest, change)


def send(context: Context) -> SelfTest:
    """Send a synthetic alert to our own address.

    Raises:
        ConfigurationError: `PUBLIC_URL` or a key with the scope `sender` is missing.
    """
    url, key = _address(context.settings), _key(context.settings)
    test = context.selftests.begin()
    refused = _post(url, key, {"selftest": test.identity})
    if refused:
        refused = context.redactor.text(refused)
        context.selftests.note(test.identity, refused=refused)
        log.warning("the self-test could not be sent: %s", refused)
    return context.selftests.newest()


def _address(settings: Settings) -> str:
    if not settings.public_url:
        raise ConfigurationError("PUBLIC_URL: missing, the self-test is sent to it")
    return f"{settings.public_url}/api/alerts"


def _key(settings: Settings) -> str:
    keys = [known.key for known in settings.api_keys if Scope.SENDER in known.scopes]
    if not keys:
        raise ConfigurationError("API_KEYS: no key has the scope sender, the self-test needs one")
    return keys[0]


def _post(url: str, key: str, body: Json) -> str:
    """Send; the words why it was not accepted, empty if it was."""
    import requests

    try:
        # Never another host: our key goes to our own address only.
        answer = requests.post(
            url, json=body, headers={"X-API-Key": key}, timeout=_TIMEOUT, allow_redirects=False
        )
    except requests.RequestException as error:
        return type(error).__name__
    return "" if answer.status_code == _ACCEPTED else f"answered {answer.status_code}"


_ACCEPTED = 202


def check(context: Context) -> SelfTest:
    """Tell people, once, when the newest self-test did not come back in time."""
    test, now = context.selftests.newest(), context.clock.now()
    if not test.late(now) or test.told:
        return test
    why = test.refused or "it was accepted, and nothing took it up"
    log.error("self-test %s did not come back: %s", test.identity, why)
    context.outbox.put([messages.selftest_silent(test.identity, why, now)])
    context.selftests.note(test.identity, told=True)
    return test
