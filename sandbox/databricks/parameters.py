"""Parameters of runs: the job's defaults, what run-now and repair give, what the tasks see."""

import json

from sandbox.databricks.errors import invalid_parameter
from sandbox.databricks.run_models import JobRun
from sandbox.wire import Json

LEGACY = (
    "dbt_commands",
    "jar_params",
    "notebook_params",
    "pipeline_params",
    "python_named_params",
    "python_params",
    "spark_submit_params",
    "sql_params",
)
MAX_BYTES = 10_000


def check_parameters(body: Json) -> None:
    """Refuse what 'cannot be specified in conjunction', and what 'cannot exceed 10,000 bytes'."""
    if body.get("notebook_params") and body.get("jar_params"):
        raise invalid_parameter(
            "notebook_params cannot be specified in conjunction with jar_params."
        )
    for name in ("notebook_params", "jar_params", "python_params", "spark_submit_params"):
        if len(json.dumps({name: body.get(name)}, separators=(",", ":"))) > MAX_BYTES:
            raise invalid_parameter(f"The JSON of {name} cannot exceed {MAX_BYTES} bytes.")


def take_parameters(run: JobRun, body: Json) -> None:
    """Record what run-now or a repair gives; what it does not give stays as it was."""
    run.parameters = {**run.parameters, **(body.get("job_parameters") or {})}
    given = {name: body[name] for name in LEGACY if body.get(name)}
    run.overriding = {**run.overriding, **given}


def job_parameters(run: JobRun) -> list[Json]:
    """Write the parameters of a run: the job's, and those only the run has."""
    defaults = default_parameters(run)
    names = list(dict.fromkeys([*defaults, *run.parameters]))
    return [written(name, defaults, run.parameters) for name in names]


def written(name: str, defaults: Json, given: Json) -> Json:
    """Write one parameter; 'default' is there if the job defines it."""
    default: Json = {"default": defaults[name]} if name in defaults else {}
    return {"name": name, **default, "value": given.get(name, defaults.get(name))}


def default_parameters(run: JobRun) -> Json:
    """Return what the job's settings say."""
    return {x["name"]: x.get("default") for x in run.settings.get("parameters", [])}


def parameter_value(run: JobRun, task_spec: Json, name: str) -> object:
    """Return what a task sees under a name: job parameters go before the task's own."""
    own = (task_spec.get("notebook_task") or {}).get("base_parameters") or {}
    notebook = run.overriding.get("notebook_params") or {}
    return {**own, **notebook, **default_parameters(run), **run.parameters}.get(name)
