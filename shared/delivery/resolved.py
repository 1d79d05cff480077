"""A bundle with nothing left open: settings of pipeline and jobs, and the files that they name.

From our own builder, or in the form that `databricks bundle validate --output json` prints, beside
its sources. Paths stand relative to `${folder}`, which `placed` replaces by a real folder. The
bundle language itself is not re-implemented: any other `${…}` left in it is refused.
"""

from __future__ import annotations

import ast
import json
import re
from typing import Any

import msgspec

from shared.delivery.builder.spec import Specification, Target
from shared.errors import InputError

Json = dict[str, Any]

FOLDER, PIPELINE_ID = "${folder}", "${pipeline_id}"
MANAGED = {"managed_by": "lakemend"}
VERSION_TAG = "lakemend_delivery"
PAUSABLE = ("schedule", "continuous", "trigger")  # what makes a job run by itself
_OPEN = re.compile(r"\$\{(?!folder\}|pipeline_id\})[^}]*\}?")
_JOB_REFERENCE = re.compile(r"\{\{[^{}]*\}\}")
# What the platform sets itself, or what only the bundle's own tool understands.
_OWN_FIELDS = frozenset({"id", "deployment", "permissions", "grants", "lifecycle", "url"})
_MODULES = frozenset({"dlt", "pyspark.pipelines"})


class Resolved(msgspec.Struct, frozen=True):
    """One target's pipeline, its jobs, its files by relative path, its tables."""

    pipeline: Json
    jobs: dict[str, Json]
    files: dict[str, str]
    tables: tuple[str, ...]
    grants: dict[str, tuple[str, ...]] = {}  # privileges on the schema, by principal

    @property
    def catalog(self) -> str:
        """Where the tables go."""
        return str(self.pipeline.get("catalog") or "")

    @property
    def schema(self) -> str:
        """Where the tables go, under either of its names."""
        return str(self.pipeline.get("schema") or self.pipeline.get("target") or "")

    @property
    def continuous(self) -> bool:
        """Whether its update never ends."""
        return bool(self.pipeline.get("continuous"))


def from_specification(spec: Specification, target: Target) -> Resolved:
    """What the builder makes of a specification, for one target."""
    from shared.delivery.builder import jobs, resources
    from shared.delivery.builder.plan import plan
    from shared.delivery.builder.render import render

    planned = plan(spec)
    catalog, schema = resources.home(spec, target)
    known = {"${var.catalog}": catalog, "${var.schema}": schema, "../src": f"{FOLDER}/src"}
    known[f"${{resources.pipelines.{planned.resource}.id}}"] = PIPELINE_ID
    own = resources.bundle(planned, {})["targets"][target]["resources"]["pipelines"]
    settings = _only(resources.pipeline(planned), "pipelines") | own[planned.resource]
    made = jobs.job(planned)["resources"]["jobs"]
    files = {p: text for p, text in render(spec).items() if p.startswith(("src/", "sql/"))}
    return Resolved(
        pipeline=_replaced(settings, known),
        jobs={key: _replaced(job, known) for key, job in made.items()},
        files=files,
        tables=tables_of(_pipeline_files(files, "src/pipeline/")),
        grants=_grants(spec),
    )


def _grants(spec: Specification) -> dict[str, tuple[str, ...]]:
    readers = spec.permissions.readers
    wanted: dict[str, tuple[str, ...]] = dict.fromkeys(readers, ("USE_SCHEMA",))
    principal = spec.permissions.principal
    if principal:
        wanted[principal] = ("USE_SCHEMA", "CREATE_TABLE", "CREATE_MATERIALIZED_VIEW")
    return wanted


def _only(resource: Json, kind: str) -> Json:
    return dict(next(iter(resource["resources"][kind].values())))


def from_bundle(files: dict[str, str], target: str, first: str) -> Resolved:
    """What a resolved bundle says: `bundle.json`, or `bundle.<target>.json` for further targets.

    Raises:
        InputError: it is missing, or not in the form that the tool prints.
    """
    name = f"bundle.{target}.json"
    if name not in files and target == first:
        name = "bundle.json"
    found = _json(files, name)
    workspace = found.get("workspace") or {}
    base = str(workspace.get("file_path") or "")
    resources = found.get("resources") or {}
    pipelines = resources.get("pipelines") or {}
    if len(pipelines) != 1 or not base:
        raise InputError(name, "expected workspace.file_path and exactly one pipeline in resources")
    key, settings = next(iter(pipelines.items()))
    known = {base: FOLDER, f"${{resources.pipelines.{key}.id}}": PIPELINE_ID}
    sources = {path: text for path, text in files.items() if not path.startswith("bundle.")}
    placed = _replaced(_bare(settings), known)
    used = [text for path, text in sources.items() if _used(path, placed)]
    return Resolved(
        pipeline=placed,
        jobs={
            str(k): _replaced(_bare(job), known) for k, job in (resources.get("jobs") or {}).items()
        },
        files=sources,
        tables=tables_of(used),
    )


