"""What compute uses and what runs cost, from the platform's system tables. Pure but for `usage`.

Sources: https://learn.microsoft.com/azure/databricks/admin/system-tables/compute (node_timeline),
…/jobs (job_task_run_timeline), …/billing (usage), …/pricing (list_prices). The tables lag by hours.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from itertools import chain
from math import isfinite
from statistics import median
from typing import Any

import msgspec

from shared.errors import PlatformUnavailable
from shared.findings.model import FindingKind, Seen
from shared.monitoring.noting import Look
from shared.notify.model import Severity
from shared.platforms.databricks import WorkspaceApi
from shared.targets import Targets, Workspace

Row = dict[str, Any]

KINDS = frozenset(
    {
        FindingKind.MEMORY_HIGH,
        FindingKind.CPU_HIGH,
        FindingKind.DISK_FILLING,
        FindingKind.COST_RISING,
    }
)
_PERIODS = 3  # runs, or days of a shared cluster, in a row
_MEMORY, _CPU = 90.0, 90.0  # percent
_DISK = 10 * 1024**3  # bytes that are left
_BEFORE = 5  # runs that tell the usual cost
_DEARER = 1.5
_FLOOR_USD = 1.0

# A job cluster lives for one run, so its nodes are taken with the job; a shared one by the day.
JOBS_SQL = """
SELECT t.workspace_id, 'job' AS what, t.job_id AS resource, t.run_id AS period,
  min(n.start_time) AS began,
  percentile(n.mem_used_percent, 0.95) AS memory,
  avg(n.cpu_user_percent + n.cpu_system_percent) AS cpu,
  min(array_min(map_values(n.disk_free_bytes_per_mount_point))) AS disk_free
FROM system.lakeflow.job_task_run_timeline t
LATERAL VIEW explode(t.compute_ids) c AS cluster_id
JOIN system.compute.node_timeline n
  ON n.cluster_id = c.cluster_id
  AND n.start_time >= t.period_start_time AND n.start_time < t.period_end_time
WHERE t.period_start_time >= current_timestamp() - INTERVAL 7 DAYS
GROUP BY t.workspace_id, t.job_id, t.run_id
"""
CLUSTERS_SQL = """
SELECT n.workspace_id, 'cluster' AS what, n.cluster_id AS resource, date(n.start_time) AS period,
  min(n.start_time) AS began,
  percentile(n.mem_used_percent, 0.95) AS memory,
  avg(n.cpu_user_percent + n.cpu_system_percent) AS cpu,
  min(array_min(map_values(n.disk_free_bytes_per_mount_point))) AS disk_free
FROM system.compute.node_timeline n
WHERE n.start_time >= current_timestamp() - INTERVAL 7 DAYS
GROUP BY n.workspace_id, n.cluster_id, date(n.start_time)
"""
# Each update of a pipeline has a cluster of its own, which only its bill names beside the update.
PIPELINES_SQL = """
WITH updates AS (
  SELECT DISTINCT workspace_id, usage_metadata.cluster_id AS cluster_id,
    usage_metadata.dlt_pipeline_id AS pipeline_id,
    coalesce(usage_metadata.dlt_update_id, string(usage_date)) AS period
  FROM system.billing.usage
  WHERE usage_date >= current_date() - INTERVAL 7 DAYS
    AND usage_metadata.dlt_pipeline_id IS NOT NULL
    AND usage_metadata.cluster_id IS NOT NULL
    AND usage_metadata.dlt_maintenance_id IS NULL
)
SELECT n.workspace_id, 'pipeline' AS what, u.pipeline_id AS resource, u.period,
  min(n.start_time) AS began,
  percentile(n.mem_used_percent, 0.95) AS memory,
  avg(n.cpu_user_percent + n.cpu_system_percent) AS cpu,
  min(array_min(map_values(n.disk_free_bytes_per_mount_point))) AS disk_free
FROM updates u
JOIN system.compute.node_timeline n
  ON n.workspace_id = u.workspace_id AND n.cluster_id = u.cluster_id
WHERE n.start_time >= current_timestamp() - INTERVAL 7 DAYS
GROUP BY n.workspace_id, u.pipeline_id, u.period
"""
# Runs of jobs; updates of pipelines, serverless ones too, which are billed to no job.
COST_SQL = """
WITH spent AS (
  SELECT u.workspace_id, u.usage_metadata AS used, u.usage_date, u.usage_start_time AS began,
    u.usage_quantity * p.pricing.effective_list.default AS usd
  FROM system.billing.usage u
  JOIN system.billing.list_prices p
    ON p.sku_name = u.sku_name AND p.cloud = u.cloud
    AND u.usage_start_time >= p.price_start_time
    AND (p.price_end_time IS NULL OR u.usage_start_time < p.price_end_time)
  WHERE u.usage_date >= current_date() - INTERVAL 21 DAYS
)
SELECT workspace_id, 'job' AS what, used.job_id AS resource, used.job_run_id AS period,
  min(began) AS began, sum(usd) AS usd
FROM spent
WHERE used.job_run_id IS NOT NULL
GROUP BY workspace_id, used.job_id, used.job_run_id
UNION ALL
SELECT workspace_id, 'pipeline' AS what, used.dlt_pipeline_id AS resource,
  coalesce(used.dlt_update_id, string(usage_date)) AS period,
  min(began) AS began, sum(usd) AS usd
FROM spent
WHERE used.dlt_pipeline_id IS NOT NULL AND used.job_run_id IS NULL
  AND used.dlt_maintenance_id IS NULL
