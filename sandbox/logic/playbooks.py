"""Playbooks: what a Logic App does with a failed run when it is called."""

from collections.abc import Callable
from dataclasses import dataclass

from sandbox.adf.factories import Factories
from sandbox.adf.rules import Rerun
from sandbox.clock import Timeline
from sandbox.databricks.runs import Runs, repair_keys
from sandbox.ids import Ids
from sandbox.logic.errors import no_response, workflow_unknown
from sandbox.wire import Answer, ApiError, Json

Effect = Callable[[Json], Json]


@dataclass(frozen=True)
class Playbook:
    """One workflow; without an answer it says what its effect came to."""

    workflow_id: str
    signature: str
    status: int
    answer: Json | None
    effect: Json
    enabled: bool


class Playbooks:
    """All workflows."""

    def __init__(self, factories: Factories, runs: Runs, timeline: Timeline, ids: Ids) -> None:
        self.all: dict[str, Playbook] = {}
        self._factories = factories
        self._runs = runs
        self._timeline = timeline
        self._ids = ids

    def get(self, workflow_id: str) -> Playbook:
        """Return a workflow or refuse."""
        playbook = self.all.get(workflow_id)
        if playbook is None:
            raise workflow_unknown(workflow_id)
        return playbook

    def invoke(self, playbook: Playbook, body: Json) -> Answer:
        """Run a workflow; the effect comes first, whatever the answer's status is."""
        run_name = f"08584{self._ids.guid().replace('-', '')[:20].upper()}CU00"
        self._timeline.mark()
        try:
            came_to = self._carry_out(playbook.effect, body)
        except (ApiError, KeyError, ValueError, TypeError) as error:
            raise no_response(run_name) from error
        said = playbook.answer if playbook.answer is not None else came_to
        if playbook.status >= 500 and playbook.answer is None:
            said = {**no_response(run_name).body, **came_to}
        headers = {"x-ms-workflow-run-id": run_name, "x-ms-workflow-id": playbook.workflow_id}
        return Answer(playbook.status, said or None, headers)

    def _carry_out(self, effect: Json, body: Json) -> Json:
        effects: dict[str, Effect] = {
            "adf_rerun": self._rerun,
            "databricks_repair": self._repair,
        }
        came_to: Json = {}
        for name, carry_out in effects.items():
            if effect.get(name):
                came_to |= carry_out(body["metadata"])
        return came_to

    def _rerun(self, metadata: Json) -> Json:
        """Recover a failed pipeline run from where it failed."""
        factory = self._factories.named(metadata["factory"].rpartition("/")[2])
        pipeline = factory.pipelines[metadata["pipeline"].lower()]
        asked = Rerun(metadata["run_id"], recovery=True, activity=None, from_failure=True)
        return {"new_run_id": self._factories.engine.rerun(factory, pipeline, asked).run_id}

    def _repair(self, metadata: Json) -> Json:
        """Run again what failed in a job's run, under the same id."""
        run = self._runs.get(int(metadata["run_id"]))
        asked = {
            "rerun_all_failed_tasks": True,
            "rerun_dependent_tasks": True,
            "latest_repair_id": run.latest_repair_id(),
        }
        keys = repair_keys(run, asked)
        return {"run_id": run.run_id, "repair_id": self._runs.repair(run, keys, asked)}
