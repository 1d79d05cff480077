"""Checks of a pipeline's own specification, rights and tables. Pure; each answers what it found."""

from __future__ import annotations

from shared.monitoring.job_checks import job_identity, job_tells
from shared.monitoring.subject import Answer, Row, Subject, each_task, job_name
from shared.monitoring.tables import Measured


def development(subject: Subject) -> Answer:
    """Production mode."""
    on = bool(subject.spec.get("development"))
    return not on, "development mode is on" if on else "production mode"


def mode(subject: Subject) -> Answer:
    """A continuous pipeline needs no job; a triggered one without a job or trigger never runs."""
    if subject.spec.get("continuous"):
        return not subject.jobs, "continuous" + (", and jobs start it too" if subject.jobs else "")
    if subject.spec.get("trigger"):
        return True, "triggered, by its own trigger"
    count = len(subject.jobs)
    return bool(count), f"triggered, by {count} jobs" if count else "triggered, and nothing does it"


def engine(subject: Subject) -> Answer:
    """Serverless or Photon."""
    if subject.serverless:
        return True, "serverless"
    on = bool(subject.spec.get("photon"))
    return on, "Photon" if on else "neither serverless nor Photon"


def channel(subject: Subject) -> Answer:
    """The current channel."""
    channel = str(subject.spec.get("channel") or "CURRENT").upper()
    return channel == "CURRENT", f"channel {channel}"


def autoscaling(subject: Subject) -> Answer:
    """Between sound bounds."""
    if subject.serverless:
        return None, "serverless"
    sizes = [c.get("autoscale") for c in subject.clusters if c.get("label") != "maintenance"]
    if not any(sizes):
        return False, "no autoscaling"
    wrong = [size for size in sizes if size and not _sound(size)]
    bounds = "; ".join(f"{s.get('min_workers')} to {s.get('max_workers')}" for s in sizes if s)
    return not wrong, f"workers {bounds}"


def _sound(size: Row) -> bool:
    low, high = int(size.get("min_workers") or 0), int(size.get("max_workers") or 0)
    return 1 <= low < high <= MOST_WORKERS


MOST_WORKERS = 64


def sizing(subject: Subject) -> Answer:
    """Node types that somebody chose."""
    if subject.serverless:
        return None, "serverless"
    clusters = subject.clusters
    named = [c for c in clusters if c.get("node_type_id") or c.get("instance_pool_id")]
    named += [c for c in clusters if c.get("policy_id")]
    return bool(named), "node types are set" if named else "the platform picks the node types"


def notifications(subject: Subject) -> Answer:
    """Somebody hears of a failure."""
    own = [n for n in subject.spec.get("notifications") or [] if _on_failure(n)]
    jobs = [job for job in subject.jobs if job_tells(job)]
    if own or (subject.jobs and len(jobs) == len(subject.jobs)):
        return True, "somebody is told of a failure"
    return False, "nobody is told of a failure"


def _on_failure(entry: Row) -> bool:
    wanted = {"on-update-failure", "on-update-fatal-failure", "on-flow-failure"}
    told = entry.get("email_recipients")
    return bool(told) and bool(wanted & set(entry.get("alerts") or []))


def tags(subject: Subject) -> Answer:
    """An owner."""
    tags = dict(subject.spec.get("tags") or {})
    for cluster in subject.clusters:
        tags |= cluster.get("custom_tags") or {}
    for job in subject.jobs:
        tags |= job.get("tags") or {}
    owner = {"owner", "team"} & {str(name).lower() for name in tags}
    return bool(owner), "tags: " + (", ".join(sorted(map(str, tags))) or "none")


def retries(subject: Subject) -> Answer:
    """Development mode repeats nothing; outside of it the pipeline repeats updates by itself."""
    settings = subject.spec.get("configuration") or {}
    own = [name for name in _OWN_RETRIES if _none_or_endless(settings, name)]
    wrong = [f"{name} is {settings[name]}" for name in own]
    for job in subject.jobs:
        most = [int(task.get("max_retries") or 0) for task in each_task(job)]
        if any(count < 0 for count in most):
            wrong.append(f"tasks of {job_name(job)} retry for ever")
        elif max(most, default=0) > _MOST_RETRIES:
            wrong.append(f"tasks of {job_name(job)} retry {max(most)} times")
    return not wrong, "; ".join(wrong) or "bounded"


