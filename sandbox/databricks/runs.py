"""Runs of jobs: started, cancelled, repaired, and advanced task by task."""

from sandbox.clock import Timeline
from sandbox.databricks.errors import invalid_parameter, invalid_state
from sandbox.databricks.jobs import Job, Jobs
from sandbox.databricks.models import Durations
from sandbox.databricks.parameters import check_parameters, take_parameters
from sandbox.databricks.run_models import CANCELED, TIMED_OUT, Ending, JobRun, Repair, TaskRun
from sandbox.databricks.run_rules import blocked_by, refused_by_upstream, run_ending
from sandbox.databricks.task_engine import TaskEngine
from sandbox.ids import Ids
from sandbox.wire import Json

MIN_RETRY_SECONDS = 1.0
SKIPPED = Ending(
    "MAXIMUM_CONCURRENT_RUNS_REACHED",
    "MAX_CONCURRENT_RUNS_EXCEEDED",
    "CLIENT_ERROR",
    "Run skipped because the limit of maximum concurrent runs has been reached.",
    life="SKIPPED",
)


class Runs:
    """All runs of the workspace."""

    def __init__(
        self, jobs: Jobs, engine: TaskEngine, timeline: Timeline, ids: Ids, durations: Durations
    ) -> None:
        self.all: dict[int, JobRun] = {}
        self.tokens: dict[str, int] = {}
        self._jobs = jobs
        self._engine = engine
        self._timeline = timeline
        self._ids = ids
        self._durations = durations
        engine.finished = self._task_finished

    def get(self, run_id: int) -> JobRun:
        """Return a job's run or refuse; the SDK maps this text to ResourceDoesNotExist."""
        run = self.all.get(run_id)
        if run is None:
            raise invalid_parameter(f"Run {run_id} does not exist.")
        return run

    def find_task(self, run_id: int) -> tuple[JobRun, TaskRun] | None:
        """Return the task's run of that id, with the run it belongs to."""
        pairs = ((run, task) for run in self.all.values() for task in run.tasks)
        return next((pair for pair in pairs if pair[1].run_id == run_id), None)

    def launch(self, run: JobRun) -> JobRun:
        """Start a run that was put together."""
        self.all[run.run_id] = run
        self._timeline.mark()
        run.tasks = [self._new_task(spec, 0) for spec in chosen_tasks(run)]
        run.passes = [Repair(None, run.start_time, [task.run_id for task in run.tasks])]
        self._watch_timeout(run)
        self._advance(run)
        return run

    def new_run(self, settings: Json, job_id: int, run_type: str, **options: object) -> JobRun:
        """Put a run together without starting it."""
        name = str(options.pop("name", None) or settings.get("name", "Untitled"))
        number = options.pop("run_id", None)
        run_id = number if isinstance(number, int) else self._ids.number()
        run = JobRun(run_id, job_id, name, run_type, settings, self._timeline.now_ms())
        for field, value in options.items():
            setattr(run, field, value)
        return run

    def run_now(self, job: Job, body: Json) -> JobRun:
        """Run a job, unless its limit of concurrent runs (1 by default) is reached."""
        check_parameters(body)
        check_only(job, body.get("only"))
        run = self.new_run(job.settings, job.job_id, "JOB_RUN")
        take_parameters(run, body)
        run.only = body.get("only")
        if not self._crowded(job):
            return self.launch(run)
        self.all[run.run_id] = run
        if job.settings.get("queue", {}).get("enabled"):
            run.state = "QUEUED"
        else:
            self._close(run, SKIPPED)
        self._timeline.mark()
        return run

    def cancel(self, run: JobRun) -> None:
        """Cancel; the run goes on for a moment. A finished run stays as it is."""
        if not run.active() or run.state == "TERMINATING":
            return
        run.state = "TERMINATING"
        self._timeline.mark()
        self._timeline.after(self._durations.cancel, lambda: self._abort(run, CANCELED))

    def cancel_task(self, run: JobRun, task: TaskRun) -> None:
        """Cancel one task of a run."""
        if not task.done():
            self._end_task(task, CANCELED)
            self._advance(run)

    def repair(self, run: JobRun, keys: list[str], body: Json) -> int:
        """Run tasks again under the same run id, with the job's current settings."""
        check_parameters(body)
        run.settings = self._jobs.get(run.job_id).settings
        specs = {spec["task_key"]: spec for spec in run.settings.get("tasks", [])}
        missing = [key for key in keys if key not in specs]
        if missing:
            raise invalid_parameter(f"Task {missing[0]} no longer exists in the job's settings.")
        take_parameters(run, body)
        latest = run.latest()
        fresh = [self._new_task(specs[k], latest[k].attempt + 1) for k in keys]
        run.tasks.extend(fresh)
        repair_id = self._ids.number()
        ids = [task.run_id for task in fresh]
        run.passes.append(Repair(repair_id, self._timeline.now_ms(), ids))
        run.state, run.ending, run.end_time, run.clusters = "RUNNING", None, 0, {}
        self._watch_timeout(run)
        self._advance(run)
        return repair_id

    def finish(self, run: JobRun, endings: dict[str, Ending]) -> None:
        """Add a run that is already over; only control does this."""
        self.all[run.run_id] = run
        run.tasks = [self._new_task(spec, 0) for spec in chosen_tasks(run)]
        run.passes = [Repair(None, run.start_time, [task.run_id for task in run.tasks])]
        for task in run.tasks:
            task.start_time = run.start_time
            task.cluster_id = task.spec.get("existing_cluster_id")
            self._end_task(task, endings[task.task_key])
        self._advance(run)

    def end(self, run: JobRun, ending: Ending) -> None:
        """End the tasks that run now; only control does this."""
        for task in [t for t in run.latest().values() if t.state == "RUNNING" and not t.done()]:
            self._task_finished(run, task, ending)

    def _new_task(self, spec: Json, attempt: int) -> TaskRun:
        return TaskRun(self._ids.number(), spec["task_key"], spec, attempt)

    def _take_outcome(self, run: JobRun, task: TaskRun) -> Json:
        if run.outcome is not None and task.attempt == 0:
            wanted = run.outcome.get("task_key", run.tasks[0].task_key)
            return run.outcome if wanted == task.task_key else {}
        job = self._jobs.all.get(run.job_id)
        return job.script(task.task_key).next() if job else {}

    def _advance(self, run: JobRun) -> None:
        """Start what may start; close the run when nothing is left."""
        while run.active() and self._step(run):
            pass
        if run.active() and all(task.done() for task in run.latest().values()):
            self._close(run, run_ending(run))

    def _step(self, run: JobRun) -> bool:
        latest = run.latest()
        ready = [t for t in latest.values() if t.state == "BLOCKED" and not blocked_by(t, latest)]
        for task in ready:
            self._start_task(run, task, refused_by_upstream(task, latest))
        return bool(ready)

    def _start_task(self, run: JobRun, task: TaskRun, refused: Ending | None) -> None:
        if refused is not None or task.spec.get("disabled"):
            self._end_task(task, refused or Ending("DISABLED", "DISABLED", "SUCCESS"))
            return
        task.outcome = self._take_outcome(run, task)
        self._engine.begin(run, task)

    def _task_finished(self, run: JobRun, task: TaskRun, ending: Ending) -> None:
        self._end_task(task, ending)
        if task.failed() and self._may_retry(run, task, ending):
            self._retry(run, task)
        self._advance(run)

    def _may_retry(self, run: JobRun, task: TaskRun, ending: Ending) -> bool:
        limit = int(task.spec.get("max_retries", 0))
        allowed = ending.result != "TIMEDOUT" or bool(task.spec.get("retry_on_timeout"))
        return run.active() and allowed and (limit < 0 or task.retries_used < limit)

    def _retry(self, run: JobRun, task: TaskRun) -> None:
        fresh = self._new_task(task.spec, task.attempt + 1)
        fresh.retries_used = task.retries_used + 1
        fresh.state = "WAITING"
        run.tasks.append(fresh)
        run.passes[-1].task_run_ids.append(fresh.run_id)
        wait = max(task.spec.get("min_retry_interval_millis", 0) / 1000, MIN_RETRY_SECONDS)
        self._timeline.after(wait, lambda: self._wake(run, fresh))

    def _wake(self, run: JobRun, task: TaskRun) -> None:
        if task.state == "WAITING":
            task.state = "BLOCKED"
            self._advance(run)

    def _end_task(self, task: TaskRun, ending: Ending) -> None:
        task.ending = ending
        task.state = "TERMINATED"
        task.end_time = self._timeline.now_ms()
        task.start_time = task.start_time or task.end_time
        self._timeline.mark()
        self._engine.release(task)

    def _abort(self, run: JobRun, ending: Ending) -> None:
        if not run.active():
            return
        for task in run.latest().values():
            if not task.done():
                self._engine.stop_update(task)
                self._end_task(task, ending)
        self._close(run, ending)

    def _close(self, run: JobRun, ending: Ending) -> None:
        run.state, run.ending, run.end_time = "TERMINATED", ending, self._timeline.now_ms()
        if run.passes:
            run.passes[-1].ending, run.passes[-1].end_time = ending, run.end_time
        for cluster_id in run.clusters.values():
            self._engine.drop_cluster(cluster_id)
        self._timeline.mark()
        self._next_in_queue(run.job_id)

    def _next_in_queue(self, job_id: int) -> None:
        queued = (r for r in self.all.values() if r.job_id == job_id and r.state == "QUEUED")
        following = next(queued, None)
        if following is not None:
            following.state = "RUNNING"
            self.launch(following)

    def _watch_timeout(self, run: JobRun) -> None:
        limit = run.settings.get("timeout_seconds") or 0
        pass_number = len(run.passes)

        def carry_out() -> None:
            if len(run.passes) == pass_number:
                self._abort(run, TIMED_OUT)

        if limit:
            self._timeline.after(limit, carry_out)

    def _crowded(self, job: Job) -> bool:
        limit = int(job.settings.get("max_concurrent_runs", 1))
        active = [r for r in self.all.values() if r.job_id == job.job_id and r.active()]
        return len(active) >= limit


