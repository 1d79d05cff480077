"""The control endpoints: how tests script what the platforms do.

All take and give JSON and need no token. An empty body is `{}`. Times are seconds before `--speed`.

General:
    GET    /_sandbox/health
    POST   /_sandbox/reset               forget everything, the log included
    GET    /_sandbox/state               everything, for debugging
    POST   /_sandbox/tokens              {"valid": ["a"], "expired": ["b"]}
    GET    /_sandbox/requests            ?method=POST&path=<regex>&since=<n>
    DELETE /_sandbox/requests
    POST   /_sandbox/faults              {"name", "method"?, "path"? (regex), "times"?, "skip"?,
                                         "status"?, "headers"?, "body"?, "after_effect"?,
                                         "delay_seconds"? (real time), "disconnect"?, "truncate"?,
                                         "garble"? (one value of the answer is strange or gone),
                                         "stale"? (an earlier answer to the same question),
                                         "probability"?, "seed"?}
    DELETE /_sandbox/faults
    POST   /_sandbox/forbid              {"kind": "cluster|job|pipeline|factory", "id",
                                         "allow"?: true gives it back}; kind is also "warehouse"
                                         (id), "catalog", "schema", "path" and
                                         "table" (full name in small letters)

Data Factory; an outcome is {"status": "Succeeded|Failed|Cancelled|InProgress", "activity"?,
"error"?: {"errorCode", "message", "failureType"}, "duration_seconds"?, "unless_parameter_max"?:
{"name", "value"} (the run succeeds if that parameter of it is at most so much)}; InProgress never
ends:
    POST /_sandbox/factories             {"subscription_id", "resource_group", "name"}
    POST /_sandbox/adf/pipelines         {"factory", "name", "activities"?, "duration_seconds"?,
                                         "parameters"?}
    POST /_sandbox/adf/triggers          {"factory", "name", "type"? (ScheduleTrigger),
                                         "pipelines"?, "state"? (Started), "type_properties"?}
    POST /_sandbox/adf/runs              {"factory", "pipeline", "outcome"?, "run_id"?,
                                         "parameters"?, "started_seconds_ago"?, "finished"?,
                                         "ended_seconds_ago"? (of a finished one),
                                         "trigger"?: {"name", "type", "trigger_run_id"?},
                                         "parent_run_id"?} -> {"run_id", "trigger_run_id"}
    POST /_sandbox/adf/outcomes          {"factory", "pipeline", "outcomes", "then"?}
    POST /_sandbox/adf/integration-runtimes
                                         {"factory", "name", "type"? (SelfHosted), "state"?
                                         (Online), "nodes"?: [{"nodeName", "status"}]}
    POST /_sandbox/adf/paging            {"page_size"?, "empty_first_page"?,
                                         "of"?: "runs|activities"}

Databricks:
    POST /_sandbox/databricks/clusters   {...spec, "cluster_id"?, "state"?, "state_message"?,
                                         "termination_reason"?, "cluster_source"?, "on_start"?}
    POST /_sandbox/databricks/clusters/{id}/break
                                         {"termination_reason"?, "state_message"?, "state"?}
    POST /_sandbox/databricks/node-types {"node_types": ["name" or {"node_type_id",
                                         "available_core_quota"?, "total_core_quota"?, "status"?,
                                         ...what else list-node-types tells}]}; from then on a
                                         cluster of another type is refused
    POST /_sandbox/databricks/libraries  {"rules": [{"library", "status", "message"?, "times"?}]}
    POST /_sandbox/databricks/jobs       {...settings, "job_id"?}
    POST /_sandbox/databricks/runs       {"job_id", "run_id"?, "outcome"? (with "task_key"?),
                                         "finished"?, "started_seconds_ago"?,
                                         "ended_seconds_ago"? (of a finished one), "run_name"?,
                                         "run_type"?, "trigger"?, "job_parameters"?,
                                         "notebook_params"?} -> {"run_id"}
    POST /_sandbox/databricks/outcomes   {"job_id", "task_key"? (the first task), "outcomes",
                                         "then"?}
    POST /_sandbox/databricks/pipelines  {...spec, "pipeline_id"?, "outcomes"?, "then"?,
                                         "tables"?: [names]: selections of others are refused}
    POST /_sandbox/databricks/updates    {"pipeline_id", "outcome"?, "finished"?, "cause"?}
    POST /_sandbox/databricks/events     {"pipeline_id", "events": [{...}]} adds to the event log
    POST /_sandbox/databricks/identity   {"pipeline_id", "run_as"} whom the pipeline runs as
    POST /_sandbox/databricks/update-outcomes
                                         {"match": regex on the pipeline's name, "outcomes",
                                         "validate_only"? (false)} also for pipelines to come
    POST /_sandbox/databricks/job-outcomes
                                         {"match": regex on the job's name, "task_key", "outcomes"}
                                         for each job to come
    POST /_sandbox/databricks/schemas    {"full_name": "catalog.schema", "owner"?}
    POST /_sandbox/databricks/warehouses {"warehouse_id", "state"? (RUNNING; a STOPPED one starts
                                         for a statement; DELETED ones are refused)}
    POST /_sandbox/databricks/statements {"match"? (regex, any case), "error_code"? and "message"?
                                         (it fails), "duration_seconds"? (0), "times"?,
                                         "columns"? and "rows"? (its result; all texts)}
    POST /_sandbox/databricks/access-tokens
                                         {"tokens": [{"token_id", "comment"?, "expiry_time"?
                                         (milliseconds, -1 for never)}]}: the caller's own
    POST /_sandbox/databricks/tables     {"full_name": "catalog.schema.table"}

An entry of on_start is "RUNNING" or {"state": "TERMINATED|ERROR", "termination_reason"?,
"state_message"?, "unless_node_type"?: name or names}; each is good for one start, but one with
unless_node_type stays and lets only a cluster of these node types up.
A task's outcome is {"result": "SUCCESS|FAILED|TIMEDOUT|CANCELED|HANG", "termination_code"?,
"termination_type"?, "message"?, "error"?, "error_trace"?, "duration_seconds"?, "output"?,
"condition"?: {"min_workers"?, "node_type"?, "library"?, "library_not"?, "table_exists"?:
"catalog.schema.table", "min_timeout_seconds"? (of the time-outs that task and run have, the
smallest; met if they have none), "parameter_max"?: {"name", "value"}} (all met: it succeeds),
"cluster_failure"?: {"termination_reason", "state_message"?} (its job cluster does not come up)}.
Conditions look at what is current when the task ends: a repair takes the job's settings of then and
adds its parameters to those of the run. A TIMEDOUT is worded as the platform's own.
An update's outcome is {"state": "COMPLETED|FAILED", "error"?: {"exceptions": [{"class_name",
"message"}]}, "flow"?, "dataset"? (the flow), "condition"?: {"full_refresh"?, "reset_checkpoint"?:
true or the names that have to be selected, "min_workers"?} (one met: it completes),
"platform_retry"?, "duration_seconds"?, "rows"?: {table: number}, "failed_records"?: {table:
{expectation: number}}, "missing_tables"?: [names]}. A completed update makes the tables that its
sources declare and tells their rows and expectations; a validation completes unless scripted.

Statements: CREATE [OR REPLACE] TABLE [IF NOT EXISTS] makes the table (in main.default where neither
name nor request say otherwise), SELECT 1 gives a row, all others succeed without doing anything.
The wait of a request takes no time: what would end within wait_timeout has ended in the answer.

Logic Apps, at /workflows/{id}/triggers/manual/paths/invoke (with api-version, sp, sv and sig, and
without an Authorization header):
    POST /_sandbox/playbooks             {"id", "sig", "status"? (200), "answer"?, "enabled"?
                                         (true), "effect"?: {"adf_rerun": true} or
                                         {"databricks_repair": true}} -> {"path": signed}
The effect recovers metadata.run_id of metadata.pipeline in metadata.factory, or repairs
metadata.run_id, whatever the status; where it cannot, the answer is 502. Without an answer the body
is {"new_run_id"} or {"run_id", "repair_id"}, and empty where there is no effect.

The index of packages, at /simple/{name}/:
    POST /_sandbox/index                 {"packages"?: {name: [versions]},
                                         "yanked"?: {name: [versions]}}

Receivers of webhooks, at /sink/{name}, with or without more path; they take JSON objects:
    GET  /_sandbox/sink/{name}           -> {"received": [bodies, in order]}
"""
