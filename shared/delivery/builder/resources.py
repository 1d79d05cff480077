"""The YAML files of the bundle, as values: the dumper quotes, nothing is pasted together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shared.delivery.builder.names import tag
from shared.delivery.builder.plan import Plan
from shared.delivery.builder.spec import TARGETS, Specification, Target, TargetSettings

_SUFFIX: dict[Target, str] = {"dev": "_dev", "staging": "_staging", "prod": ""}
_ROOT = (
    "/Workspace/Users/${workspace.current_user.userName}/.bundle/${bundle.name}/${bundle.target}"
)


def settings(spec: Specification, target: Target) -> TargetSettings:
    """What the specification says of one target."""
    return spec.targets.get(target, TargetSettings())


def home(spec: Specification, target: Target) -> tuple[str, str]:
    """Catalog and schema of one target. Each has a schema of its own unless it is told one."""
    given = settings(spec, target)
    return given.catalog or spec.catalog, given.schema or spec.home + _SUFFIX[target]


def bundle(plan: Plan, hosts: Mapping[str, str]) -> dict[str, Any]:
    """databricks.yml."""
    spec = plan.spec
    variables = {
        "catalog": {"description": "Unity Catalog catalog of all tables."},
        "schema": {"description": "Schema of all tables."},
    }
    if has_warehouses(spec):
        variables["warehouse_id"] = {"description": "SQL warehouse that applies the permissions."}
    return {
        "bundle": {"name": plan.resource},
        "include": ["resources/*.yml"],
        "variables": variables,
        "targets": {name: _target(plan, name, hosts.get(name)) for name in TARGETS},
    }


def has_warehouses(spec: Specification) -> bool:
    """Whether every target has a warehouse."""
    return all(spec.warehouse or settings(spec, name).warehouse for name in TARGETS)


def _target(plan: Plan, name: Target, host: str | None) -> dict[str, Any]:
    spec, given = plan.spec, settings(plan.spec, name)
    catalog, schema = home(spec, name)
    variables = {"catalog": catalog, "schema": schema}
    if has_warehouses(spec):
        variables["warehouse_id"] = given.warehouse or spec.warehouse or ""
    development = given.development if given.development is not None else name == "dev"
    found: dict[str, Any] = {"mode": "development" if development else "production"}
    if name == "dev":
        found["default"] = True
    found["workspace"] = _workspace(given, spec, host)
    found["variables"] = variables
    if given.run_as:
        found["run_as"] = {"service_principal_name": given.run_as}
    found["resources"] = {"pipelines": {plan.resource: _of_the_pipeline(spec, given, development)}}
    return found


def _workspace(given: TargetSettings, spec: Specification, host: str | None) -> dict[str, str]:
    found = {"root_path": _ROOT}
    address = given.host or host
    if address:
        found["host"] = address
    if given.profile or spec.profile:
        found["profile"] = given.profile or spec.profile or ""
    return found


def _of_the_pipeline(
    spec: Specification,
    given: TargetSettings,
    development: bool,  # noqa: FBT001 - a setting's value
) -> dict[str, Any]:
    found: dict[str, Any] = {"development": development}
    if not spec.serverless:
        found["photon"] = spec.photon if given.photon is None else given.photon
    return found


def pipeline(plan: Plan) -> dict[str, Any]:
    """resources/<name>.pipeline.yml."""
    spec = plan.spec
    body: dict[str, Any] = {
        "name": spec.name,
        "catalog": "${var.catalog}",
        "schema": "${var.schema}",
        "serverless": spec.serverless,
        "continuous": spec.mode == "continuous",
        "channel": "CURRENT",
        "edition": "ADVANCED",
        "configuration": {"spark.sql.session.timeZone": "UTC"},
        "libraries": [{"glob": {"include": "../src/pipeline/**"}}],
        "root_path": "../src/pipeline",
        "tags": tags(plan),
    }
    if not spec.serverless:
        body["clusters"] = [_pipeline_cluster(spec)]
    if spec.notify:
        body["notifications"] = [
            {
                "email_recipients": list(spec.notify),
                "alerts": ["on-update-failure", "on-update-fatal-failure", "on-flow-failure"],
            }
        ]
    return {"resources": {"pipelines": {plan.resource: body}}}


def tags(plan: Plan) -> dict[str, str]:
    """Of the pipeline and all jobs."""
    return {"pipeline": tag(plan.spec.name), "layer": "medallion"} | dict(
        sorted(plan.spec.tags.items())
    )


def _pipeline_cluster(spec: Specification) -> dict[str, Any]:
    found: dict[str, Any] = {"label": "default"}
    if spec.compute:
        found["node_type_id"] = spec.compute.node_type
        found["autoscale"] = {
            "min_workers": spec.compute.min_workers,
            "max_workers": spec.compute.max_workers,
            "mode": "ENHANCED",
        }
    return found