GROUP BY workspace_id, used.dlt_pipeline_id, coalesce(used.dlt_update_id, string(usage_date))
"""


class Period(msgspec.Struct, frozen=True):
    """One run, or one day of a shared cluster; None for what its row does not tell."""

    began: str
    period: str
    memory: float | None = None
    cpu: float | None = None
    disk_free: float | None = None
    usd: float | None = None


Series = dict[tuple[str, str], list[Period]]  # by workspace id and resource


def usage(api: WorkspaceApi, warehouse_id: str, targets: Targets) -> list[Look]:
    """What the system tables tell of the listed workspaces.

    Raises:
        PlatformUnavailable: the warehouse has not answered yet.
        NothingChanged: it refused.
    """
    rows = [api.query(warehouse_id, sql) for sql in (JOBS_SQL, CLUSTERS_SQL, PIPELINES_SQL)]
    used = series(chain.from_iterable(rows))
    spent = series(api.query(warehouse_id, COST_SQL))
    names = {w.known_id or _only(targets): w.name for w in targets.workspaces}
    found: dict[str, list[Seen]] = {name: [] for name in names.values()}
    for (workspace_id, resource), periods in [*used.items(), *spent.items()]:
        target = names.get(workspace_id) or names.get("")
        if target is not None:
            found[target] += judged(target, resource, periods)
    return [Look(target, KINDS, tuple(seen)) for target, seen in found.items()]


def _only(targets: Targets) -> str:
    """A workspace whose number is not known takes all rows, if it is the only one."""
    return "" if len(targets.workspaces) == 1 else "?"


def series(rows: Iterable[Row]) -> Series:
    """Rows of the system tables by resource, oldest period first."""
    found: Series = defaultdict(list)
    for row in rows:
        key = (str(row.get("workspace_id") or ""), f"{row.get('what')} {row.get('resource')}")
        found[key].append(_period(row))
    return {key: sorted(periods, key=lambda p: p.began) for key, periods in found.items()}


def _period(row: Row) -> Period:
    numbers = {name: _number(row.get(name)) for name in ("memory", "cpu", "disk_free", "usd")}
    return Period(str(row.get("began") or ""), str(row.get("period") or ""), **numbers)


def _number(value: Any) -> float | None:  # noqa: ANN401 - a cell of a result
    """The number in a cell: results are texts. None for one that is not finite: it tells nothing.

    Raises:
        PlatformUnavailable: it is none.
    """
    if value is None:
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise PlatformUnavailable("a cell of the system tables is not a number") from None
    return number if isfinite(number) else None


def judged(target: str, resource: str, periods: list[Period]) -> list[Seen]:
    """What the last periods of a job, a cluster or a pipeline show."""
    found = [
        _high(target, resource, periods, "memory", _MEMORY),
        _high(target, resource, periods, "cpu", _CPU),
        _disk(target, resource, periods),
        _dearer(target, resource, periods),
    ]
    return [seen for seen in found if seen is not None]


_HIGH = {
    "memory": (FindingKind.MEMORY_HIGH, "a node type with more memory", "change_node_type"),
    "cpu": (FindingKind.CPU_HIGH, "more workers", "scale_up"),
}


def _high(
    target: str, resource: str, periods: list[Period], what: str, limit: float
) -> Seen | None:
    values = [(p.period, getattr(p, what)) for p in periods if getattr(p, what) is not None]
    last = values[-_PERIODS:]
    if len(last) < _PERIODS or any(value < limit for _, value in last):
        return None
    kind, help_, remedy = _HIGH[what]
    evidence = tuple(f"{period}: {value:.0f} %" for period, value in last)
    summary = f"{resource} used {limit:.0f} % {what} or more in its last {_PERIODS} runs"
    severity = Severity.WARNING
    return Seen(kind, target, resource, resource, severity, summary, evidence, help_, remedy)


def _disk(target: str, resource: str, periods: list[Period]) -> Seen | None:
    values = [(p.period, p.disk_free) for p in periods if p.disk_free is not None]
    if not values or values[-1][1] >= _DISK:
        return None
    gib = values[-1][1] / 1024**3
    summary = f"{resource} had {gib:.1f} GiB of disk left in its last run"
    evidence = tuple(f"{period}: {free / 1024**3:.1f} GiB" for period, free in values[-_PERIODS:])
    help_, remedy = "a node type with more local disk, or more workers", "change_node_type"
    kind, severity = FindingKind.DISK_FILLING, Severity.WARNING
    return Seen(kind, target, resource, resource, severity, summary, evidence, help_, remedy)


def _dearer(target: str, resource: str, periods: list[Period]) -> Seen | None:
    costs = [(p.period, p.usd) for p in periods if p.usd is not None]
    before, last = costs[:-_PERIODS], costs[-_PERIODS:]
    if len(before) < _BEFORE:
        return None
    usual = median(usd for _, usd in before)
    lowest = min(usd for _, usd in last)
    if lowest <= _DEARER * usual or lowest - usual < _FLOOR_USD:
        return None
    now = median(usd for _, usd in last)
    summary = f"a run of {resource} costs about {now:.2f} USD now, it was {usual:.2f} USD"
    evidence = tuple(f"{period}: {usd:.2f} USD" for period, usd in last)
    help_ = "look what has grown: its data, its workers, or its time"
    kind, severity = FindingKind.COST_RISING, Severity.WARNING
    return Seen(kind, target, resource, resource, severity, summary, evidence, help_)


def warehouse_of(setting: str, targets: Targets) -> tuple[Workspace, str] | None:
    """The workspace and the id of the configured warehouse, `<workspace>/<id>` or an id alone."""
    name, found, warehouse_id = setting.rpartition("/")
    listed = [w for w in targets.workspaces if not found or w.name.lower() == name.lower()]
    return (listed[0], warehouse_id) if warehouse_id and listed else None
