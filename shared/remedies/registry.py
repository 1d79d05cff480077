"""All remedies and all phases, by name. The names are what the catalog and the ledger hold."""

from __future__ import annotations

from shared.clock import Clock
from shared.remedies.base import Phase, Remedy
from shared.remedies.change_node_type import ChangeNodeType, NodeTypeBack, SetNodeType
from shared.remedies.create_table import CreateTable, CreateTablePhase
from shared.remedies.full_refresh import FullRefresh, RefreshTables
from shared.remedies.increase_timeout import IncreaseTimeout
from shared.remedies.job_settings import JobSettings, JobSettingsBack
from shared.remedies.library_fallback import InstallLibrary, LibraryFallback, UninstallLibrary
from shared.remedies.playbook import Playbook, PlaybookPhase
from shared.remedies.reduce_batch import ReduceBatch, RunPipelineAnew
from shared.remedies.refresh_credential import RefreshCredential
from shared.remedies.rerun import RepairRun, Rerun, RerunPipeline, RerunTrigger, StartUpdate
from shared.remedies.restart_cluster import RestartCluster, RestartPhase, StartCluster
from shared.remedies.scale_up import ResizeCluster, ScaleUp, SizeBack, UpdateSize
from shared.remedies.wait_for_upstream import AwaitUpstream, WaitForUpstream

REMEDIES: dict[str, Remedy] = {
    "rerun": Rerun(),
    "restart_cluster": RestartCluster(),
    "scale_up": ScaleUp(),
    "library_fallback": LibraryFallback(),
    "change_node_type": ChangeNodeType(),
    "wait_for_upstream": WaitForUpstream(),
    "increase_timeout": IncreaseTimeout(),
    "reduce_batch": ReduceBatch(),
    "refresh_credential": RefreshCredential(),
    "create_table": CreateTable(),
    "full_refresh": FullRefresh(),
    "playbook": Playbook(),
}
NAMES = frozenset(REMEDIES)


class Phases:
    """Phases by name; a name may carry `#n`, the n-th time of the same phase in one attempt."""

    def __init__(self, clock: Clock) -> None:
        self._phases: dict[str, Phase] = {
            "rerun_pipeline": RerunPipeline(clock),
            "rerun_trigger": RerunTrigger(clock),
            "repair_run": RepairRun(),
            "start_update": StartUpdate(),
            "start_cluster": StartCluster(),
            "restart_cluster": RestartPhase(),
            "resize_cluster": ResizeCluster(),
            "update_size": UpdateSize(),
            "size_back": SizeBack(),
            "job_settings": JobSettings(),
            "job_settings_back": JobSettingsBack(),
            "uninstall_library": UninstallLibrary(),
            "install_library": InstallLibrary(),
            "set_node_type": SetNodeType(),
            "node_type_back": NodeTypeBack(),
            "await_upstream": AwaitUpstream(clock),
            "run_pipeline_anew": RunPipelineAnew(clock),
            "create_table": CreateTablePhase(),
            "refresh_tables": RefreshTables(),
            "playbook": PlaybookPhase(clock),
        }

    def __getitem__(self, name: str) -> Phase:
        return self._phases[name.partition("#")[0]]
