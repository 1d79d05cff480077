"""jobs/run-now and jobs/runs/* over HTTP."""

from sandbox.databricks.access import Access
from sandbox.databricks.errors import invalid_parameter
from sandbox.databricks.jobs import check_settings
from sandbox.databricks.jobs_api import JobsApi, paged_arrays
from sandbox.databricks.requests import need, need_query, number, number_of, page_state
from sandbox.databricks.run_models import JobRun, TaskRun
from sandbox.databricks.run_views import (
    output_view,
    repair_view,
    run_view,
    single_task_view,
    task_view,
)
from sandbox.databricks.runs import Runs, repair_keys
from sandbox.ids import Ids
from sandbox.wire import Call, Json, Route, encode_token, route

MAX_RUNS = 25
MAX_TOKEN = 64
BIG = 100


class RunsApi:
    """Answers for runs."""

    def __init__(self, runs: Runs, jobs: JobsApi, access: Access, ids: Ids) -> None:
        self._runs = runs
        self._jobs = jobs
        self._access = access
        self._ids = ids

    def routes(self) -> list[Route]:
        """Return what is served here."""
        base = r"/api/2\.[12]/jobs"
        return [
            route("POST", f"{base}/run-now", self._run_now),
            route("POST", f"{base}/runs/submit", self._submit),
            route("GET", f"{base}/runs/get", self._get),
            route("GET", f"{base}/runs/list", self._list),
            route("GET", f"{base}/runs/get-output", self._get_output),
            route("POST", f"{base}/runs/cancel", self._cancel),
            route("POST", f"{base}/runs/repair", self._repair),
        ]

    def _run(self, run_id: str | int) -> tuple[JobRun, TaskRun | None]:
        """Find a run by its own id or by that of one of its tasks."""
        wanted = number(run_id, "run_id")
        found = self._runs.find_task(wanted)
        run, task = found or (self._runs.get(wanted), None)
        self._access.check("job", run.job_id)
        return run, task

    def _run_now(self, call: Call) -> Json:
        job = self._jobs.named(need(call.body, "job_id"))
        known = self._known(call.body)
        run = known or self._runs.run_now(job, call.body)
        self._remember(call.body, run)
        return {"run_id": run.run_id, "number_in_job": run.run_id}

    def _submit(self, call: Call) -> Json:
        known = self._known(call.body)
        if known is None:
            check_settings(call.body)
            name = call.body.get("run_name", "Untitled")
            known = self._runs.new_run(call.body, self._ids.number(), "SUBMIT_RUN", name=name)
            self._runs.launch(known)
        self._remember(call.body, known)
        return {"run_id": known.run_id}

    def _known(self, body: Json) -> JobRun | None:
        """Return the run an idempotency token already started."""
        token = body.get("idempotency_token") or ""
        if len(token) > MAX_TOKEN:
            raise invalid_parameter(f"idempotency_token must have at most {MAX_TOKEN} characters")
        return self._runs.get(self._runs.tokens[token]) if token in self._runs.tokens else None

    def _remember(self, body: Json, run: JobRun) -> None:
        token = body.get("idempotency_token")
        if token:
            self._runs.tokens[token] = run.run_id

    def _get(self, call: Call) -> Json:
        run, task = self._run(need_query(call, "run_id"))
        if task is not None:
            return single_task_view(run, task)
        view = {**run_view(run), "tasks": [task_view(run, entry) for entry in run.tasks]}
        if call.flag("include_history"):
            view["repair_history"] = [repair_view(entry) for entry in run.passes]
        offset = page_state(call.text("page_token")).get("offset", 0)
        return paged_arrays(view, None, offset)

    def _list(self, call: Call) -> Json:
        if call.flag("active_only") and call.flag("completed_only"):
            raise invalid_parameter("active_only and completed_only cannot both be true")
        limit = number_of(call, "limit", 20) or MAX_RUNS
        if not 0 < limit <= MAX_RUNS:
            raise invalid_parameter(f"Limit {limit} is out of bounds: 1 to {MAX_RUNS}")
        offset = page_state(call.text("page_token")).get("offset", 0)
        runs = [run for run in reversed(self._runs.all.values()) if listed(run, call)]
        runs.sort(key=lambda run: run.start_time, reverse=True)
        shown = [r for r in runs if not self._access.denies("job", str(r.job_id))]
        page = shown[offset : offset + limit]
        answer: Json = {"runs": [list_view(run, expand=call.flag("expand_tasks")) for run in page]}
        answer["has_more"] = offset + limit < len(shown)
        if answer["has_more"]:
            answer["next_page_token"] = encode_token({"offset": offset + limit})
        return answer

    def _get_output(self, call: Call) -> Json:
        run, task = self._run(need_query(call, "run_id"))
        if task is None:
            raise invalid_parameter(
                "Retrieving the output of runs with multiple tasks is not supported. "
                "Please retrieve the output of each individual task run instead."
            )
        return output_view(run, task)

    def _cancel(self, call: Call) -> Json:
        run, task = self._run(need(call.body, "run_id"))
        if task is not None:
            self._runs.cancel_task(run, task)
        else:
            self._runs.cancel(run)
        return {}

    def _repair(self, call: Call) -> Json:
        run_id = number(need(call.body, "run_id"), "run_id")
        run = self._runs.get(run_id)
        self._access.check("job", run.job_id)
        keys = repair_keys(run, call.body)
        return {"repair_id": self._runs.repair(run, keys, call.body)}


def listed(run: JobRun, call: Call) -> bool:
    """Apply the filters of jobs/runs/list."""
    job_id, run_type = call.text("job_id"), call.text("run_type")
    since = number_of(call, "start_time_from", 0)
    until = number_of(call, "start_time_to", run.start_time)
    return (
        (job_id is None or run.job_id == number(job_id, "job_id"))
        and (run_type is None or run.run_type == run_type)
        and since <= run.start_time <= until
        and not (call.flag("active_only") and not run.active())
        and not (call.flag("completed_only") and run.active())
    )


def list_view(run: JobRun, *, expand: bool) -> Json:
    """Write a run for a listing: tasks and clusters only when they are asked for."""
    view = run_view(run)
    if not expand:
        view.pop("job_clusters", None)
        return view
    tasks = [task_view(run, task) for task in run.tasks]
    return {**view, "tasks": tasks[:BIG], "has_more": len(tasks) > BIG}
