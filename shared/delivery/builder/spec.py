"""The specification's shape. Its JSON schema is published as docs/medallion.schema.json."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Name = Annotated[str, Meta(min_length=1, max_length=255)]
Text = Annotated[str, Meta(max_length=2000)]
Scalar = str | int | float | bool
Ratio = Annotated[float, Meta(ge=0.0, le=1.0)]
Minutes = Annotated[int, Meta(ge=1, le=10_080)]
Action = Literal["drop", "warn", "fail"]
Format = Literal["parquet", "delta", "csv", "json", "kafka"]
Role = Literal["auto", "fact", "dimension", "none"]
Target = Literal["dev", "staging", "prod"]
TARGETS: tuple[Target, ...] = ("dev", "staging", "prod")
MAX_TABLES = 300  # three source files each; a pipeline takes 1,000 through a folder


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What all parts of a specification have in common: a field nobody knows is refused."""


class Column(Part, frozen=True):
    """A column of a source table."""

    name: Annotated[str, Meta(min_length=1, max_length=255, description="As in the source.")]
    type: Annotated[
        str,
        Meta(
            max_length=20,
            description="string, boolean, int, long, float, double, decimal(p,s), date, timestamp.",
        ),
    ] = "string"
    required: Annotated[bool, Meta(description="A row without it goes to quarantine.")] = False
    optional: Annotated[bool, Meta(description="The source may lack the whole column.")] = False
    cast: Annotated[
        Literal["try", "strict"],
        Meta(description="try: a wrong value goes to quarantine. strict: it stops the update."),
    ] = "try"
    format: Annotated[
        Annotated[str, Meta(max_length=60)] | None,
        Meta(description="Spark pattern of a date or timestamp, for example dd.MM.yyyy."),
    ] = None
    default: Annotated[Scalar | None, Meta(description="Stands where the source has null.")] = None
    unknown: Annotated[
        Scalar | None, Meta(description="The unknown member's value, in a dimension.")
    ] = None


class ForeignKey(Part, frozen=True):
    """Columns that name a row of another table by its key."""

    columns: Annotated[tuple[Name, ...], Meta(min_length=1, max_length=16)]
    references: Annotated[Name, Meta(description="Name of the other table.")]
    role: Annotated[
        Name | None, Meta(description="What the other row is to this one, for example billing.")
    ] = None


class Measure(Part, frozen=True):
    """A figure computed from two columns of the same row."""

    name: Name
    operation: Literal["add", "subtract", "multiply", "divide"]
    columns: tuple[Name, Name]
    type: Annotated[str, Meta(max_length=20)] = "double"
    otherwise: Annotated[
        float | None, Meta(description="Instead of null: a null operand, a division by zero.")
    ] = None


class Expectation(Part, frozen=True):
    """A rule that every row should keep. Exactly one kind of condition is given."""

    name: Name
    action: Action = "drop"
    column: Name | None = None
    not_null: bool = False
    min: Scalar | None = None
    max: Scalar | None = None
    one_of: Annotated[tuple[Scalar, ...], Meta(max_length=1000)] = ()
    matches: Annotated[Text | None, Meta(description="A Java regular expression.")] = None
    condition: Annotated[
        Text | None, Meta(description="A Spark SQL condition over the silver columns.")
    ] = None


class Table(Part, frozen=True):
    """A source table."""

    name: Annotated[str, Meta(min_length=1, max_length=255, description="Any script, any spaces.")]
    format: Format
    path: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=1000,
            description="Folder; for delta also catalog.schema.table; for kafka the topic.",
        ),
    ]
    columns: Annotated[tuple[Column, ...], Meta(min_length=1, max_length=1000)]
    alias: Annotated[Name | None, Meta(description="Name of the tables made from it.")] = None
    description: Text = ""
    external_location: Annotated[
        Name | None, Meta(description="Unity Catalog location that an abfss:// path lies in.")
    ] = None
    options: dict[Name, Scalar] = {}
    secrets: Annotated[
        dict[Name, str], Meta(description="Reader option to scope/key of a Databricks secret.")
    ] = {}
    key: Annotated[tuple[Name, ...], Meta(max_length=16)] = ()
    sequence_by: Annotated[
        Name | None, Meta(description="Of rows with one key the one with the greatest stays.")
    ] = None
    foreign_keys: Annotated[tuple[ForeignKey, ...], Meta(max_length=50)] = ()
    measures: Annotated[tuple[Name | Measure, ...], Meta(max_length=200)] = ()
    expectations: Annotated[tuple[Expectation, ...], Meta(max_length=200)] = ()
    role: Role = "auto"
    wrong_types: Annotated[
        Literal["quarantine", "null", "fail"], Meta(description="A value that does not cast.")
    ] = "quarantine"
    schema_evolution: Annotated[
        Literal["add_columns", "rescue", "fail"], Meta(description="A column nobody declared.")
    ] = "add_columns"
    cluster_by: Annotated[tuple[Name, ...], Meta(max_length=4)] = ()


