"""Pipelines as they are deployed: fit for production, and as they were delivered or accepted."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import msgspec

from shared.clock import Clock
from shared.errors import ConfigurationError, LedgerRefused, NothingChanged, PlatformMissing
from shared.findings.model import FindingKind, Seen
from shared.ledger.documents import Documents
from shared.monitoring import readiness
from shared.monitoring.drift import differences
from shared.monitoring.noting import Look
from shared.monitoring.readiness import Check
from shared.monitoring.starting_jobs import (
    jobs_by_pipeline,
    rights,
    rights_on_jobs,
    with_identity,
)
from shared.monitoring.subject import RUNS_AS, STARTED_BY, Subject
from shared.monitoring.tables import Measured, Tables
from shared.monitoring.veil import Veil
from shared.notify.model import Severity
from shared.platforms.calls import as_promised
from shared.platforms.databricks import WorkspaceApi
from shared.platforms.directory import Platforms
from shared.redaction import Redactor
from shared.targets import Targets

log = logging.getLogger("lakemend.sweeps")

Row = dict[str, Any]

_SCOPE = "baseline"
_KINDS = frozenset({FindingKind.NOT_READY, FindingKind.DRIFT})
# Settings of a job that say nothing about what was delivered.
_NOT_DELIVERED = frozenset({"deployment", "edit_mode", "format", RUNS_AS, STARTED_BY})


class Baseline(msgspec.Struct, omit_defaults=True):
    """The specification that a pipeline and its jobs are held to; no `at`: there is none.

    Its secrets are masked before it is kept.
    """

    spec: Row = {}
    jobs: dict[str, Row] = {}
    at: datetime | None = None
    by: str = ""


class Deployed(msgspec.Struct, frozen=True):
    """A pipeline as the platform has it now, and the jobs that start it."""

    target: str
    pipeline_id: str
    name: str
    spec: Row
    jobs: dict[str, Row]
    run_as: str


class Report(msgspec.Struct, frozen=True):
    """Whether a pipeline is fit for production. `baseline` is None where nothing was accepted."""

    deployed: Deployed
    checks: list[Check]
    baseline: Baseline | None
    drift: tuple[str, ...] = ()

    @property
    def ready(self) -> bool:
        """Whether no check failed."""
        return not readiness.failed(self.checks)


class Pipelines:
    """Reads pipelines, keeps their baselines, and checks them. Changes no pipeline."""

    def __init__(
        self,
        platforms: Platforms,
        targets: Targets,
        documents: Documents,
        redactor: Redactor,
        clock: Clock,
    ) -> None:
        self._platforms = platforms
        self._targets = targets
        self._documents = documents
        self._redactor = redactor
        self._clock = clock

    def named(self, name: str, target: str = "") -> list[Deployed]:
        """The pipelines with this name or id, in all workspaces or in one.

        Raises:
            NothingChanged: a platform could not be asked.
        """
        found: list[Deployed] = []
        for workspace in self._targets.workspaces:
            if target and workspace.name.lower() != target.lower():
                continue
            api = self._platforms.workspace(workspace.name)
            rows = [r for r in api.pipelines() if name in (r.get("name"), r.get("pipeline_id"))]
            jobs = jobs_by_pipeline(api) if rows else {}
            found += [_deployed(api, row, jobs) for row in rows]
        return found

    def report(self, deployed: Deployed, tables: dict[str, Measured] | None = None) -> Report:
        """Check a pipeline; reads its permissions too.

        `tables` are those of its workspace as far as they are known; read if they are not given.
        """
        if tables is None:
            tables = Tables(self._documents, self._clock).known(deployed.target)
        api = self._platforms.workspace(deployed.target)
        baseline = self.baseline(deployed)
        drift = tuple(self._drift(baseline, deployed)) if baseline else None
        subject = Subject(
            deployed.spec,
            tuple(deployed.jobs.values()),
            deployed.run_as,
            rights(api, "pipelines", deployed.pipeline_id),
            drift,
            _own_tables(deployed.spec, tables),
            deployed.pipeline_id,
            rights_on_jobs(api, deployed.jobs),
        )
        return Report(deployed, readiness.checked(subject), baseline, drift or ())

    def baseline(self, deployed: Deployed) -> Baseline | None:
        """What was delivered or accepted, None if nothing was."""
        kept = self._documents.read(_SCOPE, _key(deployed), Baseline)
        return kept if kept.at is not None else None

    def accept(self, deployed: Deployed, by: str) -> Baseline:
        """Take a pipeline as it is now for what it should be.

        Raises:
            LedgerRefused: it is too large to be kept.
        """
        return self._keep(deployed, by, replace=True)

    def sweep(self) -> Iterator[Look]:
        """Check all pipelines of all workspaces; what is seen first becomes its own baseline."""
        for workspace in self._targets.workspaces:
            try:
                with as_promised():
                    look = self._swept(workspace.name)
            except (NothingChanged, ConfigurationError) as error:
                log.warning("readiness of %s: %s", workspace.name, self._redactor.text(str(error)))
            else:
                yield look

    def _swept(self, target: str) -> Look:
        api = self._platforms.workspace(target)
        jobs = jobs_by_pipeline(api)
        tables = Tables(self._documents, self._clock).known(target)
        seen: list[Seen] = []
        looked: set[str] = set()
        rows = list(api.pipelines())
        for row in rows:
            pipeline_id = str(row.get("pipeline_id"))
            try:
                with as_promised():  # one odd specification must not hold up the others
                    seen += self._checked(_deployed(api, row, jobs), tables)
            except PlatformMissing:
                pass  # deleted since it was listed
            except NothingChanged as error:
                log.warning("readiness of %s: %s", pipeline_id, self._redactor.text(str(error)))
                continue
            looked.add(pipeline_id)
        # What is no longer listed is gone, and so are the findings about it.
        whole = len(looked) == len(rows)
        return Look(target, _KINDS, tuple(seen), None if whole else frozenset(looked))

    def _checked(self, deployed: Deployed, tables: dict[str, Measured]) -> list[Seen]:
        if self.baseline(deployed) is None:
            try:
                self._keep(deployed, "first seen", replace=False)
            except LedgerRefused as error:  # checked all the same; only its drift is not told
                log.warning("baseline of %s: %s", deployed.pipeline_id, error)
        report = self.report(deployed, tables)
        return [*_not_ready(report), *_drifted(report)]

    def _drift(self, baseline: Baseline, deployed: Deployed) -> list[str]:
        before = {**baseline.spec, "jobs": baseline.jobs}
        after = {**deployed.spec, "jobs": _delivered(deployed.jobs)}
        return differences(before, after, self._veil(deployed))

    def _veil(self, deployed: Deployed) -> Veil:
        return Veil(self._redactor, _key(deployed))

    def _keep(self, deployed: Deployed, by: str, *, replace: bool) -> Baseline:
        now, veil = self._clock.now(), self._veil(deployed)
        spec, jobs = veil.over(deployed.spec), veil.over(_delivered(deployed.jobs))

        def change(kept: Baseline) -> Baseline:
            if replace or kept.at is None:
                kept.spec, kept.jobs = spec, jobs
                kept.at, kept.by = now, by
            return kept

        try:
            return self._documents.change(_SCOPE, _key(deployed), Baseline, change)
        except ValueError:
            words = "the pipeline and its jobs are too large to be kept as a baseline"
            raise LedgerRefused(words) from None


def _not_ready(report: Report) -> list[Seen]:
    faults = [check for check in readiness.failed(report.checks) if check.name != "drift"]
    if not faults:
        return []
    deployed = report.deployed
    summary = f"{deployed.name} is not fit for production: {len(faults)} checks fail"
    evidence = tuple(f"{check.name}: {check.found}" for check in faults)
    proposal = "; ".join(check.remedy for check in faults)
    return [_seen(FindingKind.NOT_READY, deployed, summary, evidence, proposal)]


def _drifted(report: Report) -> list[Seen]:
    if report.baseline is None:
        return []
    changes = report.drift
    if not changes:
        return []
    summary = f"{report.deployed.name} differs from what was accepted ({report.baseline.by})"
    proposal = "deliver the change, or accept it as the new baseline"
    return [_seen(FindingKind.DRIFT, report.deployed, summary, changes, proposal)]


def _seen(
    kind: FindingKind, deployed: Deployed, summary: str, evidence: tuple[str, ...], proposal: str
) -> Seen:
    at = (deployed.target, deployed.pipeline_id, deployed.name)
    return Seen(kind, *at, Severity.WARNING, summary, evidence, proposal)


def _own_tables(spec: Row, tables: dict[str, Measured]) -> tuple[tuple[str, Measured], ...]:
    """The known tables of the schema that a pipeline publishes to."""
    schema = spec.get("schema") or spec.get("target")
    if not spec.get("catalog") or not schema:
        return ()
    prefix = f"{spec['catalog']}.{schema}.".lower()
    return tuple((n, t) for n, t in sorted(tables.items()) if n.lower().startswith(prefix))


def _delivered(jobs: dict[str, Row]) -> dict[str, Row]:
    return {
        identity: {k: v for k, v in job.items() if k not in _NOT_DELIVERED}
        for identity, job in jobs.items()
    }


def _deployed(api: WorkspaceApi, row: Row, jobs: dict[str, dict[str, Row]]) -> Deployed:
    whole = api.pipeline(str(row["pipeline_id"]))
    spec = dict(whole.get("spec") or {})
    identity = str(whole.get("pipeline_id") or row["pipeline_id"])
    name = str(whole.get("name") or spec.get("name") or identity)
    run_as = str(whole.get("run_as_user_name") or "")
    own = {
        job_id: with_identity(api, job_id, job) for job_id, job in jobs.get(identity, {}).items()
    }
    return Deployed(api.workspace.name, identity, name, spec, own, run_as)


def _key(deployed: Deployed) -> str:
    return f"{deployed.target}|{deployed.pipeline_id}"
