"""Grants Lakemend's identity in a Databricks workspace what its remedies need, and no more.

    grants.py --principal <client id> --job 123 --remedy rerun
    grants.py --principal <client id> --cluster 0821-… --remedy restart_cluster
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
}
# From least to most, to find what several remedies need together.
ORDER = (
    PermissionLevel.CAN_VIEW,
    PermissionLevel.CAN_ATTACH_TO,
    PermissionLevel.CAN_RUN,
    PermissionLevel.CAN_MANAGE_RUN,
    PermissionLevel.CAN_RESTART,
    PermissionLevel.CAN_MANAGE,
)


def least(kind: str, remedies: Sequence[str]) -> PermissionLevel:
    """The least level on an object of `kind` that lets all the remedies work."""
    wanted = [LEAST[""][kind], *(LEAST[r][kind] for r in remedies if kind in LEAST[r])]
    return max(wanted, key=ORDER.index)


def grant(
    client: WorkspaceClient, principal: str, kind: str, name: str, level: PermissionLevel
) -> None:
    """Give the principal a level on one object; what others have there stays."""
    entry = AccessControlRequest(service_principal_name=principal, permission_level=level)
    client.permissions.update(kind, name, access_control_list=[entry])


def main(arguments: Sequence[str], client: WorkspaceClient | None = None) -> None:
    """Grant what the command line names."""
    parser = argparse.ArgumentParser(description="Grants Lakemend what its remedies need.")
    parser.add_argument("--principal", required=True, help="client id of Lakemend's identity")
    parser.add_argument("--job", action="append", default=[])
    parser.add_argument("--cluster", action="append", default=[])
    parser.add_argument("--pipeline", action="append", default=[])
    remedies = [name for name in LEAST if name]
    parser.add_argument("--remedy", action="append", default=[], choices=remedies)
    options = parser.parse_args(arguments)
    client = client or WorkspaceClient()
    for kind in ("jobs", "clusters", "pipelines"):
        for name in getattr(options, kind.removesuffix("s")):
            level = least(kind, options.remedy)
            grant(client, options.principal, kind, name, level)
            sys.stdout.write(f"{kind}/{name}: {level.value}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
