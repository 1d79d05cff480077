"""Recognition where acting would be wrong: numbers without a meaning, words beside a repair."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from shared.catalog.loader import Catalog
from shared.diagnosis.__main__ import action_of
from shared.diagnosis.classifier import ACT_CONFIDENCE, Classifier
from shared.diagnosis.text import MAX_HEAD, MAX_KEPT_LINES, MAX_TAIL
from tests.sayings import HANDS_OFF, said

ROOT = Path(__file__).parents[2]


# Numbers


@pytest.mark.parametrize("number", ["408", "429", "500", "502", "503", "504"])
@pytest.mark.parametrize(
    "text",
    [
        "java.lang.IllegalArgumentException: bad price at com.contoso.Load.run(Load.java:{})",
        'File "/Workspace/load.py", line {}, in main',
        "Lost task {}.1 in stage 3.0: com.contoso.Unbalanced: debit is not credit",
        "Exception: {} rows have no key",
        "error: {} orders without price",
        "Row {} rejected",
        "Exception: shop {} is closed for good",
        "Exception: see page ({}) of the manual",
    ],
)
def test_a_number_is_no_http_status(
    catalog: Catalog, classifier: Classifier, number: str, text: str
) -> None:
    found = said(classifier, "databricks_job", text.format(number))
    assert action_of(catalog, found) in HANDS_OFF, found
    assert found.error_type not in {"ThrottlingError", "GatewayTimeout", "InternalServerError"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("HTTPError: 504 Server Error: Gateway Time-out for url: https://x", "GatewayTimeout"),
        ("HTTPError: 429 Client Error: Too Many Requests for url", "ThrottlingError"),
        ("HTTP Error 503: Service Unavailable", "InternalServerError"),
        ('{"status": 429, "title": "later"}', "ThrottlingError"),
        ('{"statusCode": 504, "message": "upstream"}', "DatabricksTimeoutError"),
        ("The remote server returned an error: (504).", "GatewayTimeout"),
    ],
)
def test_an_http_status_is_one(
    catalog: Catalog, classifier: Classifier, text: str, expected: str
) -> None:
    found = said(classifier, "databricks_job", text)
    assert found.error_type == expected
    assert action_of(catalog, found) not in HANDS_OFF


# Long traces

FRAMES = "\tat org.contoso.a.B(C.scala:1)\n"
OUTER = "java.net.SocketTimeoutException: Read timed out\n"


@pytest.mark.parametrize("before", [20, 600, 5_000])
@pytest.mark.parametrize("after", [20, 600, 5_000])
def test_the_cause_in_the_middle_of_a_long_trace(
    catalog: Catalog, classifier: Classifier, before: int, after: int
) -> None:
    cause = "Caused by: java.io.IOException: PERMISSION_DENIED: no right to read\n"
    found = said(classifier, "databricks_job", OUTER + FRAMES * before + cause + FRAMES * after)
    assert found.error_type == "DatabricksPermissionDenied"
    assert action_of(catalog, found) == "escalate"


def test_more_errors_than_can_be_kept_lower_the_confidence(classifier: Classifier) -> None:
    many = "\n".join(f"step {i} failed" for i in range(20 * MAX_KEPT_LINES + 4_000))
    found = said(classifier, "databricks_job", OUTER + many)
    assert found.confidence < ACT_CONFIDENCE
    few = "\n".join(["the same line failed"] * 4_000)
    assert said(classifier, "databricks_job", OUTER + few).confidence >= ACT_CONFIDENCE


@pytest.mark.parametrize("piece", ["error ", "Caused by: error\n", "\terror\n\n", "錯誤 error "])
def test_a_middle_full_of_errors_takes_no_long_time(classifier: Classifier, piece: str) -> None:
    text = piece * (2 * (MAX_HEAD + MAX_TAIL) + 100_000)
    said(classifier, "x", "warm")
    started = time.perf_counter()
    said(classifier, "x", text)
    assert time.perf_counter() - started < 2.0


# Codes that stand for several causes

LAUNCH = "CLOUD_PROVIDER_LAUNCH_FAILURE"


@pytest.mark.parametrize("code", [LAUNCH, "REQUEST_REJECTED", "CLOUD_PROVIDER_SHUTDOWN"])
@pytest.mark.parametrize(
    "text",
    [
        "ScopeLocked: a lock on the group forbids this write",
        "NoRegisteredProviderFound for Microsoft.Compute",
        "SubscriptionNotRegistered",
        "The subscription was cancelled by its billing owner",
        "The spending limit was hit",
        "InvalidResourceReference: a referenced subnet is unknown",
        "The disk encryption set has been disabled",
        "The marketplace terms of this image have not been accepted",
        "The number of jobs in this workspace exceeds the limit of 1000",
        "HaltedForReasonsThatNobodyListed",
        "the colour of the sky is wrong",
    ],
)
def test_an_ambiguous_code_beside_such_words_is_for_a_person(
    catalog: Catalog, classifier: Classifier, code: str, text: str
) -> None:
    found = said(classifier, "databricks_cluster", text, code)
    assert action_of(catalog, found) == "escalate", found


@pytest.mark.parametrize(
    "text",
    [
        "",
        LAUNCH,
        "An internal execution error occurred. Please retry later.",
        "The VM did not finish provisioning in the allotted time",
        "Unable to launch the instances",
        "Cloud Provider Launch Failure. Azure error code: OperationPreempted",
    ],
)
def test_an_ambiguous_code_alone_or_with_passing_words_is_acted_on(
    catalog: Catalog, classifier: Classifier, text: str
) -> None:
    found = said(classifier, "databricks_cluster", text, LAUNCH)
    assert action_of(catalog, found) not in HANDS_OFF


@pytest.mark.parametrize("code", [LAUNCH, "CLOUD_PROVIDER_SHUTDOWN"])
@pytest.mark.parametrize(
    "text",
    ["Cluster terminated. Reason: {} (CLOUD_FAILURE)", "instance_id: i-0a1b2c {}", "vm-77 {}"],
)
def test_what_the_platform_puts_around_a_code_is_no_reason(
    catalog: Catalog, classifier: Classifier, code: str, text: str
) -> None:
    found = said(classifier, "databricks_cluster", text.format(code), code)
    assert action_of(catalog, found) == "restart_cluster"


@pytest.mark.parametrize(
    "text",
    [
        '{"reason": "fiscal year not opened"}',
        "Address 10.9.8.7 is not in the allow list",
        "Could not create SSL/TLS secure channel",
        "409 Conflict: the document was changed by another",
        "Too many failed sign-in attempts, try again in an hour",
        "A second factor is needed; connection closed",
        "The contract has ended",
        "502 Bad Gateway: field 'amount' must be a number",
    ],
)
def test_a_call_refused_by_its_endpoint_is_for_a_person(
    catalog: Catalog, classifier: Classifier, text: str
) -> None:
    assert action_of(catalog, said(classifier, "adf", text, "2108")) == "escalate"


@pytest.mark.parametrize(
    "text", ["", "HTTP 502", "the connection was reset", "read timed out", "status: 503"]
)
def test_a_call_that_broke_is_made_again(
    catalog: Catalog, classifier: Classifier, text: str
) -> None:
    assert action_of(catalog, said(classifier, "adf", text, "2108")) not in HANDS_OFF


# A person's cause beside a throttle, a time-out or a lost connection

PASSING = [
    "429 Too Many Requests: {}",
    "HTTP 503 Service Unavailable. {}",
    "{}; the operation has timed out",
    "Connection reset by peer. {}",
]


@pytest.mark.parametrize("passing", PASSING)
@pytest.mark.parametrize("system", ["adf", "databricks_job"])
@pytest.mark.parametrize(
    ("cause", "expected"),
    [
        ("your monthly plan is used up", "QuotaExceeded"),
        ("you hit the daily limit, upgrade your plan", "QuotaExceeded"),
        ("contact sales for more", "QuotaExceeded"),
        ("there is an unpaid invoice", "QuotaExceeded"),
        ("the tenant has been suspended", "QuotaExceeded"),
        ("warehouse stopped by its resource monitor, quota reached", "QuotaExceeded"),
        ("disabled by the administrator", ""),
        ("user ETL lacks SELECT on view V", ""),
        ("ManagedIdentityCredential is not usable here", "AuthenticationError"),
        ("too many 401 error responses", "AuthenticationError"),
        ("no pg_hba.conf entry for this host", "NetworkUnreachable"),
        ("blocked by the egress policy", "NetworkUnreachable"),
        ("certificate validation failed", "NetworkUnreachable"),
        ("custom check: 12 rows rejected", "DataQualityExpectationFailed"),
        ("the load's records were quarantined", "DataQualityExpectationFailed"),
    ],
)
def test_a_persons_cause_counts(
    catalog: Catalog,
    classifier: Classifier,
    system: str,
    passing: str,
    cause: str,
    expected: str,
) -> None:
    found = said(classifier, system, passing.format(cause))
    assert action_of(catalog, found) == "escalate", found
    assert found.error_type == expected or not expected


@pytest.mark.parametrize("passing", PASSING)
@pytest.mark.parametrize(
    "order", ["Do not rerun this load", "must not be retried", "needs manual cleanup first"]
)
def test_what_must_not_be_repeated_is_not(
    catalog: Catalog, classifier: Classifier, passing: str, order: str
) -> None:
    found = said(classifier, "adf", passing.format(order))
    assert found.confidence < ACT_CONFIDENCE
    assert action_of(catalog, found) == "escalate"


@pytest.mark.parametrize("text", ["DelimitedTextBadDataDetected", "ParquetInvalidFile"])
def test_a_code_without_its_label_is_known(
    catalog: Catalog, classifier: Classifier, text: str
) -> None:
    found = said(classifier, "adf", f"{text}, timeout while reading", "2200")
    assert found.error_type in {"SchemaMismatch", "DataCorruption"}
    assert action_of(catalog, found) == "escalate"


def test_a_full_disk_of_a_store_is_for_a_person(catalog: Catalog, classifier: Classifier) -> None:
    found = said(classifier, "adf", "Disk Full on node 2; query timed out", "2200")
    assert action_of(catalog, found) == "escalate"


# Other alphabets


def full_width(text: str) -> str:
    return "".join(chr(ord(char) + 0xFEE0) if "!" <= char <= "~" else char for char in text)


def test_full_width_letters_are_read(classifier: Classifier) -> None:
    text = full_width("Permission denied")
    assert said(classifier, "databricks_job", text).error_type == "DatabricksPermissionDenied"


@pytest.mark.parametrize(
    "text",
    [
        "用户的密码已经不能使用了 timed out",
        "учётная запись больше не действует, gateway timeout",
        "担当者に連絡してください connection reset",
    ],
)
def test_a_few_known_words_in_an_unknown_language_are_not_acted_on(
    catalog: Catalog, classifier: Classifier, text: str
) -> None:
    assert action_of(catalog, said(classifier, "adf", text)) == "escalate"


def test_an_exceptions_name_is_the_same_in_every_language(
    catalog: Catalog, classifier: Classifier
) -> None:
    text = "接続できませんでした java.net.SocketTimeoutException: Read timed out"
    assert action_of(catalog, said(classifier, "databricks_job", text)) not in HANDS_OFF


# Types


@pytest.mark.parametrize(
    ("system", "text", "expected"),
    [
        ("databricks_job", "[UC_VOLUME_NOT_FOUND] volume c.s.v", "ConfigurationError"),
        ("databricks_job", "MaxConcurrentRunsReached", "ConcurrencyLimit"),
        ("databricks_job", "(InvalidAccessKeyId) when calling ListObjects", "AuthenticationError"),
        ("adf", "AzureBlobCredentialMissing: give a connection", "ConfigurationError"),
        ("adf", "SqlErrorNumber=823", "DataCorruption"),
        ("adf", "SqlErrorNumber=824", "DataCorruption"),
        ("adf", "Resource monitor LOAD has used its credit quota", "QuotaExceeded"),
        ("adf", "SAP HANA: [414] user ETL must act", "AuthenticationError"),
        ("databricks_job", "kafka.errors.SerializationException: bad bytes", "DataCorruption"),
        ("databricks_job", "avro.AvroTypeException: Found int, expecting long", "SchemaMismatch"),
        ("adf", "Teradata: [Error 3807] Object 'a.b' is unknown", "DatabricksTableNotFound"),
        ("adf", "Teradata: [Error 2644] database A", "QuotaExceeded"),
        ("adf", "SQLCODE=-805, SQLSTATE=51002, SQLERRMC=X", "ConfigurationError"),
    ],
)
def test_what_deserves_a_type_has_one(
    catalog: Catalog, classifier: Classifier, system: str, text: str, expected: str
) -> None:
    found = said(classifier, system, text)
    assert found.error_type == expected, found
    assert action_of(catalog, found) == "escalate"


def test_slow_down_is_a_throttle(catalog: Catalog, classifier: Classifier) -> None:
    found = said(classifier, "databricks_job", "(SlowDown) when calling GetObject: lower the rate")
    assert found.error_type == "ThrottlingError"
    assert action_of(catalog, found) == "retry_with_backoff"


def test_a_path_that_resolves_to_no_file_is_a_missing_source(
    catalog: Catalog, classifier: Classifier
) -> None:
    text = "Job failed due to reason: at Source 's': Path /a/b does not resolve to any file(s)."
    found = said(classifier, "adf", text, "DFExecutorUserError")
    assert found.error_type == "UserErrorSourceBlobNotExists"
    assert action_of(catalog, found) == "wait_upstream"


@pytest.mark.parametrize("state", ["51002", "40001", "42501"])
def test_a_state_of_another_engine_is_not_sparks(classifier: Classifier, state: str) -> None:
    found = said(classifier, "databricks_job", f"call ended, SQLSTATE={state}, see the log")
    assert found.error_type == "Unknown"


# The shipped rules


def test_what_vetoes_repairs_nothing_and_what_is_ambiguous_yields(catalog: Catalog) -> None:
    for rule in catalog.rules:
        fitting = catalog.remedies(rule.error_type, rule.prefer, hands_off=rule.hands_off)
        assert not (rule.vetoes and fitting), rule.id
        assert rule.yields or not rule.ambiguous, rule.id
