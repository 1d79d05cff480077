"""How one attempt at a task finds its compute, works and ends."""

from collections.abc import Callable

from sandbox.clock import Timeline
from sandbox.databricks.clusters import Clusters
from sandbox.databricks.conditions import Circumstances, TableTest, condition_met
from sandbox.databricks.libraries import Libraries, settled
from sandbox.databricks.models import Cluster, Durations
from sandbox.databricks.pipelines import Pipelines
from sandbox.databricks.run_models import (
    TIMED_OUT,
    WORKLOAD_FAILED,
    Ending,
    JobRun,
    TaskRun,
)
from sandbox.databricks.run_rules import (
    cluster_failure,
    ending_of,
    library_failure,
    library_names,
    scripted_failure,
)
from sandbox.wire import ApiError, Json

Finished = Callable[[JobRun, TaskRun, Ending], None]


class TaskEngine:
    """Drives tasks; the run they belong to is told when they end."""

    def __init__(
        self,
        clusters: Clusters,
        libraries: Libraries,
        pipelines: Pipelines,
        timeline: Timeline,
        durations: Durations,
    ) -> None:
        self.finished: Finished = _nobody
        self.table_exists: TableTest = _no_table
        self._clusters = clusters
        self._libraries = libraries
        self._pipelines = pipelines
        self._timeline = timeline
        self._durations = durations
        self._waiting: dict[int, tuple[JobRun, TaskRun]] = {}
        self._on_cluster: dict[int, tuple[JobRun, TaskRun]] = {}
        clusters.watchers.append(self._cluster_changed)
        pipelines.watchers.append(self._update_ended)

    def begin(self, run: JobRun, task: TaskRun) -> None:
        """Start an attempt: find its compute first."""
        task.state = "PENDING"
        task.start_time = task.start_time or self._timeline.now_ms()
        self._timeline.mark()
        if "pipeline_task" in task.spec:
            self._begin_update(run, task)
        elif not uses_cluster(task.spec):
            self._work(run, task)
        else:
            self._begin_on_cluster(run, task)

    def release(self, task: TaskRun) -> None:
        """Forget an attempt; its own cluster goes with it."""
        self._waiting.pop(task.run_id, None)
        self._on_cluster.pop(task.run_id, None)
        if task.cluster_id and "new_cluster" in task.spec:
            self.drop_cluster(task.cluster_id)

    def drop_cluster(self, cluster_id: str) -> None:
        """Terminate a job cluster that has done its work."""
        cluster = self._clusters.all.get(cluster_id)
        if cluster is not None:
            reason = {"code": "JOB_FINISHED", "type": "SUCCESS", "parameters": {}}
            self._clusters.terminate(cluster, reason)

    def stop_update(self, task: TaskRun) -> None:
        """Cancel the pipeline update that a cancelled task had started."""
        if task.update_id is not None:
            self._pipelines.cancel_update(task.update_id)

    def _begin_on_cluster(self, run: JobRun, task: TaskRun) -> None:
        try:
            cluster = self._find_cluster(run, task)
        except ApiError as error:
            self.finished(run, task, _invalid(str(error.body["message"])))
            return
        task.cluster_id = cluster.cluster_id
        self._waiting[task.run_id] = (run, task)
        self._libraries.attach(cluster, task.spec.get("libraries", []))
        if cluster.state == "TERMINATED" and cluster.source != "JOB":
            self._clusters.start(cluster)
        self._check(run, task, cluster)

    def _find_cluster(self, run: JobRun, task: TaskRun) -> Cluster:
        existing = task.spec.get("existing_cluster_id")
        if existing:
            return self._clusters.get(existing)
        key = task.spec.get("job_cluster_key")
        known = run.clusters.get(key) if key else None
        if known is not None and not self._clusters.get(known).dead():
            return self._clusters.get(known)
        cluster = self._create_cluster(run, task, key)
        if key:
            run.clusters[key] = cluster.cluster_id
        return cluster

    def _create_cluster(self, run: JobRun, task: TaskRun, key: str | None) -> Cluster:
        spec = task.spec.get("new_cluster") or job_cluster(run.settings, key)
        name = f"job-{run.job_id}-run-{run.run_id}-{key or task.task_key}"
        found = Circumstances(run, task, spec, library_names(task, None), self.table_exists)
        fate = launch_fate(task.outcome, found)
        cluster = self._clusters.create({**spec, "cluster_name": name}, "JOB", fate)
        cluster.run_name = run.name
        return cluster

    def _check(self, run: JobRun, task: TaskRun, cluster: Cluster) -> None:
        """See whether a waiting task may go on."""
        if cluster.dead():
            self.finished(run, task, cluster_failure(cluster, started=False))
        elif cluster.usable() and settled(cluster):
            self._check_libraries(run, task, cluster)

    def _check_libraries(self, run: JobRun, task: TaskRun, cluster: Cluster) -> None:
        broken = next((x for x in cluster.libraries if x.status == "FAILED"), None)
        if broken is not None:
            self.finished(run, task, library_failure(cluster, broken))
            return
        self._waiting.pop(task.run_id, None)
        self._on_cluster[task.run_id] = (run, task)
        self._work(run, task)

    def _cluster_changed(self, cluster: Cluster) -> None:
        for run, task in self._of(self._waiting, cluster):
            if not task.done():
                self._check(run, task, cluster)
        if cluster.usable():
            return
        for run, task in self._of(self._on_cluster, cluster):
            if not task.done():
                self.finished(run, task, cluster_failure(cluster, started=True))

    def _of(
        self, book: dict[int, tuple[JobRun, TaskRun]], cluster: Cluster
    ) -> list[tuple[JobRun, TaskRun]]:
        return [pair for pair in book.values() if pair[1].cluster_id == cluster.cluster_id]

    def _work(self, run: JobRun, task: TaskRun) -> None:
        task.state = "RUNNING"
        self._timeline.mark()
        seconds = task.outcome.get("duration_seconds", self._durations.task)
        limit = task.spec.get("timeout_seconds") or 0
        if limit and seconds > limit:
            self._later(run, task, limit, lambda: TIMED_OUT)
        elif task.outcome.get("result") != "HANG":
            self._later(run, task, seconds, lambda: self._judge(run, task))

    def _judge(self, run: JobRun, task: TaskRun) -> Ending:
        cluster = self._clusters.all.get(task.cluster_id) if task.cluster_id else None
        names, spec = library_names(task, cluster), cluster.spec if cluster else {}
        return ending_of(task.outcome, Circumstances(run, task, spec, names, self.table_exists))

    def _later(
        self, run: JobRun, task: TaskRun, seconds: float, judge: Callable[[], Ending]
    ) -> None:
        def carry_out() -> None:
            if not task.done() and task.state == "RUNNING":
                self.finished(run, task, judge())

        self._timeline.after(seconds, carry_out)

    def _begin_update(self, run: JobRun, task: TaskRun) -> None:
        asked = task.spec["pipeline_task"]
        body = {"full_refresh": asked.get("full_refresh", False)}
        try:
            update = self._pipelines.start(asked["pipeline_id"], body, cause="JOB_TASK")
        except ApiError as error:
            self.finished(run, task, _invalid(str(error.body["message"])))
            return
        task.update_id = update.update_id
        task.state = "RUNNING"
        self._waiting[task.run_id] = (run, task)

    def _update_ended(self, update_id: str, state: str) -> None:
        for run, task in list(self._waiting.values()):
            if task.update_id == update_id and not task.done():
                self.finished(run, task, update_ending(update_id, state))


