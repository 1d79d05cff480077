"""Things that fail and can be healed, and what the sandbox knows about each: the truth."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from tests.e2e.test_databricks import NOTEBOOK, OUT_OF_MEMORY, job_failed, terminated
from tests.e2e.world import Json, World


class Broken(msgspec.Struct, frozen=True):
    """One failure: its alert, how often it was acted on, and whether it is good now."""

    kind: str
    path: str
    alert: Json
    acted: Callable[[], int]
    good: Callable[[], bool]


def pipeline(world: World) -> Broken:
    """A pipeline run that a rerun heals."""
    name = world.pipeline()
    alert = world.alert_on((name, world.failed_run(name)))

    def good() -> bool:
        return bool(world.runs_of(name, "Succeeded"))

    return Broken("pipeline", "/azure-monitor", alert, lambda: len(world.reruns(name)), good)


def job(world: World) -> Broken:
    """A serverless job run that a repair heals."""
    job_id = world.job({"task_key": "load", "environment_key": "default"} | NOTEBOOK)
    slow = OUT_OF_MEMORY | {"error": "operation timed out", "message": "timeout"}
    world.script("databricks/outcomes", job_id=job_id, outcomes=[slow])
    run = world.job_run(job_id)
    world.until(lambda: world.run_ended(run))

    def acted() -> int:
        return sum(str(r["body"]["run_id"]) == run for r in world.seen("runs/repair", effect=True))

    def good() -> bool:
        state = world.databricks("/api/2.2/jobs/runs/get", run_id=run)["state"]
        return bool(state.get("result_state") == "SUCCESS")

    return Broken("job", "/databricks-monitor", job_failed(run, job_id), acted, good)


def cluster(world: World) -> Broken:
    """A cluster that is started again."""
    cluster_id = world.cluster()
    world.terminate(cluster_id, "DRIVER_NOT_RESPONDING")

    def acted() -> int:
        starts = world.seen("clusters/start", effect=True)
        return sum(r["body"]["cluster_id"] == cluster_id for r in starts)

    def good() -> bool:
        found = world.databricks("/api/2.1/clusters/get", cluster_id=cluster_id)
        return bool(found["state"] == "RUNNING")

    alert = terminated(cluster_id, "DRIVER_NOT_RESPONDING")
    return Broken("cluster", "/databricks-monitor", alert, acted, good)


KINDS = (pipeline, job, cluster)


def some(world: World, count: int) -> list[Broken]:
    """`count` failures, of each kind in turn."""
    return [KINDS[number % len(KINDS)](world) for number in range(count)]


def accepted(world: World, broken: Broken) -> str:
    """The id of its alert, sent again as long as storage does not answer."""

    def taken() -> str:
        answer = world.post(broken.path, broken.alert)
        assert answer.status_code in {202, 503}, answer.text
        return str(answer.json()["alert_id"]) if answer.status_code == 202 else ""

    return str(world.until(taken))