def _json(files: dict[str, str], name: str) -> Json:
    if name not in files:
        raise InputError(name, "missing: the output of databricks bundle validate --output json")
    try:
        found = json.loads(files[name])
    except (ValueError, RecursionError):
        raise InputError(name, "expected JSON") from None
    resources = found.get("resources") if isinstance(found, dict) else None
    if not isinstance(resources, dict) or not _is(found.get("workspace") or {}):
        raise InputError(name, "expected resources and workspace")
    kinds = [resources.get(kind) or {} for kind in ("pipelines", "jobs")]
    if not all(_is(kind) and all(map(_is, kind.values())) for kind in kinds):
        raise InputError(name, "expected resources with objects")
    return dict(found)


def _is(value: Any) -> bool:  # noqa: ANN401 - whatever was sent
    return isinstance(value, dict)


def _bare(settings: Json) -> Json:
    return {name: value for name, value in settings.items() if name not in _OWN_FIELDS}


def _replaced(value: Any, known: dict[str, str]) -> Any:  # noqa: ANN401 - any part of the settings
    if isinstance(value, str):
        for old, new in known.items():
            value = value.replace(old, new)
        return value
    if isinstance(value, dict):
        return {key: _replaced(inner, known) for key, inner in value.items()}
    if isinstance(value, list):
        return [_replaced(inner, known) for inner in value]
    return value


def placed(settings: Json, folder: str, pipeline_id: str = "") -> Json:
    """Settings with the folder, and where it is known the pipeline's id, in their places."""
    known = {FOLDER: folder} | ({PIPELINE_ID: pipeline_id} if pipeline_id else {})
    return dict(_replaced(settings, known))


def stamped(settings: Json, version: str) -> Json:
    """Settings that say by their tags which delivery they come from."""
    return {**settings, "tags": {**(settings.get("tags") or {}), **MANAGED, VERSION_TAG: version}}


def stamp_of(settings: Json) -> str:
    """The delivery and version that settings come from, empty if they are not ours."""
    tags = settings.get("tags") or {}
    ours = tags.get("managed_by") == MANAGED["managed_by"]
    return str(tags.get(VERSION_TAG) or "") if ours else ""


def open_references(resolved: Resolved) -> list[str]:
    """Variables that nothing has replaced."""
    settings = json.dumps([resolved.pipeline, resolved.jobs], ensure_ascii=False)
    return sorted(set(_OPEN.findall(_JOB_REFERENCE.sub("", settings))))


def pipeline_sources(resolved: Resolved) -> dict[str, str]:
    """The files that the pipeline itself runs."""
    return {p: text for p, text in resolved.files.items() if _used(p, resolved.pipeline)}


def _used(path: str, settings: Json) -> bool:
    full = f"{FOLDER}/{path}"
    return any(_covers(include, full) for include in _includes(settings))


def _includes(settings: Json) -> list[str]:
    found = []
    for library in settings.get("libraries") or []:
        parts = library if isinstance(library, dict) else {}
        found.append((parts.get("glob") or {}).get("include"))
        found += [(parts.get(kind) or {}).get("path") for kind in ("file", "notebook")]
    return [str(include) for include in found if include]


def _covers(include: str, path: str) -> bool:
    if include.endswith("/**"):
        return path.startswith(include.removesuffix("**"))
    return path in {include, f"{include}.py", f"{include}.sql"}


def _pipeline_files(files: dict[str, str], prefix: str) -> list[str]:
    return [text for path, text in files.items() if path.startswith(prefix)]


def tables_of(sources: list[str]) -> tuple[str, ...]:
    """Names of the tables that Python sources declare; what does not compile declares none."""
    found: dict[str, None] = {}
    for text in sources:
        try:
            tree = ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                found |= dict.fromkeys(filter(None, map(_table, node.decorator_list)))
    return tuple(found)


def _table(decorator: ast.expr) -> str:
    call = decorator if isinstance(decorator, ast.Call) else None
    if call is None or not isinstance(call.func, ast.Attribute):
        return ""
    if call.func.attr not in {"table", "materialized_view"}:
        return ""
    named = [keyword.value for keyword in call.keywords if keyword.arg == "name"]
    value = named[0].value if named and isinstance(named[0], ast.Constant) else ""
    return str(value)


def imports_pipelines(tree: ast.AST) -> bool:
    """Whether a source imports the module that declares pipelines."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import) and any(alias.name in _MODULES for alias in node.names):
            return True
        if isinstance(node, ast.ImportFrom):
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            if node.module in _MODULES or names & _MODULES:
                return True
    return False
