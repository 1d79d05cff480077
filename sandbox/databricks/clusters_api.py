"""clusters/* and libraries/* over HTTP."""

from sandbox.databricks.access import Access
from sandbox.databricks.clusters import Clusters
from sandbox.databricks.errors import invalid_parameter
from sandbox.databricks.libraries import Libraries
from sandbox.databricks.models import Cluster
from sandbox.databricks.node_types import SPARK_VERSIONS, NodeTypes, cores_of, memory_of
from sandbox.databricks.requests import need, need_query, number, number_of, page_state
from sandbox.wire import Call, Json, Route, encode_token, route

MAX_EVENTS = 500


class ClustersApi:
    """Answers for clusters and their libraries."""

    def __init__(
        self, clusters: Clusters, libraries: Libraries, access: Access, node_types: NodeTypes
    ) -> None:
        self._clusters = clusters
        self._libraries = libraries
        self._access = access
        self._offered = node_types

    def routes(self) -> list[Route]:
        """Return what is served here."""
        return [*self._cluster_routes(), *self._library_routes()]

    def _cluster_routes(self) -> list[Route]:
        base = r"/api/2\.[01]/clusters"
        posts = {
            "create": self._create,
            "edit": self._edit,
            "update": self._update,
            "resize": self._resize,
            "start": self._start,
            "restart": self._restart,
            "delete": self._delete,
            "permanent-delete": self._permanent_delete,
            "pin": self._pin,
            "unpin": self._unpin,
            "events": self._events,
        }
        gets = {
            "get": self._get,
            "list": self._list,
            "list-node-types": self._node_types,
            "spark-versions": self._spark_versions,
        }
        return [
            *(route("POST", f"{base}/{name}", handler) for name, handler in posts.items()),
            *(route("GET", f"{base}/{name}", handler) for name, handler in gets.items()),
        ]

    def _library_routes(self) -> list[Route]:
        base = r"/api/2\.0/libraries"
        return [
            route("POST", f"{base}/install", self._install),
            route("POST", f"{base}/uninstall", self._uninstall),
            route("GET", f"{base}/cluster-status", self._cluster_status),
            route("GET", f"{base}/all-cluster-statuses", self._all_statuses),
        ]

    def _named(self, call: Call) -> Cluster:
        return self._cluster(need(call.body, "cluster_id"))

    def _cluster(self, cluster_id: str) -> Cluster:
        cluster = self._clusters.get(cluster_id)
        self._access.check("cluster", cluster_id)
        return cluster

    def _create(self, call: Call) -> Json:
        return {"cluster_id": self._clusters.create(call.body).cluster_id}

    def _get(self, call: Call) -> Json:
        return cluster_view(self._cluster(need_query(call, "cluster_id")))

    def _list(self, call: Call) -> Json:
        start = page_state(call.text("page_token")).get("offset", 0)
        size = number_of(call, "page_size", 20) or 20
        shown = [c for c in self._clusters.all.values() if wanted(c, call)]
        page = shown[start : start + size]
        answer: Json = {"clusters": [cluster_view(cluster) for cluster in page]}
        if start + size < len(shown):
            answer["next_page_token"] = encode_token({"offset": start + size})
        return answer

    def _edit(self, call: Call) -> Json:
        cluster = self._named(call)
        spec = {k: v for k, v in call.body.items() if k != "cluster_id"}
        self._clusters.edit(cluster, spec)
        return {}

    def _update(self, call: Call) -> Json:
        cluster = self._named(call)
        mask = need(call.body, "update_mask")
        self._clusters.edit(cluster, masked(cluster.spec, call.body.get("cluster", {}), mask))
        return {}

    def _resize(self, call: Call) -> Json:
        size = {k: v for k, v in call.body.items() if k != "cluster_id"}
        self._clusters.resize(self._named(call), size)
        return {}

    def _start(self, call: Call) -> Json:
        self._clusters.start(self._named(call))
        return {}

    def _restart(self, call: Call) -> Json:
        self._clusters.restart(self._named(call))
        return {}

    def _delete(self, call: Call) -> Json:
        self._clusters.terminate(self._named(call))
        return {}

    def _permanent_delete(self, call: Call) -> Json:
        self._clusters.forget(self._named(call))
        return {}

    def _pin(self, call: Call) -> Json:
        self._clusters.pin(self._named(call), pinned=True)
        return {}

    def _unpin(self, call: Call) -> Json:
        self._clusters.pin(self._named(call), pinned=False)
        return {}

    def _events(self, call: Call) -> Json:
        return events_page(self._named(call), call.body)

    def _node_types(self, call: Call) -> Json:
        del call
        return {"node_types": self._offered.offered}

    def _spark_versions(self, call: Call) -> Json:
        del call
        return {"versions": SPARK_VERSIONS}

    def _install(self, call: Call) -> Json:
        self._libraries.install(self._named(call), need(call.body, "libraries"))
        return {}

    def _uninstall(self, call: Call) -> Json:
        self._libraries.uninstall(self._named(call), need(call.body, "libraries"))
        return {}

    def _cluster_status(self, call: Call) -> Json:
        return library_view(self._cluster(need_query(call, "cluster_id")))

    def _all_statuses(self, call: Call) -> Json:
        del call
        return {"statuses": [library_view(cluster) for cluster in self._clusters.all.values()]}


