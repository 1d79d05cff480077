"""The one composition root: every part is made here, when first used, and can be replaced.

Nothing heavy is imported before its part is asked for: starting the app costs as little as it can.
"""

from __future__ import annotations

import logging
import os
import sys
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

from shared.clock import Clock, SystemClock
from shared.settings import SHIPPED_CATALOG, Settings, load
from shared.telemetry import lines, signals
from shared.vocabulary import Mode

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

    from shared.catalog.loader import Catalog
    from shared.healing.context import Context
    from shared.healing.proposals import Proposals
    from shared.ledger.alerts import Alerts
    from shared.ledger.documents import Documents
    from shared.ledger.findings import Findings
    from shared.ledger.group_writer import GroupWriter
    from shared.ledger.rollups import Rollups
    from shared.ledger.tables import Storage
    from shared.monitoring.noting import Notes
    from shared.monitoring.pipelines import Pipelines
    from shared.notify.deliver import Deliverer
    from shared.notify.links import Links
    from shared.notify.outbox import Outbox
    from shared.notify.routing import Channel
    from shared.notify.sending import Sender
    from shared.policy.model import Policy
    from shared.precedence import Precedence
    from shared.redaction import Redactor


class Composition:
    """The parts of one running app."""

    def __init__(self, environment: dict[str, str] | None = None, **parts: Any) -> None:  # noqa: ANN401 - any part
        self._environment = environment
        self.__dict__.update(parts)  # a given part stands where its property would be computed

    @cached_property
    def settings(self) -> Settings:
        """Settings; a mistake in them is raised here, before anything else works."""
        return load(self._environment if self._environment is not None else os.environ)

    @cached_property
    def clock(self) -> Clock:
        """The machine's clock."""
        return SystemClock()

    @cached_property
    def precedence(self) -> Precedence:
        """Who goes first while much is going on."""
        from shared.precedence import Precedence

        return Precedence()

    @cached_property
    def credential(self) -> TokenCredential:
        """Our identity, towards storage and platforms."""
        from azure.identity import DefaultAzureCredential

        return DefaultAzureCredential()

    @cached_property
    def redactor(self) -> Redactor:
        """Takes secrets out of texts."""
        from shared.redaction import Redactor

        return Redactor(self.settings.secrets)

    def listen(self) -> None:
        """Send spans, metrics and log lines where the settings say; called at each invocation.

        The SDK is loaded at the first one, not when the app starts, and not at all where nothing
        is configured.
        """
        if self.settings.insights_connection or self.settings.otlp_endpoint:
            signals.listen(self._exporter)

    def _exporter(self) -> signals.Listener:
        from shared.telemetry import export

        settings = self.settings
        exporters = []
        if settings.insights_connection:
            exporters.append(export.insights(settings.insights_connection))
        if settings.otlp_endpoint:
            exporters.append(export.otlp(settings.otlp_endpoint))
        made = export.Export(exporters)
        made.attach()
        return made

    @cached_property
    def storage(self) -> Storage:
        """The ledger's storage account, its tables made if they are missing."""
        from shared.errors import ConfigurationError
        from shared.ledger.tables import Storage

        settings = self.settings
        if not settings.storage_connection and not settings.storage_account_url:
            raise ConfigurationError(
                "AUDIT_STORAGE_CONNECTION: missing (or AUDIT_STORAGE_ACCOUNT_URL with an identity)"
            )
        storage = Storage(
            settings.table_prefix,
            settings.storage_connection,
            settings.storage_account_url,
            None if settings.storage_connection else self.credential,
        )
        storage.create()
        return storage

    @cached_property
    def alerts(self) -> Alerts:
        """The stored alerts: all that taking one in needs."""
        from shared.ledger.alerts import Alerts
        from shared.ledger.tables import ALERTS

        return Alerts(self.storage.table(ALERTS), self.clock)

    @cached_property
    def rollups(self) -> Rollups:
        """The figures of closed incidents by day: all that reports need."""
        from shared.ledger.rollups import Rollups
        from shared.ledger.tables import ROLLUPS

        return Rollups(self.storage.table(ROLLUPS))

    @cached_property
    def findings(self) -> Findings:
        """What was found before it failed."""
        from shared.ledger.findings import Findings
        from shared.ledger.tables import FINDINGS

        return Findings(self.storage.table(FINDINGS), self.clock)

    @cached_property
    def notes(self) -> Notes:
        """Writes findings and tells of them."""
        from shared.monitoring.noting import Notes

        settings = self.settings
        return Notes(
            self.findings,
            self.outbox,
            self.redactor,
            settings.targets,
            self.clock,
            settings.public_url,
        )

    @cached_property
    def proposals(self) -> Proposals:
        """What findings propose: asked, approved, made."""
        from shared.healing.proposals import Proposals

        return Proposals(self.context, self.findings)

    @cached_property
    def pipelines(self) -> Pipelines:
        """Readiness and drift of pipelines."""
        from shared.monitoring.pipelines import Pipelines

        settings, context = self.settings, self.context
        return Pipelines(
            context.platforms, settings.targets, self.documents, self.redactor, self.clock
        )

    @cached_property
    def documents(self) -> Documents:
        """What sweeps remember."""
        from shared.ledger.documents import Documents
        from shared.ledger.tables import STATE

        return Documents(self.storage.table(STATE), self.clock)

    @cached_property
    def writer(self) -> GroupWriter:
        """Groups the writes of concurrent senders."""
        from shared.ledger.group_writer import GroupWriter

        return GroupWriter(lambda: self.alerts, self.clock.now)

    @cached_property
    def channels(self) -> tuple[Channel, ...]:
        """Where messages go."""
        return self.settings.channels

    @cached_property
    def outbox(self) -> Outbox:
        """The messages that are to be sent."""
        from shared.ledger.tables import MESSAGES
        from shared.notify.outbox import Outbox

        return Outbox(
            lambda: self.storage.table(MESSAGES),
            self.redactor,
            self.clock,
            wanted=bool(self.channels),
        )

    @cached_property
    def sender(self) -> Sender:
        """Sends messages; loads the notification library."""
        from shared.notify.sending import Sender

        return Sender(allow_loopback=self.settings.notification_loopback)

    @cached_property
    def deliverer(self) -> Deliverer:
        """Delivers the outbox."""
        from shared.notify.deliver import Deliverer

        return Deliverer(self.outbox, self.channels, lambda: self.sender, self.clock)

    @cached_property
    def catalog(self) -> Catalog:
        """The catalog; a mistake in it is raised here, with file, line and reason."""
        from shared.catalog import loader
        from shared.remedies.registry import NAMES

        return loader.load(self.settings.catalog_path, NAMES)

    @cached_property
    def policy(self) -> Policy:
        """What may be done: the policy file, made more cautious by the settings beside it."""
        from shared.policy import loader

        settings = self.settings
        path = settings.policy_path or loader.ready(settings.mode or Mode.OBSERVE)
        loaded = loader.load(path, frozenset(self.catalog.error_types))
        return loader.effective(
            loaded,
            settings.mode,
            settings.max_retries,
            settings.max_cost_usd,
            settings.rerunnable,
        )

    @cached_property
    def links(self) -> Links:
        """Addresses for messages, signed ones among them."""
        from shared.notify.links import Links

        return Links(self.settings.public_url, self.settings.approval_key)

    def check(self) -> None:
        """Raise what is wrong with the configuration.

        The shipped catalog is checked by its tests and not read here: starting is to be cheap.

        Raises:
            ConfigurationError: a setting, the configured catalog or policy is wrong.
        """
        if self.settings.catalog_path != SHIPPED_CATALOG:
            _ = self.catalog
        if self.settings.policy_path is not None:
            _ = self.policy

    @cached_property
    def context(self) -> Context:
        """All that healing needs."""
        from shared.diagnosis.classifier import Classifier
        from shared.diagnosis.gather import Gatherer
        from shared.diagnosis.history import History
        from shared.diagnosis.roots import Roots
        from shared.healing.context import Context
        from shared.ledger import tables
        from shared.ledger.audit import Audit
        from shared.ledger.claims import Claims
        from shared.ledger.deliveries import Deliveries
        from shared.ledger.documents import Documents
        from shared.ledger.incidents import Incidents
        from shared.ledger.limits import Limits
        from shared.ledger.locks import Locks
        from shared.ledger.memory import Memory
        from shared.ledger.pause import Pauses
        from shared.ledger.spend import Spend
        from shared.ledger.storms import Storms
        from shared.monitoring.inventory import Inventory
        from shared.monitoring.selftest import SelfTests
        from shared.platforms.directory import Platforms
        from shared.remedies.registry import Phases

        settings, clock, storage = self.settings, self.clock, self.storage
        catalog = self.catalog
        platforms = Platforms(settings, clock, lambda: self.credential)
        audit_table = storage.table(tables.AUDIT)
        state = storage.table(tables.STATE)
        documents = Documents(state, clock)
        return Context(
            settings=settings,
            clock=clock,
            redactor=self.redactor,
            catalog=catalog,
            classifier=Classifier(catalog),
            platforms=platforms,
            gatherer=Gatherer(platforms, settings.targets, clock),
            roots=Roots(platforms, settings.targets, clock),
            phases=Phases(clock),
            alerts=self.alerts,
            claims=Claims(storage.table(tables.CLAIMS)),
            incidents=Incidents(storage.table(tables.INCIDENTS), clock),
            audit=Audit(audit_table, self.redactor, clock, settings.signing_key),
            locks=Locks(state, clock),
            memory=Memory(state),
            policy=self.policy,
            history=History(platforms, clock),
            inventory=Inventory(documents, platforms, settings.targets, clock),
            limits=Limits(documents, clock),
            spend=Spend(storage.table(tables.SPEND), clock),
            pauses=Pauses(documents, clock),
            storms=Storms(state, documents, clock),
            outbox=self.outbox,
            links=self.links,
            selftests=SelfTests(documents, clock),
            deliveries=Deliveries(storage.table(tables.DELIVERIES), clock),
            documents=documents,
        )


_GIVE_WAY = 0.0005  # seconds


@lru_cache(maxsize=1)
def current() -> Composition:
    """The composition of this process."""
    # azure-core logs a dozen lines per call at INFO; host.json's levels do not reach Python.
    logging.getLogger("azure").setLevel(logging.WARNING)
    # The Databricks SDK warns at each first call that a workspace has no discovery document.
    logging.getLogger("databricks.sdk").setLevel(logging.ERROR)
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)
    # Alerts are answered on the event loop, healings compute in threads beside it. With Python's
    # 5 ms each of these may keep the loop waiting at each of an answer's dozen turns.
    sys.setswitchinterval(_GIVE_WAY)
    made = Composition()
    lines.install(lambda: made.redactor)
    return made
