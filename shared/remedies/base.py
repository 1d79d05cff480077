"""What a remedy is: a plan of phases, each one mutation that can be made once and looked for after.

A phase has two methods. `act` makes exactly one mutation. `look` only reads, and says how far that
mutation has come; the same look serves to verify, and to find out after a crash or a lost answer
whether the mutation was made. So nothing is made twice because an activity ran twice.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from shared.catalog.loader import Catalog
from shared.ledger.memory import Memory
from shared.models import Attempt, Evidence, Failure, Json, Loan
from shared.platforms.databricks import WorkspaceApi
from shared.platforms.directory import Platforms

ABSENT, PENDING, DONE, FAILED = "absent", "pending", "done", "failed"
MEMORY, DISK = "memory", "disk"
# Time limits: compute that must become ready, runs that must end, others that are waited for.
READY, RUN, WAIT = "ready", "run", "wait"


class Case(msgspec.Struct, frozen=True):
    """What a remedy may look at."""

    failure: Failure
    run_id: str
    platforms: Platforms
    catalog: Catalog
    max_workers: int
    memory: Memory
    incident_id: str = ""
    error_type: str = ""
    playbooks: tuple[str, ...] = ()
    max_retries: int = 0
    evidence: Evidence | None = None  # only while planning
    more: str = ""  # what a new node type must have clearly more of: MEMORY, DISK or nothing


class Plan(msgspec.Struct, frozen=True):
    """How a remedy would be carried out here.

    `phases` are names in the registry, `memo` what they need to know, `locks` the targets that
    nobody else may work on meanwhile, `loans` what goes back when the incident closes.
    """

    phases: list[str]
    summary: str
    memo: Json = {}
    locks: list[str] = []
    loans: list[Loan] = []


class Refusal(msgspec.Struct, frozen=True):
    """Why a remedy does not apply here; `busy` if it will when others are done."""

    reason: str
    busy: bool = False


class Look(msgspec.Struct, frozen=True):
    """How far a phase's mutation has come.

    `absent`: not made, as far as can be seen. `memo` is remembered, `then` are phases to do next.
    In a memo, `new_run_id` is followed from then on and `repair_id` names a repair of the same run.
    """

    status: str
    note: str = ""
    memo: Json = {}
    then: list[str] = []


class Visible:
    """What most phases are: their mutation can be looked for."""

    blind = False


class Phase(Protocol):
    """One mutation."""

    @property
    def limit(self) -> str:
        """Which of the catalog's time limits holds: READY, RUN or WAIT."""

    @property
    def blind(self) -> bool:
        """Whether the mutation cannot be looked for: in doubt it goes to a person."""

    def act(self, case: Case, memo: Json) -> Json:
        """Make the mutation, once; returns what is to be remembered.

        Raises:
            NothingChanged: it was refused or never sent.
            ChangeInDoubt: it may have been made.
        """

    def look(self, case: Case, memo: Json) -> Look:
        """How far it has come.

        Raises:
            NothingChanged: the platform could not be asked.
        """


class Remedy(Protocol):
    """One way to repair."""

    def plan(self, case: Case, tried: list[Attempt]) -> Plan | Refusal:
        """How it would be done here, or why not. Reads only; `tried` are this incident's attempts.

        Raises:
            NothingChanged: the platform could not be asked.
        """


def workspace_of(case: Case, memo: Json) -> WorkspaceApi:
    """The workspace that a phase works in: the memo's, where the failure itself is in none."""
    return case.platforms.workspace(memo.get("workspace") or case.failure.target)


def compute_target(case: Case) -> str:
    """The target that the failed work's clusters are in."""
    evidence = case.evidence
    return evidence.workspace if evidence and evidence.workspace else case.failure.target


def lock_of(failure: Failure) -> str:
    """The name under which a failure's line of reruns is locked."""
    return f"line|{failure.root_key}"


def cluster_lock(target: str, cluster_id: str) -> str:
    """The name under which a cluster is locked."""
    return f"cluster|{target}|{cluster_id}"


def job_lock(target: str, job_id: str) -> str:
    """The name under which a job's settings are locked."""
    return f"job|{target}|{job_id}"
