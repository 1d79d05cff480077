"""Factories, pipelines and runs in the shapes of the REST API."""

from typing import Any

from sandbox.adf.models import (
    ActivityRun,
    Factory,
    IntegrationRuntime,
    PipelineDefinition,
    PipelineRun,
    TriggerDefinition,
    TriggerRun,
)
from sandbox.clock import iso
from sandbox.wire import Json


def moment(value: float | None) -> str | None:
    """Write a time that may not have come yet."""
    return None if value is None else iso(value)


def duration(start: float, end: float | None) -> int | None:
    """Return milliseconds, once it is known."""
    return None if end is None else round((end - start) * 1000)


def factory_view(factory: Factory) -> Json:
    """Write a factory."""
    return {
        "id": factory.resource_id,
        "name": factory.name,
        "type": "Microsoft.DataFactory/factories",
        "location": "westeurope",
        "properties": {"provisioningState": "Succeeded", "version": "2018-06-01"},
        "eTag": '"sandbox"',
        "identity": {"type": "SystemAssigned"},
    }


def pipeline_view(factory: Factory, pipeline: PipelineDefinition) -> Json:
    """Write a pipeline."""
    properties: Json = {"activities": [activity_definition(x) for x in pipeline.activities]}
    if pipeline.parameters:
        properties["parameters"] = pipeline.parameters
    return {
        "id": f"{factory.resource_id}/pipelines/{pipeline.name}",
        "name": pipeline.name,
        "type": "Microsoft.DataFactory/factories/pipelines",
        "etag": "sandbox",
        "properties": properties,
    }


def activity_definition(spec: Json) -> Json:
    """Write an activity of a pipeline's definition."""
    definition: Json = {
        "name": spec["name"],
        "type": spec["type"],
        "dependsOn": [dependency(x) for x in spec.get("depends_on", [])],
        "policy": spec.get("policy", {}),
        "userProperties": spec.get("user_properties", []),
        "typeProperties": spec.get("type_properties", {}),
    }
    if spec["type"] == "ExecutePipeline":
        reference = {"referenceName": spec.get("pipeline"), "type": "PipelineReference"}
        waits = spec.get("wait_on_completion", True)
        definition["typeProperties"] = {"pipeline": reference, "waitOnCompletion": waits}
    return definition


def dependency(entry: Any) -> Json:  # noqa: ANN401 - a name or the API's own object
    """Write a dependency; a bare name waits for success."""
    if isinstance(entry, str):
        return {"activity": entry, "dependencyConditions": ["Succeeded"]}
    return dict(entry)


def runtime_view(factory: Factory, runtime: IntegrationRuntime) -> Json:
    """Write an integration runtime."""
    return {
        "id": f"{factory.resource_id}/integrationruntimes/{runtime.name}",
        "name": runtime.name,
        "type": "Microsoft.DataFactory/factories/integrationruntimes",
        "etag": "sandbox",
        "properties": {"type": runtime.kind},
    }


def linked_service_view(factory: Factory, name: str, properties: Json) -> Json:
    """Write a linked service."""
    return {
        "id": f"{factory.resource_id}/linkedservices/{name}",
        "name": name,
        "type": "Microsoft.DataFactory/factories/linkedservices",
        "etag": "sandbox",
        "properties": properties,
    }


def runtime_status_view(factory: Factory, runtime: IntegrationRuntime) -> Json:
    """Write how an integration runtime is; only a self-hosted one has nodes."""
    properties: Json = {
        "type": runtime.kind,
        "state": runtime.state,
        "dataFactoryName": factory.name,
    }
    if runtime.kind == "SelfHosted":
        properties["typeProperties"] = {"nodes": runtime.nodes}
    return {"name": runtime.name, "properties": properties}


def run_view(run: PipelineRun) -> Json:
    """Write a pipeline run."""
    return {
        "runId": run.run_id,
        "runGroupId": run.group_id,
        "isLatest": run.is_latest,
        "pipelineName": run.pipeline.name,
        "parameters": {k: str(v) for k, v in run.parameters.items()},
        "runDimensions": {},
        "invokedBy": run.invoked_by,
        "lastUpdated": iso(run.last_updated),
        "runStart": iso(run.started),
        "runEnd": moment(run.ended),
        "durationInMs": duration(run.started, run.ended),
        "status": run.status,
        "message": run.message,
    }


def activity_view(run: PipelineRun, activity: ActivityRun) -> Json:
    """Write an activity run; without a failure the error's fields are empty, not missing."""
    nothing = {"errorCode": "", "message": "", "failureType": "", "target": activity.name}
    retries = activity.spec.get("policy", {}).get("retry", 0)
    return {
        "pipelineName": run.pipeline.name,
        "pipelineRunId": run.run_id,
        "activityName": activity.name,
        "activityType": activity.spec["type"],
        "activityRunId": activity.activity_run_id,
        "linkedServiceName": activity.spec.get("linked_service", ""),
        "status": activity.status,
        "activityRunStart": iso(activity.started),
        "activityRunEnd": moment(activity.ended),
        "durationInMs": duration(activity.started, activity.ended),
        "input": activity_input(activity),
        "output": {**activity.output, **activity.spec.get("output", {})},
        "error": activity.error or {**nothing, "details": ""},
        "retryAttempt": retries if retries and activity.status == "Failed" else None,
        "iterationHash": "",
        "userProperties": activity.spec.get("user_properties", {}),
        "recoveryStatus": "None",
        "integrationRuntimeNames": ["defaultintegrationruntime"],
    }


def activity_input(activity: ActivityRun) -> Json:
    """Write what an activity was given."""
    if activity.spec["type"] != "ExecutePipeline":
        return dict(activity.spec.get("input", {}))
    reference = {"referenceName": activity.spec.get("pipeline"), "type": "PipelineReference"}
    return {
        "pipeline": reference,
        "waitOnCompletion": activity.spec.get("wait_on_completion", True),
    }


def trigger_run_view(fired: TriggerRun) -> Json:
    """Write a trigger run."""
    return {
        "triggerRunId": fired.trigger_run_id,
        "triggerName": fired.name,
        "triggerType": fired.kind,
        "triggerRunTimestamp": iso(fired.timestamp),
        "status": fired.status(),
        "message": fired.run.message or None,
        "properties": {"TriggerTime": iso(fired.timestamp)},
        "triggeredPipelines": {fired.pipeline: fired.run.run_id},
        "runDimension": {},
        "dependencyStatus": {},
        "runGroupId": fired.run.group_id,
        "isLatest": True,
    }


def trigger_view(factory: Factory, trigger: TriggerDefinition) -> Json:
    """Write a trigger."""
    references = [{"referenceName": x, "type": "PipelineReference"} for x in trigger.pipelines]
    properties: Json = {
        "type": trigger.kind,
        "runtimeState": trigger.state,
        "typeProperties": trigger.type_properties,
    }
    bound = [{"pipelineReference": x, "parameters": {}} for x in references]
    if trigger.kind == "TumblingWindowTrigger":
        properties["pipeline"] = bound[0] if bound else None
    else:
        properties["pipelines"] = bound
    return {
        "id": f"{factory.resource_id}/triggers/{trigger.name}",
        "name": trigger.name,
        "type": "Microsoft.DataFactory/factories/triggers",
        "etag": "sandbox",
        "properties": properties,
    }