class Schedule(Part, frozen=True):
    """When a job runs: daily at a time, or a Quartz expression."""

    daily_at: Annotated[str | None, Meta(description="HH:MM")] = None
    cron: Annotated[Name | None, Meta(description="Quartz, six or seven fields.")] = None
    timezone: Annotated[str, Meta(max_length=60)] = "UTC"


class TargetSettings(Part, frozen=True):
    """What differs in one target."""

    host: str | None = None
    profile: str | None = None
    catalog: Name | None = None
    schema: Name | None = None
    warehouse: str | None = None
    photon: bool | None = None
    development: bool | None = None
    run_as: Annotated[str | None, Meta(description="Application id of a service principal.")] = None


class Compute(Part, frozen=True):
    """Clusters, where the pipeline is not serverless."""

    node_type: Name = "Standard_D4ds_v5"
    min_workers: Annotated[int, Meta(ge=1, le=100)] = 1
    max_workers: Annotated[int, Meta(ge=1, le=100)] = 4
    spark_version: Annotated[Name, Meta(description="Of the job's own tasks.")] = "16.4.x-scala2.12"


class Collection(Part, frozen=True):
    """What brings the source data in, before the pipeline. At most one of the two."""

    notebook: Annotated[str | None, Meta(description="Workspace path of a notebook.")] = None
    job_id: Annotated[int, Meta(ge=1)] | None = None


class Timeouts(Part, frozen=True):
    """Minutes after which a task counts as failed."""

    collect: Minutes = 30
    pipeline: Minutes = 120
    checks: Minutes = 30


class Quality(Part, frozen=True):
    """Thresholds of the quality checks that follow the pipeline."""

    max_quarantined: Annotated[Ratio, Meta(description="Share of a table's rows.")] = 0.05
    max_orphaned: Annotated[Ratio, Meta(description="Share of a fact's rows, by key.")] = 0.05
    min_rows: Annotated[int, Meta(ge=0, description="In each silver table.")] = 0
    max_age_hours: (
        Annotated[float, Meta(gt=0, description="Since the last row came in.")] | None
    ) = None


class Permissions(Part, frozen=True):
    """Who gets what in Unity Catalog."""

    principal: Annotated[Name | None, Meta(description="Who runs the pipeline.")] = None
    readers: Annotated[tuple[Name, ...], Meta(max_length=50)] = ()


class DateDimension(Part, frozen=True):
    """First and last day of the date dimension."""

    first: Annotated[str, Meta(description="yyyy-mm-dd")] = "2010-01-01"
    last: Annotated[str, Meta(description="yyyy-mm-dd")] = "2039-12-31"


class TableSettings(Part, frozen=True):
    """Properties of every table."""

    auto_optimize: bool = True
    auto_compact: bool = True
    clustering: Annotated[
        Literal["keys", "auto", "none"], Meta(description="Liquid clustering.")
    ] = "keys"


class Specification(Part, frozen=True):
    """A medallion pipeline: what comes in, and how the star schema is to be."""

    name: Annotated[str, Meta(min_length=1, max_length=100, description="Name of the pipeline.")]
    catalog: Name
    tables: Annotated[tuple[Table, ...], Meta(min_length=1, max_length=MAX_TABLES)]
    schema: Name | None = None
    target: Annotated[
        Name | None, Meta(description="The older word for schema; give one of the two.")
    ] = None
    description: Text = ""
    profile: Name | None = None
    warehouse: Annotated[str | None, Meta(description="Id of a SQL warehouse.")] = None
    mode: Literal["triggered", "continuous"] = "triggered"
    schedule: Annotated[Schedule | None, Meta(description="Of the job; mode triggered.")] = None
    checks_schedule: Annotated[
        Schedule | None, Meta(description="Of the checks; mode continuous.")
    ] = None
    serverless: bool = True
    photon: bool = True
    compute: Compute | None = None
    collection: Collection | None = None
    timeouts: Timeouts = Timeouts()
    quality: Quality = Quality()
    permissions: Permissions = Permissions()
    notify: Annotated[
        tuple[Name, ...], Meta(max_length=50, description="E-mail addresses told of failures.")
    ] = ()
    webhooks: Annotated[
        tuple[Name, ...], Meta(max_length=3, description="Ids of notification destinations.")
    ] = ()
    tags: dict[Name, Text] = {}
    date_dimension: DateDimension = DateDimension()
    table_settings: TableSettings = TableSettings()
    targets: dict[Target, TargetSettings] = {}

    @property
    def home(self) -> str:
        """The schema that the tables go to, under either of its names."""
        return self.schema or self.target or ""
