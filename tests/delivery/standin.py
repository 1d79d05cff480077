"""What plain Spark lacks of Databricks, thinly: the `dlt` names, expectations, Auto Loader.

Everything else is real: Spark's own declarative pipelines resolve the graph, run the streams with
their checkpoints and write the tables.
"""

from __future__ import annotations

import csv
import json
import os
import re
import runpy
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import pytest
from pyspark import pipelines
from pyspark.pipelines.add_pipeline_analysis_context import add_pipeline_analysis_context
from pyspark.pipelines.graph_element_registry import graph_element_registration_context
from pyspark.pipelines.spark_connect_graph_element_registry import SparkConnectGraphElementRegistry
from pyspark.pipelines.spark_connect_pipeline import create_dataflow_graph, start_run
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - its usual name
from pyspark.sql.connect.streaming.readwriter import DataStreamReader

Query = Callable[[], DataFrame]
_HINT = re.compile(r"`((?:[^`]|``)+)` ([A-Z]+(?:\(\d+,\d+\))?)")
_KAFKA = (
    "CAST(NULL AS BINARY) AS key",
    "CAST(value AS BINARY) AS value",
    "'topic' AS topic",
    "0 AS partition",
    "CAST(get_json_object(value, '$.offset') AS BIGINT) AS offset",
    "_metadata.file_modification_time AS timestamp",
)


class Dlt(types.ModuleType):
    """The module that generated code imports as `dlt`."""

    def __init__(self) -> None:
        super().__init__("dlt")
        self.clustered: dict[str, list[str]] = {}
        self.properties: dict[str, dict[str, str]] = {}

    def table(
        self,
        *,
        name: str,
        comment: str,
        table_properties: dict[str, str],
        cluster_by: list[str] | None = None,
        cluster_by_auto: bool = False,
    ) -> Callable[[Query], None]:
        """A streaming table where the query reads a stream, else a materialised view."""
        assert not (cluster_by and cluster_by_auto)
        self.clustered[name] = cluster_by or []
        self.properties[name] = table_properties

        def register(query: Query) -> None:
            streams = "readStream" in _inner(query).__code__.co_names
            make = pipelines.table if streams else pipelines.materialized_view
            cast("Any", make)(name=name, comment=comment)(query)

        return register

    @staticmethod
    def view(*, name: str) -> Callable[[Query], None]:
        """A view that lives as long as the update."""
        return pipelines.temporary_view(name=name)

    @staticmethod
    def expect_all(_rules: Mapping[str, str]) -> Callable[[Query], Query]:
        """Counted on the platform; every row stays."""
        return lambda query: _wrapped(query, lambda rows: rows)

    @staticmethod
    def expect_all_or_drop(rules: Mapping[str, str]) -> Callable[[Query], Query]:
        """Rows that break a rule go."""
        kept = " AND ".join(f"({condition})" for condition in rules.values())
        return lambda query: _wrapped(query, lambda rows: rows.where(kept))

    @staticmethod
    def expect_all_or_fail(rules: Mapping[str, str]) -> Callable[[Query], Query]:
        """A row that breaks a rule stops the update."""

        def held(rows: DataFrame) -> DataFrame:
            for name, condition in rules.items():
                broken = F.raise_error(F.lit(f"EXPECTATION_VIOLATION: {name}"))
                rows = rows.where(F.when(F.expr(condition), True).otherwise(broken.cast("boolean")))
            return rows

        return lambda query: _wrapped(query, held)


def _wrapped(query: Query, change: Callable[[DataFrame], DataFrame]) -> Query:
    def changed() -> DataFrame:
        return change(query())

    changed.__wrapped__ = query  # type: ignore[attr-defined]
    changed.__name__ = query.__name__
    return changed


def _inner(query: Query) -> Any:
    while hasattr(query, "__wrapped__"):
        query = query.__wrapped__
    return query


