"""Whether a pipeline and its job are fit for production: checks over what the platform tells. Pure.

Each check says what it found, why that matters and what to change. Nothing is changed here.
Sources: https://docs.databricks.com/api/azure/workspace/pipelines/get and …/jobs/get;
https://learn.microsoft.com/azure/databricks/ldp/configure-pipeline
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

Row = dict[str, Any]


class Subject(msgspec.Struct, frozen=True):
    """What is checked: the pipeline's specification, the jobs over it, who may do what with it.

    `run_as` is the identity that it runs as. `acl` is None where it cannot be read. `drift` are the
    differences to what was delivered or accepted.
    """

    spec: Row
    jobs: tuple[Row, ...] = ()
    run_as: str = ""
    acl: tuple[Row, ...] | None = None
    drift: tuple[str, ...] = ()


class Check(msgspec.Struct, frozen=True):
    """One check. `passed` is None where it does not apply or cannot be told."""

    name: str
    passed: bool | None
    found: str
    reason: str
    remedy: str


Answer = tuple[bool | None, str]
Rule = Callable[[Subject], Answer]


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


def _clusters(subject: Subject) -> list[Row]:
    return list(subject.spec.get("clusters") or [])


def _serverless(subject: Subject) -> bool:
    return bool(subject.spec.get("serverless"))


def _scheduled(subject: Subject) -> list[Row]:
    names = ("schedule", "trigger", "continuous")
    return [job for job in subject.jobs if any(job.get(name) for name in names)]


def _development(subject: Subject) -> Answer:
    on = bool(subject.spec.get("development"))
    return not on, "development mode is on" if on else "production mode"


def _mode(subject: Subject) -> Answer:
    """A continuous pipeline needs no job; a triggered one without a job or trigger never runs."""
    if subject.spec.get("continuous"):
        return not subject.jobs, "continuous" + (", and jobs start it too" if subject.jobs else "")
    if subject.spec.get("trigger"):
        return True, "triggered, by its own trigger"
    count = len(subject.jobs)
    return bool(count), f"triggered, by {count} jobs" if count else "triggered, and nothing does it"


def _engine(subject: Subject) -> Answer:
    if _serverless(subject):
        return True, "serverless"
    on = bool(subject.spec.get("photon"))
    return on, "Photon" if on else "neither serverless nor Photon"


def _channel(subject: Subject) -> Answer:
    channel = str(subject.spec.get("channel") or "CURRENT").upper()
    return channel == "CURRENT", f"channel {channel}"


def _autoscaling(subject: Subject) -> Answer:
    if _serverless(subject):
        return None, "serverless"
    sizes = [c.get("autoscale") for c in _clusters(subject) if c.get("label") != "maintenance"]
    if not any(sizes):
        return False, "no autoscaling"
    wrong = [size for size in sizes if size and not _sound(size)]
    bounds = "; ".join(f"{s.get('min_workers')} to {s.get('max_workers')}" for s in sizes if s)
    return not wrong, f"workers {bounds}"


def _sound(size: Row) -> bool:
    low, high = int(size.get("min_workers") or 0), int(size.get("max_workers") or 0)
    return 1 <= low < high <= _MOST_WORKERS


_MOST_WORKERS = 64


def _sizing(subject: Subject) -> Answer:
    if _serverless(subject):
        return None, "serverless"
    clusters = _clusters(subject)
    named = [c for c in clusters if c.get("node_type_id") or c.get("instance_pool_id")]
    named += [c for c in clusters if c.get("policy_id")]
    return bool(named), "node types are set" if named else "the platform picks the node types"


def _notifications(subject: Subject) -> Answer:
    own = [n for n in subject.spec.get("notifications") or [] if _on_failure(n)]
    jobs = [job for job in subject.jobs if _job_tells(job)]
    if own or (subject.jobs and len(jobs) == len(subject.jobs)):
        return True, "somebody is told of a failure"
    return False, "nobody is told of a failure"


def _on_failure(entry: Row) -> bool:
    wanted = {"on-update-failure", "on-update-fatal-failure", "on-flow-failure"}
    told = entry.get("email_recipients")
    return bool(told) and bool(wanted & set(entry.get("alerts") or []))


def _job_tells(job: Row) -> bool:
    ways = ("email_notifications", "webhook_notifications")
    return any((job.get(way) or {}).get("on_failure") for way in ways)


def _tags(subject: Subject) -> Answer:
    tags = dict(subject.spec.get("tags") or {})
    for cluster in _clusters(subject):
        tags |= cluster.get("custom_tags") or {}
    for job in subject.jobs:
        tags |= job.get("tags") or {}
    owner = {"owner", "team"} & {str(name).lower() for name in tags}
    return bool(owner), "tags: " + (", ".join(sorted(map(str, tags))) or "none")


def _timeouts(subject: Subject) -> Answer:
    if not subject.jobs:
        return None, "no job"
    without = [_job_name(job) for job in subject.jobs if not _has_timeout(job)]
    return not without, f"without a time-out: {', '.join(without)}" if without else "all have one"


def _has_timeout(job: Row) -> bool:
    tasks = job.get("tasks") or []
    return bool(job.get("timeout_seconds")) or (
        bool(tasks) and all(task.get("timeout_seconds") for task in tasks)
    )


def _retries(subject: Subject) -> Answer:
    """Development mode repeats nothing; outside of it the pipeline repeats updates by itself."""
    raw = (subject.spec.get("configuration") or {}).get(_MAX_UPDATE_RETRIES)
    if str(raw) == "0":
        return False, f"{_MAX_UPDATE_RETRIES} is 0"
    endless = [_job_name(j) for j in subject.jobs if any(_endless(t) for t in j.get("tasks") or [])]
    return not endless, f"tasks of {', '.join(endless)} retry for ever" if endless else "bounded"


_MAX_UPDATE_RETRIES = "pipelines.numUpdateRetryAttempts"


def _endless(task: Row) -> bool:
    return int(task.get("max_retries") or 0) < 0


def _schedule(subject: Subject) -> Answer:
    if subject.spec.get("continuous") or subject.spec.get("trigger") or not subject.jobs:
        return None, "not by a job"
    running = [job for job in _scheduled(subject) if not _paused(job)]
    said = f"{len(running)} of {len(subject.jobs)} jobs are scheduled and not paused"
    return bool(running), said


def _paused(job: Row) -> bool:
    parts = [job.get(name) or {} for name in ("schedule", "trigger", "continuous")]
    return any(part.get("pause_status") == "PAUSED" for part in parts)


def _order(subject: Subject) -> Answer:
    """Other tasks beside the pipeline's that wait for nothing run whenever they like."""
    if not subject.jobs:
        return None, "no job"
    loose = [_job_name(job) for job in subject.jobs if _unordered(job)]
    said = f"tasks of {', '.join(loose)} have no order" if loose else "tasks follow one another"
    return not loose, said


