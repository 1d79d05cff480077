"""A handful of real Azure node types and runtimes, and which of them a workspace offers."""

from sandbox.databricks.errors import node_type_unknown
from sandbox.wire import Json

_SIZES = [
    ("Standard_DS3_v2", 14336, 4, "General Purpose"),
    ("Standard_DS4_v2", 28672, 8, "General Purpose"),
    ("Standard_D4ds_v5", 16384, 4, "General Purpose"),
    ("Standard_D8ds_v5", 32768, 8, "General Purpose"),
    ("Standard_E4ds_v5", 32768, 4, "Memory Optimized"),
    ("Standard_E8ds_v5", 65536, 8, "Memory Optimized"),
    ("Standard_E16ds_v5", 131072, 16, "Memory Optimized"),
    ("Standard_F8s_v2", 16384, 8, "Compute Optimized"),
    ("Standard_L8s_v3", 65536, 8, "Storage Optimized"),
    ("Standard_NC6s_v3", 114688, 6, "GPU Accelerated"),
]


QUOTA = 350
_INFO = ("available_core_quota", "total_core_quota", "status")


def _node_type(name: str, memory_mb: int, cores: int, category: str) -> Json:
    return {
        "node_type_id": name,
        "memory_mb": memory_mb,
        "num_cores": float(cores),
        "description": name,
        "instance_type_id": name,
        "category": category,
        "is_deprecated": False,
        "is_hidden": False,
        "num_gpus": 1 if category.startswith("GPU") else 0,
        "node_info": {"status": [], "available_core_quota": QUOTA, "total_core_quota": QUOTA},
    }


NODE_TYPES: list[Json] = [_node_type(*size) for size in _SIZES]
SPARK_VERSIONS: list[Json] = [
    {"key": "16.4.x-scala2.12", "name": "16.4 LTS (includes Apache Spark 3.5.2, Scala 2.12)"},
    {"key": "15.4.x-scala2.12", "name": "15.4 LTS (includes Apache Spark 3.5.0, Scala 2.12)"},
    {"key": "14.3.x-scala2.12", "name": "14.3 LTS (includes Apache Spark 3.5.0, Scala 2.12)"},
]


def cores_of(name: str) -> int:
    """Return the cores of a node type; an unknown one counts as small."""
    return next((cores for size, _, cores, _ in _SIZES if size == name), 4)


def memory_of(name: str) -> int:
    """Return the memory of a node type in megabytes."""
    return next((memory for size, memory, _, _ in _SIZES if size == name), 14336)


class NodeTypes:
    """What the workspace offers; once a test has said what that is, nothing else is taken."""

    def __init__(self) -> None:
        self.offered: list[Json] = NODE_TYPES
        self._scripted = False

    def script(self, entries: list[str | Json]) -> None:
        """Say which node types there are, and with what quota."""
        self.offered = [described(entry) for entry in entries]
        self._scripted = True

    def check(self, spec: Json) -> None:
        """Refuse a cluster of node types that are not offered."""
        known = [entry["node_type_id"] for entry in self.offered]
        for field in ("node_type_id", "driver_node_type_id"):
            wanted = spec.get(field)
            if self._scripted and wanted and wanted not in known:
                raise node_type_unknown(wanted, known)


def described(entry: str | Json) -> Json:
    """Complete a node type from its name, or from what of it is to differ."""
    given: Json = {"node_type_id": entry} if isinstance(entry, str) else dict(entry)
    name = given["node_type_id"]
    info = {key: given.pop(key) for key in _INFO if key in given}
    whole = _node_type(name, memory_of(name), cores_of(name), "General Purpose")
    listed = next((x for x in NODE_TYPES if x["node_type_id"] == name), whole)
    return {**listed, "node_info": {**listed["node_info"], **info}, **given}
