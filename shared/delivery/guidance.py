"""What a person does about a failed delivery, step by step, in the words of pipelines. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec

DATA, RESOURCE, NETWORK, CONFIGURATION = "data quality", "resource", "network", "configuration"
AGAIN = "Deliver again."


class Advice(msgspec.Struct, frozen=True):
    """The category of a failure, and the steps that repair it."""

    category: str
    steps: tuple[str, ...]


_FILE = re.compile(r"(?:abfss?|wasbs?|s3a?|gs|dbfs|file):/[^\s'\"\]),]+|/Volumes/[^\s'\"\]),]+")
_OBJECT = re.compile(r"`[^`]+`(?:\.`[^`]+`)*")
_ELSEWHERE = re.compile(
    r"\bactivity\b|linked service|data-factory|integration runtime|runtime|mapping|sink\b"
    r"|^Rerun|^Repair|failed activity|`tables`|`upstreams`",
    re.IGNORECASE,
)
# A pipeline is delivered again; runs are repaired and activities rerun elsewhere.
_RERUN = re.compile(r",? (?:then|and) (?:rerun|repair the run)\b[^.]*\.$")

_MESSAGES: tuple[tuple[re.Pattern[str], Advice], ...] = tuple(
    (re.compile(pattern), Advice(category, steps))
    for pattern, category, steps in (
        (
            (
                r"TABLE_OR_VIEW_NOT_FOUND|DELTA_(?:TABLE_NOT_FOUND|MISSING_DELTA_TABLE)"
                r"|[Tt]able or view not found"
            ),
            CONFIGURATION,
            (
                (
                    "Look whether {object} is there: SHOW TABLES in its schema. A name without "
                    "catalog and schema is looked for in the pipeline's own."
                ),
                (
                    "If another pipeline or job makes it, let that one run first, or put it "
                    "into the job before this pipeline; if it is misspelt, correct the "
                    "source's path."
                ),
                (
                    "If it is there, grant SELECT on it, and USE of its catalog and schema, to the "
                    "identity that the pipeline runs as."
                ),
            ),
        ),
        (
            r"SCHEMA_NOT_FOUND|NO_SUCH_(?:CATALOG|SCHEMA)",
            CONFIGURATION,
            (
                "Create the schema that is named, or correct catalog and schema of this target.",
                "Grant USE SCHEMA and CREATE TABLE on it to the pipeline's identity.",
            ),
        ),
        (
            r"PARSE_SYNTAX_ERROR|ParseException",
            CONFIGURATION,
            (
                (
                    "The statement does not parse: the message names the position, and the flow "
                    "names the table whose source or expectation holds it."
                ),
                (
                    "Look there for a bracket or quote that is not closed, a reserved word as a "
                    "name without backticks, or a function of another dialect."
                ),
                "Try the corrected expression with SELECT in a SQL editor.",
            ),
        ),
        (
            r"DIVIDE_BY_ZERO|[Dd]ivision by zero",
            DATA,
            (
                "Find the division in the named flow: in an expectation or in the table's query.",
                "Guard its divisor: a / nullif(b, 0), or try_divide(a, b), which give null there.",
                "Decide what null means for the rule: an expectation that is null does not fail.",
            ),
        ),
        (
            (
                r"FAILED_READ_FILE|CANNOT_READ_FILE|[Cc]orrupt|is not a Parquet file"
                r"|[Cc]ould not read footer|MALFORMED_RECORD|BAD_RECORD|[Mm]alformed"
            ),
            DATA,
            (
                "Look at {file}: it cannot be read as what the source is declared to be.",
                (
                    "Get it again from whoever wrote it. Move the broken one out of the source's "
                    "folder and keep it; nothing here deletes it."
                ),
                "If many are broken, look whether the source's format or options have changed.",
            ),
        ),
        (
            r"CAST_INVALID_INPUT|CANNOT_PARSE_TIMESTAMP|CAST_OVERFLOW|cannot be cast",
            DATA,
            (
                "Find the column of the named flow whose values do not fit its type.",
                (
                    "Correct them at the source, or declare the column with cast: try and "
                    "wrong_types: quarantine, so that they are set aside."
                ),
            ),
        ),
        (
            r"UNRESOLVED_COLUMN|UNKNOWN_FIELD|DELTA_(?:SCHEMA|FAILED_TO_MERGE)|SchemaMismatch",
            DATA,
            (
                "Compare the source's columns with the declared ones and decide which are right.",
                "Declare the new column, make the missing one optional, or correct the source.",
            ),
        ),
        (
            r"PERMISSION_DENIED|INSUFFICIENT_PERMISSIONS|does not have (?:permission|privilege)",
            CONFIGURATION,
            (
                "Find the object and the missing right in the root cause.",
                (
                    "Let its owner grant it to the identity that the pipeline runs as; nothing "
                    "here grants rights."
                ),
            ),
        ),
        (
            (
                r"\b(?:Name|Type|Attribute|Key|Import|Index|ModuleNotFound|Indentation|Syntax)"
                r"Error\b|PYTHON"
            ),
            CONFIGURATION,
            (
                "The pipeline's Python failed: correct the line that is named.",
                (
                    "A module that is missing goes into the pipeline's environment; a name that is "
                    "missing was renamed or never defined."
                ),
                "Run the file's checks locally, then validate: an update with validate_only.",
            ),
        ),
    )
)

_CHECKS: dict[str, tuple[str, ...]] = {
    "authentication": (
        (
            "Look at the workspace's entry in TARGETS: its address, and the identity or the "
            "setting that holds its token."
        ),
        "Let an administrator add that identity to the workspace, or renew the token.",
    ),
    "catalog": (
        "Correct the catalog of this target, or let an owner create it.",
        "Grant USE CATALOG on it to the identity that delivers.",
    ),
    "schema": (
        "Create the schema (CREATE SCHEMA catalog.schema), or correct the schema of this target.",
        "Grant USE SCHEMA and CREATE TABLE on it to the identity that delivers.",
    ),
    "governance": (
        (
            "Let the schema's owner create it, or grant USE SCHEMA on it to the identity that "
            "delivers."
        ),
    ),
    "SQL warehouse": (
        (
            "Name a warehouse of this workspace (quality.warehouse, or the specification's "
            "warehouse), and grant CAN USE on it to the identity that delivers."
        ),
    ),
    "pipeline name": (
        (
            "Give the pipeline another name, or rename or remove the one that has it: what was not "
            "delivered from here is not written over."
        ),
        "To deliver that very pipeline as it stands, name it by pipeline_id.",
    ),
    "job name": (
        (
            "Rename the job that has this name, or give the bundle's job another one: what was not "
            "delivered from here is not written over."
        ),
    ),
    "bundle structure": (
        (
            "Give the pipeline at least one source: a file, notebook or glob in its libraries "
            "that the bundle holds."
        ),
    ),
    "required parameters": ("Set what is missing in the pipeline's settings of this target.",),
    "variables": (
        "Resolve the bundle for this target first: databricks bundle validate --output json.",
    ),
    "Python compiles": ("Correct the file and line that are named: it is no valid Python.",),
    "pipeline import": (
        (
            "Import dlt or pyspark.pipelines in each named file, or take files that declare no "
            "table out of the pipeline's libraries."
        ),
    ),
    "environments": (
        "Give each target its own catalog or schema, and the same mode, edition and tables.",
    ),
    "check tasks": ("Name tasks that a job of the bundle has (check_tasks), or leave them out.",),
    "pipeline": (
        (
            "Look whether the pipeline is there, in this workspace, under this id, and is what was "
            "asked for; the identity that delivers needs CAN MANAGE on it."
        ),
    ),
    "job": (
        "Read the job's settings: somebody else changes it, or the platform did not take them.",
    ),
}
_GENERAL: dict[str, tuple[str, ...]] = {
    DATA: (
        "Find the table and the rows in the root cause and in the pipeline's event log.",
        "Correct them at the source, or let the specification set them aside.",
    ),
    RESOURCE: (
        "Look at the update's compute in its event log: start, size, memory, quota.",
        "Give it more workers or larger nodes (compute), or make it serverless.",
    ),
    NETWORK: (
        (
            "Look whether the workspace and the sources answer from where the pipeline runs: "
            "status page, firewall, DNS, private endpoints."
        ),
    ),
    CONFIGURATION: (
        (
            "Read the root cause and the pipeline's event log, and correct the setting or the "
            "source that is named."
        ),
    ),
}
LATE = (
    (
        "Look at the last update's progress: which flows had not ended, and what they waited for "
        "(start of compute, a large first load, a slow source)."
    ),
    "If it only needs longer, give it more time (timeout_minutes, deploy_timeout_minutes).",
    "If it is slow, give it more workers or make it serverless; load the history in parts.",
)
STOPPED = (
    "Find out who stopped the update, and why: the workspace's audit log names them.",
    "Nothing is broken by it.",
)
BACK = (
    "Compare the pipeline's settings with the previous version in the record (stages).",
    "Decide which are right, and set them by hand or deliver the version that is wanted.",
)


def for_error(message: str, category: str, general: Iterable[str] = ()) -> Advice:
    """Advice about what the platform said.

    Args:
        message: the root cause.
        category: what the diagnosis takes it for.
        general: the catalog's guidance for its type; what is about other services is left out.
    """
    for pattern, advice in _MESSAGES:
        if pattern.search(message):
            steps = tuple(_filled(step, message) for step in advice.steps)
            return Advice(advice.category, (*steps, AGAIN))
    kept = tuple(_RERUN.sub(".", step) for step in general if not _ELSEWHERE.search(step))
    steps = kept or _GENERAL.get(category, _GENERAL[CONFIGURATION])
    return Advice(category, (*steps, AGAIN))


def for_check(name: str) -> list[str]:
    """Steps for a check of L1 or L2 that failed."""
    return [*_CHECKS.get(name, _GENERAL[CONFIGURATION]), AGAIN]


def _filled(step: str, message: str) -> str:
    file, known = _FILE.search(message), _OBJECT.search(message)
    named = file[0].rstrip(".;") if file else "the file that the root cause names"
    told = known[0].replace("`", "") if known else "the table that the root cause names"
    return step.replace("{file}", named).replace("{object}", told)
