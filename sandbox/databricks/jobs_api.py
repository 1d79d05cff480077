"""jobs/* without runs, over HTTP."""

from sandbox.databricks.access import Access
from sandbox.databricks.errors import invalid_parameter
from sandbox.databricks.jobs import Job, Jobs
from sandbox.databricks.requests import need, need_query, number, number_of, page_state
from sandbox.wire import Call, Json, Route, encode_token, route

MAX_JOBS = 100
BIG_ARRAYS = ("tasks", "job_clusters", "environments", "parameters")
BIG = 100


class JobsApi:
    """Answers for jobs."""

    def __init__(self, jobs: Jobs, access: Access) -> None:
        self._jobs = jobs
        self._access = access

    def routes(self) -> list[Route]:
        """Return what is served here."""
        base = r"/api/2\.[12]/jobs"
        return [
            route("POST", f"{base}/create", self._create),
            route("GET", f"{base}/get", self._get),
            route("GET", f"{base}/list", self._list),
            route("POST", f"{base}/update", self._update),
            route("POST", f"{base}/reset", self._reset),
            route("POST", f"{base}/delete", self._delete),
        ]

    def named(self, job_id: str | int) -> Job:
        """Return a job the caller may touch."""
        job = self._jobs.get(number(job_id, "job_id"))
        self._access.check("job", job.job_id)
        return job

    def _create(self, call: Call) -> Json:
        return {"job_id": self._jobs.create(call.body).job_id}

    def _get(self, call: Call) -> Json:
        job = self.named(need_query(call, "job_id"))
        offset = page_state(call.text("page_token")).get("offset", 0)
        return paged_arrays(job_view(job), "settings", offset)

    def _list(self, call: Call) -> Json:
        limit = number_of(call, "limit", 20)
        if not 0 < limit <= MAX_JOBS:
            raise invalid_parameter(f"limit must be between 1 and {MAX_JOBS}")
        offset = page_state(call.text("page_token")).get("offset", 0)
        jobs = [job for job in reversed(self._jobs.all.values()) if called(job, call.text("name"))]
        views = [job_view(job) for job in jobs[offset : offset + limit]]
        if not call.flag("expand_tasks"):
            views = [bare(view) for view in views]
        answer: Json = {"jobs": views, "has_more": offset + limit < len(jobs)}
        if answer["has_more"]:
            answer["next_page_token"] = encode_token({"offset": offset + limit})
        return answer

    def _update(self, call: Call) -> Json:
        job = self.named(need(call.body, "job_id"))
        changes = call.body.get("new_settings", {})
        self._jobs.update(job, changes, call.body.get("fields_to_remove", []))
        return {}

    def _reset(self, call: Call) -> Json:
        self._jobs.reset(self.named(need(call.body, "job_id")), need(call.body, "new_settings"))
        return {}

    def _delete(self, call: Call) -> Json:
        self._jobs.delete(self.named(need(call.body, "job_id")))
        return {}


def job_view(job: Job) -> Json:
    """Write a job as jobs/get does."""
    return {
        "job_id": job.job_id,
        "creator_user_name": "sandbox@example.com",
        "run_as_user_name": "sandbox@example.com",
        "created_time": job.created_time,
        "settings": {"format": "MULTI_TASK", "max_concurrent_runs": 1, **job.settings},
    }


def bare(view: Json) -> Json:
    """Leave out what a listing shows only with expand_tasks."""
    settings = {k: v for k, v in view["settings"].items() if k not in {"tasks", "job_clusters"}}
    return {**view, "settings": settings}


def called(job: Job, name: str | None) -> bool:
    """Compare names; 'exact (case insensitive) job name'."""
    return name is None or str(job.settings.get("name", "")).lower() == name.lower()


def paged_arrays(view: Json, inside: str | None, offset: int) -> Json:
    """Cut long arrays: 'large arrays in the results will be paginated when they exceed 100'."""
    home = view[inside] if inside else view
    arrays = {name: home[name] for name in BIG_ARRAYS if name in home}
    cut = {name: items[offset : offset + BIG] for name, items in arrays.items()}
    home = {**home, **cut}
    view = {**view, inside: home} if inside else home
    if any(len(items) > offset + BIG for items in arrays.values()):
        view["next_page_token"] = encode_token({"offset": offset + BIG})
        view["has_more"] = True
    return view
