"""Our own normalised form, and the flat message that a Data Factory Web activity can send."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec

from shared.decoding import convert
from shared.errors import InputError
from shared.intake.databricks import library_text
from shared.intake.fields import MAX_TEXT, Node, first_text
from shared.intake.shapes import Draft, fingerprint
from shared.models import Alert, Subject
from shared.targets import Targets, Workspace
from shared.vocabulary import SELFTEST, Condition, FailureKind

_Text = Annotated[str, msgspec.Meta(max_length=MAX_TEXT)]
_MAX_FAILURES = 100


class OwnFailure(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One failed thing. Which fields are needed depends on `kind`."""

    kind: FailureKind
    target: str
    run_id: str = ""  # pipeline run, job run or update
    pipeline: str = ""  # pipeline name, or a DLT pipeline's id for an update
    cluster_id: str = ""
    library: dict[str, Any] | str = ""
    error_code: _Text = ""
    error_message: _Text = ""


class OwnAlert(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /api/alerts`."""

    failures: Annotated[
        tuple[OwnFailure, ...], msgspec.Meta(min_length=1, max_length=_MAX_FAILURES)
    ]
    source: Annotated[str, msgspec.Meta(max_length=200)] = ""
    severity: Annotated[str, msgspec.Meta(max_length=40)] = ""
    condition: Literal["fired", "resolved"] = "fired"
    fired_at: datetime | None = None
    dedupe_key: Annotated[str, msgspec.Meta(max_length=500)] = ""


def recognises(body: Node) -> bool:
    """Whether this is our own form."""
    return isinstance(body.value, dict) and "failures" in body.value


def is_selftest(body: Node) -> bool:
    """Whether this is our own self-test."""
    return isinstance(body.value, dict) and set(body.value) == {"selftest"}


def parse_selftest(body: Node) -> Alert:
    """The self-test's alert: it names nothing that failed, only itself.

    Raises:
        InputError: its identity is not a short text.
    """
    identity = body.get("selftest").text(limit=100)
    return Alert(
        fingerprint=f"{SELFTEST}:{identity}",
        dialect=SELFTEST,
        rule=identity,
        condition=Condition.FIRED,
    )


def recognises_flat(body: Node) -> bool:
    """Whether this is the flat form of a Web activity: a factory's name and a run id."""
    if not isinstance(body.value, dict):
        return False
    factory = body.get("dataFactory", "dataFactoryName", "factoryName", "factory")
    return bool(factory) and bool(body.get("runId", "pipelineRunId", "run_id"))


def parse(body: Node, targets: Targets) -> Alert:
    """The alert in our own form.

    Raises:
        InputError: a field is missing or wrong.
    """
    try:
        own = convert(body.value, OwnAlert)
    except msgspec.ValidationError as error:
        reason, _, path = str(error).partition(" - at `")
        raise InputError(path.rstrip("`") or "$", reason) from None
    draft = Draft(
        dialect="lakemend",
        rule=own.source,
        fingerprint=fingerprint("lakemend", own.dedupe_key or body.value),
        severity=own.severity,
        fired_at=own.fired_at,
        dated=bool(own.fired_at or own.dedupe_key),
    )
    if own.condition == "resolved":
        return draft.ignored("the alert says that it is resolved")
    for index, failure in enumerate(own.failures):
        at = Node(body.value["failures"][index], f"$.failures[{index}]")
        target = _ours(failure, targets)
        subject = _subject(failure, at, target)
        draft.add(subject if target else None, f"target {failure.target!r}")
    return draft.alert()


def parse_flat(body: Node, targets: Targets) -> Alert:
    """The alert of a Web activity.

    Raises:
        InputError: a field is missing or wrong.
    """
    place = body.get("dataFactory", "dataFactoryName", "factoryName", "factory").text(limit=500)
    factory = targets.factory(place)
    error = body.get("error")
    detail = error if isinstance(error.value, dict) else Node(None, error.path)
    pipeline = body.get("pipeline", "pipelineName")
    draft = Draft("data_factory_web_activity", "", fingerprint("flat", body.value), dated=False)
    subject = None
    if factory is not None:
        subject = Subject(
            kind=FailureKind.PIPELINE_RUN,
            target=factory.name,
            run_id=body.get("runId", "pipelineRunId", "run_id").run_id(),
            pipeline=pipeline.name() if pipeline else "",
            code=first_text([detail.get("errorCode", "code")]),
            message=first_text([detail.get("message"), body.get("errorMessage", "message"), error]),
        )
    draft.add(subject, place)
    return draft.alert()


def _ours(failure: OwnFailure, targets: Targets) -> str:
    """The listed name of the target that is meant, empty if it is none or of the other kind."""
    target = targets.by_name(failure.target)
    if target is None:
        return ""
    fits = isinstance(target, Workspace) is (failure.kind is not FailureKind.PIPELINE_RUN)
    return target.name if fits else ""


def _subject(failure: OwnFailure, at: Node, target: str) -> Subject:
    fields = _FIELDS[failure.kind](at)
    library = at.get("library")
    return Subject(
        kind=failure.kind,
        target=target,
        library=library_text(library) if failure.kind is FailureKind.LIBRARY else "",
        code=failure.error_code,
        message=failure.error_message,
        run_id=fields.get("run_id", ""),
        pipeline=fields.get("pipeline", ""),
        cluster_id=fields.get("cluster_id", ""),
    )


def _pipeline_run(at: Node) -> dict[str, str]:
    pipeline = at.get("pipeline")
    return {
        "run_id": at.get("run_id").run_id(),
        "pipeline": pipeline.name() if pipeline and pipeline.value else "",
    }


def _job_run(at: Node) -> dict[str, str]:
    return {"run_id": at.get("run_id").number()}


def _cluster(at: Node) -> dict[str, str]:
    return {"cluster_id": at.get("cluster_id").run_id()}


def _update(at: Node) -> dict[str, str]:
    if not at.get("pipeline"):
        raise InputError(f"{at.path}.pipeline", "missing, expected the DLT pipeline's id")
    return {"run_id": at.get("run_id").run_id(), "pipeline": at.get("pipeline").run_id()}


_FIELDS = {
    FailureKind.PIPELINE_RUN: _pipeline_run,
    FailureKind.JOB_RUN: _job_run,
    FailureKind.CLUSTER: _cluster,
    FailureKind.LIBRARY: _cluster,
    FailureKind.UPDATE: _update,
}
