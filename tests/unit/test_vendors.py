"""Recognition of what the systems behind the platforms say: numbers, states and classes."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.catalog.loader import Catalog
from shared.diagnosis.__main__ import action_of
from shared.diagnosis.classifier import ACT_CONFIDENCE, Classifier
from shared.diagnosis.text import aside, tidy
from tests.sayings import HANDS_OFF, said

ROOT = Path(__file__).parents[2]
JOB, ADF, CLUSTER = "databricks_job", "adf", "databricks_cluster"


# One way to write numbers and states


@pytest.mark.parametrize(
    "text",
    [
        "Sql error number: 4711. Error Message: x",
        "Msg 4711, Level 16, State 1",
        "x (Microsoft SQL Server, Error: 4711)",
        "SQLServerException: x [ErrorCode = 4711] [SQLState = S0001]",
        "[SQL Server]x (4711) (SQLExecDirectW)",
    ],
)
def test_a_number_of_sql_server_is_written_in_one_way(text: str) -> None:
    assert "SqlErrorNumber=4711 " in tidy(text)


@pytest.mark.parametrize(
    "text",
    [
        "ERROR [42S02] [Acme][ODBC] x",
        "ProgrammingError: ('42S02', 'x')",
        "SQLSTATE[42S02]: x",
        "x (SQLSTATE 42S02)",
        "SQLSTATE(42S02) x",
        "SQL Error [42S02]: x",
        "1146 (42S02): x",
        "002003 (42S02): x",
        "[SQLState 42S02] x",
        "''Type=Acme.DbException,Message=42S02: x",
    ],
)
def test_a_state_of_a_database_is_written_in_one_way(text: str) -> None:
    assert "DbState=42S02 " in tidy(text)


@pytest.mark.parametrize(
    "text",
    [
        "[SOME_CONDITION] x SQLSTATE: 42S02",  # Spark's own
        "call ended, SQLSTATE=42S02",
        "took 12345 (ABCDE): x",
        "at 12:30:45 (12345) x",
        "Message=Error: x",
    ],
)
def test_what_is_no_state_of_a_database_stays(text: str) -> None:
    assert "DbState" not in tidy(text)


# The same meaning from every database


@pytest.mark.parametrize(
    ("system", "text", "error_type", "heals"),
    [
        (ADF, "Sql error number: 1222. Error Message: lock not given", "ConcurrencyLimit", True),
        (ADF, "ERROR [40001] [Acme][ODBC] chosen as victim", "ConcurrencyLimit", True),
        (ADF, "ORA-12516: no handler left", "ConcurrencyLimit", True),
        (JOB, "psycopg2.errors.SerializationFailure: x", "ConcurrencyLimit", True),
        (ADF, "SQLSTATE(08006): link gone", "HttpConnectionFailed", True),
        (ADF, "Communications link failure", "HttpConnectionFailed", True),
        (JOB, "acme.DbError: SSL SYSCALL error: EOF detected", "HttpConnectionFailed", True),
        (ADF, "ORA-12528: all instances block new sessions", "InternalServerError", True),
        (ADF, "Sql error number: 42109. Error Message: x", "InternalServerError", True),
        (ADF, "ORA-12535: x", "GatewayTimeout", True),
        (JOB, "pyodbc.OperationalError: ('HYT00', 'x')", "GatewayTimeout", True),
        (ADF, "ORA-04031: shared memory", "DatabricksResourceExhausted", True),
        (ADF, "ORA-01950: no quota for this user", "AuthenticationError", False),
        (ADF, "ERROR [28000] [Acme][ODBC] x", "AuthenticationError", False),
        (JOB, "acme.Error: 390144 (08004): JWT", "AuthenticationError", False),
        (ADF, "Sql error number: 18487. Error Message: x", "CredentialExpired", False),
        (ADF, "Message=42P01: relation", "DatabricksTableNotFound", False),
        (JOB, "1146 (42S02): dw.t", "DatabricksTableNotFound", False),
        (ADF, "ERROR [42S22] [Acme][ODBC] x", "UserErrorColumnNameInvalid", False),
        (JOB, "1054 (42S22): Unknown column 'a.b' in 'where clause'", "SchemaMismatch", False),
        (ADF, "Message=22003: value", "UserErrorInvalidDataType", False),
        (ADF, "Sql error number: 8134. Error Message: x", "UserErrorInvalidDataType", False),
        (ADF, "ORA-01476: divisor", "UserErrorInvalidDataType", False),
        (ADF, "ERROR [23000] [Acme][ODBC] x", "DataQualityExpectationFailed", False),
        (JOB, "sqlalchemy.exc.IntegrityError: x", "DataQualityExpectationFailed", False),
        (ADF, "ORA-00936: x", "ConfigurationError", False),
        (ADF, "Message=42883: function f(int) is unknown", "ConfigurationError", False),
        (JOB, "snow.Error: SQL compilation error: x", "ConfigurationError", False),
        (ADF, "Sql error number: 42108. Error Message: x", "ConfigurationError", False),
        (ADF, "ORA-30036: undo", "QuotaExceeded", False),
        (ADF, "Got a packet bigger than 'max_allowed_packet' bytes", "QuotaExceeded", False),
        (ADF, "ORA-01578: block 7", "DataCorruption", False),
        (ADF, "Host 'etl-1' is not allowed to connect", "NetworkUnreachable", False),
        (ADF, "Message=53100: cannot extend", "DatabricksResourceExhausted", False),
    ],
)
def test_the_databases_mean_the_same(
    catalog: Catalog,
    classifier: Classifier,
    system: str,
    text: str,
    error_type: str,
    heals: bool,
) -> None:
    found = said(classifier, system, text)
    assert found.error_type == error_type, found.rule
    assert (action_of(catalog, found) not in HANDS_OFF) is heals


@pytest.mark.parametrize(
    "text",
    [
        "Sql error number: 50001. Error Message: load stopped, the lock timed out is not why",
        "ORA-20017: load stopped after timeout of the check",
        "Message=P0001: no rows, timeout while waiting for them",
    ],
)
def test_what_code_in_a_database_raises_is_for_a_person(
    catalog: Catalog, classifier: Classifier, text: str
) -> None:
    found = said(classifier, ADF, text)
    assert found.error_type == "DatabricksJobExecutionError"
    assert action_of(catalog, found) in HANDS_OFF


def test_a_cause_that_such_code_passes_on_is_named(classifier: Classifier) -> None:
    text = "Sql error number: 50000. Error Message: Load: was deadlocked, chosen as deadlock victim"
    found = said(classifier, ADF, text)
    assert found.error_type == "ConcurrencyLimit"
    assert found.confidence < ACT_CONFIDENCE


@pytest.mark.parametrize("system", [ADF, JOB])
def test_memory_of_a_database_enlarges_no_cluster(
    catalog: Catalog, classifier: Classifier, system: str
) -> None:
    found = said(classifier, system, "Sql error number: 701. Error Message: too little memory")
    assert action_of(catalog, found) == "retry_with_backoff"


# Brokers, stores and services


@pytest.mark.parametrize(
    ("system", "text", "error_type", "heals"),
    [
        (JOB, "kafka.errors.TopicAuthorizationException: t", "DatabricksPermissionDenied", False),
        (JOB, "kafka.errors.SaslAuthenticationException: t", "AuthenticationError", False),
        (JOB, "kafka.errors.UnknownTopicOrPartitionException: t", "ConfigurationError", False),
        (JOB, "kafka.errors.RecordTooLargeException: t", "QuotaExceeded", False),
        (JOB, "kafka.errors.NotLeaderOrFollowerException: t", "HttpConnectionFailed", True),
        (JOB, "eventhubs.ServerBusyException: t", "ThrottlingError", True),
        (JOB, "eventhubs.ReceiverDisconnectedException: t", "ConcurrencyLimit", False),
        (JOB, "S3Exception: Slow Down (Status Code: 503)", "ThrottlingError", True),
        (JOB, "An error occurred (AccessDenied): Put", "DatabricksPermissionDenied", False),
        (JOB, "An error occurred (ThrottlingException) when calling Put", "ThrottlingError", True),
        (JOB, "acme: rpc ended: StatusCode.UNAVAILABLE", "HttpConnectionFailed", True),
        (JOB, "acme: rpc ended: StatusCode.PERMISSION_DENIED", "DatabricksPermissionDenied", False),
        (JOB, "databricks.sdk.errors.platform.TooManyRequests: x", "ThrottlingError", True),
        (JOB, "databricks.sdk.errors.platform.BadRequest: x", "ConfigurationError", False),
        (JOB, "com.jcraft.jsch.JSchException: Auth fail", "AuthenticationError", False),
        (ADF, "RfcLogonException: Password logon no longer possible", "AuthenticationError", False),
        (
            JOB,
            "errors.platform.ResourceExhausted: rate limit of 3 exceeded",
            "ThrottlingError",
            True,
        ),
        (JOB, "py4j.protocol.Py4JNetworkError: no answer", "DatabricksDriverNotResponding", True),
        (JOB, "json.decoder.JSONDecodeError: x", "DataCorruption", False),
        (ADF, "AADSTS90033: passing", "InternalServerError", True),
        (ADF, "AADSTS90019: no tenant", "AuthenticationError", False),
        (ADF, "status 409 ErrorCode: BlobArchived", "ConfigurationError", False),
        (ADF, "HTTP status 502 <html>502 Proxy Error</html>", "InternalServerError", True),
        (ADF, "curl said: Couldn't resolve host name", "NetworkUnreachable", False),
        (JOB, "[UC_SOMETHING_NEW] x", "ConfigurationError", False),
        (JOB, "[UC_SOMETHING_NEW] PERMISSION_DENIED", "DatabricksPermissionDenied", False),
        (JOB, "Multiple streaming queries are concurrently using c", "ConcurrencyLimit", False),
        (ADF, '[{"errorCode":"INVALID_FIELD","message":"x"}]', "UserErrorColumnNameInvalid", False),
        (ADF, '[{"errorCode":"INVALID_SESSION_ID","message":"x"}]', "AuthenticationError", False),
        (ADF, '[{"errorCode":"DUPLICATE_VALUE"}]', "DataQualityExpectationFailed", False),
        (ADF, "status 403 reason: rateLimitExceeded", "ThrottlingError", True),
        (ADF, "The file 'a.xlsx' is being used by another process", "ConcurrencyLimit", True),
        (ADF, "Table cannot be opened or is being used by another process", "Unknown", False),
        (CLUSTER, "Reason: Npip Tunnel Setup Failure", "DatabricksClusterStartFailure", True),
        (CLUSTER, "Cluster terminated. Reason: User Request", "Cancelled", False),
        (CLUSTER, "Reason: Invalid Argument: no such version", "ConfigurationError", False),
    ],
)
def test_the_services_behind(
    catalog: Catalog,
    classifier: Classifier,
    system: str,
    text: str,
    error_type: str,
    heals: bool,
) -> None:
    found = said(classifier, system, text)
    assert found.error_type == error_type, found.rule
    assert (action_of(catalog, found) not in HANDS_OFF) is heals


# Which of several things counts


def test_a_lost_task_is_no_lost_executor(catalog: Catalog, classifier: Classifier) -> None:
    text = "Task 3 failed 4 times: Lost task 3.3 in stage 1.0 (10.0.0.4 executor 2): {}"
    own = said(classifier, JOB, text.format("java.lang.RuntimeException: rate is negative"))
    assert action_of(catalog, own) in HANDS_OFF
    lost = said(classifier, JOB, text.format("ExecutorLostFailure (executor 2 exited)"))
    assert action_of(catalog, lost) == "retry_with_backoff"


def test_a_mistake_of_the_code_is_no_time_out(catalog: Catalog, classifier: Classifier) -> None:
    found = said(classifier, JOB, "TypeError: unsupported operand: the read timed out count + None")
    assert found.error_type == "DatabricksJobExecutionError"
    assert action_of(catalog, found) in HANDS_OFF


@pytest.mark.parametrize(
    ("text", "error_type", "heals"),
    [
        ("ServicePrincipal auth and keys are not supported here", "ConfigurationError", False),
        ("Failed to execute the data flow with internal server error", "InternalServerError", True),
    ],
)
def test_a_failed_data_flow_yields_to_its_words(
    catalog: Catalog,
    classifier: Classifier,
    text: str,
    error_type: str,
    heals: bool,
) -> None:
    found = said(classifier, ADF, text, "DF-Executor-InternalServerError")
    assert found.error_type == error_type
    assert (action_of(catalog, found) not in HANDS_OFF) is heals


# A log's noise


def test_noise_stands_aside() -> None:
    text = tidy("24/02/03 10:11:12 WARN Store: slow\nValueError: x\nFutureWarning: old\n")
    assert aside(text) == ("24/02/03 10:11:12 WARN Store: slow FutureWarning: old", "ValueError: x")


@pytest.mark.parametrize(
    "text", ["WARNING: the link was reset", "24/02/03 10:11:12 WARN Net: reset\n\n", "a\x1eb"]
)
def test_without_anything_else_noise_is_the_text(text: str) -> None:
    assert aside(tidy(text)) == ("", " ".join(text.split()))


@pytest.mark.parametrize(
    ("text", "error_type", "heals"),
    [
        (
            (
                "24/02/03 10:11:12 WARN Fs: AccessDenied for the lifecycle\n"
                "AnalysisException: [UNRESOLVED_COLUMN] `a` cannot be resolved"
            ),
            "SchemaMismatch",
            False,
        ),
        (
            ("24/02/03 10:11:12 WARN Net: read timed out, will retry\nKeyError: 'customer'"),
            "DatabricksJobExecutionError",
            False,
        ),
        ("24/02/03 10:11:12 WARN Net: read timed out\nERROR the load gave up", "Unknown", False),
        (
            (
                "x.py:1: DeprecationWarning: the old form is deprecated, it must be replaced\n"
                "requests.exceptions.ReadTimeout: Read timed out."
            ),
            "GatewayTimeout",
            True,
        ),
        # A case for a person that only a warning tells still holds a repair back.
        (
            (
                "24/02/03 10:11:12 WARN Auth: password authentication failed\n"
                "java.net.SocketTimeoutException: Read timed out"
            ),
            "AuthenticationError",
            False,
        ),
    ],
)
def test_a_cause_beside_noise(
    catalog: Catalog,
    classifier: Classifier,
    text: str,
    error_type: str,
    heals: bool,
) -> None:
    found = said(classifier, JOB, text)
    assert found.error_type == error_type, found.rule
    assert (action_of(catalog, found) not in HANDS_OFF) is heals


def test_names_that_only_wrap_are_not_acted_on(classifier: Classifier) -> None:
    for name in ("AnalysisException", "java.lang.IllegalStateException"):
        assert said(classifier, JOB, f"{name}: x").confidence < ACT_CONFIDENCE
