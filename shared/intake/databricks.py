"""Databricks messages: notifications, cluster and library events, pipeline events, log records.

A job notification carries ids only, no error and no address; `workspace_id` is a number that is
looked up among the listed workspaces. Source: docs.databricks.com, "Add notifications on a job".
"""

from __future__ import annotations

from typing import Any

import msgspec

from shared.clock import from_millis
from shared.errors import InputError
from shared.intake.fields import MAX_TEXT, Node, first_text
from shared.intake.shapes import Draft, fingerprint
from shared.models import Alert, Subject
from shared.targets import Targets, Workspace
from shared.vocabulary import Condition, FailureKind

_FAILURES = ("fail", "terminated", "error", "not_responding", "unexpected", "timed_out", "crash")


def recognises(body: Node) -> bool:
    """Whether this looks like a message about Databricks."""
    if not isinstance(body.value, dict):
        return False
    if isinstance(body.value.get("origin"), dict):
        return True
    return isinstance(body.value.get("event"), str) or isinstance(body.value.get("event_type"), str)


def parse(body: Node, targets: Targets) -> Alert:
    """The alert in `body`.

    Raises:
        InputError: a field is missing or wrong.
    """
    if body.has("origin"):
        return _pipeline_event(body, targets)
    event = body.get("event_type", "event").text(limit=200)
    if event.startswith("cluster.") or body.has("cluster"):
        if event.startswith("library.") or body.has("library"):
            return _library_event(body, event, targets)
        return _cluster_event(body, event, targets)
    if body.get("run", "run_id"):
        return _job_notification(body, event, targets)
    raise InputError("$.run", f"missing, expected the run that {event!r} is about")


def parse_record(record: Node, targets: Targets) -> Alert:
    """One record of the diagnostic log (category jobs, operation …/runFailed).

    Raises:
        InputError: a field is missing or wrong.
    """
    operation = record.get("operationName").text()
    draft = Draft("databricks_diagnostic_log", operation, fingerprint("dbx-log", record.value))
    if not operation.lower().endswith(("/runfailed", "/submitrunfailed")):
        return draft.ignored(f"{operation} tells of no failed run")
    place = record.get("resourceId").text()
    workspace = targets.workspace(place)
    parameters = _embedded_json(record.get("properties").get("requestParams"))
    run_id = parameters.get("multitaskParentRunId", "parentRunId", "runId").number()
    subject = Subject(FailureKind.JOB_RUN, workspace.name, run_id=run_id) if workspace else None
    draft.add(subject, place)
    return draft.alert()


def _embedded_json(node: Node) -> Node:
    if not isinstance(node.value, str):
        return node
    try:
        return Node(msgspec.json.decode(node.value), node.path)
    except msgspec.DecodeError:
        raise InputError(node.path, "expected JSON in a text") from None


def _draft(body: Node, event: str, dialect: str) -> Draft:
    stamp = body.get("timestamp", "time").value
    fired = from_millis(stamp) if isinstance(stamp, int) and 0 < stamp < 1 << 43 else None
    return Draft(
        dialect=dialect,
        rule=event,
        fingerprint=fingerprint(dialect, body.value),
        condition=Condition.FIRED if _tells_failure(event) else Condition.INFORMATION,
        fired_at=fired,
        dated=fired is not None,
    )


def _tells_failure(event: str) -> bool:
    return any(word in event.lower() for word in _FAILURES)


def _workspace(body: Node, targets: Targets) -> tuple[Workspace | None, str]:
    identity = body.get("workspace_id", "workspace").text("", limit=300)
    return targets.workspace(identity), f"workspace {identity or '(not named)'}"


def _job_notification(body: Node, event: str, targets: Targets) -> Alert:
    draft = _draft(body, event, "databricks_job")
    if draft.condition is not Condition.FIRED:
        return draft.ignored(f"{event} tells of no failed run")
    run = body.get("run") if body.has("run") else body
    parent = run.get("parent_run_id")
    own = run.get("run_id").number()
    workspace, place = _workspace(body, targets)
    subject = None
    if workspace is not None:
        subject = Subject(
            kind=FailureKind.JOB_RUN,
            target=workspace.name,
            run_id=parent.number() if parent else own,
            task_run=body.has("task") and not parent,
            message=first_text([body.get("error_message"), body.get("error")]),
        )
    draft.add(subject, place)
    return draft.alert()


