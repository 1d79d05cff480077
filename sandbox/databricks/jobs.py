"""Jobs and their settings."""

import re
from dataclasses import dataclass

from sandbox.clock import Timeline
from sandbox.databricks.errors import invalid_parameter
from sandbox.ids import Ids
from sandbox.outcomes import Script
from sandbox.wire import Json

MERGE_KEYS = {"tasks": "task_key", "job_clusters": "job_cluster_key"}
SUCCESS: Json = {"result": "SUCCESS"}


@dataclass
class JobRule:
    """How a task's next runs end in a job that need not be there yet."""

    match: re.Pattern[str]
    task_key: str
    outcomes: list[Json]


@dataclass
class Job:
    """One saved job, and how its next runs end."""

    job_id: int
    settings: Json
    created_time: int

    def __post_init__(self) -> None:
        self._scripts: dict[str, Script] = {}

    def script(self, task_key: str) -> Script:
        """Return the script of a task."""
        return self._scripts.setdefault(task_key, Script(SUCCESS))

    def first_task(self) -> str:
        """Return the task that is meant when a script names none."""
        tasks = self.settings.get("tasks") or [{"task_key": ""}]
        return str(tasks[0]["task_key"])


class Jobs:
    """All jobs of the workspace."""

    def __init__(self, timeline: Timeline, ids: Ids) -> None:
        self.all: dict[int, Job] = {}
        self.rules: list[JobRule] = []
        self._timeline = timeline
        self._ids = ids

    def get(self, job_id: int) -> Job:
        """Return a job or refuse; the SDK maps this text to ResourceDoesNotExist."""
        job = self.all.get(job_id)
        if job is None:
            raise invalid_parameter(f"Job {job_id} does not exist.")
        return job

    def create(self, settings: Json, job_id: int | None = None) -> Job:
        """Save a job."""
        check_settings(settings)
        number = self._ids.number() if job_id is None else job_id
        job = Job(number, {"name": "Untitled", **settings}, self._timeline.now_ms())
        self.all[number] = job
        for rule in self.rules:
            if rule.match.search(str(job.settings["name"])):
                job.script(rule.task_key).load(rule.outcomes)
        self._timeline.mark()
        return job

    def reset(self, job: Job, settings: Json) -> None:
        """Overwrite all settings."""
        check_settings(settings)
        job.settings = settings
        self._timeline.mark()

    def update(self, job: Job, changes: Json, remove: list[str]) -> None:
        """Merge settings; future runs and repairs see them.

        'Top-level fields specified in new_settings are completely replaced, except for arrays which
        are merged' by task_key or job_cluster_key.
        """
        settings = {**job.settings}
        for path in remove:
            settings = without(settings, path)
        for name, value in changes.items():
            key = MERGE_KEYS.get(name)
            settings[name] = merged(settings.get(name, []), value, key) if key else value
        self.reset(job, settings)

    def delete(self, job: Job) -> None:
        """Delete a job."""
        del self.all[job.job_id]
        self._timeline.mark()


def merged(old: list[Json], new: list[Json], key: str) -> list[Json]:
    """Replace entries that have the same key, keep the others, add the new ones at the end."""
    fresh = {entry[key]: entry for entry in new}
    kept = [fresh.pop(entry[key], entry) for entry in old]
    return kept + list(fresh.values())


def without(settings: Json, path: str) -> Json:
    """Remove a top-level field, or one task or job cluster as in `tasks/task_1`."""
    name, _, entry = path.partition("/")
    if not entry:
        return {k: v for k, v in settings.items() if k != name}
    key = MERGE_KEYS.get(name)
    if key is None:
        raise invalid_parameter(f"Removing nested field {path} is not supported.")
    kept = [x for x in settings.get(name, []) if x[key] != entry]
    return {**settings, name: kept}


def check_settings(settings: Json) -> None:
    """Refuse settings whose tasks do not hang together."""
    tasks = settings.get("tasks", [])
    keys = [task.get("task_key") for task in tasks]
    if len(set(keys)) != len(keys) or None in keys:
        raise invalid_parameter("Every task needs a task_key of its own.")
    clusters = {entry["job_cluster_key"] for entry in settings.get("job_clusters", [])}
    for task in tasks:
        check_task(task, set(keys), clusters)


def check_task(task: Json, keys: set[str], clusters: set[str]) -> None:
    """Refuse a task that points at something the job does not have."""
    for dependency in task.get("depends_on", []):
        if dependency["task_key"] not in keys:
            raise invalid_parameter(f"Unknown task_key {dependency['task_key']} in depends_on.")
    wanted = task.get("job_cluster_key")
    if wanted is not None and wanted not in clusters:
        raise invalid_parameter(f"Job cluster '{wanted}' is not defined in field 'job_clusters'.")
