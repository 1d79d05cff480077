"""What tests of deliveries have in common: specifications, scripts, and what the platform has."""

from __future__ import annotations

import base64
import io
import json
import re
import stat
import uuid
import zipfile
from typing import Any, Protocol

import requests

from tests.e2e.world import Json

GATES = ["L1 configuration", "L2 deployment", "L3 execution", "L4 data quality"]
LAUNCH = "[DLT ERROR CODE: CLUSTER_LAUNCH_FAILURE] Failed to launch pipeline cluster"
MEMORY = "java.lang.OutOfMemoryError: Java heap space"
BASE = "/Workspace/Users/somebody/.bundle/x/dev/files"
SOURCE = 'import dlt\n\n\n@dlt.table(name="orders")\ndef orders():\n    return None\n'


class Place(Protocol):
    """A sandbox that can be scripted: a running system's, or one of a bench's own."""

    @property
    def sandbox_url(self) -> str: ...

    def script(self, path: str, /, **body: Any) -> Json: ...


def specification(place: Place, **more: Any) -> Json:
    """A small specification of its own; its schemas are made in the sandbox."""
    name = f"Shop {uuid.uuid4().hex[:8]}"
    schema = name.lower().replace(" ", "_")
    for suffix in ("_dev", "_staging", ""):
        place.script("databricks/schemas", full_name=f"main.{schema}{suffix}")
    table = {
        "name": "Orders",
        "format": "json",
        "path": "/Volumes/main/landing/orders",
        "key": ["order_id"],
        "columns": [
            {"name": "order_id", "type": "long"},
            {"name": "amount", "type": "double", "cast": "strict"},
        ],
        "measures": ["amount"],
        "expectations": [
            {"name": "amount is there", "column": "amount", "not_null": True, "action": "warn"}
        ],
    }
    return {"name": name, "catalog": "main", "schema": schema, "tables": [table]} | more


def classic(place: Place) -> Json:
    compute = {"min_workers": 1, "max_workers": 4}
    return specification(place, serverless=False, compute=compute)


def update_outcomes(place: Place, spec: Json, *outcomes: Json, suffix: str = " \\(dev\\)$") -> None:
    place.script(
        "databricks/update-outcomes",
        match=f"^{re.escape(spec['name'])}{suffix}",
        outcomes=list(outcomes),
    )


def failing(message: str, flow: str = "bronze_orders", **more: Any) -> Json:
    error = {"exceptions": [{"class_name": "Exception", "message": message}]}
    return {"state": "FAILED", "flow": flow, "error": error} | more


def passed(found: Json, target: str = "dev") -> list[str]:
    gates = [g for g in found["gates"] if g["target"] == target]
    return [g["name"] for g in gates if g["state"] == "passed"]


def state(place: Place) -> Json:
    told = requests.get(f"{place.sandbox_url}/_sandbox/state", timeout=10).json()
    return dict(told["databricks"])


def pipelines(place: Place, spec: Json) -> list[Json]:
    """Everything in the workspace whose name begins with the pipeline's."""
    return [p for p in state(place)["pipelines"] if p["name"].startswith(spec["name"])]


def jobs(place: Place, spec: Json) -> list[Json]:
    return [j for j in state(place)["jobs"] if j["settings"]["name"].startswith(spec["name"])]


def folders(place: Place, delivery_id: str) -> list[str]:
    return [path for path in state(place)["files"] if delivery_id in path]


def bad_data(place: Place, spec: Json, *, first: bool) -> None:
    failed = {"silver_orders": {"amount is there": 30}}
    outcomes = [] if first else [{"state": "COMPLETED"}]
    update_outcomes(place, spec, *outcomes, {"state": "COMPLETED", "failed_records": failed})


def slow(place: Place, method: str, path: str, *, takes_effect: bool) -> str:
    """Let the next such call hang, after or before its effect; the fault's name."""
    name = f"slow-{uuid.uuid4().hex}"
    place.script(
        "faults",
        name=name,
        method=method,
        path=path,
        times=1,
        status=500,
        body={"error_code": "INTERNAL_ERROR", "message": "never read"},
        after_effect=takes_effect,
        delay_seconds=25,
    )
    return name


def zipped(files: dict[str, str], links: dict[str, str] | None = None) -> str:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as packed:
        for path, text in files.items():
            packed.writestr(path, text)
        for path, to in (links or {}).items():
            entry = zipfile.ZipInfo(path)
            entry.create_system = 3
            entry.external_attr = (stat.S_IFLNK | 0o777) << 16
            packed.writestr(entry, to)
    return base64.b64encode(buffer.getvalue()).decode()


def bundle(place: Place, **settings: object) -> tuple[Json, dict[str, str]]:
    """A resolved bundle, as the bundle's own tool prints it, and its sources."""
    spec = specification(place)
    pipeline = {
        "name": spec["name"],
        "catalog": "main",
        "schema": f"{spec['schema']}_dev",
        "serverless": True,
        "libraries": [{"glob": {"include": f"{BASE}/src/**"}}],
        "deployment": {"kind": "BUNDLE"},
    } | settings
    key = "${resources.pipelines.shop.id}"
    job = {
        "name": spec["name"],
        "tasks": [{"task_key": "run", "pipeline_task": {"pipeline_id": key}}],
    }
    resolved = {
        "workspace": {"file_path": BASE},
        "resources": {"pipelines": {"shop": pipeline}, "jobs": {"shop": job}},
    }
    return spec, {"bundle.json": json.dumps(resolved), "src/orders.py": SOURCE}
