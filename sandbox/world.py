"""Everything the sandbox knows, in one place that can be emptied."""

from sandbox.adf.api import FactoriesApi
from sandbox.adf.factories import Factories
from sandbox.clock import Clock, Timeline
from sandbox.databricks.access import Access
from sandbox.databricks.workspace import Workspace
from sandbox.faults import Faults
from sandbox.ids import Ids
from sandbox.index.packages import Packages, PackagesApi
from sandbox.logic.api import LogicApi
from sandbox.logic.playbooks import Playbooks
from sandbox.request_log import RequestLog
from sandbox.sink import Sinks
from sandbox.vault.api import Vault, VaultApi
from sandbox.wire import Route

DEFAULT_TOKEN = "sandbox-token"  # noqa: S105 - a made-up token for a made-up workspace


class World:
    """The state of the sandbox."""

    def __init__(self, clock: Clock, speed: float = 1.0) -> None:
        self._clock = clock
        self._speed = speed
        self.reset()

    def reset(self) -> None:
        """Forget everything, the request log included."""
        ids = Ids()
        self.timeline = Timeline(self._clock, self._speed)
        self.access = Access()
        self.workspace = Workspace(self.timeline, ids, self.access)
        self.factories = Factories(self.timeline, ids, self.access)
        self.playbooks = Playbooks(self.factories, self.workspace.runs, self.timeline, ids)
        self.packages = Packages()
        self.vault = Vault()
        self.sinks = Sinks()
        self.faults = Faults()
        self.log = RequestLog()
        self.valid_tokens = {DEFAULT_TOKEN}
        self.expired_tokens: set[str] = set()
        self.routes: list[Route] = [
            *self.workspace.routes(),
            *FactoriesApi(self.factories).routes(),
            *LogicApi(self.playbooks).routes(),
            *PackagesApi(self.packages).routes(),
            *VaultApi(self.vault).routes(),
            *self.sinks.routes(),
        ]