def _cluster_event(body: Node, event: str, targets: Targets) -> Alert:
    draft = _draft(body, event, "databricks_cluster")
    if draft.condition is not Condition.FIRED:
        return draft.ignored(f"{event} tells of no failure")
    cluster = _cluster(body)
    reason = body.get("termination_reason")
    reason = reason or cluster.get("termination_reason")
    reason = reason if isinstance(reason.value, dict) else Node(None, reason.path)
    workspace, place = _workspace(body, targets)
    subject = None
    if workspace is not None:
        subject = Subject(
            kind=FailureKind.CLUSTER,
            target=workspace.name,
            cluster_id=_cluster_id(cluster),
            cluster_name=cluster.get("cluster_name", "name").text("", limit=200),
            code=reason.get("code").text("", limit=200),
            message=_words(body, cluster, reason),
        )
    draft.add(subject, place)
    return draft.alert()


def _words(body: Node, cluster: Node, reason: Node) -> str:
    parameters = reason.get("parameters").value
    values = parameters.values() if isinstance(parameters, dict) else []
    said = first_text([body.get("error_message"), cluster.get("state_message")])
    return " ".join([said, *(str(value) for value in values)])[:MAX_TEXT].strip()


def _library_event(body: Node, event: str, targets: Targets) -> Alert:
    draft = _draft(body, event, "databricks_library")
    if draft.condition is not Condition.FIRED:
        return draft.ignored(f"{event} tells of no failure")
    cluster = _cluster(body)
    workspace, place = _workspace(body, targets)
    subject = None
    if workspace is not None:
        subject = Subject(
            kind=FailureKind.LIBRARY,
            target=workspace.name,
            cluster_id=_cluster_id(cluster),
            cluster_name=cluster.get("cluster_name", "name").text("", limit=200),
            library=library_text(body.get("library")),
            code="library.install_failed",
            message=first_text([body.get("error_message"), body.get("message")]),
        )
    draft.add(subject, place)
    return draft.alert()


def _cluster(body: Node) -> Node:
    cluster = body.get("cluster")
    if isinstance(cluster.value, str):
        return Node({"cluster_id": cluster.value}, cluster.path)
    return cluster or body


def _cluster_id(cluster: Node) -> str:
    identity = cluster.get("cluster_id", "id")
    if identity:
        return identity.run_id()
    if not cluster.get("cluster_name", "name"):
        raise InputError(identity.path, "missing, expected the cluster's id or name")
    return ""


def library_text(node: Node) -> str:
    """A library as JSON in the Libraries API's form; a bare text is a PyPI package.

    Raises:
        InputError: it is neither.
    """
    value: Any = node.value
    if isinstance(value, str) and value.strip():
        value = {"pypi": {"package": value.strip()}}
    if not isinstance(value, dict) or len(value) != 1:
        raise InputError(node.path, "expected one library, such as {'pypi': {'package': 'a==1'}}")
    kind, content = next(iter(value.items()))
    fields = {"pypi": "package", "cran": "package", "maven": "coordinates"}
    if kind in fields:
        Node(content, f"{node.path}.{kind}").get(fields[kind]).text(limit=500)
    elif kind not in {"whl", "jar", "egg", "requirements"} or not isinstance(content, str):
        raise InputError(f"{node.path}.{kind}", "expected pypi, maven, cran, whl, jar or egg")
    # Where it is fetched from may hold a password; the platform's own listing has it.
    kept = {fields[kind]: content[fields[kind]]} if kind in fields else content
    return msgspec.json.encode({kind: kept}, order="sorted").decode()


def _pipeline_event(body: Node, targets: Targets) -> Alert:
    event = body.get("event_type").text("pipeline_event", limit=200)
    draft = _draft(body, event, "databricks_pipeline")
    draft.condition = Condition.FIRED
    if body.get("level").text("").upper() != "ERROR":
        draft.condition = Condition.INFORMATION
        return draft.ignored("the event is no error")
    origin = body.get("origin")
    workspace, place = _workspace(body, targets)
    exceptions = body.get("error").get("exceptions").items()
    subject = None
    if workspace is not None:
        subject = Subject(
            kind=FailureKind.UPDATE,
            target=workspace.name,
            pipeline=origin.get("pipeline_id").run_id(),
            run_id=origin.get("update_id").run_id(),
            message=first_text([*(e.get("message") for e in exceptions), body.get("message")]),
        )
    draft.add(subject, place)
    return draft.alert()
