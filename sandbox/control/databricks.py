"""Control of the workspace."""

import re

from sandbox.clock import Timeline
from sandbox.databricks.clusters import DEFAULT_DEATH
from sandbox.databricks.jobs import Job, JobRule
from sandbox.databricks.libraries import Rule
from sandbox.databricks.models import Cluster
from sandbox.databricks.parameters import take_parameters
from sandbox.databricks.pipelines import UpdateRule
from sandbox.databricks.run_models import SUCCEEDED, UPSTREAM, Ending, JobRun
from sandbox.databricks.run_rules import scripted_failure
from sandbox.databricks.runs import chosen_tasks, with_dependants_of
from sandbox.databricks.tables import OWNER
from sandbox.databricks.workspace import Workspace
from sandbox.outcomes import Script
from sandbox.wire import Call, Json, Route, route

CLUSTER_CONTROL = {
    "cluster_id",
    "state",
    "state_message",
    "termination_reason",
    "on_start",
    "cluster_source",
}


class DatabricksControl:
    """Sets the workspace up and scripts what happens in it."""

    def __init__(self, workspace: Workspace, timeline: Timeline) -> None:
        self._workspace = workspace
        self._timeline = timeline

    def routes(self) -> list[Route]:
        """Return what is served here."""
        base = "/_sandbox/databricks"
        posts = {
            "clusters": self._cluster,
            "clusters/{cluster_id}/break": self._break,
            "libraries": self._libraries,
            "node-types": self._node_types,
            "jobs": self._job,
            "runs": self._run,
            "runs/{run_id}/end": self._end,
            "outcomes": self._outcomes,
            "job-outcomes": self._job_outcomes,
            "pipelines": self._pipeline,
            "updates": self._update,
            "events": self._events,
            "identity": self._identity,
            "access-tokens": self._tokens,
            "update-outcomes": self._update_outcomes,
            "schemas": self._schema,
        }
        return [route("POST", f"{base}/{path}", handler) for path, handler in posts.items()]

    def _cluster(self, call: Call) -> Json:
        body = call.body
        spec = {k: v for k, v in body.items() if k not in CLUSTER_CONTROL}
        cluster = self._workspace.clusters.place(
            spec,
            body.get("cluster_source", "UI"),
            state=body.get("state", "RUNNING"),
            cluster_id=body.get("cluster_id"),
        )
        cluster.on_start = [fate(entry) for entry in body.get("on_start", [])]
        self._bury(cluster, body)
        return {"cluster_id": cluster.cluster_id}

    def _bury(self, cluster: Cluster, body: Json) -> None:
        """Give a cluster that is placed dead the reason why."""
        cluster.state_message = body.get("state_message", "")
        if cluster.dead():
            stopped: Json = {"code": "INACTIVITY", "type": "SUCCESS", "parameters": {}}
            default = DEFAULT_DEATH if cluster.state == "ERROR" else stopped
            cluster.termination_reason = body.get("termination_reason", default)
            cluster.terminated_time = self._timeline.now_ms()

    def _break(self, call: Call) -> Json:
        clusters, body = self._workspace.clusters, call.body
        clusters.kill(
            clusters.get(call.params["cluster_id"]),
            body.get("termination_reason"),
            body.get("state_message"),
            body.get("state", "TERMINATED"),
        )
        return {}

    def _libraries(self, call: Call) -> Json:
        self._workspace.libraries.rules = [
            Rule(x["library"], x["status"], x.get("message", ""), x.get("times"))
            for x in call.body["rules"]
        ]
        return {}

    def _node_types(self, call: Call) -> Json:
        self._workspace.node_types.script(call.body["node_types"])
        return {}

    def _job(self, call: Call) -> Json:
        settings = {k: v for k, v in call.body.items() if k != "job_id"}
        return {"job_id": self._workspace.jobs.create(settings, call.body.get("job_id")).job_id}

    def _outcomes(self, call: Call) -> Json:
        job = self._workspace.jobs.get(call.body["job_id"])
        key = call.body.get("task_key") or job.first_task()
        job.script(key).load(call.body.get("outcomes", []), call.body.get("then"))
        return {}

    def _job_outcomes(self, call: Call) -> Json:
        body = call.body
        rule = JobRule(re.compile(body["match"]), body["task_key"], body["outcomes"])
        self._workspace.jobs.rules.append(rule)
        return {}

    def _run(self, call: Call) -> Json:
        body, runs = call.body, self._workspace.runs
        job = self._workspace.jobs.get(body["job_id"])
        run = runs.new_run(
            job.settings,
            job.job_id,
            body.get("run_type", "JOB_RUN"),
            name=body.get("run_name"),
            run_id=body.get("run_id"),
            outcome=body.get("outcome"),
            trigger=body.get("trigger", "PERIODIC"),
        )
        take_parameters(run, body)
        run.start_time -= round(body.get("started_seconds_ago", 0) * 1000)
        if body.get("finished"):
            runs.finish(run, endings(job, run))
            move_end(run, body.get("ended_seconds_ago", 0))
        else:
            runs.launch(run)
        return {"run_id": run.run_id, "task_run_ids": {t.task_key: t.run_id for t in run.tasks}}

    def _end(self, call: Call) -> Json:
        """End what hangs in a run, as a scripted failure."""
        runs = self._workspace.runs
        runs.end(runs.get(int(call.params["run_id"])), scripted_failure(call.body))
        return {}

    def _pipeline(self, call: Call) -> Json:
        script = {"pipeline_id", "outcomes", "then", "tables"}
        spec = {k: v for k, v in call.body.items() if k not in script}
        pipeline = self._workspace.pipelines.create(spec, call.body.get("pipeline_id"))
        pipeline.tables = call.body.get("tables")
        pipeline.script.load(call.body.get("outcomes", []), call.body.get("then"))
        return {"pipeline_id": pipeline.pipeline_id}

    def _update(self, call: Call) -> Json:
        body, pipelines = call.body, self._workspace.pipelines
        cause = body.get("cause", "JOB_TASK")
        update = pipelines.start(body["pipeline_id"], body, cause, body.get("outcome"))
        if body.get("finished"):
            pipelines.finish(pipelines.get(body["pipeline_id"]), update)
        return {"update_id": update.update_id}

    def _tokens(self, call: Call) -> Json:
        base: Json = {"comment": "", "creation_time": 0, "expiry_time": -1}
        self._workspace.own_tokens = [{**base, **token} for token in call.body["tokens"]]
        return {}

    def _identity(self, call: Call) -> Json:
        self._workspace.pipelines.get(call.body["pipeline_id"]).run_as = call.body["run_as"]
        return {}

    def _update_outcomes(self, call: Call) -> Json:
        body, script = call.body, Script({"state": "COMPLETED"})
        script.load(body["outcomes"], None)
        pattern, count = re.compile(body["match"]), len(body["outcomes"])
        rule = UpdateRule(pattern, bool(body.get("validate_only")), script, count)
        self._workspace.pipelines.rules.append(rule)
        return {}

    def _schema(self, call: Call) -> Json:
        governance = self._workspace.governance
        governance.add(call.body["full_name"], call.body.get("owner", OWNER))
        return {}

    def _events(self, call: Call) -> Json:
        pipeline = self._workspace.pipelines.get(call.body["pipeline_id"])
        for event in call.body["events"]:
            self._workspace.pipelines.record(pipeline, event)
        return {}


def move_end(run: JobRun, seconds: float) -> None:
    """Let a run that is over have ended so many seconds ago."""
    millis = round(seconds * 1000)
    run.end_time -= millis
    for task in run.tasks:
        task.end_time -= millis


def fate(entry: str | Json) -> Json:
    """Read how a start goes."""
    return {"state": entry} if isinstance(entry, str) else entry


def endings(job: Job, run: JobRun) -> dict[str, Ending]:
    """Say how each task of a run that is already over has ended."""
    outcome = run.outcome if run.outcome is not None else job.script(job.first_task()).next()
    keys = [task["task_key"] for task in chosen_tasks(run)]
    result = dict.fromkeys(keys, SUCCEEDED)
    if outcome.get("result", "SUCCESS") == "SUCCESS":
        return result
    failing = outcome.get("task_key") or job.first_task()
    for key in with_dependants_of({failing}, chosen_tasks(run)):
        result[key] = UPSTREAM
    return {**result, failing: scripted_failure(outcome)}
