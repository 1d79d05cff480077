"""The life of clusters: who may do what in which state, and what comes of it."""

from collections.abc import Callable
from typing import Literal

from sandbox.clock import Timeline
from sandbox.databricks.errors import (
    cluster_unknown,
    invalid_parameter,
    invalid_state,
    unexpected_state,
)
from sandbox.databricks.models import (
    Cluster,
    ClusterState,
    Durations,
    desired_workers,
    size_of,
)
from sandbox.ids import Ids
from sandbox.wire import Json

Watcher = Callable[[Cluster], None]
Check = Callable[[Json], None]
USER = "sandbox@example.com"
DEFAULT_DEATH: Json = {"code": "CLOUD_PROVIDER_LAUNCH_FAILURE", "type": "CLOUD_FAILURE"}


class Clusters:
    """All clusters of the workspace."""

    def __init__(self, timeline: Timeline, ids: Ids, durations: Durations) -> None:
        self.all: dict[str, Cluster] = {}
        self.watchers: list[Watcher] = []
        self.check_node_type: Check = _any_node_type
        self._timeline = timeline
        self._ids = ids
        self._durations = durations

    def get(self, cluster_id: str) -> Cluster:
        """Return a cluster or refuse."""
        cluster = self.all.get(cluster_id)
        if cluster is None:
            raise cluster_unknown(cluster_id)
        return cluster

    def create(
        self, spec: Json, source: str = "API", on_start: list[Json] | None = None
    ) -> Cluster:
        """Create a cluster and start it."""
        self.check_node_type(spec)
        cluster = self.place(spec, source, state="PENDING")
        cluster.on_start = list(on_start or [])
        self._record(cluster, "CREATING", cluster_size=size_of(spec), user=USER)
        self._launch(cluster, "PENDING", self._durations.start)
        return cluster

    def place(
        self, spec: Json, source: str, *, state: ClusterState, cluster_id: str | None = None
    ) -> Cluster:
        """Put a cluster into the workspace in a given state."""
        check_spec(spec)
        name = cluster_id or self._ids.cluster_id(self._timeline.now())
        cluster = Cluster(name, spec, source, state, self._timeline.now_ms())
        cluster.workers = desired_workers(spec)
        self.all[name] = cluster
        self._timeline.mark()
        return cluster

    def start(self, cluster: Cluster) -> None:
        """Start a terminated cluster.

        The reference calls it a no-op in other states, but users get INVALID_STATE; so do we.
        """
        refuse_job_cluster(cluster, "started")
        if cluster.state != "TERMINATED":
            raise unexpected_state(cluster.cluster_id, cluster.state)
        self._record(cluster, "STARTING", cluster_size=size_of(cluster.spec), user=USER)
        cluster.termination_reason = None
        cluster.terminated_time = None
        self._launch(cluster, "PENDING", self._durations.start)

    def restart(self, cluster: Cluster) -> None:
        """Restart; 'if the cluster is not currently in a RUNNING state, nothing will happen'."""
        if cluster.state == "RUNNING":
            self._record(cluster, "RESTARTING", cluster_size=size_of(cluster.spec), user=USER)
            self._launch(cluster, "RESTARTING", self._durations.restart)

    def edit(self, cluster: Cluster, spec: Json) -> None:
        """Replace the specification; a RUNNING cluster restarts, a TERMINATED one stays so."""
        refuse_job_cluster(cluster, "edited")
        if cluster.state not in {"RUNNING", "TERMINATED"}:
            raise invalid_state(
                f"Cluster {cluster.cluster_id} cannot be edited in state {cluster.state}; "
                "it has to be RUNNING or TERMINATED."
            )
        check_spec(spec)
        self.check_node_type(spec)
        self._record(
            cluster, "EDITED", attributes=spec, previous_attributes=cluster.spec, user=USER
        )
        cluster.spec = spec
        self.restart(cluster)

    def resize(self, cluster: Cluster, size: Json) -> None:
        """Change the size; 'this will fail unless the cluster is in a RUNNING state'."""
        if cluster.state != "RUNNING":
            raise unexpected_state(cluster.cluster_id, cluster.state)
        check_size(size)
        before = size_of(cluster.spec)
        others = {k: v for k, v in cluster.spec.items() if k not in {"num_workers", "autoscale"}}
        cluster.spec = {**others, **size}
        self._record(
            cluster, "RESIZING", cluster_size=size, previous_cluster_size=before, user=USER
        )
        self._move(cluster, "RESIZING", "Resizing the cluster")
        self._later(cluster, self._durations.resize, self._resized)

    def terminate(self, cluster: Cluster, reason: Json | None = None) -> None:
        """Terminate; nothing happens to a cluster that is already on its way out."""
        if cluster.state in {"TERMINATING", "TERMINATED"}:
            return
        cluster.termination_reason = reason or user_request()
        cluster.terminated_time = self._timeline.now_ms()
        self._record(cluster, "TERMINATING", reason=cluster.termination_reason)
        self._move(cluster, "TERMINATING", f"Termination requested by {USER}")
        self._later(cluster, self._durations.terminate, self._terminated)

    def kill(
        self,
        cluster: Cluster,
        reason: Json | None = None,
        message: str | None = None,
        state: Literal["TERMINATED", "ERROR"] = "TERMINATED",
    ) -> None:
        """Let a cluster die now."""
        cluster.termination_reason = reason or DEFAULT_DEATH
        cluster.terminated_time = self._timeline.now_ms()
        self._record(cluster, "TERMINATING", reason=cluster.termination_reason)
        default = f"Cluster terminated. Reason: {cluster.termination_reason.get('code')}"
        self._move(cluster, state, message or default)

    def forget(self, cluster: Cluster) -> None:
        """Delete for good: 'can no longer perform any action'."""
        if not cluster.dead():
            self.kill(cluster, user_request())
        del self.all[cluster.cluster_id]
        self._timeline.mark()

    def pin(self, cluster: Cluster, *, pinned: bool) -> None:
        """Keep a cluster in the list, or stop doing so."""
        cluster.pinned = pinned
        self._record(cluster, "PINNED" if pinned else "UNPINNED", user=USER)
        self._timeline.mark()

    def tell(self, cluster: Cluster) -> None:
        """Tell everybody who waits for it that something changed."""
        for watcher in list(self.watchers):
            watcher(cluster)

    def _launch(self, cluster: Cluster, state: ClusterState, seconds: float) -> None:
        self._move(cluster, state, "Starting Spark")
        self._later(cluster, seconds, self._launched)

    def _launched(self, cluster: Cluster) -> None:
        fate = next_fate(cluster)
        if fate["state"] != "RUNNING":
            message = fate.get("state_message")
            self.kill(cluster, fate.get("termination_reason"), message, fate["state"])
            return
        cluster.workers = desired_workers(cluster.spec)
        cluster.last_restarted_time = self._timeline.now_ms()
        self._record(cluster, "RUNNING", **self._workers(cluster))
        self._record(cluster, "DRIVER_HEALTHY")
        self._move(cluster, "RUNNING", "")

    def _resized(self, cluster: Cluster) -> None:
        before, cluster.workers = cluster.workers, desired_workers(cluster.spec)
        if cluster.workers > before:
            self._record(cluster, "UPSIZE_COMPLETED", **self._workers(cluster))
        self._move(cluster, "RUNNING", "")

    def _terminated(self, cluster: Cluster) -> None:
        self._move(cluster, "TERMINATED", cluster.state_message)

    def _workers(self, cluster: Cluster) -> Json:
        return {"current_num_workers": cluster.workers, "target_num_workers": cluster.workers}

    def _move(self, cluster: Cluster, state: ClusterState, message: str) -> None:
        cluster.epoch += 1
        cluster.state = state
        cluster.state_message = message
        self._timeline.mark()
        self.tell(cluster)

    def _later(self, cluster: Cluster, seconds: float, step: Watcher) -> None:
        epoch = cluster.epoch

        def carry_out() -> None:
            if cluster.epoch == epoch:
                step(cluster)

        self._timeline.after(seconds, carry_out)

    def _record(self, cluster: Cluster, kind: str, **details: object) -> None:
        if cluster.run_name is not None:
            details["job_run_name"] = cluster.run_name
        event = {
            "cluster_id": cluster.cluster_id,
            "timestamp": self._timeline.now_ms(),
            "type": kind,
            "details": details,
        }
        cluster.events.append(event)


