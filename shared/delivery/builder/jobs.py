"""The bundle's jobs, as values."""

from __future__ import annotations

from typing import Any

from shared.delivery.builder import resources
from shared.delivery.builder.plan import Plan
from shared.delivery.builder.spec import Compute, Schedule, Specification

_ENVIRONMENT = "default"
_CLUSTER = "tasks"
# The client of serverless tasks; 2 is Python 3.11.
_ENVIRONMENT_VERSION = "2"


def job(plan: Plan) -> dict[str, Any]:
    """resources/<name>.job.yml: collection, pipeline, checks; or the checks of a continuous one."""
    spec = plan.spec
    triggered = spec.mode == "triggered"
    tasks = _chain(plan) if triggered else [_checks(spec, after=None)]
    limits = spec.timeouts
    minutes = limits.checks + (limits.pipeline + 2 * limits.collect if triggered else 0)
    body: dict[str, Any] = {
        "name": spec.name if triggered else f"{spec.name} checks",
        "max_concurrent_runs": 1,
        "queue": {"enabled": True},
        "timeout_seconds": minutes * 60,
        "tags": resources.tags(plan),
    }
    schedule = spec.schedule if triggered else spec.checks_schedule
    if schedule:
        body["schedule"] = _schedule(schedule)
    body |= _notifications(spec)
    body["parameters"] = [
        {"name": "catalog", "default": "${var.catalog}"},
        {"name": "schema", "default": "${var.schema}"},
    ]
    body["tasks"] = tasks
    if spec.serverless:
        body["environments"] = [
            {"environment_key": _ENVIRONMENT, "spec": {"environment_version": _ENVIRONMENT_VERSION}}
        ]
    else:
        body["job_clusters"] = [_job_cluster(spec)]
    key = plan.resource if triggered else f"{plan.resource}_checks"
    return {"resources": {"jobs": {key: body}}}


def _chain(plan: Plan) -> list[dict[str, Any]]:
    spec = plan.spec
    collect = _script(spec, "collect", "collect.py", spec.timeouts.collect)
    tasks = []
    if spec.collection:
        tasks.append(_collection(spec))
        collect["depends_on"] = [{"task_key": "fetch"}]
    tasks.append(collect)
    tasks.append(
        {
            "task_key": "pipeline",
            "depends_on": [{"task_key": "collect"}],
            "timeout_seconds": spec.timeouts.pipeline * 60,
            "pipeline_task": {
                "pipeline_id": f"${{resources.pipelines.{plan.resource}.id}}",
                "full_refresh": False,
            },
        }
    )
    tasks.append(_checks(spec, after="pipeline"))
    return tasks


def _collection(spec: Specification) -> dict[str, Any]:
    found: dict[str, Any] = {
        "task_key": "fetch",
        "timeout_seconds": spec.timeouts.collect * 60,
    }
    given = spec.collection
    if given and given.job_id is not None:
        found["run_job_task"] = {"job_id": given.job_id}
    elif given and given.notebook:
        found["notebook_task"] = {"notebook_path": given.notebook, "source": "WORKSPACE"}
        if not spec.serverless:
            found["job_cluster_key"] = _CLUSTER
    return found


def _checks(spec: Specification, after: str | None) -> dict[str, Any]:
    task = _script(spec, "checks", "check_quality.py", spec.timeouts.checks)
    if after:
        task["depends_on"] = [{"task_key": after}]
    task["spark_python_task"]["parameters"] = [
        "--catalog",
        "{{job.parameters.catalog}}",
        "--schema",
        "{{job.parameters.schema}}",
    ]
    return task


def _script(spec: Specification, key: str, name: str, minutes: int) -> dict[str, Any]:
    where = {"environment_key": _ENVIRONMENT} if spec.serverless else {"job_cluster_key": _CLUSTER}
    return {
        "task_key": key,
        "timeout_seconds": minutes * 60,
        "spark_python_task": {"python_file": f"../src/jobs/{name}"},
        **where,
    }


def _schedule(schedule: Schedule) -> dict[str, str]:
    cron = schedule.cron
    if schedule.daily_at:
        hour, minute = schedule.daily_at.split(":")
        cron = f"0 {int(minute)} {int(hour)} * * ?"
    return {
        "quartz_cron_expression": cron or "",
        "timezone_id": schedule.timezone,
        "pause_status": "UNPAUSED",
    }


def _notifications(spec: Specification) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if spec.notify:
        found["email_notifications"] = {"on_failure": list(spec.notify)}
    if spec.webhooks:
        found["webhook_notifications"] = {"on_failure": [{"id": item} for item in spec.webhooks]}
    return found


def _job_cluster(spec: Specification) -> dict[str, Any]:
    compute = spec.compute or Compute()
    new = {
        "spark_version": compute.spark_version,
        "node_type_id": compute.node_type,
        "num_workers": compute.min_workers,
        "data_security_mode": "SINGLE_USER",
    }
    return {"job_cluster_key": _CLUSTER, "new_cluster": new}


def permissions_job(plan: Plan) -> dict[str, Any] | None:
    """The grants, run by hand on the warehouse; nothing where there is none."""
    if not resources.has_warehouses(plan.spec):
        return None
    body = {
        "name": f"{plan.spec.name} permissions",
        "timeout_seconds": 600,
        "tags": resources.tags(plan),
        "tasks": [
            {
                "task_key": "permissions",
                "sql_task": {
                    "warehouse_id": "${var.warehouse_id}",
                    "file": {"path": "../sql/permissions_${bundle.target}.sql"},
                },
            }
        ],
    }
    return {"resources": {"jobs": {f"{plan.resource}_permissions": body}}}