def cluster_view(cluster: Cluster) -> Json:
    """Write a cluster as clusters/get does."""
    view: Json = {
        **cluster.spec,
        "cluster_id": cluster.cluster_id,
        "cluster_source": cluster.source,
        "creator_user_name": "sandbox@example.com",
        "driver_node_type_id": cluster.spec.get("driver_node_type_id")
        or cluster.spec.get("node_type_id"),
        "state": cluster.state,
        "state_message": cluster.state_message,
        "start_time": cluster.start_time,
        "last_restarted_time": cluster.last_restarted_time,
        "terminated_time": cluster.terminated_time,
        "termination_reason": cluster.termination_reason,
        "default_tags": default_tags(cluster),
        "spec": {**cluster.spec},
    }
    if cluster.usable():
        view |= size_view(cluster)
    return {key: value for key, value in view.items() if value is not None}


def size_view(cluster: Cluster) -> Json:
    """Write what only a living cluster has."""
    nodes = cluster.workers + 1
    node_type = str(cluster.spec.get("node_type_id"))
    return {
        "num_workers": cluster.spec.get("num_workers", cluster.workers),
        "executors": [{"node_id": f"worker-{n}"} for n in range(cluster.workers)],
        "driver": {"node_id": "driver"},
        "cluster_cores": float(nodes * cores_of(node_type)),
        "cluster_memory_mb": nodes * memory_of(node_type),
    }


def default_tags(cluster: Cluster) -> Json:
    """Write the tags every cluster gets."""
    return {
        "Vendor": "Databricks",
        "Creator": "sandbox@example.com",
        "ClusterName": cluster.spec.get("cluster_name", ""),
        "ClusterId": cluster.cluster_id,
    }


def library_view(cluster: Cluster) -> Json:
    """Write the libraries of one cluster; those marked for removal come last."""
    ordered = sorted(cluster.libraries, key=lambda x: x.status == "UNINSTALL_ON_RESTART")
    statuses = []
    for library in ordered:
        status: Json = {"library": library.spec, "status": library.status}
        if library.messages:
            status["messages"] = library.messages
        statuses.append({**status, "is_library_for_all_clusters": False})
    return {"cluster_id": cluster.cluster_id, "library_statuses": statuses}


def wanted(cluster: Cluster, call: Call) -> bool:
    """Apply the filters of clusters/list."""
    sources = call.query.get("filter_by.cluster_sources", [])
    living = call.query.get("filter_by.cluster_states", [])
    pinned = call.text("filter_by.is_pinned")
    return (
        (not sources or cluster.source in sources)
        and (not living or cluster.state in living)
        and (pinned is None or cluster.pinned == (pinned.lower() == "true"))
    )


def masked(spec: Json, changes: Json, mask: str) -> Json:
    """Apply a field mask; a masked field that is not sent is cleared, `*` replaces everything."""
    if mask == "*":
        return changes
    fields = mask.split(",")
    merged = {**spec}
    for path in fields:
        top = path.split(".")[0].strip()
        if top in changes:
            merged[top] = changes[top]
        else:
            merged.pop(top, None)
    if "num_workers" in fields and "autoscale" not in fields:
        merged.pop("autoscale", None)
    if "autoscale" in fields and "num_workers" not in fields:
        merged.pop("num_workers", None)
    return merged


def events_page(cluster: Cluster, body: Json) -> Json:
    """Return one page of a cluster's events; `next_page` is the whole next request."""
    asked = page_state(body.get("page_token")) or body
    limit = number(asked.get("page_size") or asked.get("limit") or 50, "limit")
    if not 0 < limit <= MAX_EVENTS:
        raise invalid_parameter(f"limit must be between 1 and {MAX_EVENTS}")
    offset = number(asked.get("offset", 0), "offset")
    descending = asked.get("order", "DESC") == "DESC"
    if offset and descending and asked.get("end_time") is None:
        raise invalid_parameter("end_time is required with an offset in descending order")
    events = [event for event in cluster.events if in_window(event, asked)]
    if descending:
        events.reverse()
    page = events[offset : offset + limit]
    answer: Json = {"events": page, "total_count": len(events)}
    if offset + limit < len(events):
        following = next_request(asked, events, offset + limit)
        answer["next_page"] = following
        answer["next_page_token"] = encode_token(following)
    return answer


def next_request(asked: Json, events: list[Json], offset: int) -> Json:
    """Write the request for the next page, closed at the time of the newest event."""
    newest = max(event["timestamp"] for event in events)
    return {**asked, "offset": offset, "end_time": asked.get("end_time", newest)}


def in_window(event: Json, asked: Json) -> bool:
    """Apply time and type filters."""
    kinds = asked.get("event_types") or []
    after = asked.get("start_time") or 0
    before = asked.get("end_time")
    inside = after <= event["timestamp"] and (before is None or event["timestamp"] <= before)
    return inside and (not kinds or event["type"] in kinds)