class Workspace:
    """A Spark session that runs bundles, one schema each."""

    def __init__(self, spark: SparkSession, folder: Path) -> None:
        self.spark = spark
        self.folder = folder

    def update(self, bundle: Path, schema: str) -> Dlt:
        """One update of the bundle's pipeline; raises what Spark raises."""
        self.spark.sql(f"CREATE DATABASE IF NOT EXISTS {schema}")
        module = Dlt()
        graph = create_dataflow_graph(
            self.spark, default_catalog=None, default_database=schema, sql_conf={}
        )
        registry = SparkConnectGraphElementRegistry(self.spark, graph)
        with (
            self._standing_in(module),
            add_pipeline_analysis_context(
                spark=self.spark, dataflow_graph_id=graph, flow_name=None
            ),
            graph_element_registration_context(registry),
        ):
            for source in sorted((bundle / "src" / "pipeline").rglob("*.py")):
                runpy.run_path(str(source))
        events = start_run(
            self.spark,
            graph,
            full_refresh=[],
            full_refresh_all=False,
            refresh=[],
            dry=False,
            storage=(self.folder / "storage" / schema).as_uri(),
        )
        for _ in events:
            pass
        return module

    @contextmanager
    def _standing_in(self, module: Dlt) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(sys.modules, "dlt", module)
            patch.setattr(DataStreamReader, "load", self._load(DataStreamReader.load))
            yield

    def _load(self, real: Any) -> Any:
        workspace = self

        def load(reader: Any, path: str | None = None, **options: Any) -> Any:
            if reader._format == "cloudFiles":
                return workspace._cloud_files(reader._options, str(path))
            if reader._format == "kafka":
                topic = workspace.folder / "kafka" / reader._options["subscribe"]
                return workspace.spark.readStream.text(str(topic)).selectExpr(*_KAFKA)
            if reader._format == "delta":
                return _parquet(workspace.spark, str(path), "")
            return real(reader, path, **options)

        return load

    def _cloud_files(self, options: Mapping[str, str], path: str) -> Any:
        """Auto Loader: declared and found columns together, what does not fit is rescued."""
        kind, hints = options["cloudFiles.format"], options["cloudFiles.schemaHints"]
        assert options["rescuedDataColumn"] == "_rescued_data"
        assert options["cloudFiles.schemaEvolutionMode"] == "addNewColumns"
        if kind == "parquet":
            return _parquet(self.spark, path, f"{hints}, `_rescued_data` STRING")
        names = [name.replace("``", "`") for name, _ in _HINT.findall(hints)]
        folder = Path(path)
        if kind == "csv":
            folder = self.folder / "shadow" / quote(path, safe="")
            _csv_as_json(Path(path), folder, options.get("delimiter", ","))
        columns = dict.fromkeys((*names, *_keys_in(folder), "_rescued_data"))
        return (
            self.spark.readStream.format("json")
            .schema(", ".join(f"`{name.replace('`', '``')}` STRING" for name in columns))
            .option("columnNameOfCorruptRecord", "_rescued_data")
            .load(str(folder))
        )


def _parquet(spark: SparkSession, path: str, hints: str) -> DataFrame:
    from pyarrow import parquet
    from pyspark.sql.pandas.types import from_arrow_schema

    declared = {name.replace("``", "`"): kind for name, kind in _HINT.findall(hints)}
    for file in sorted(Path(path).glob("*.parquet")):
        for field in from_arrow_schema(parquet.read_schema(file)):
            declared.setdefault(field.name, field.dataType.simpleString())
    shape = ", ".join(f"`{name.replace('`', '``')}` {kind}" for name, kind in declared.items())
    return spark.readStream.schema(shape).parquet(path)


def _keys_in(folder: Path) -> list[str]:
    found: dict[str, None] = {}
    for file in sorted(folder.iterdir()):
        for line in file.read_text("utf-8").splitlines():
            try:
                found |= dict.fromkeys(json.loads(line))
            except ValueError:
                continue
    return list(found)


def _csv_as_json(source: Path, shadow: Path, delimiter: str) -> None:
    """Auto Loader reads each file by its own header; plain Spark reads all by one."""
    shadow.mkdir(parents=True, exist_ok=True)
    for file in sorted(source.iterdir()):
        with file.open(encoding="utf-8", newline="") as lines:
            rows = list(csv.DictReader(lines, delimiter=delimiter, restkey="_rescued_data"))
        for row in rows:
            if "_rescued_data" in row:
                row["_rescued_data"] = json.dumps(row["_rescued_data"])
        target = shadow / f"{file.stem}.json"
        if not target.exists():
            target.write_text("\n".join(json.dumps(row) for row in rows), "utf-8")
            os.utime(target, (file.stat().st_mtime, file.stat().st_mtime))
