"""The bundle: every file's path and text. The same specification gives the same bytes."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from shared.delivery.builder import bronze, gold, jobs, resources, silver
from shared.delivery.builder.literals import Value, identifier, python
from shared.delivery.builder.permissions import grants
from shared.delivery.builder.plan import Plan, TablePlan, plan
from shared.delivery.builder.spec import TARGETS, Specification

_WIDTH = 88  # the formatter's default, which the bundle keeps
_PIPELINE = "src/pipeline"
_HEADER = "# Generated from a specification: change that and build again.\n"
_COLUMN_MAPPING = {
    "delta.columnMapping.mode": "name",
    "delta.minReaderVersion": "2",
    "delta.minWriterVersion": "5",
}


def render(spec: Specification, hosts: Mapping[str, str] | None = None) -> dict[str, str]:
    """All files of the bundle, by path, in order.

    Args:
        spec: a checked specification.
        hosts: workspace address by target, where the specification names none.
    """
    planned = plan(spec)
    return dict(sorted(_files(planned, hosts or {})))


def _files(planned: Plan, hosts: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    yield "databricks.yml", _yaml(resources.bundle(planned, hosts))
    yield f"resources/{planned.resource}.pipeline.yml", _yaml(resources.pipeline(planned))
    yield f"resources/{planned.resource}.job.yml", _yaml(jobs.job(planned))
    permissions = jobs.permissions_job(planned)
    if permissions:
        yield f"resources/{planned.resource}_permissions.job.yml", _yaml(permissions)
    for table in planned.tables:
        yield f"{_PIPELINE}/bronze/{table.bronze}.py", _bronze(table, planned)
        yield f"{_PIPELINE}/silver/{table.silver}.py", _silver(table, planned)
        if table.gold:
            yield f"{_PIPELINE}/gold/{table.gold}.py", _gold(table, planned)
    days = gold.dates(planned.spec.date_dimension)
    it = _table(planned, days["name"], "Days; -1 is the unknown day", "gold", ["date_key"])
    yield f"{_PIPELINE}/gold/{days['name']}.py", _fill("dates.py.j2", it=it, **days)
    yield "src/jobs/collect.py", _fill("collect.py.j2", **_sources(planned))
    yield "src/jobs/check_quality.py", _fill("check_quality.py.j2", **_checked(planned))
    for target in TARGETS:
        text = _fill("permissions.sql.j2", **grants(planned, target))
        yield f"sql/permissions_{target}.sql", text
    yield "README.md", _fill("README.md.j2", **_readme(planned))


def _bronze(table: TablePlan, planned: Plan) -> str:
    extra = dict(_COLUMN_MAPPING)
    if table.table.format == "kafka":  # a full refresh would lose what the topic no longer has
        extra["pipelines.reset.allowed"] = "false"
    it = _table(planned, table.bronze, f"{table.table.name}, as it came", "bronze", [], extra)
    return _fill("bronze.py.j2", it=it, **bronze.context(table))


def _silver(table: TablePlan, planned: Plan) -> str:
    keys = silver.cluster_columns(table)
    it = _table(planned, table.silver, _comment(table, "typed and checked"), "silver", keys)
    aside = _table(planned, table.quarantine, f"{table.table.name}, set aside", "quarantine", [])
    named = {
        "typed_name": table.typed,
        "valid_name": table.valid,
        "bronze_name": table.bronze,
    }
    return _fill("silver.py.j2", it=it, aside=aside, **named, **silver.context(table))


def _gold(table: TablePlan, planned: Plan) -> str:
    keys, role = gold.cluster_columns(table), table.inference.role
    it = _table(planned, table.gold, _comment(table, role), "gold", keys)
    if role == "dimension":
        return _fill("dimension.py.j2", it=it, **gold.dimension(table, planned))
    return _fill("fact.py.j2", it=it, **gold.fact(table, planned))


def _comment(table: TablePlan, what: str) -> str:
    described = f": {table.table.description}" if table.table.description else ""
    return f"{table.table.name}, {what}{described}"


def _table(
    planned: Plan,
    name: str,
    comment: str,
    quality: str,
    keys: list[str],
    extra: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    wanted = planned.spec.table_settings
    properties = {"quality": quality} | dict(extra or {})
    if wanted.auto_optimize:
        properties["delta.autoOptimize.optimizeWrite"] = "true"
        properties["pipelines.autoOptimize.managed"] = "true"
    if wanted.auto_compact:
        properties["delta.autoOptimize.autoCompact"] = "true"
    columns = [silver.unquoted(key) for key in keys]
    cluster = {"keys": columns, "auto": "auto", "none": []}[wanted.clustering]
    return {"name": name, "comment": comment, "properties": properties, "cluster_by": cluster}


def _sources(planned: Plan) -> dict[str, Any]:
    tables = {t.table.name: t.table for t in planned.tables if t.table.format != "kafka"}
    named = {n: t.path for n, t in tables.items() if t.format == "delta" and "/" not in t.path}
    return {
        "folders": {n: t.path for n, t in tables.items() if n not in named},
        "tables": {
            name: ".".join(identifier(part) for part in path.split("."))
            for name, path in named.items()
        },
    }


def _checked(planned: Plan) -> dict[str, Any]:
    return {
        "quality": planned.spec.quality,
        "sources": planned.tables,
        "dimensions": {t.gold: t.surrogate for t in planned.dimensions},
        "facts": {t.gold: [lookup.name for lookup in t.lookups] for t in planned.facts},
    }


def _readme(planned: Plan) -> dict[str, Any]:
    spec = planned.spec
    return {
        "title": _inline(spec.name),
        "description": _inline(spec.description),
        "tables": [
            {
                "source": table.table.name,
                "role": table.inference.role,
                "declared": table.inference.declared,
                "because": table.inference.because,
                "names": [
                    n for n in (table.bronze, table.silver, table.quarantine, table.gold) if n
                ],
            }
            for table in planned.tables
        ],
        "renamed": [
            (table.table.name, field.column.name, field.name)
            for table in planned.tables
            for field in table.fields
            if field.name != field.column.name
        ],
        "rules": [
            (table.silver, rule.name, rule.condition, _ACTIONS[rule.action])
            for table in planned.tables
            for rule in silver.rules(table)
        ],
        "how": _how(spec),
        "run": f"databricks bundle run -t dev {planned.resource}",
    }


_ACTIONS = {"drop": "goes to quarantine", "warn": "is counted", "fail": "stops the update"}


def _how(spec: Specification) -> str:
    if spec.mode == "continuous":
        return (
            "Continuously: the pipeline runs on its own and never ends; "
            "a job of its own runs the quality checks beside it."
        )
    when = "when it is started"
    if spec.schedule:
        daily = spec.schedule.daily_at
        when = f"daily at {daily}" if daily else f"by `{spec.schedule.cron}`"
        when += f", {spec.schedule.timezone}"
    first = "collection, then " if spec.collection else ""
    return f"A job, {when}: {first}a look whether the sources are there, the pipeline, the checks."


@lru_cache(maxsize=1)
def _environment() -> Any:  # noqa: ANN401 - Jinja is loaded when first used
    import jinja2

    environment = jinja2.Environment(  # noqa: S701 - the output is code; `py`, `sql`, `code` quote
        loader=jinja2.PackageLoader("shared.delivery.builder"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"py": python, "code": _code}
    environment.globals["assigned"] = _assigned
    return environment


def _fill(template: str, **values: object) -> str:
    text: str = _environment().get_template(template).render(values)
    return text.strip("\n") + "\n"


def _assigned(name: str, value: Value | None) -> str:
    """An assignment, with the brackets that the formatter puts where they make it fit."""
    literal = python(value)
    if _width(f"{name} = {literal}") <= _WIDTH or _width(f"    {literal}") > _WIDTH:
        return f"{name} = {literal}"
    return f"{name} = (\n    {literal}\n)"


def _width(text: str) -> int:
    return sum(_columns(character) for character in text)


def _columns(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1


def _inline(text: str) -> str:
    """A text of people in Markdown: one line, nothing of it markup."""
    line = _line(text)
    return "".join(f"\\{c}" if c in "\\`*_{}[]<>#|!~&" else c for c in line)


def _line(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _code(text: str) -> str:
    """A code span in a Markdown table, whatever the text holds."""
    line = _line(text).replace("|", "\\|")
    longest = max((len(run) for run in _runs(line)), default=0)
    fence = "`" * (longest + 1)
    padding = " " if longest else ""
    return f"{fence}{padding}{line}{padding}{fence}"


def _runs(line: str) -> Iterator[str]:
    import re

    yield from re.findall("`+", line)


def _yaml(value: Mapping[str, Any]) -> str:
    import yaml

    return _HEADER + yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=100)