_MOST_RETRIES = 3
# https://learn.microsoft.com/azure/databricks/ldp/properties; -1 means for ever
_OWN_RETRIES = ("pipelines.numUpdateRetryAttempts", "pipelines.maxFlowRetryAttempts")


def _none_or_endless(settings: Row, name: str) -> bool:
    said = str(settings.get(name, 1)).strip()  # what somebody has written: maybe no number
    return not said.isdecimal() or int(said) == 0


_DELTA = "spark.databricks.delta."


def optimisation(subject: Subject) -> Answer:
    """What the platform does by itself, and somebody has switched off."""
    settings = dict(subject.spec.get("configuration") or {})
    for cluster in subject.clusters:
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


def identity(subject: Subject) -> Answer:
    """An application id, or a name without an @, is a service principal."""
    run_as = [n for n in (subject.run_as, *map(job_identity, subject.jobs)) if n]
    if not run_as:
        return None, "the platform does not tell"
    people = sorted({name for name in run_as if "@" in name})
    return not people, f"runs as {', '.join(people)}" if people else "runs as a service principal"


def permissions(subject: Subject) -> Answer:
    """A group that may repair it."""
    if subject.acl is None:
        return None, "cannot be read"
    answers = [_managed(subject.acl, "it")]
    answers += [_managed(acl, f"job {name}") for name, acl in subject.job_acls]
    wrong = [said for passed, said in answers if not passed]
    return not wrong, "; ".join(wrong or [said for _, said in answers])


def _managed(acl: tuple[Row, ...], what: str) -> tuple[bool, str]:
    held = [_who(e) for e in acl if e.get("group_name") and _level(e) & _MANAGING]
    if "users" in held:
        return False, f"everybody may change {what}"
    who = ", ".join(held) or "no group"
    return bool(held), f"{who} may manage {what}"


_MANAGING = frozenset({"CAN_MANAGE", "IS_OWNER"})


def _level(entry: Row) -> frozenset[str]:
    return frozenset(str(p.get("permission_level")) for p in entry.get("all_permissions") or [])


def _who(entry: Row) -> str:
    names = ("group_name", "user_name", "service_principal_name")
    return next((str(entry[name]) for name in names if entry.get(name)), "?")


def drift(subject: Subject) -> Answer:
    """As it was delivered or accepted."""
    if subject.drift is None:
        return None, "nothing was delivered or accepted yet"
    said = "; ".join(subject.drift)
    return not subject.drift, f"differs: {said}" if said else "as it was delivered or accepted"


def catalog(subject: Subject) -> Answer:
    """In Unity Catalog."""
    name = str(subject.spec.get("catalog") or "")
    return bool(name) and name != "hive_metastore", f"catalog {name or 'none (Hive metastore)'}"


def clustering(subject: Subject) -> Answer:
    """Large tables are clustered, and by columns that they have."""
    wrong = [name for name, table in subject.tables if table.missing]
    if wrong:
        columns = "; ".join(f"{n}: {', '.join(t.missing)}" for n, t in subject.tables if t.missing)
        return False, f"declared to be clustered by columns that are not there: {columns}"
    measured = [(name, table) for name, table in subject.tables if table.points]
    if not measured:
        return None, "no table was measured yet"
    bare = [name for name, table in measured if _large(table) and not _laid_out(table)]
    if bare:
        return False, f"large and not clustered: {', '.join(bare[:5])}"
    return True, f"{len(measured)} tables measured"


_LARGE = 100 * 1024**3  # bytes; below it data skipping by file statistics is enough


def _large(table: Measured) -> bool:
    return table.points[-1].size >= _LARGE


def _laid_out(table: Measured) -> bool:
    return bool(table.clustered or table.zorder or table.automatic)