def uses_cluster(spec: Json) -> bool:
    """Tell classic compute from serverless, which names no cluster at all."""
    return any(spec.get(k) for k in ("existing_cluster_id", "job_cluster_key", "new_cluster"))


def job_cluster(settings: Json, key: str | None) -> Json:
    """Return the specification of a job cluster."""
    entries = settings.get("job_clusters", [])
    found = next((x for x in entries if x["job_cluster_key"] == key), None)
    return dict(found["new_cluster"]) if found else {}


def launch_fate(outcome: Json, found: Circumstances) -> list[Json]:
    """Return how starting a job cluster goes, as the task's outcome scripts it."""
    failure, condition = outcome.get("cluster_failure"), outcome.get("condition")
    if failure is None or (condition and condition_met(condition, found)):
        return []
    return [{"state": "TERMINATED", **failure}]


def update_ending(update_id: str, state: str) -> Ending:
    """Say how a pipeline task ended."""
    if state == "COMPLETED":
        return Ending("SUCCESS", "SUCCESS", "SUCCESS")
    error = f"Update {update_id} is {state}."
    return scripted_failure({"result": "FAILED", "message": WORKLOAD_FAILED, "error": error})


def _invalid(message: str) -> Ending:
    return Ending(
        "FAILED", "INVALID_RUN_CONFIGURATION", "CLIENT_ERROR", message, life="INTERNAL_ERROR"
    )


def _no_table(full_name: str) -> bool:
    """Stand in until the workspace has said where its tables are."""
    del full_name
    return False


def _nobody(run: JobRun, task: TaskRun, ending: Ending) -> None:
    """Stand in until the runs have introduced themselves."""
    del run, task, ending
