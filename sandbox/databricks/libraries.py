"""Libraries on clusters: installed in the background, removed only by a restart."""

from dataclasses import dataclass

from sandbox.clock import Timeline
from sandbox.databricks.clusters import Clusters
from sandbox.databricks.errors import invalid_parameter
from sandbox.databricks.models import Cluster, ClusterLibrary, Durations
from sandbox.wire import Json

STEPS = {"PENDING": "RESOLVING", "RESOLVING": "INSTALLING"}
KINDS = ("pypi", "maven", "cran", "jar", "egg", "whl", "requirements")


@dataclass
class Rule:
    """How installing one library ends."""

    library: str
    status: str
    message: str
    times: int | None


class Libraries:
    """Installs and uninstalls."""

    def __init__(self, clusters: Clusters, timeline: Timeline, durations: Durations) -> None:
        self.rules: list[Rule] = []
        self._clusters = clusters
        self._timeline = timeline
        self._durations = durations
        self._boots: dict[str, int] = {}
        self._booting: set[str] = set()
        clusters.watchers.append(self._on_cluster)

    def install(self, cluster: Cluster, specs: list[Json]) -> None:
        """Ask for libraries; on a cluster that does not run they wait for its start."""
        if cluster.source == "JOB":
            raise invalid_parameter(
                f"Libraries cannot be installed on job cluster {cluster.cluster_id}."
            )
        self.attach(cluster, specs)

    def attach(self, cluster: Cluster, specs: list[Json]) -> None:
        """Add libraries, as a task does on the cluster on which it runs."""
        for spec in specs:
            self._add(cluster, spec)
        self._timeline.mark()

    def uninstall(self, cluster: Cluster, specs: list[Json]) -> None:
        """Mark libraries; 'won't be uninstalled until the cluster is restarted'."""
        names = {library_name(spec) for spec in specs}
        for library in cluster.libraries:
            if library_name(library.spec) in names:
                library.status = "UNINSTALL_ON_RESTART"
                self._timeline.mark()
        if cluster.dead():
            sweep_out(cluster)

    def _add(self, cluster: Cluster, spec: Json) -> None:
        name = library_name(spec)
        known = find(cluster, name)
        if known is not None and known.status in {"INSTALLED", *STEPS, "INSTALLING"}:
            return
        library = known or ClusterLibrary(spec, "PENDING")
        if known is None:
            cluster.libraries.append(library)
        self._begin(cluster, library)

    def _begin(self, cluster: Cluster, library: ClusterLibrary) -> None:
        library.status = "PENDING"
        library.messages = []
        if cluster.usable():
            self._plan(cluster, library)

    def _plan(self, cluster: Cluster, library: ClusterLibrary) -> None:
        boot, expected = self._boots.get(cluster.cluster_id, 0), library.status

        def carry_out() -> None:
            current = self._boots.get(cluster.cluster_id, 0) == boot
            if current and library.status == expected and cluster.usable():
                self._step(cluster, library)

        self._timeline.after(self._durations.library_step, carry_out)

    def _step(self, cluster: Cluster, library: ClusterLibrary) -> None:
        following = STEPS.get(library.status)
        if following is not None:
            library.status = following
            self._plan(cluster, library)
            return
        self._settle(library)
        self._timeline.mark()
        self._clusters.tell(cluster)

    def _settle(self, library: ClusterLibrary) -> None:
        rule = self._rule(library_name(library.spec))
        library.status = rule.status if rule else "INSTALLED"
        library.messages = [rule.message] if rule and rule.message else []

    def _rule(self, name: str) -> Rule | None:
        fitting = (rule for rule in self.rules if rule.library == name and rule.times != 0)
        rule = next(fitting, None)
        if rule is not None and rule.times is not None:
            rule.times -= 1
        return rule

    def _on_cluster(self, cluster: Cluster) -> None:
        """Start afresh on a fresh cluster: that is when removals and queued installs happen."""
        name = cluster.cluster_id
        if cluster.state in {"PENDING", "RESTARTING"}:
            self._boots[name] = self._boots.get(name, 0) + 1
            self._booting.add(name)
            sweep_out(cluster)
        elif cluster.state == "RUNNING" and name in self._booting:
            self._booting.remove(name)
            for library in cluster.libraries:
                self._begin(cluster, library)


def sweep_out(cluster: Cluster) -> None:
    """Drop what was marked for removal."""
    cluster.libraries = [x for x in cluster.libraries if x.status != "UNINSTALL_ON_RESTART"]


def find(cluster: Cluster, name: str) -> ClusterLibrary | None:
    """Return the library of that name on a cluster."""
    return next((x for x in cluster.libraries if library_name(x.spec) == name), None)


def library_name(spec: Json) -> str:
    """Return what identifies a library: package spec, coordinates or path."""
    kind = next((kind for kind in KINDS if spec.get(kind)), None)
    if kind is None:
        raise invalid_parameter("A library must be one of " + ", ".join(KINDS))
    value = spec[kind]
    if isinstance(value, str):
        return value
    return str(value.get("package") or value.get("coordinates"))


def describe_library(spec: Json) -> str:
    """Write a library the way failure messages do."""
    kind = next(kind for kind in KINDS if spec.get(kind))
    value = spec[kind]
    if isinstance(value, str):
        return f'{kind}: "{value}"\n'
    fields = "".join(f'  {key}: "{text}"\n' for key, text in value.items())
    return f"{kind} {{\n{fields}}}\n"


def settled(cluster: Cluster) -> bool:
    """Say whether no installation is under way."""
    return all(x.status not in {"PENDING", "RESOLVING", "INSTALLING"} for x in cluster.libraries)
