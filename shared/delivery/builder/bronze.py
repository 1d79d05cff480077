"""Bronze: each source as it comes, by its own reader, with who, when and whence."""

from __future__ import annotations

from typing import Any

from shared.delivery.builder.literals import identifier, sql_text
from shared.delivery.builder.plan import TablePlan

_EVOLUTION = {"add_columns": "addNewColumns", "rescue": "rescue", "fail": "failOnNewColumns"}
_CLOUD_FILES = frozenset({"csv", "json", "parquet"})
_FROM_FILES = (
    "*",
    "_metadata.file_path AS _source_file",
    "_metadata.file_modification_time AS _source_modified_at",
    "current_timestamp() AS _ingested_at",
)
# A message's own time orders messages of one key; topic, partition and offset say which it was.
_FROM_KAFKA = (
    "concat_ws('/', topic, partition, offset) AS _source_file",
    "timestamp AS _source_modified_at",
    "current_timestamp() AS _ingested_at",
    "offset AS _offset",
    "CAST(value AS STRING) AS _message",
)

_AUDIT = ("_source_file", "_source_modified_at", "_ingested_at", "_offset", "_message")


def context(table: TablePlan) -> dict[str, Any]:
    """What the template of a bronze file needs."""
    source = table.table
    name = source.path if source.format == "delta" and "/" not in source.path else ""
    return {
        "reader": "kafka" if source.format == "kafka" else "delta" if name else "files",
        "format": "cloudFiles" if source.format in _CLOUD_FILES else source.format,
        "options": _options(table),
        "secrets": {k: v.split("/") for k, v in sorted(source.secrets.items())},
        "location": ".".join(identifier(part) for part in name.split(".")) if name else source.path,
        "columns": _columns(table, name),
        "parsed": [_from_json(table), *_AUDIT],
        "audit": list(_AUDIT),
    }


def _options(table: TablePlan) -> dict[str, str]:
    source = table.table
    own = {name: _text(value) for name, value in sorted(source.options.items())}
    if source.format == "kafka":
        return {"subscribe": source.path, "startingOffsets": "earliest"} | own
    if source.format not in _CLOUD_FILES:
        return own
    made = {
        "cloudFiles.format": source.format,
        "cloudFiles.inferColumnTypes": "true" if source.format == "parquet" else "false",
        "cloudFiles.schemaEvolutionMode": _EVOLUTION[source.schema_evolution],
        "cloudFiles.schemaHints": _hints(table),
        "rescuedDataColumn": "_rescued_data",
    }
    if source.format == "csv":
        made |= {"header": "true"}
    return made | own


def _hints(table: TablePlan) -> str:
    """Declared columns are there even before a file brings them. Text formats stay text."""
    typed = table.table.format == "parquet"
    return ", ".join(
        f"{field.source} {field.kind.sql if typed else 'STRING'}" for field in table.fields
    )


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _columns(table: TablePlan, name: str) -> list[str]:
    if table.table.format == "kafka":
        return list(_FROM_KAFKA)
    if name:
        return [
            "*",
            f"{sql_text(name)} AS _source_file",
            "CAST(NULL AS TIMESTAMP) AS _source_modified_at",
            "current_timestamp() AS _ingested_at",
        ]
    return list(_FROM_FILES)


def _from_json(table: TablePlan) -> str:
    """The message's fields as text; a message that is no JSON is kept as rescued data."""
    fields = ", ".join(f"{field.source} STRING" for field in table.fields)
    shape = sql_text(f"{fields}, `_rescued_data` STRING")
    modes = "map('mode', 'PERMISSIVE', 'columnNameOfCorruptRecord', '_rescued_data')"
    return f"from_json(_message, {shape}, {modes}) AS _value"
