"""What is checked for readiness: a pipeline with its jobs, rights and tables. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

import msgspec

from shared.monitoring.tables import Measured

Row = dict[str, Any]
Answer: TypeAlias = tuple[bool | None, str]


class Subject(msgspec.Struct, frozen=True):
    """What is checked: the pipeline's specification, the jobs over it, who may do what with it.

    `run_as` is the identity that it runs as. `acl` is None where it cannot be read. `drift` are the
    differences to what was delivered or accepted, None where nothing was. `tables` are those of its
    schema, as far as they are known. `job_acls` are the rights on its jobs by the jobs' names, of
    those that can be read.
    """

    spec: Row
    jobs: tuple[Row, ...] = ()
    run_as: str = ""
    acl: tuple[Row, ...] | None = None
    drift: tuple[str, ...] | None = None
    tables: tuple[tuple[str, Measured], ...] = ()
    pipeline_id: str = ""
    job_acls: tuple[tuple[str, tuple[Row, ...]], ...] = ()

    @property
    def clusters(self) -> list[Row]:
        """The specifications of its clusters."""
        return list(self.spec.get("clusters") or [])

    @property
    def serverless(self) -> bool:
        """Whether it has no clusters of its own."""
        return bool(self.spec.get("serverless"))


# What is not a setting of a job, and is put beside its settings: the name or id that it runs as by
# default, and the settings of the jobs that start it.
RUNS_AS, STARTED_BY = "run_as_user_name", "started_by"


def each_task(job: Row) -> Iterator[Row]:
    """The tasks of a job, and those that its loops repeat."""
    for task in job.get("tasks") or []:
        yield task
        repeated = (task.get("for_each_task") or {}).get("task")
        if repeated:
            yield repeated


def job_name(job: Row) -> str:
    """What a job is called."""
    return str(job.get("name") or "a job")
