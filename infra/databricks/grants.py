"""Grants Lakemend's identity in a Databricks workspace what its remedies need, and no more.

    grants.py --principal <client id> --job 123 --remedy rerun
    grants.py --principal <client id> --cluster 0821-… --remedy restart_cluster
    grants.py --principal <client id> --warehouse 8a… --schema main.sales --remedy create_table
    grants.py --principal <client id> --schema main.sales --delivery
    grants.py --principal <client id> --job 123          # observe only

Run by a workspace administrator. The identity must be a service principal of the workspace first:
Settings > Identity and access > Service principals > Add, Microsoft Entra ID managed, with the
client id that `azd env get-value LAKEMEND_IDENTITY_CLIENT_ID` prints, entitlement Workspace access.

What each level allows: https://learn.microsoft.com/azure/databricks/security/auth/access-control/
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from databricks.sdk import WorkspaceClient
from databricks.sdk.service.catalog import PermissionsChange, Privilege
from databricks.sdk.service.iam import AccessControlRequest, PermissionLevel

# The least level that each remedy needs, by kind of object. "" is observing: reading runs, cluster
# events, library statuses and event logs. docs/deploy.md shows the same table.
LEAST: dict[str, dict[str, PermissionLevel]] = {
    "": {
        "jobs": PermissionLevel.CAN_VIEW,
        "clusters": PermissionLevel.CAN_ATTACH_TO,
        "pipelines": PermissionLevel.CAN_VIEW,
    },
    "rerun": {"jobs": PermissionLevel.CAN_MANAGE_RUN, "pipelines": PermissionLevel.CAN_RUN},
    "full_refresh": {"pipelines": PermissionLevel.CAN_RUN},
    "restart_cluster": {
        "clusters": PermissionLevel.CAN_RESTART,
        "jobs": PermissionLevel.CAN_MANAGE_RUN,
    },
    # A job cluster is changed through its job's settings, an all-purpose cluster directly.
    "change_node_type": {
        "jobs": PermissionLevel.CAN_MANAGE,
        "clusters": PermissionLevel.CAN_MANAGE,
    },
    "scale_up": {"jobs": PermissionLevel.CAN_MANAGE, "clusters": PermissionLevel.CAN_MANAGE},
    "library_fallback": {
        "jobs": PermissionLevel.CAN_MANAGE,
        "clusters": PermissionLevel.CAN_MANAGE,
    },
    "increase_timeout": {"jobs": PermissionLevel.CAN_MANAGE},
    "create_table": {"warehouses": PermissionLevel.CAN_USE},
    # These work in Data Factory, with a token or elsewhere: nothing is granted in Databricks.
    "reduce_batch": {},
    "wait_for_upstream": {},
    "refresh_credential": {},
    "playbook": {},
}
# What a schema and its catalog must allow on top. A delivery makes the tables of its pipeline.
# https://learn.microsoft.com/azure/databricks/data-governance/unity-catalog/manage-privileges/privileges
PRIVILEGES: dict[str, dict[str, list[Privilege]]] = {
    "create_table": {
        "catalog": [Privilege.USE_CATALOG],
        "schema": [Privilege.USE_SCHEMA, Privilege.CREATE_TABLE],
    },
    "delivery": {
        "catalog": [Privilege.USE_CATALOG],
        "schema": [
            Privilege.USE_SCHEMA,
            Privilege.CREATE_TABLE,
            Privilege.CREATE_MATERIALIZED_VIEW,
        ],
    },
}
KINDS = ("jobs", "clusters", "pipelines", "warehouses")
# From least to most, to find what several remedies need together.
ORDER = (
    PermissionLevel.CAN_VIEW,
    PermissionLevel.CAN_USE,
    PermissionLevel.CAN_ATTACH_TO,
    PermissionLevel.CAN_RUN,
    PermissionLevel.CAN_MANAGE_RUN,
    PermissionLevel.CAN_RESTART,
    PermissionLevel.CAN_MANAGE,
)


def least(kind: str, remedies: Sequence[str]) -> PermissionLevel | None:
    """The least level on an object of `kind` that lets all the remedies work; None: no need."""
    wanted = [LEAST[name][kind] for name in ("", *remedies) if kind in LEAST[name]]
    return max(wanted, key=ORDER.index, default=None)


def privileges(securable: str, works: Sequence[str]) -> list[Privilege]:
    """What remedies and deliveries need on a `catalog` or a `schema`."""
    wanted = [each for work in works for each in PRIVILEGES.get(work, {}).get(securable, [])]
    return list(dict.fromkeys(wanted))


def allow(client: WorkspaceClient, principal: str, schema: str, works: Sequence[str]) -> list[str]:
    """Give the principal what the works need on a schema and its catalog; tells what it gave."""
    done = []
    catalog = schema.partition(".")[0]
    for securable, name in (("catalog", catalog), ("schema", schema)):
        wanted = privileges(securable, works)
        if wanted:
            change = PermissionsChange(add=wanted, principal=principal)
            client.grants.update(securable, name, changes=[change])
            done.append(f"{securable} {name}: {', '.join(each.value for each in wanted)}")
    return done


def grant(
    client: WorkspaceClient, principal: str, kind: str, name: str, level: PermissionLevel
) -> None:
    """Give the principal a level on one object; what others have there stays."""
    entry = AccessControlRequest(service_principal_name=principal, permission_level=level)
    client.permissions.update(kind, name, access_control_list=[entry])


def main(arguments: Sequence[str], client: WorkspaceClient | None = None) -> None:
    """Grant what the command line names."""
    options = _options(arguments)
    client = client or WorkspaceClient()
    for kind in KINDS:
        level = least(kind, options.remedy)
        for name in getattr(options, kind.removesuffix("s")):
            if level is None:
                sys.stdout.write(f"{kind}/{name}: nothing is needed\n")
                continue
            grant(client, options.principal, kind, name, level)
            sys.stdout.write(f"{kind}/{name}: {level.value}\n")
    works = [*options.remedy, *(["delivery"] if options.delivery else [])]
    for schema in options.schema:
        for line in allow(client, options.principal, schema, works):
            sys.stdout.write(f"{line}\n")


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Grants Lakemend what its remedies need.")
    parser.add_argument("--principal", required=True, help="client id of Lakemend's identity")
    for kind in KINDS:
        parser.add_argument(f"--{kind.removesuffix('s')}", action="append", default=[])
    parser.add_argument("--schema", action="append", default=[], help="<catalog>.<schema>")
    remedies = [name for name in LEAST if name]
    parser.add_argument("--remedy", action="append", default=[], choices=remedies)
    parser.add_argument("--delivery", action="store_true", help="deliveries into the schemas")
    options = parser.parse_args(arguments)
    if any(schema.count(".") != 1 for schema in options.schema):
        parser.error("--schema: expected <catalog>.<schema>")
    return options


if __name__ == "__main__":
    main(sys.argv[1:])
