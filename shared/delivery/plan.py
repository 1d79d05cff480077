"""A delivery plan, read and checked: everything that is missing or wrong is named at once."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from shared.decoding import convert, decode
from shared.delivery_models import Access, DeliveryPlan, Promotion, Thresholds
from shared.errors import InputError

_TODO = re.compile(r"\b(?:TODO|TBD|FIXME|PLACEHOLDER|CHANGE_?ME)\b|<(?:your|insert|fill)\b[^<>]*>")
_MOST_PROBLEMS = 200
ROOT = "/Workspace/Shared/.lakemend"
_ROOT = re.compile(r"^/Workspace/(?:[\w.@-]+/)*[\w.@-]+$")
# Written as in the builder's specification: equal annotations share one, whichever came first.
Rate = Annotated[float, Meta(ge=0.0, le=1.0)]
_CHECKS = {"specification": ("checks",)}  # as the builder calls the task
TARGETS = ("dev", "staging", "prod")
Target = Literal["dev", "staging", "prod"]


class PlanRefused(InputError):
    """A plan that cannot be delivered as it is; `problems` lists all that is missing or wrong."""

    def __init__(self, problems: list[dict[str, str]]) -> None:
        super().__init__("plan", "is incomplete or wrong: see problems")
        self.problems = problems


class _Thresholds(msgspec.Struct, forbid_unknown_fields=True):
    min_pass_rate: Rate = 0.95
    expectations: dict[str, Rate] = {}
    min_rows: dict[str, Annotated[int, Meta(ge=0)]] = {}
    min_table_rows: Annotated[int, Meta(ge=0)] = 0
    max_quarantined: Rate | None = None
    max_age_hours: Annotated[float, Meta(gt=0)] | None = None
    warehouse: Annotated[str, Meta(pattern=r"^[\w-]*$")] = ""


class _Promotion(msgspec.Struct, forbid_unknown_fields=True):
    target: Target
    workspace: str = ""


class _Access(msgspec.Struct, forbid_unknown_fields=True):
    principal: Annotated[str, Meta(min_length=1, max_length=255)]
    level: Literal["CAN_VIEW", "CAN_RUN", "CAN_MANAGE"] = "CAN_VIEW"
    kind: Literal["user", "group", "service_principal"] = "group"


class Body(msgspec.Struct, forbid_unknown_fields=True):
    """The plan as it is sent; docs/delivery.md describes the fields."""

    target: Target
    name: Annotated[str, Meta(max_length=100)] = ""
    specification: dict[str, Any] | str | None = None
    bundle: str | None = None  # base64 of a zip
    pipeline_id: Annotated[str, Meta(pattern=r"^[\w-]{1,100}$")] | None = None
    workspace: str = ""
    promote_to: _Promotion | None = None
    retry_attempts: Annotated[int, Meta(ge=0, le=10)] = 3
    timeout_minutes: Annotated[float, Meta(gt=0, le=1440)] = 30.0
    deploy_timeout_minutes: Annotated[float, Meta(gt=0, le=240)] = 15.0
    settle_seconds: Annotated[float, Meta(ge=0, le=3600)] = 120.0
    notify: Annotated[tuple[str, ...], Meta(max_length=50)] = ()
    rollback: Literal["previous", "manual"] = "previous"
    quality: _Thresholds = msgspec.field(default_factory=_Thresholds)
    expected_tables: Annotated[tuple[str, ...], Meta(max_length=1000)] = ()
    refreshable_tables: Annotated[tuple[str, ...], Meta(max_length=1000)] = ()
    access: Annotated[tuple[_Access, ...], Meta(max_length=50)] = ()
    check_tasks: Annotated[tuple[str, ...], Meta(max_length=100)] | None = None
    keep_versions: Annotated[int, Meta(ge=2, le=100)] = 3
    workspace_root: str = ROOT
    commit: Annotated[str, Meta(max_length=100)] = ""
    clean: bool | None = None
    delivery_key: Annotated[str, Meta(max_length=200)] = ""


class Source(msgspec.Struct, frozen=True):
    """What is delivered, under the name that the ledger keeps it by; empty for a pipeline id."""

    name: str
    content: bytes


class Asked(msgspec.Struct, frozen=True):
    """A plan that can be delivered: what is asked for, of what, under which key."""

    plan: DeliveryPlan
    source: Source
    delivery_key: str


def read_plan(value: Any, bundle: bytes | None = None) -> Asked:  # noqa: ANN401 - what was sent
    """The plan that `value`, decoded JSON, holds; `bundle` is a zip that came beside it.

    Raises:
        PlanRefused: it is incomplete, wrong, or still holds placeholders; all problems are listed.
    """
    if not isinstance(value, dict):
        raise PlanRefused([_problem("plan", "expected an object")])
    problems = [*_shape(value), *_sources(value, bundle), *_placeholders(value, "")]
    if problems:
        raise PlanRefused(problems[:_MOST_PROBLEMS])
    body = convert(value, Body)
    problems = list(_sense(body))
    if problems:
        raise PlanRefused(problems)
    kind, source, name = _source(body, bundle)
    if not name:
        raise PlanRefused([_problem("name", "missing: expected the pipeline's name")])
    own = _own_quality(source) if kind == "specification" else {}
    quality = convert({**own, **(value.get("quality") or {})}, Thresholds)
    return Asked(_plan(body, kind, name, quality), source, body.delivery_key)


def _problem(field: str, expected: str) -> dict[str, str]:
    return {"field": field, "expected": expected}


def _shape(value: dict[str, Any]) -> Iterator[dict[str, str]]:
    """Each field by itself, so that all that is wrong is told at once."""
    known = {field.name: field for field in msgspec.structs.fields(Body)}
    for name in value.keys() - known.keys():
        yield _problem(str(name)[:100], "is no field of a plan")
    for name, field in known.items():
        if name not in value:
            if field.required:
                yield _problem(name, f"missing: expected one of {', '.join(TARGETS)}")
            continue
        try:
            convert(value[name], field.type)
        except msgspec.ValidationError as error:
            reason, _, path = str(error).partition(" - at `$")
            yield _problem(f"{name}{path.strip('`')}", reason)


def _sources(value: dict[str, Any], bundle: bytes | None) -> Iterator[dict[str, str]]:
    given = [n for n in ("specification", "bundle", "pipeline_id") if value.get(n) is not None]
    count = len(given) + (bundle is not None)
    if count == 0:
        yield _problem("specification", "missing: expected specification, bundle or pipeline_id")
    if count > 1:
        yield _problem("specification", "expected only one of specification, bundle, pipeline_id")
    if not value.get("name") and value.get("specification") is None:
        yield _problem("name", "missing: expected the pipeline's name")


def _placeholders(value: Any, path: str) -> Iterator[dict[str, str]]:  # noqa: ANN401 - any part
    if isinstance(value, str) and path != "bundle":
        found = _TODO.search(value)
        if found:
            yield _problem(path, f"still holds the placeholder {found.group(0)!r}")
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _placeholders(inner, f"{path}.{key}".lstrip("."))
    elif isinstance(value, list):
        for position, inner in enumerate(value):
            yield from _placeholders(inner, f"{path}[{position}]")


def _sense(body: Body) -> Iterator[dict[str, str]]:
    from shared.delivery.builder.names import checked

    try:
        checked(body.name or "from the specification", "name")
    except InputError as error:
        yield _problem("name", error.expected)
    if not _ROOT.fullmatch(body.workspace_root) or ".." in body.workspace_root:
        yield _problem("workspace_root", "expected a folder below /Workspace")
    promoted = body.promote_to
    if promoted and TARGETS.index(promoted.target) <= TARGETS.index(body.target):
        yield _problem("promote_to.target", f"expected a target after {body.target}")
    if body.check_tasks and body.pipeline_id:
        yield _problem("check_tasks", "a pipeline given by its id has no job with it")
    if promoted and body.pipeline_id:
        yield _problem("promote_to", "a pipeline given by its id has no source to promote")


def _source(body: Body, bundle: bytes | None) -> tuple[str, Source, str]:
    if body.pipeline_id:
        return "pipeline", Source("", b""), body.name
    if body.specification is not None:
        return _specification(body)
    packed = bundle if bundle is not None else _decoded(body.bundle or "")
    problems = list(_bundle_problems(body, packed))
    if problems:
        raise PlanRefused(problems)
    return "bundle", Source("bundle", packed), body.name


def _specification(body: Body) -> tuple[str, Source, str]:
    from shared.delivery.builder.reading import read

    given = body.specification
    text = given if isinstance(given, str) else msgspec.json.encode(given).decode()
    try:
        spec = read(text)
    except InputError as error:
        raise PlanRefused([_problem(f"specification.{error.field}", error.expected)]) from None
    return "specification", Source("spec-1", msgspec.json.encode(spec)), body.name or spec.name


def _decoded(text: str) -> bytes:
    import base64
    import binascii

    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise PlanRefused([_problem("bundle", "expected a zip in base64")]) from None


def _bundle_problems(body: Body, packed: bytes) -> Iterator[dict[str, str]]:
    from shared.delivery.bundle_zip import read_zip
    from shared.delivery.resolved import from_bundle

    try:
        files = read_zip(packed)
    except InputError as error:
        yield _problem(error.field, error.expected)
        return
    targets = [body.target, *([body.promote_to.target] if body.promote_to else [])]
    for target in targets:
        try:
            from_bundle(files, target, body.target)
        except InputError as error:
            yield _problem(error.field, error.expected)


def _own_quality(source: Source) -> dict[str, Any]:
    """What a specification asks of its data; what the plan names itself goes before it."""
    from shared.delivery.builder.spec import Specification

    asked = decode(source.content, Specification).quality
    return {
        "max_quarantined": asked.max_quarantined,
        "min_table_rows": asked.min_rows,
        "max_age_hours": asked.max_age_hours,
    }


def _plan(body: Body, kind: str, name: str, quality: Thresholds) -> DeliveryPlan:
    promoted = body.promote_to
    checks = body.check_tasks if body.check_tasks is not None else _CHECKS.get(kind, ())
    return DeliveryPlan(
        name=name,
        target=body.target,
        source=kind,
        pipeline_id=body.pipeline_id or "",
        workspace=body.workspace,
        promote=Promotion(promoted.target, promoted.workspace) if promoted else None,
        retry_attempts=body.retry_attempts,
        timeout_minutes=body.timeout_minutes,
        deploy_timeout_minutes=body.deploy_timeout_minutes,
        settle_seconds=body.settle_seconds,
        notify=body.notify,
        rollback=body.rollback,
        quality=quality,
        expected_tables=body.expected_tables,
        refreshable_tables=body.refreshable_tables,
        check_tasks=checks,
        keep_versions=body.keep_versions,
        access=tuple(Access(a.principal, a.level, a.kind) for a in body.access),
        root=body.workspace_root,
        commit=body.commit,
        clean=body.clean,
    )