def chosen_tasks(run: JobRun) -> list[Json]:
    """Return the tasks to run: all of the job's, or those asked for."""
    tasks: list[Json] = run.settings.get("tasks", [])
    return [t for t in tasks if run.only is None or t["task_key"] in run.only]


def check_only(job: Job, only: list[str] | None) -> None:
    """Refuse a choice of tasks that the job does not have."""
    known = {task["task_key"] for task in job.settings.get("tasks", [])}
    missing = [key for key in only or [] if key not in known]
    if missing:
        raise invalid_parameter(f"Task {missing[0]} does not exist in job {job.job_id}.")


def repair_keys(run: JobRun, body: Json) -> list[str]:
    """Return the tasks a repair runs again, or refuse the repair."""
    if run.active():
        raise invalid_state(f"Run {run.run_id} is still active and cannot be repaired.")
    if run.run_type != "JOB_RUN":
        raise invalid_parameter(f"Run {run.run_id} was not started from a job: no repair.")
    check_latest_repair(run, body.get("latest_repair_id"))
    named = body.get("rerun_tasks") or []
    if bool(named) == bool(body.get("rerun_all_failed_tasks")):
        raise invalid_parameter(
            "Exactly one of rerun_tasks and rerun_all_failed_tasks must be specified."
        )
    latest = run.latest()
    keys = set(named) or {key for key, task in latest.items() if not task.good()}
    check_keys(run, keys, latest)
    if body.get("rerun_dependent_tasks"):
        keys = with_dependants(keys, latest)
    return [key for key in latest if key in keys]


