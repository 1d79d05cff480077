"""An older version of a library that cannot be installed, then rerun what failed.

Needs: CAN_MANAGE on the cluster, or on the job. Changes: the library's version on the cluster; or
in the job's task, which is restored when the incident closes. Once only: the statuses of the
cluster's libraries (or the job's settings) tell what was done. Verified: INSTALLED, then the rerun
itself; the version that worked is remembered and taken first the next time. Costs: one restart of
the cluster.

A library that failed stays listed until it is uninstalled, and that takes effect at a restart. So
on a shared cluster: uninstall, restart (or start), install the next older version of the catalog's
list, wait for INSTALLED or FAILED, and so on down the list. A job cluster is made anew for the
repair: there the version is changed in the job's settings.

Which library: the one that the installer's error names, in the places where pip, conda, Maven and
CRAN name packages (`shared/diagnosis/blame.py`). Where it names one that was not asked for, several
that were, or none of several, a person decides.

Which versions: what was asked for is respected. A range (`>=2.0,<2.2`, `~=2.1.0`, `==2.1.*`) is
never left. A pin (`==2.2.3`) gives way to an older version of the same major version; to another
major version only where the catalog's `libraries` lists it for that package, which is the team's
word that it will do: a package index or the memory of what worked elsewhere never leads there. A
direct reference (`pandas @ https://…`, a wheel's address, git) is a person's.
"""

from __future__ import annotations

from msgspec.structs import replace

from shared.diagnosis import libraries
from shared.diagnosis.blame import blamed
from shared.models import Attempt, ClusterFacts, Json, TaskFacts
from shared.remedies import job_settings
from shared.remedies.base import (
    ABSENT,
    DONE,
    FAILED,
    PENDING,
    READY,
    Case,
    Look,
    Plan,
    Refusal,
    Visible,
    compute_target,
    workspace_of,
)
from shared.remedies.restart_cluster import cluster_step, shared_cluster, with_rerun
from shared.vocabulary import ComputeKind, FailureKind

_GONE = frozenset({"UNINSTALL_ON_RESTART"})
_ON_THE_WAY = frozenset({"PENDING", "RESOLVING", "INSTALLING"})


class LibraryFallback:
    """The remedy `library_fallback`."""

    def plan(self, case: Case, tried: list[Attempt]) -> Plan | Refusal:
        """The next older version, on the cluster or in the job."""
        failed = _failed_versions(tried)
        evidence = case.evidence
        cluster = shared_cluster(case)
        if evidence is not None and evidence.tasks:
            in_job = _in_job(case, evidence.job_id, evidence.tasks, failed)
            if isinstance(in_job, Plan) or (in_job is not None and cluster is None):
                return in_job
        if cluster is None:
            return Refusal("the library belongs to neither a shared cluster nor the job's task")
        return _on_cluster(case, cluster, failed)


def _failed_versions(tried: list[Attempt]) -> list[str]:
    return [str(v) for attempt in tried for v in attempt.memo.get("failed_versions", [])] + [
        str(attempt.memo["version"]) for attempt in tried if attempt.memo.get("version")
    ]


def _choose(case: Case, library: Json, failed: list[str]) -> str | None:
    """The version to take: one that has worked before, else the next older one that is known.

    Known is the catalog's list; where it has none, what the package index offers.
    """
    listed = libraries.listed_versions(library, case.catalog.libraries)
    worked = case.memory.recall(_memory_name(library))
    if worked and libraries.older(library, [worked], failed, across=worked in listed):
        return worked
    if listed:
        return libraries.older(library, listed, failed)
    index = case.platforms.package_index if libraries.requirement(library) else None
    offered = index.versions(libraries.package_of(library)) if index else ()
    return libraries.older(library, offered, failed, across=False)


def _none_left(library: Json) -> Refusal:
    """Why there is no version to take."""
    label = libraries.label(library)
    if libraries.direct_reference(library):
        return Refusal(f"{label} is asked for by its place, not by a version: a person must choose")
    if libraries.requirement(library) is not None and libraries.pinned(library) is None:
        return Refusal(f"no other version that {label} allows is known")
    return Refusal(f"no older version of {label} is known")


def _memory_name(library: Json) -> str:
    return f"library that worked|{libraries.package_of(library)}"


# On a shared cluster


def _on_cluster(case: Case, cluster: ClusterFacts, failed: list[str]) -> Plan | Refusal:
    library = _failed_library(case, cluster)
    if library is None:
        return Refusal("no library of the cluster is FAILED")
    version = _choose(case, library, failed)
    if version is None:
        return _none_left(library)
    step = cluster_step_for_install(case, cluster)
    if isinstance(step, Refusal):
        return step
    memo: Json = {
        "cluster_id": cluster.cluster_id,
        "terminated_time": cluster.terminated_time,
        "restarted_time": cluster.restarted_time,
        "library": library,
        "failed_library": library,
        "version": version,
        "failed_versions": failed,
        "worked": [_memory_name(library), version],
    }
    words = f"replace {libraries.label(library)} by version {version} on cluster {cluster.name}"
    return with_rerun(case, ["uninstall_library", *step, "install_library"], memo, words, cluster)


def cluster_step_for_install(case: Case, cluster: ClusterFacts) -> list[str] | Refusal:
    """The phase that makes an uninstall take effect."""
    if cluster.state == "RUNNING":
        # Even if it was started since the run: the library became FAILED after that.
        step = cluster_step(replace(case, evidence=None), cluster)
    else:
        step = cluster_step(case, cluster)
    return step if isinstance(step, Refusal) else step[0]


