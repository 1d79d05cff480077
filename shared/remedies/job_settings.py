"""Changes to a job's settings that are taken back afterwards: how job clusters are changed.

A change is a list of edits of single values, each with what was there before and what is there
after. Applying reads the settings as they are, changes those values and writes back only the
top-level fields concerned, so that nothing else in the job is lost; taking back does the same the
other way round and leaves alone what somebody has changed since.
"""

from __future__ import annotations

import copy
from typing import Any

from shared.errors import PlatformRefused
from shared.models import Json, Loan
from shared.remedies.base import (
    ABSENT,
    DONE,
    FAILED,
    READY,
    Case,
    Look,
    Plan,
    Refusal,
    Visible,
    job_lock,
)
from shared.remedies.restart_cluster import with_rerun

Edit = dict[str, Any]
Steps = list[str]

# How the elements of the settings' arrays are named.
_NAMES = {"tasks": "task_key", "job_clusters": "job_cluster_key"}


def edit(path: Steps, before: Any, after: Any) -> Edit:  # noqa: ANN401 - any JSON value
    """One value changed; `path` names array elements by their key, e.g. tasks, load, libraries."""
    return {"path": path, "before": before, "after": after}


def value_at(settings: Json, path: Steps) -> Any:  # noqa: ANN401 - any JSON value
    """The value at `path`, None if it is not there."""
    node: Any = settings
    for position, step in enumerate(path):
        node = _child(node, step, path[position - 1] if position else "")
        if node is None:
            return None
    return node


def changed(settings: Json, edits: list[Edit], *, back: bool) -> Json:
    """The top-level fields of `settings` that the edits concern, with their values set.

    Args:
        settings: the job's settings as they are; not changed.
        edits: what to change.
        back: set the values from before instead of those from after; a value that is not what we
            made it is left as it is.
    """
    result = copy.deepcopy(settings)
    for one in edits:
        if back and value_at(result, one["path"]) != one["after"]:
            continue
        _set(result, one["path"], one["before"] if back else one["after"])
    return {one["path"][0]: result[one["path"][0]] for one in edits}


class JobSettings(Visible):
    """jobs/update with our edits."""

    limit = READY
    back = False

    def act(self, case: Case, memo: Json) -> Json:
        """Write the edited fields."""
        api = case.platforms.workspace(case.failure.target)
        settings = read(case, memo["job_id"])
        if not self.back and not _all(settings, memo["edits"], "before"):
            raise PlatformRefused("the job's settings were changed by somebody else meanwhile")
        api.update_job(memo["job_id"], changed(settings, memo["edits"], back=self.back))
        return {}

    def look(self, case: Case, memo: Json) -> Look:
        """Whether the settings hold our values, or (on the way back) no longer do."""
        settings = read(case, memo["job_id"])
        words = f"job {memo['job_id']}"
        if not self.back:
            ours = _all(settings, memo["edits"], "after")
            return Look(DONE, f"{words} has the new settings") if ours else Look(ABSENT)
        if _any(settings, memo["edits"], "after"):
            return Look(ABSENT)
        if _all(settings, memo["edits"], "before"):
            return Look(DONE, f"{words} has its own settings again")
        return Look(FAILED, f"{words} was changed by somebody else meanwhile and left as it is")


class JobSettingsBack(JobSettings):
    """The way back of `JobSettings`."""

    back = True


def read(case: Case, job_id: str) -> Json:
    """A job's settings as they are now."""
    return case.platforms.workspace(case.failure.target).job(job_id).get("settings") or {}


def plan(
    case: Case,
    job_id: str,
    edits: list[Edit],
    words: tuple[str, str],
    **memo: Any,  # noqa: ANN401 - JSON values
) -> Plan | Refusal:
    """Edit the job, rerun what failed, and lend the edits until the incident closes.

    `words` say what is changed and what goes back; `memo` is what the remedy remembers besides.
    """
    change: Json = {"job_id": job_id, "edits": edits, **memo}
    changing, returning = words
    planned = with_rerun(case, ["job_settings"], change, changing)
    if isinstance(planned, Refusal):
        return planned
    locks = [job_lock(case.failure.target, job_id), *planned.locks]
    back = Loan("job_settings_back", {"job_id": job_id, "edits": edits}, returning)
    return Plan(planned.phases, planned.summary, planned.memo, locks, [back])


def _all(settings: Json, edits: list[Edit], side: str) -> bool:
    return all(value_at(settings, one["path"]) == one[side] for one in edits)


def _any(settings: Json, edits: list[Edit], side: str) -> bool:
    return any(value_at(settings, one["path"]) == one[side] for one in edits)


def _child(node: Any, step: str, field: str) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(node, dict):
        return node.get(step)
    if isinstance(node, list):
        name = _NAMES.get(field, "")
        return next((item for item in node if item.get(name) == step), None)
    return None


def _set(settings: Json, path: Steps, value: Any) -> None:  # noqa: ANN401 - any JSON value
    holder = value_at(settings, path[:-1])
    if isinstance(holder, dict):
        if value is None:
            holder.pop(path[-1], None)
        else:
            holder[path[-1]] = value
