"""Whether a pipeline and its job are fit for production: checks over what the platform tells. Pure.

Each check says what it found, why that matters and what to change. Nothing is changed here.
Sources: https://docs.databricks.com/api/azure/workspace/pipelines/get and …/jobs/get;
https://learn.microsoft.com/azure/databricks/ldp/configure-pipeline
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from shared.monitoring import job_checks as jobs
from shared.monitoring import pipeline_checks as own
from shared.monitoring.pipeline_checks import MOST_WORKERS
from shared.monitoring.subject import Answer, Subject

Rule = Callable[[Subject], Answer]


class Check(msgspec.Struct, frozen=True):
    """One check. `passed` is None where it does not apply or cannot be told."""

    name: str
    passed: bool | None
    found: str
    reason: str
    remedy: str


def checked(subject: Subject) -> list[Check]:
    """All checks, in the order of the report."""
    found: list[Check] = []
    for name, rule, reason, remedy in _RULES:
        passed, said = rule(subject)
        found.append(Check(name, passed, said, reason, remedy if passed is False else ""))
    return found


def failed(checks: Iterable[Check]) -> list[Check]:
    """Those that have to be repaired."""
    return [check for check in checks if check.passed is False]


_RULES: tuple[tuple[str, Rule, str, str], ...] = (
    ("development", own.development, "development mode keeps its cluster up and repeats no update",
     "set development to false"),
    ("mode", own.mode, "a pipeline that nothing starts never runs",
     "set continuous to true, or give it one job that starts it"),
    ("engine", own.engine, "without Photon or serverless updates take longer and cost more",
     "set serverless or photon to true"),
    ("channel", own.channel, "the preview channel changes without notice",
     "set channel to CURRENT"),
    ("autoscaling", own.autoscaling, "a fixed size is too small one night and too dear the next",
     f"set autoscale: at least 1 and at most {MOST_WORKERS} workers, min below max"),
    ("sizing", own.sizing, "a node type that nobody chose changes with the platform's default",
     "set node_type_id, a pool or a cluster policy"),
    ("notifications", own.notifications, "a failure that nobody hears of is found in the morning",
     "add on-update-failure to the pipeline's, or on_failure to the job's notifications"),
    ("tags", own.tags, "cost and alerts need an owner",
     "add a tag owner or team"),
    ("timeouts", jobs.timeouts, "a run that hangs holds its cluster until somebody looks",
     "set timeout_seconds on the job or on all of its tasks"),
    ("retries", own.retries, "no retry stops at the first hiccup, endless retries hide a failure",
     "leave the pipeline's retries as they are; set max_retries of tasks to 3 or less"),
    ("schedule", jobs.schedule, "a paused schedule is a pipeline that stands still",
     "schedule the job and unpause it"),
    ("order", jobs.order, "tasks without an order read tables that are being written",
     "set depends_on of the tasks before and after the pipeline's"),
    ("concurrency", jobs.concurrency, "two updates of one pipeline cannot run at once",
     "set max_concurrent_runs to 1"),
    ("optimisation", own.optimisation, "small files and unoptimised tables slow every later run",
     "remove the settings that switch it off"),
    ("clustering", own.clustering, "a large table without an order is read as a whole",
     "declare CLUSTER BY, or columns that exist; or CLUSTER BY AUTO"),
    ("identity", own.identity, "a person's access ends with their contract",
     "run as a service principal"),
    ("permissions", own.permissions, "what one person alone may manage cannot be repaired at night",
     "give a group CAN_MANAGE of the pipeline and its jobs, and not all users"),
    ("catalog", own.catalog, "tables outside Unity Catalog have no lineage and no grants",
     "publish to a catalog of Unity Catalog"),
    ("drift", own.drift, "an edit by hand is lost with the next delivery",
     "deliver the change, or accept it as the new baseline"),
)  # fmt: skip
