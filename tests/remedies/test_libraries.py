"""Falling back to an older version on a shared cluster, step by step, and after a crash."""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from shared.models import Failure, Json
from shared.remedies.base import ABSENT, DONE, FAILED, Case, Plan
from shared.remedies.library_fallback import InstallLibrary, LibraryFallback, UninstallLibrary
from shared.remedies.restart_cluster import RestartPhase
from shared.vocabulary import FailureKind
from tests.remedies.conftest import WORKSPACE, Bench

SPEC = {"spark_version": "15.4.x-scala2.12", "node_type_id": "Standard_DS3_v2", "num_workers": 1}
LIBRARY = {"pypi": {"package": "pandas==2.2.3"}}


def broken(bench: Bench, *packages: str) -> Case:
    """A running cluster whose library is FAILED; these packages cannot be installed."""
    rules = [{"library": p, "status": "FAILED", "message": f"no {p}"} for p in packages]
    bench.sandbox.script("databricks/libraries", rules=rules)
    body = SPEC | {"state": "RUNNING", "cluster_source": "UI"}
    name = bench.sandbox.script("databricks/clusters", **body)["cluster_id"]
    bench.platforms.workspace(WORKSPACE).install_library(name, LIBRARY)
    bench.sandbox.advance(120)
    text = msgspec.json.encode(LIBRARY, order="sorted").decode()
    failure = Failure(FailureKind.LIBRARY, WORKSPACE, name, "0", group="cluster", library=text)
    case = bench.cluster_case(name)
    return replace(case, failure=failure, evidence=bench.gatherer.gather(failure, ""))


def first_turn(bench: Bench, case: Case) -> Json:
    """Everything up to the first older version's end; the memo as the ledger would hold it."""
    plan = LibraryFallback().plan(case, [])
    assert isinstance(plan, Plan), plan
    assert plan.phases == ["uninstall_library", "restart_cluster", "install_library"]
    for phase in (UninstallLibrary(), RestartPhase(), InstallLibrary()):
        assert phase.look(case, plan.memo).status == ABSENT
        phase.act(case, plan.memo)
        bench.sandbox.advance(300)
    return plan.memo


def test_the_next_version_brings_its_own_phases(bench: Bench) -> None:
    case = broken(bench, "pandas==2.2.3", "pandas==2.2.0")
    memo = first_turn(bench, case)
    look = InstallLibrary().look(case, memo)
    assert (look.status, look.memo["version"]) == (DONE, "2.1.4")
    assert look.then == ["uninstall_library#2", "restart_cluster#2", "install_library#2"]


def test_after_a_crash_between_version_and_phases_the_phases_come_again(bench: Bench) -> None:
    case = broken(bench, "pandas==2.2.3", "pandas==2.2.0")
    memo = first_turn(bench, case)
    look = InstallLibrary().look(case, memo)
    written = memo | look.memo  # the next version is in the ledger, its phases are not
    again = InstallLibrary().look(case, written)
    assert (again.status, again.then) == (DONE, look.then)
    UninstallLibrary().act(case, written)
    RestartPhase().act(case, written)
    bench.sandbox.advance(300)
    assert InstallLibrary().look(case, written).status == ABSENT
    InstallLibrary().act(case, written)
    bench.sandbox.advance(300)
    assert InstallLibrary().look(case, written).status == DONE


def test_without_another_version_it_has_failed(bench: Bench) -> None:
    bench.catalog = replace(bench.catalog, libraries={"pandas": ("2.2.0",)})
    case = broken(bench, "pandas==2.2.3", "pandas==2.2.0")
    memo = first_turn(bench, case)
    look = InstallLibrary().look(case, memo)
    assert look.status == FAILED
    assert look.memo["failed_versions"] == ["2.2.0"]