def _failed_library(case: Case, cluster: ClusterFacts) -> Json | None:
    api = case.platforms.workspace(compute_target(case))
    statuses = api.library_statuses(cluster.cluster_id)
    listed = [s["library"] for s in statuses if s.get("status") == "FAILED" and s.get("library")]
    if case.failure.kind is not FailureKind.LIBRARY or not case.failure.library:
        return next((lib for lib in listed if _choose(case, lib, [])), None)
    named = libraries.decode(case.failure.library)
    return next((lib for lib in listed if libraries.same_package(lib, case.failure.library)), named)


class UninstallLibrary(Visible):
    """libraries/uninstall of the version that failed; takes effect at the next restart."""

    limit = READY

    def act(self, case: Case, memo: Json) -> Json:
        """Mark it for removal."""
        api = workspace_of(case, memo)
        api.uninstall_library(memo["cluster_id"], memo["failed_library"])
        return {}

    def look(self, case: Case, memo: Json) -> Look:
        """Marked or gone, or still there."""
        status, _ = _status(case, memo, memo["failed_library"])
        if status and status not in _GONE:
            return Look(ABSENT)
        return Look(DONE, f"{libraries.label(memo['failed_library'])} is marked for removal")


class InstallLibrary(Visible):
    """libraries/install of an older version; when that fails too, the next older one."""

    limit = READY

    def act(self, case: Case, memo: Json) -> Json:
        """Install it."""
        api = workspace_of(case, memo)
        api.install_library(memo["cluster_id"], _candidate(memo))
        return {}

    def look(self, case: Case, memo: Json) -> Look:
        """INSTALLED, on the way, not asked for yet; FAILED leads to the next older version."""
        wanted = _candidate(memo)
        status, message = _status(case, memo, wanted)
        words = libraries.label(wanted)
        if not status:
            return _go_on(case, memo)
        if status == "INSTALLED":
            return Look(DONE, f"{words} is INSTALLED")
        if status in _ON_THE_WAY:
            return Look(PENDING, f"{words} is {status}")
        return _next_version(case, memo, f"{words} is {status}: {message}"[:500])


def _go_on(case: Case, memo: Json) -> Look:
    """Not asked for yet; while the version before it is listed as FAILED, its removal is next.

    So it is after a crash between writing down the next version and its phases.
    """
    status, _ = _status(case, memo, memo["failed_library"])
    if status != "FAILED" or not memo["failed_versions"]:
        return Look(ABSENT)
    return Look(DONE, f"version {memo['version']} is next", then=_again(memo["failed_versions"]))


def _next_version(case: Case, memo: Json, note: str) -> Look:
    failed = [*memo["failed_versions"], memo["version"]]
    version = _choose(case, memo["library"], failed)
    if version is None:
        return Look(FAILED, f"{note}; no older one is known", {"failed_versions": failed})
    cluster = workspace_of(case, memo).cluster(memo["cluster_id"])
    memo_after = {
        "failed_versions": failed,
        "failed_library": _candidate(memo),
        "version": version,
        "worked": [_memory_name(memo["library"]), version],
        "summary": f"replace {libraries.label(memo['library'])} by version {version}",
        "restarted_time": max(
            int(cluster.get("last_restarted_time") or 0), int(cluster.get("start_time") or 0)
        ),
    }
    return Look(DONE, f"{note}; version {version} is next", memo_after, _again(failed))


def _again(failed: list[str]) -> list[str]:
    """The phases of the next version, each under a name of its own."""
    turn = len(failed) + 1
    return [
        f"{name}#{turn}" for name in ("uninstall_library", "restart_cluster", "install_library")
    ]


def _candidate(memo: Json) -> Json:
    return libraries.at_version(memo["library"], memo["version"])


def _status(case: Case, memo: Json, library: Json) -> tuple[str, str]:
    statuses = workspace_of(case, memo).library_statuses(memo["cluster_id"])
    for entry in statuses:
        if entry.get("library") == library:
            messages = " ".join(str(m) for m in entry.get("messages") or [])
            return str(entry.get("status") or ""), messages
    return "", ""


# In a job's task


def _in_job(
    case: Case, job_id: str, tasks: list[TaskFacts], failed: list[str]
) -> Plan | Refusal | None:
    """A plan for the first failed task whose library can give way, else why none can.

    None where no failed task lists a library at all.
    """
    settings = job_settings.read(case, job_id)
    refused: Refusal | None = None
    for task in tasks:
        path = ["tasks", task.task_key, "libraries"]
        listed = job_settings.value_at(settings, path)
        if task.compute is ComputeKind.SERVERLESS or not listed:
            continue
        replaced = _replaced(case, listed, failed)
        if isinstance(replaced, Refusal):
            refused = refused or replaced
            continue
        library, version, after = replaced
        edit = job_settings.edit(path, listed, after)
        return _job_plan(case, job_id, edit, library, version)
    return refused


def _replaced(
    case: Case, listed: list[Json], failed: list[str]
) -> tuple[Json, str, list[Json]] | Refusal:
    """The library that is to blame, the version to take, and the list with that version."""
    said = " ".join(line.message for line in case.evidence.lines) if case.evidence else ""
    position = blamed(listed, said)
    if isinstance(position, str):
        return Refusal(position)
    library = listed[position]
    version = _choose(case, library, failed)
    if version is None:
        return _none_left(library)
    after = [*listed]
    after[position] = libraries.at_version(library, version)
    return library, version, after


def _job_plan(
    case: Case, job_id: str, edit: job_settings.Edit, library: Json, version: str
) -> Plan | Refusal:
    task, label = edit["path"][1], libraries.label(library)
    changing = f"replace {label} by version {version} in task {task} of job {job_id}"
    returning = f"job {job_id}'s libraries back to what they were"
    worked = [_memory_name(library), version]
    words = (changing, returning)
    return job_settings.plan(case, job_id, [edit], words, version=version, worked=worked)
