"""Azure Monitor alerts: common schema, the older schemas, custom properties.

Sources: learn.microsoft.com/azure/azure-monitor/alerts/alerts-common-schema,
alerts-payload-samples, alerts-non-common-schema-definitions.
A metric alert names a factory and a window of time, never a run; a log alert carries no rows, only
the dimensions that the rule splits by.
"""

from __future__ import annotations

from datetime import timedelta

from shared.errors import InputError
from shared.intake.fields import Node, first_text
from shared.intake.shapes import Draft, fingerprint
from shared.models import Alert, Subject
from shared.targets import Targets
from shared.vocabulary import HEARTBEAT, Condition, FailureKind

_COMMON = "azure_monitor_common"
_BEAT = "LakemendHeartbeat"  # the column by which infra/modules/heartbeat.bicep splits its rule
_METRICS = frozenset({"pipelinefailedruns", "activityfailedruns"})
_PIPELINE_NAMES = ("Name", "PipelineName")
_MOST_LOOKS = 2_000  # criteria times resources; what Azure sends has a handful of each
_WINDOW = timedelta(hours=1)  # looked back from the firing when an alert brings no window


def recognises(body: Node) -> bool:
    """Whether this looks like an Azure Monitor alert."""
    schema = body.get("schemaId").text("") if isinstance(body.value, dict) else ""
    if schema.lower().startswith(("azuremonitor", "microsoft.insights")):
        return True
    data = body.value.get("data") if isinstance(body.value, dict) else None
    return isinstance(data, dict) and bool({"essentials", "alertContext", "context"} & set(data))


def parse(body: Node, targets: Targets) -> Alert:
    """The alert in `body`.

    Raises:
        InputError: a field is missing or wrong.
    """
    data = body.get("data")
    if not data:
        raise InputError("$.data", "missing, expected the alert's data")
    if data.get("essentials"):
        return _common(data, targets)
    if data.get("context"):
        return _older(body, data, targets)
    raise InputError("$.data.essentials", "missing, expected the common alert schema's essentials")


def _common(data: Node, targets: Targets) -> Alert:
    essentials = data.get("essentials")
    context = data.get("alertContext")
    fired = essentials.get("firedDateTime").moment()
    draft = Draft(
        dialect=_COMMON,
        rule=essentials.get("alertRule").text(""),
        condition=_condition(essentials.get("monitorCondition")),
        severity=essentials.get("severity").text(""),
        fired_at=fired,
        dated=fired is not None,
        fingerprint=_common_fingerprint(data, essentials),
    )
    if draft.condition is not Condition.FIRED:
        return draft.ignored("the alert says that it is resolved")
    resources = [node.text() for node in essentials.get("alertTargetIDs").items()]
    properties = _properties(context)
    if properties and _names_pipeline(properties):
        return _from_properties(draft, properties, resources, targets)
    if essentials.get("signalType").text("").lower() == "activity log":
        return draft.ignored("an administrative operation, not a run")
    criteria = context.get("condition").get("allOf").items()
    if not criteria:
        raise InputError(
            "$.data.alertContext.condition.allOf", "missing, expected what the alert measured"
        )
    if any(_dimensions(criterion).get(_BEAT).text("") for criterion in criteria):
        return Alert(draft.fingerprint, HEARTBEAT, draft.rule, draft.condition, fired_at=fired)
    window = context.get("condition")
    return _from_criteria(draft, criteria, window, resources, targets)


def _common_fingerprint(data: Node, essentials: Node) -> str:
    alert_id = essentials.get("alertId").text("")
    if not alert_id:
        return fingerprint(_COMMON, data.value)
    condition = essentials.get("monitorCondition").text("")
    # A rule that fires for several resources or rows sends several messages under one alertId.
    about = [essentials.get("alertTargetIDs").value, data.get("alertContext").value]
    fired = essentials.get("firedDateTime").text("")
    return fingerprint(_COMMON, [alert_id, condition, fired, about])


def _condition(node: Node) -> Condition:
    word = node.text("Fired").lower()
    known = {
        "fired": Condition.FIRED,
        "activated": Condition.FIRED,
        "resolved": Condition.RESOLVED,
        "deactivated": Condition.RESOLVED,
    }
    if word not in known:
        raise InputError(node.path, "expected Fired or Resolved")
    return known[word]


def _older(body: Node, data: Node, targets: Targets) -> Alert:
    context = data.get("context")
    if context.get("activityLog"):
        draft = Draft("azure_monitor_activity_log", "", fingerprint("activity", body.value))
        return draft.ignored("an administrative operation, not a run")
    fired = context.get("timestamp").moment()
    draft = Draft(
        dialect="azure_monitor_metric",
        rule=context.get("name").text(""),
        condition=_condition(data.get("status")),
        severity=context.get("severity").text(""),
        fired_at=fired,
        dated=fired is not None,
        fingerprint=fingerprint("metric", body.value),
    )
    if draft.condition is not Condition.FIRED:
        return draft.ignored("the alert says that it is resolved")
    resources = [context.get("resourceId").text()]
    criteria = context.get("condition").get("allOf").items()
    return _from_criteria(draft, criteria, context.get("condition"), resources, targets)


