"""Conditions of scripted outcomes: what has to be so for a task to succeed after all."""

from collections.abc import Callable
from dataclasses import dataclass

from sandbox.databricks.models import desired_workers
from sandbox.databricks.parameters import parameter_value
from sandbox.databricks.run_models import JobRun, TaskRun
from sandbox.outcomes import at_most
from sandbox.wire import Json

TableTest = Callable[[str], bool]


@dataclass(frozen=True)
class Circumstances:
    """What a task finds: its run, its compute, the names of its libraries, the tables."""

    run: JobRun
    task: TaskRun
    spec: Json
    libraries: set[str]
    table_exists: TableTest


def condition_met(condition: Json, found: Circumstances) -> bool:
    """Say whether the circumstances are what the scripted outcome asks for."""
    table = condition.get("table_exists")
    checks = [
        desired_workers(found.spec) >= condition.get("min_workers", 0),
        condition.get("node_type") in {None, found.spec.get("node_type_id")},
        condition.get("library_not") not in found.libraries,
        condition.get("library") is None or condition["library"] in found.libraries,
        long_enough(found, condition.get("min_timeout_seconds")),
        small_enough(found, condition.get("parameter_max")),
        table is None or found.table_exists(table),
    ]
    return all(checks)


def long_enough(found: Circumstances, wanted: float | None) -> bool:
    """Say whether the time-outs of task and run allow for that long; 0 or none is no limit."""
    limits = (x.get("timeout_seconds") for x in (found.task.spec, found.run.settings))
    return wanted is None or all(limit >= wanted for limit in limits if limit)


def small_enough(found: Circumstances, wanted: Json | None) -> bool:
    """Say whether a parameter is there and at most so much."""
    if wanted is None:
        return True
    return at_most(parameter_value(found.run, found.task.spec, wanted["name"]), wanted["value"])
