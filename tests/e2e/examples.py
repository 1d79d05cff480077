"""One failure of each error type, as a platform tells it."""

from __future__ import annotations

import msgspec


class Example(msgspec.Struct, frozen=True):
    """How a type shows: as an ADF activity's error, a job task's output or a cluster's end."""

    kind: str
    code: str
    message: str


ADF, JOB, CLUSTER = "adf", "job", "cluster"
EXAMPLES = {
    "UserErrorSourceBlobNotExists": Example(
        ADF, "UserErrorSourceBlobNotExist", "The required Blob is missing. ContainerName: raw"
    ),
    "GatewayTimeout": Example(
        ADF, "2200", "ErrorCode=GatewayTimeout,'Message=504 Gateway Timeout'"
    ),
    "HttpConnectionFailed": Example(
        ADF, "2200", "The underlying connection was closed: A connection was reset by the peer."
    ),
    "ThrottlingError": Example(ADF, "2200", 'Message: {"Errors":["Request rate is large."]}'),
    "UserErrorInvalidDataType": Example(
        ADF,
        "2200",
        "ErrorCode=TypeConversionFailure,Exception occurred when converting value 'x' for column "
        "name 'amount' from type 'String' to type 'Decimal'.",
    ),
    "UserErrorColumnNameInvalid": Example(
        ADF, "SqlInvalidColumnName", "Column 'ordr_id' does not exist in the table 'orders'."
    ),
    "AuthenticationError": Example(
        ADF, "SqlUnauthorizedAccess", "Cannot connect. Detail Message: Login failed for user 'etl'."
    ),
    "InternalServerError": Example(ADF, "4510", "Unexpected failure during execution."),
    "CredentialExpired": Example(
        ADF, "2200", "AADSTS7000222: The provided client secret keys for app 'x' are expired."
    ),
    "DataCorruption": Example(ADF, "ParquetInvalidFile", "File is not a valid Parquet file."),
    "SchemaMismatch": Example(
        ADF, "DelimitedTextMoreColumnsThanDefined", "found more columns than expected"
    ),
    "ConfigurationError": Example(ADF, "3201", "Missing required field: settings.task.path."),
    "QuotaExceeded": Example(ADF, "2002", "The payload including configurations is too large."),
    "NetworkUnreachable": Example(
        ADF, "2010", "The Self-hosted Integration Runtime 'shir-1' is offline"
    ),
    "ConcurrencyLimit": Example(
        ADF, "AzureAppendBlobConcurrentWriteConflict", "Detected concurrent write to the same blob"
    ),
    "Unknown": Example(ADF, "98765", "Frobnication incomplete"),
    "DatabricksJobExecutionError": Example(JOB, "", "NameError: name 'foo' is not defined"),
    "DatabricksLibraryInstallationError": Example(
        JOB, "", "No matching distribution found for nosuchpackage==9.9"
    ),
    "DatabricksPermissionDenied": Example(
        JOB, "", "PERMISSION_DENIED: User does not have MODIFY on Table 'main.sales.orders'."
    ),
    "DatabricksResourceExhausted": Example(JOB, "", "java.lang.OutOfMemoryError: Java heap space"),
    "DatabricksTableNotFound": Example(
        JOB, "", "[TABLE_OR_VIEW_NOT_FOUND] The table or view `a`.`b`.`c` cannot be found."
    ),
    "DatabricksSparkException": Example(
        JOB, "", "[FAILED_EXECUTE_UDF] User defined function failed. SQLSTATE: 39000"
    ),
    "DatabricksTimeoutError": Example(JOB, "RUN_DURATION_EXCEEDED", "the run took too long"),
    "DataQualityExpectationFailed": Example(
        JOB, "", "[EXPECTATION_VIOLATION.VERBOSITY_ALL] Violated expectations: 'id_not_null'."
    ),
    "DatabricksDriverNotResponding": Example(CLUSTER, "DRIVER_UNRESPONSIVE", ""),
    "DatabricksClusterStartFailure": Example(CLUSTER, "BOOTSTRAP_TIMEOUT", ""),
    "ClusterUnexpectedTermination": Example(CLUSTER, "CLOUD_PROVIDER_SHUTDOWN", ""),
    "Cancelled": Example(CLUSTER, "USER_REQUEST", ""),
}
