"""Recognition where a message says several things: which counts, and what holds a repair back."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from shared.catalog.loader import Catalog
from shared.diagnosis.__main__ import action_of
from shared.diagnosis.classifier import ACT_CONFIDENCE, Classifier
from tests.sayings import HANDS_OFF, said

ROOT = Path(__file__).parents[2]
CORPUS = ROOT / "tests" / "data" / "corpus" / "errors.jsonl"


def test_alternatives_beside_a_conjunction_stand_in_brackets(catalog: Catalog) -> None:
    """`a|b && c` needs c either way, which nobody means who writes it."""
    for rule in catalog.rules:
        for pattern in rule.patterns:
            parts = pattern.split(" && ")
            open_ones = [part for part in parts if "|" in outside_brackets(part)]
            assert len(parts) == 1 or not open_ones, (rule.id, pattern)


def outside_brackets(pattern: str) -> str:
    plain = re.sub(r"\\.|\[[^]]*\]", "", pattern)
    while plain != (plain := re.sub(r"\([^()]*\)", "", plain)):
        pass
    return plain


# A person's stop


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("", "The job was canceled by the user. Caused by: rate limit reached, HTTP 429"),
        ("", "Activity was cancelled by user. Inner activity name: Load, Error: server is busy"),
        ("429", "Too many requests; query cancelled by eve@contoso.example"),
        ("DRIVER_NOT_RESPONDING", "An operator manually cancelled the run"),
        ("", "Statement cancelled on user's request; read timed out while closing"),
    ],
)
def test_what_a_person_stopped_is_not_started_again(
    catalog: Catalog, classifier: Classifier, code: str, text: str
) -> None:
    found = said(classifier, "", text, code)
    assert found.error_type == "Cancelled"
    assert action_of(catalog, found) in HANDS_OFF


@pytest.mark.parametrize("text", ["A task was canceled.", "connection was canceled: timed out"])
def test_not_every_cancellation_is_a_person(classifier: Classifier, text: str) -> None:
    assert said(classifier, "adf", text).error_type == "GatewayTimeout"


# The platform's code outside, words inside


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("CANNOT_MERGE_INCOMPATIBLE_DATA_TYPE", "SchemaMismatch"),
        ("DELTA_SCHEMA_CHANGED", "SchemaMismatch"),
        ("INSUFFICIENT_PERMISSIONS", "DatabricksPermissionDenied"),
        ("CAST_INVALID_INPUT", "UserErrorInvalidDataType"),
        ("PARSE_SYNTAX_ERROR", "DatabricksSparkException"),
    ],
)
@pytest.mark.parametrize(
    "inner",
    [
        "java.util.concurrent.TimeoutException: Futures timed out after [9 minutes]",
        "java.net.SocketTimeoutException: Read timed out",
        "java.io.IOException: Connection reset by peer",
        "HTTP 503 Service Unavailable",
    ],
)
def test_a_condition_for_a_person_beats_a_time_out_inside(
    catalog: Catalog, classifier: Classifier, code: str, expected: str, inner: str
) -> None:
    found = said(classifier, "databricks_job", f"[{code}] what was wrong\nCaused by: {inner}")
    assert found.error_type == expected
    assert action_of(catalog, found) == "escalate"


def test_of_two_yielding_codes_the_one_for_a_person_counts(
    catalog: Catalog, classifier: Classifier
) -> None:
    text = "instance_pool_error_code: AZURE_QUOTA_EXCEEDED_EXCEPTION"
    found = said(classifier, "databricks_cluster", text, "INSTANCE_POOL_CLUSTER_FAILURE")
    assert found.error_type == "QuotaExceeded"
    assert action_of(catalog, found) == "escalate"


# Chains of Python

HANDLING = "\n\nDuring handling of the above exception, another exception occurred:\n\n"
LOST = "requests.exceptions.ConnectionError: Connection aborted."


@pytest.mark.parametrize(
    "fault", ["TypeError: 'NoneType' object is not iterable", "KeyError: 'retries'"]
)
def test_a_fault_in_the_handler_is_the_codes_own(
    catalog: Catalog, classifier: Classifier, fault: str
) -> None:
    found = said(classifier, "databricks_job", f"{LOST}{HANDLING}{fault}")
    assert found.rule == "handler-broke"
    assert action_of(catalog, found) == "escalate"


def test_a_lost_connection_in_the_handler_is_a_lost_connection(
    catalog: Catalog, classifier: Classifier
) -> None:
    found = said(classifier, "databricks_job", f"KeyError: 'cached'{HANDLING}{LOST}")
    assert found.error_type == "HttpConnectionFailed"
    assert action_of(catalog, found) == "retry_with_backoff"


@pytest.mark.parametrize("code", ["2108", "3608"])
def test_a_status_500_around_a_fault_of_the_code_is_not_retried(
    catalog: Catalog, classifier: Classifier, code: str
) -> None:
    text = "Response status code: 'InternalServerError'. KeyError: 'customer'"
    found = said(classifier, "adf", text, code)
    assert found.rule == "code-behind-endpoint"
    assert action_of(catalog, found) == "escalate"


# Hints at a mistake


@pytest.mark.parametrize(
    ("system", "code", "text"),
    [
        ("adf", "", "Step 3 timed out: the value of zone is incorrect"),
        ("adf", "", "HTTP 503 Service Unavailable: malformed header"),
        ("adf", "2108", "The endpoint said that the field is not permitted"),
        ("databricks_job", "", "Read timed out, then ValueError raised"),
        ("databricks_cluster", "BOOTSTRAP_TIMEOUT", "the route table is misconfigured"),
    ],
)
def test_a_hint_at_a_mistake_holds_a_repair_back(
    catalog: Catalog, classifier: Classifier, system: str, code: str, text: str
) -> None:
    found = said(classifier, system, text, code)
    assert found.confidence < ACT_CONFIDENCE
    assert action_of(catalog, found) == "escalate"


def test_a_hint_alone_names_nothing(classifier: Classifier) -> None:
    assert said(classifier, "adf", "something is incorrect").error_type == "Unknown"


def test_a_hint_does_not_outweigh_the_platforms_own_code(
    catalog: Catalog, classifier: Classifier
) -> None:
    found = said(classifier, "adf", "The batch number is malformed", "206")
    assert action_of(catalog, found) == "retry_with_backoff"


WRAPPINGS = [
    "Activity failed because an inner activity failed; Inner activity name: Load, Error: {}",
    "Py4JJavaError: An error occurred while calling o7.save.\n: {}\n\tat x.y.Z",
    "org.apache.spark.SparkException: Job aborted.\nCaused by: {}",
]


@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_no_wrapping_makes_a_repair_of_what_is_for_a_person(
    catalog: Catalog, classifier: Classifier, wrapping: str
) -> None:
    rows = [json.loads(line) for line in CORPUS.read_text("utf-8").splitlines()]
    asked = [row for row in rows if row["agreed_hands_off"] and row["message"]]
    assert len(asked) > 150
    for row in asked:
        text = wrapping.format(row["message"])
        found = said(classifier, row["source_system"], text, row["code"] or "")
        assert action_of(catalog, found) in HANDS_OFF, row["id"]


# What there is to do differs by platform


def test_memory_is_added_only_where_there_is_a_cluster(
    catalog: Catalog, classifier: Classifier
) -> None:
    text = "java.lang.OutOfMemoryError: Java heap space"
    assert action_of(catalog, said(classifier, "databricks_job", text)) == "scale_up"
    assert action_of(catalog, said(classifier, "adf", text)) == "retry_with_backoff"
    data_flow = said(classifier, "adf", "", "DF-Executor-OutOfMemoryError")
    assert data_flow.error_type == "DatabricksResourceExhausted"
    assert action_of(catalog, data_flow) == "retry_with_backoff"


@pytest.mark.parametrize(
    "code", ["UNSUPPORTED_INSTANCE_TYPE", "DOCKER_IMAGE_TOO_LARGE_FOR_INSTANCE_EXCEPTION"]
)
def test_a_machine_that_does_not_fit_is_exchanged(
    catalog: Catalog, classifier: Classifier, code: str
) -> None:
    found = said(classifier, "databricks_cluster", "", code)
    assert found.error_type == "ConfigurationError"
    assert action_of(catalog, found) == "change_node_type"


@pytest.mark.parametrize("code", ["IP_EXHAUSTION_FAILURE", "SubnetIsFull"])
def test_a_full_subnet_is_for_a_person(catalog: Catalog, classifier: Classifier, code: str) -> None:
    found = said(classifier, "databricks_cluster", "", code)
    assert found.error_type == "DatabricksResourceExhausted"
    assert action_of(catalog, found) == "escalate"


@pytest.mark.parametrize("place", ["/simple/pandas/", "host='erp.contoso.example'"])
def test_a_name_that_is_not_resolved_is_a_closed_path(
    catalog: Catalog, classifier: Classifier, place: str
) -> None:
    text = f"NewConnectionError: [Errno -2] Name or service not known: {place}"
    found = said(classifier, "databricks_job", text)
    assert found.error_type == "NetworkUnreachable"
    assert action_of(catalog, found) == "escalate"


@pytest.mark.parametrize(
    ("place", "expected"),
    [("/simple/pandas/", "NetworkUnreachable"), ("/v1/orders", "HttpConnectionFailed")],
)
def test_a_refused_connection_may_pass(
    catalog: Catalog, classifier: Classifier, place: str, expected: str
) -> None:
    text = f"NewConnectionError: [Errno 111] Connection refused: {place}"
    found = said(classifier, "databricks_job", text)
    assert found.error_type == expected
    assert action_of(catalog, found) == "retry_with_backoff"


@pytest.mark.parametrize(
    ("text", "healed"),
    [
        ("pip knows no release of acme-rules (from versions: none)", False),
        ("ResolutionImpossible: The user requested a==1, The user requested a==2", False),
        ("No matching distribution found for pandas==77 (from versions: 2.1.4, 2.2.3)", True),
    ],
)
def test_another_version_is_tried_only_where_there_is_one(
    catalog: Catalog, classifier: Classifier, text: str, *, healed: bool
) -> None:
    found = said(classifier, "databricks_library", text)
    assert found.error_type == "DatabricksLibraryInstallationError"
    assert action_of(catalog, found) == ("library_fallback" if healed else "escalate")