def next_fate(cluster: Cluster) -> Json:
    """Say how a start goes; an entry about a node type stays, as what it tells does."""
    running: Json = {"state": "RUNNING"}
    if not cluster.on_start:
        return running
    fate = cluster.on_start[0]
    wanted = fate.get("unless_node_type")
    if wanted is None:
        return cluster.on_start.pop(0)
    helpful = [wanted] if isinstance(wanted, str) else wanted
    return running if cluster.spec.get("node_type_id") in helpful else fate


def _any_node_type(spec: Json) -> None:
    """Stand in until the workspace has said which node types it offers."""
    del spec


def user_request() -> Json:
    """Return the reason of a termination somebody asked for."""
    return {"code": "USER_REQUEST", "type": "SUCCESS", "parameters": {"username": USER}}


def refuse_job_cluster(cluster: Cluster, verb: str) -> None:
    """Refuse; 'clusters created by the Databricks Jobs service cannot be edited' or started."""
    if cluster.source == "JOB":
        raise invalid_parameter(
            f"Cluster {cluster.cluster_id} was created by the Jobs service and cannot be {verb}."
        )


def check_spec(spec: Json) -> None:
    """Refuse a specification that lacks what every cluster needs."""
    if not spec.get("spark_version"):
        raise invalid_parameter("Missing required field 'spark_version'")
    if not (spec.get("node_type_id") or spec.get("instance_pool_id")):
        raise invalid_parameter("Missing required field 'node_type_id'")
    if not spec.get("is_single_node"):
        check_size(spec)


def check_size(size: Json) -> None:
    """Refuse a size that is not exactly one of fixed and autoscaling."""
    if ("num_workers" in size) == ("autoscale" in size):
        raise invalid_parameter("Exactly one of 'num_workers' and 'autoscale' must be specified")
    autoscale = size.get("autoscale")
    if autoscale and autoscale["min_workers"] > autoscale["max_workers"]:
        raise invalid_parameter("min_workers must not be greater than max_workers")
    if autoscale is None and size["num_workers"] < 0:
        raise invalid_parameter("num_workers must not be negative")