def _unordered(job: Row) -> bool:
    tasks = job.get("tasks") or []
    return len(tasks) > 1 and not any(task.get("depends_on") for task in tasks)


def _concurrency(subject: Subject) -> Answer:
    if not subject.jobs:
        return None, "no job"
    many = [_job_name(j) for j in subject.jobs if int(j.get("max_concurrent_runs") or 1) > 1]
    said = f"{', '.join(many)} may run more than once at a time" if many else "one run at a time"
    return not many, said


_DELTA = "spark.databricks.delta."


def _optimisation(subject: Subject) -> Answer:
    """What the platform does by itself, and somebody has switched off."""
    settings = dict(subject.spec.get("configuration") or {})
    for cluster in _clusters(subject):
        settings |= cluster.get("spark_conf") or {}
    off = sorted(k for k in settings if k in _WANTED_ON and str(settings[k]).lower() == "false")
    return not off, f"switched off: {', '.join(off)}" if off else "as the platform sets it"


_WANTED_ON = frozenset(
    {
        f"{_DELTA}optimizeWrite.enabled",
        f"{_DELTA}autoCompact.enabled",
        f"{_DELTA}properties.defaults.autoOptimize.optimizeWrite",
        f"{_DELTA}properties.defaults.autoOptimize.autoCompact",
        "pipelines.autoOptimize.managed",
        "pipelines.autoOptimize.zOrderCols.enabled",
        "spark.sql.adaptive.enabled",
        "spark.databricks.io.cache.enabled",
    }
)


