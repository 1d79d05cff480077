"""All control routes."""

from sandbox.control.adf import AdfControl
from sandbox.control.databricks import DatabricksControl
from sandbox.control.general import GeneralControl
from sandbox.control.services import ServicesControl
from sandbox.control.sql import SqlControl
from sandbox.wire import Route
from sandbox.world import World


def control_routes(world: World) -> list[Route]:
    """Return the control routes of a world; they are built anew because a reset replaces it."""
    return [
        *GeneralControl(world).routes(),
        *AdfControl(world.factories, world.timeline).routes(),
        *DatabricksControl(world.workspace, world.timeline).routes(),
        *SqlControl(world.workspace.statements, world.workspace.tables).routes(),
        *ServicesControl(world.playbooks, world.packages, world.vault).routes(),
    ]