def check_keys(run: JobRun, keys: set[str], latest: dict[str, TaskRun]) -> None:
    """Refuse a repair of nothing, or of tasks the run does not have."""
    if not keys:
        raise invalid_parameter(f"Run {run.run_id} has no failed tasks to repair.")
    unknown = sorted(keys - latest.keys())
    if unknown:
        raise invalid_parameter(f"Task {unknown[0]} does not exist in run {run.run_id}.")


def check_latest_repair(run: JobRun, given: int | None) -> None:
    """Refuse a second repair that does not name the first: 'must be provided on subsequent'."""
    expected = run.latest_repair_id()
    if expected is not None and given is None:
        raise invalid_parameter(
            "The latest repair ID needs to be provided in order to create a new repair"
        )
    if given is not None and given != expected:
        raise invalid_parameter(
            f"The latest repair ID {given} is not the latest repair of run {run.run_id}."
        )


def with_dependants(keys: set[str], latest: dict[str, TaskRun]) -> set[str]:
    """Add every task of a run that depends on one of these."""
    return with_dependants_of(keys, [task.spec for task in latest.values()])


def with_dependants_of(keys: set[str], tasks: list[Json]) -> set[str]:
    """Add every task that depends on one of these, however indirectly."""
    wider = set(keys)
    for task in tasks:
        if any(entry["task_key"] in keys for entry in task.get("depends_on", [])):
            wider.add(task["task_key"])
    return keys if wider == keys else with_dependants_of(wider, tasks)