def _identity(subject: Subject) -> Answer:
    """An application id, or a name without an @, is a service principal."""
    run_as = [n for n in (subject.run_as, *map(_job_identity, subject.jobs)) if n]
    if not run_as:
        return None, "the platform does not tell"
    people = sorted({name for name in run_as if "@" in name})
    return not people, f"runs as {', '.join(people)}" if people else "runs as a service principal"


def _job_identity(job: Row) -> str:
    run_as = job.get("run_as") or {}
    return str(run_as.get("user_name") or run_as.get("service_principal_name") or "")


def _permissions(subject: Subject) -> Answer:
    if subject.acl is None:
        return None, "cannot be read"
    wide = [_who(entry) for entry in subject.acl if entry.get("group_name") == "users"]
    held = [_who(e) for e in subject.acl if e.get("group_name") and _level(e) & _MANAGING]
    if wide and _level(_entry_of_users(subject.acl)) & _MANAGING:
        return False, "everybody may change it"
    return bool(held), f"managed by {', '.join(held)}" if held else "no group may manage it"


_MANAGING = frozenset({"CAN_MANAGE", "IS_OWNER"})


def _entry_of_users(acl: tuple[Row, ...]) -> Row:
    return next(entry for entry in acl if entry.get("group_name") == "users")


def _level(entry: Row) -> frozenset[str]:
    return frozenset(str(p.get("permission_level")) for p in entry.get("all_permissions") or [])


def _who(entry: Row) -> str:
    names = ("group_name", "user_name", "service_principal_name")
    return next((str(entry[name]) for name in names if entry.get(name)), "?")


def _drift(subject: Subject) -> Answer:
    said = "; ".join(subject.drift)
    return not subject.drift, f"differs: {said}" if said else "as it was delivered or accepted"


def _catalog(subject: Subject) -> Answer:
    name = str(subject.spec.get("catalog") or "")
    return bool(name) and name != "hive_metastore", f"catalog {name or 'none (Hive metastore)'}"


def _job_name(job: Row) -> str:
    return str(job.get("name") or "a job")


_RULES: tuple[tuple[str, Rule, str, str], ...] = (
    ("development", _development, "development mode keeps its cluster up and repeats no update",
     "set development to false"),
    ("mode", _mode, "a pipeline that nothing starts never runs",
     "set continuous to true, or give it one job that starts it"),
    ("engine", _engine, "without Photon or serverless updates take longer and cost more",
     "set serverless or photon to true"),
    ("channel", _channel, "the preview channel changes without notice",
     "set channel to CURRENT"),
    ("autoscaling", _autoscaling, "a fixed size is too small one night and too dear the next",
     f"set autoscale: at least 1 and at most {_MOST_WORKERS} workers, min below max"),
    ("sizing", _sizing, "a node type that nobody chose changes with the platform's default",
     "set node_type_id, a pool or a cluster policy"),
    ("notifications", _notifications, "a failure that nobody hears of is found in the morning",
     "add on-update-failure to the pipeline's, or on_failure to the job's notifications"),
    ("tags", _tags, "cost and alerts need an owner",
     "add a tag owner or team"),
    ("timeouts", _timeouts, "a run that hangs holds its cluster until somebody looks",
     "set timeout_seconds on the job or on all of its tasks"),
    ("retries", _retries, "no retry stops at the first hiccup, endless retries hide a failure",
     "leave the pipeline's retries as they are; set max_retries of tasks to 3 or less"),
    ("schedule", _schedule, "a paused schedule is a pipeline that stands still",
     "schedule the job and unpause it"),
    ("order", _order, "tasks without an order read tables that are being written",
     "set depends_on of the tasks before and after the pipeline's"),
    ("concurrency", _concurrency, "two updates of one pipeline cannot run at once",
     "set max_concurrent_runs to 1"),
    ("optimisation", _optimisation, "small files and unoptimised tables slow every later run",
     "remove the settings that switch it off"),
    ("identity", _identity, "a person's access ends with their contract",
     "run as a service principal"),
    ("permissions", _permissions, "what one person alone may manage cannot be repaired at night",
     "give a group CAN_MANAGE, and not all users"),
    ("catalog", _catalog, "tables outside Unity Catalog have no lineage and no grants",
     "publish to a catalog of Unity Catalog"),
    ("drift", _drift, "an edit by hand is lost with the next delivery",
     "deliver the change, or accept it as the new baseline"),
)  # fmt: skip