def _from_criteria(
    draft: Draft, criteria: list[Node], window: Node, resources: list[str], targets: Targets
) -> Alert:
    if len(criteria) * len(resources) > _MOST_LOOKS:
        expected = f"expected at most {_MOST_LOOKS} criteria times resources"
        raise InputError(f"{window.path}.allOf", expected)
    for criterion in criteria:
        _criterion(draft, criterion, window, resources, targets)
    return draft.alert()


def _criterion(
    draft: Draft, criterion: Node, window: Node, resources: list[str], targets: Targets
) -> None:
    dimensions = _dimensions(criterion)
    metric = criterion.get("metricName").text("").lower()
    if metric and metric not in _METRICS:
        draft.ignore(f"the metric {metric} tells of no failed run")
        return
    if not metric and not _names_pipeline(dimensions) and not dimensions.get("JobRunId"):
        draft.refuse(
            "the log alert names no run: split its rule by the columns RunId, PipelineName and "
            "_ResourceId"
        )
        return
    place = dimensions.get("_ResourceId", "ResourceId").text("")
    for resource in [place] if place else resources:
        draft.add(_subject(draft, dimensions, window, criterion, resource, targets), resource)


def _subject(
    draft: Draft,
    dimensions: Node,
    window: Node,
    criterion: Node,
    resource: str,
    targets: Targets,
) -> Subject | None:
    factory = targets.factory(resource)
    if factory is None:
        return _databricks_subject(dimensions, resource, targets)
    fired = draft.fired_at
    end = window.get("windowEndTime").moment() or fired
    start = window.get("windowStartTime").moment() or (end - _WINDOW if end else None)
    # On the metric of activities, `Name` is the activity's.
    activity = criterion.get("metricName").text("").lower() == "activityfailedruns"
    pipeline = dimensions.get("PipelineName") if activity else dimensions.get(*_PIPELINE_NAMES)
    run = dimensions.get("RunId", "PipelineRunId", "PipelineRunId_g")
    value = criterion.get("metricValue").value
    return Subject(
        kind=FailureKind.PIPELINE_RUN,
        target=factory.name,
        run_id=run.run_id() if run else "",
        pipeline=pipeline.name() if pipeline else "",
        window_start=start,
        window_end=end,
        expected=int(value) if isinstance(value, int | float) and 0 < value < 1e6 else 0,  # noqa: PLR2004 - a sane count
        code=dimensions.get("ErrorCode").text(""),
        message=dimensions.get("ErrorMessage").text(""),
    )


def _databricks_subject(dimensions: Node, resource: str, targets: Targets) -> Subject | None:
    workspace = targets.workspace(resource) if "/" in resource else None
    run = dimensions.get("JobRunId", "RunId")
    if workspace is None or not run:
        return None
    return Subject(FailureKind.JOB_RUN, workspace.name, run_id=run.number(), task_run=True)


def _dimensions(criterion: Node) -> Node:
    pairs = criterion.get("dimensions").items()
    values = {pair.get("name").text(): pair.get("value").value for pair in pairs}
    return Node(values, f"{criterion.path}.dimensions")


def _properties(context: Node) -> Node:
    found = context.get("properties") if context else Node(None)
    return found if isinstance(found.value, dict) else Node(None)


def _names_pipeline(node: Node) -> bool:
    return bool(node.get("RunId", "PipelineRunId", "PipelineName", "Name", "PipelineRunId_g"))


def _from_properties(
    draft: Draft, properties: Node, resources: list[str], targets: Targets
) -> Alert:
    run = properties.get("PipelineRunId", "RunId")
    pipeline = properties.get("PipelineName", "Name")
    named = properties.get("DataFactoryName", "FactoryName", "DataFactory", "ResourceId").text("")
    place = named or next((r for r in resources if targets.factory(r)), "")
    place = place or next(iter(resources), "")
    factory = targets.factory(place) if place else next(iter(targets.factories), None)
    error = properties.get("Error")
    detail = error if isinstance(error.value, dict) else Node(None)
    end = draft.fired_at
    subject = Subject(
        kind=FailureKind.PIPELINE_RUN,
        # Without a place the run id is looked for in every listed factory.
        target=factory.name if factory and (place or len(targets.factories) == 1) else "",
        run_id=run.run_id() if run else "",
        pipeline=pipeline.name() if pipeline else "",
        window_start=end - _WINDOW if end else None,
        window_end=end,
        code=first_text([detail.get("errorCode"), properties.get("ErrorCode")]),
        message=first_text(
            [
                detail.get("message"),
                properties.get("ErrorMessage"),
                properties.get("detailedMessage"),
                properties.get("message"),
            ]
        ),
    )
    draft.add(subject if factory else None, place or "no data factory")
    return draft.alert()
