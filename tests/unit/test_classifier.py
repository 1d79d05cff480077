"""Recognition: accuracy on labelled errors, decisions for every listed code, hostile input."""

from __future__ import annotations

import enum
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from databricks.sdk.service import compute, jobs, pipelines, sql
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.catalog.loader import NEVER_AUTOMATED, Catalog
from shared.diagnosis.__main__ import action_of, answers
from shared.diagnosis.classifier import ACT_CONFIDENCE, Classifier, system_of
from shared.diagnosis.codes import CodeTable, conditions
from shared.diagnosis.matcher import Matcher
from shared.errors import ConfigurationError
from shared.models import Diagnosis, EvidenceLine
from tests.sayings import HANDS_OFF

ROOT = Path(__file__).parents[2]
CORPUS = ROOT / "tests" / "data" / "corpus" / "errors.jsonl"
OWN = CORPUS.with_name("variations.jsonl")
TEXT_FORMS = {"verbatim", "template", "reproduced"}

Row = dict[str, Any]


@pytest.fixture(scope="module")
def codes(catalog: Catalog) -> CodeTable:
    return CodeTable(catalog.rules)


def corpus() -> list[Row]:
    return [json.loads(line) for line in CORPUS.read_text("utf-8").splitlines()]


def diagnose(classifier: Classifier, row: Row) -> Diagnosis:
    kind = row.get("failure_type") or ""
    line = EvidenceLine(row["source_system"], row["code"] or "", row["message"], kind)
    return classifier.classify([line])


# Accuracy on the labelled errors


def test_types_of_texts_and_of_codes(classifier: Classifier) -> None:
    asked: Counter[str] = Counter()
    right: Counter[str] = Counter()
    for row in corpus():
        if row["agreed_type"]:
            form = "text" if row["message_form"] in TEXT_FORMS else "code"
            asked[form] += 1
            right[form] += diagnose(classifier, row).error_type == row["expected_type"]
    assert asked["text"] > 200
    assert asked["code"] > 100
    assert right["text"] / asked["text"] >= 0.95
    assert right["code"] / asked["code"] >= 0.95


def test_nothing_is_done_where_a_person_is_needed(catalog: Catalog, classifier: Classifier) -> None:
    unsafe = [
        (row["id"], action)
        for row in corpus()
        if row["agreed_hands_off"]
        and (action := action_of(catalog, diagnose(classifier, row))) not in HANDS_OFF
    ]
    assert unsafe == []


def test_most_of_what_can_be_healed_is(catalog: Catalog, classifier: Classifier) -> None:
    rows = [row for row in corpus() if row["agreed_heal"]]
    healed = [r for r in rows if action_of(catalog, diagnose(classifier, r)) not in HANDS_OFF]
    assert len(healed) / len(rows) >= 0.85


@pytest.mark.parametrize("row", [json.loads(line) for line in OWN.read_text("utf-8").splitlines()])
def test_variations_of_our_own(catalog: Catalog, classifier: Classifier, row: Row) -> None:
    found = diagnose(classifier, row)
    assert found.error_type == (row["type"] or found.error_type)
    action = action_of(catalog, found)
    assert row["first_step"] != "hands_off" or action in HANDS_OFF
    assert row["first_step"] != "heal" or action not in HANDS_OFF


def test_what_never_is_automated_never_is(catalog: Catalog, classifier: Classifier) -> None:
    for row in corpus():
        found = diagnose(classifier, row)
        if found.error_type in NEVER_AUTOMATED:
            assert action_of(catalog, found) == "escalate"


def test_the_words_alone_are_safe_too(catalog: Catalog, classifier: Classifier) -> None:
    for row in corpus():
        if row["agreed_hands_off"] and row["message_form"] in TEXT_FORMS:
            found = diagnose(classifier, {**row, "code": ""})
            assert action_of(catalog, found) in HANDS_OFF, row["id"]


def test_a_preferred_remedy_is_one_of_its_type(catalog: Catalog) -> None:
    for rule in catalog.rules:
        remedies = {entry.remedy for entry in catalog.spec(rule.error_type).remedies}
        assert not rule.prefer or rule.prefer in remedies, rule.id


# Every listed code is decided on purpose

ENUMERATIONS: dict[str, list[type[enum.Enum]]] = {
    "databricks_cluster": [compute.TerminationReasonCode, compute.TerminationReasonType],
    "databricks_sql": [sql.TerminationReasonCode, sql.TerminationReasonType],
    "databricks_job": [
        jobs.TerminationCodeCode,
        jobs.TerminationTypeType,
        jobs.RunLifeCycleState,
        jobs.RunResultState,
    ],
    "databricks_library": [compute.LibraryInstallStatus],
    "databricks_dlt": [pipelines.UpdateInfoState, pipelines.UpdateStateInfoState],
}
MEMBERS = sorted(
    {
        (system, str(member.value))
        for system, listed in ENUMERATIONS.items()
        for enumeration in listed
        for member in enumeration
    }
)


@pytest.mark.parametrize(("system", "member"), MEMBERS)
def test_each_member_of_the_sdk_is_listed(classifier: Classifier, system: str, member: str) -> None:
    assert classifier.decided(member, system), f"decide on {member} in rules.yaml"


@pytest.mark.parametrize("enumeration", [compute.TerminationReasonType, jobs.TerminationTypeType])
def test_each_class_of_termination_is_listed(
    catalog: Catalog, enumeration: type[enum.Enum]
) -> None:
    kinds = {kind for rule in catalog.rules for kind in rule.kinds}
    assert {str(member.value) for member in enumeration} <= kinds


def test_the_sdk_rest_errors_are_listed(classifier: Classifier) -> None:
    from databricks.sdk.errors import platform

    assert platform.STATUS_CODE_MAPPING
    for status in platform.STATUS_CODE_MAPPING:
        assert classifier.decided(f"HTTP {status}", "databricks_sql"), status
    for code in platform.ERROR_CODE_MAPPING:
        assert classifier.decided(code, "databricks_sql"), code


def test_each_condition_of_spark_and_delta_is_decided(codes: CodeTable) -> None:
    undecided = [name for name in conditions() if codes.field(name, "databricks_job") is None]
    assert len(conditions()) > 1800
    assert undecided == []


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("CAST_OVERFLOW", "UserErrorInvalidDataType"),
        ("DELTA_CONCURRENT_DELETE_READ", "ConcurrencyLimit"),
        ("DELTA_SCHEMA_CHANGED", "SchemaMismatch"),
        ("NUM_COLUMNS_MISMATCH", "SchemaMismatch"),
        ("DELTA_TABLE_NOT_FOUND", "DatabricksTableNotFound"),
        ("CHECK_CONSTRAINT_VIOLATION", "DataQualityExpectationFailed"),
        ("AGGREGATE_OUT_OF_MEMORY", "DatabricksResourceExhausted"),
        ("UNSUPPORTED_FEATURE.AES_MODE", "ConfigurationError"),
        ("OPERATION_CANCELED", "Cancelled"),
        ("MALFORMED_LOG_FILE.TEXT", "DataCorruption"),
        ("FOREACH_BATCH_USER_FUNCTION_ERROR", "DatabricksSparkException"),
    ],
)
def test_families_of_conditions(classifier: Classifier, condition: str, expected: str) -> None:
    text = f"[{condition}] words that change from one version to the next"
    for line in (EvidenceLine("task t", condition, ""), EvidenceLine("task t", "", text)):
        assert classifier.classify([line]).error_type == expected


def test_a_condition_of_a_later_spark_is_decided_by_its_sqlstate(classifier: Classifier) -> None:
    text = "[NOT_YET_INVENTED] what it says SQLSTATE: 42501"
    found = classifier.classify([EvidenceLine("task t", "", text)])
    assert found.error_type == "DatabricksPermissionDenied"


# The same class in other words: names, numbers and wrappings vary

CLASSES = [
    ("adf", "The required Blob is missing. ContainerName: in, path: a/b.csv.", "rep"),
    ("adf", "ErrorCode: 'PathNotFound'. Message: 'The specified path does not exist.'", "rep"),
    ("adf", "Login failed for user 'etl'.,SqlErrorNumber=18456,Class=14", "off"),
    ("adf", "Violation of UNIQUE KEY constraint 'k'.,SqlErrorNumber=2627", "off"),
    ("adf", "Invalid column name 'Region'.,SqlErrorNumber=207", "off"),
    ("adf", "deadlocked on lock resources with another process,SqlErrorNumber=1205", "rep"),
    ("adf", "Database 'd' is not currently available,SqlErrorNumber=40613", "rep"),
    ("adf", "Client with IP address '1.2.3.4' is not allowed to access the server", "off"),
    ("adf", "The remote server returned an error: (403) Forbidden.", "off"),
    ("adf", "The remote server returned an error: (429) Too Many Requests.", "rep"),
    ("adf", "The remote server returned an error: (502) Bad Gateway.", "rep"),
    ("adf", "The HttpStatusCode 404 indicates failure.", "off"),
    ("adf", "ORA-01017: invalid username/password; logon denied", "off"),
    ("adf", "ORA-01722: invalid number", "off"),
    ("adf", "AADSTS7000215: Invalid client secret provided.", "off"),
    ("adf", "AADSTS7000222: The provided client secret keys are expired.", "off"),
    ("adf", "An existing connection was forcibly closed by the remote host", "rep"),
    ("adf", "The remote name could not be resolved: 'x.blob.core.windows.net'", "off"),
    ("adf", "The remote certificate is invalid according to the validation procedure", "off"),
    ("adf", "Could not load file or assembly 'X'. The system cannot find the file", "off"),
    ("adf", "Incorrect username or password was specified.", "off"),
    ("adf", "A task was canceled.", "rep"),
    ("adf", "found more columns than expected column count 12", "off"),
    ("databricks_job", "java.lang.OutOfMemoryError: GC overhead limit exceeded", "rep"),
    ("databricks_job", "java.io.FileNotFoundException: dbfs:/mnt/raw/x.json", "rep"),
    ("databricks_job", "java.net.UnknownHostException: x.database.windows.net", "off"),
    ("databricks_job", "java.lang.NumberFormatException: For input string: x1", "off"),
    ("databricks_job", "java.lang.NoSuchMethodError: scala.Product.$init$", "off"),
    ("databricks_job", "User does not have SELECT on Table 'c.s.t'.", "off"),
    ("databricks_job", "ModuleNotFoundError: No module named 'etl'", "off"),
    ("databricks_job", "TypeError: unsupported operand type(s)", "off"),
    ("databricks_job", "ConcurrentDeleteReadException: files were deleted", "rep"),
    ("databricks_job", "The spark driver has stopped unexpectedly and is restarting", "rep"),
    ("databricks_job", "org.apache.spark.shuffle.FetchFailedException: x", "rep"),
    ("databricks_library", "No matching distribution found for etl==9.9", "rep"),
    ("databricks_library", "ERROR: x.whl is not a valid wheel filename.", "off"),
]
WRAPPINGS = {
    "adf": [
        "{}",
        (
            "Operation on target Copy_7 failed: Failure happened on 'Source' side. "
            "ErrorCode=SqlOperationFailed,'Type=Microsoft.DataTransfer.Common.Shared."
            "HybridDeliveryException,Message=A database operation failed.,"
            "Source=Microsoft.DataTransfer.ClientLibrary,''Type=X.Y.Exception,Message={},Source=Z,'"
        ),
        (
            "Operation on target ForEach1 failed: Activity failed because an inner activity "
            "failed; Inner activity name: Copy data1, Error: {}"
        ),
        "Job failed due to reason: at Sink 'sink1': {}",
    ],
    "databricks": [
        "{}",
        "Task load failed with message: Workload failed, see run output for details.\n{}",
        (
            "org.apache.spark.SparkException: Job aborted due to stage failure: Task 3 in stage "
            "5.0 failed 4 times, most recent failure: Lost task 3.3 in stage 5.0\n\tat a.b.C\n"
            "Caused by: {}\n\tat java.lang.Thread.run(Thread.java:750)"
        ),
        "Py4JJavaError: An error occurred while calling o123.save.\n: {}\n\tat x.y.Z",
    ],
}
WRAPPED = [
    (system, wrapping.format(text), expected)
    for system, text, expected in CLASSES
    for wrapping in WRAPPINGS[system.partition("_")[0]]
]


@pytest.mark.parametrize(("system", "text", "expected"), WRAPPED)
def test_the_cause_is_found_in_its_wrapping(
    catalog: Catalog, classifier: Classifier, system: str, text: str, expected: str
) -> None:
    found = classifier.classify([EvidenceLine(system, "", text)])
    action = action_of(catalog, found)
    assert (action in HANDS_OFF) is (expected == "off"), found


@pytest.mark.parametrize(("system", "text", "_expected"), CLASSES)
def test_the_type_does_not_depend_on_the_wrapping(
    classifier: Classifier, system: str, text: str, _expected: str
) -> None:
    wrappings = WRAPPINGS[system.partition("_")[0]]
    types = {
        classifier.classify([EvidenceLine(system, "", w.format(text))]).error_type
        for w in wrappings
    }
    assert len(types) == 1


NEUTRAL = st.lists(
    st.sampled_from(
        ["alpha", "seven", "nightly", "sales", "2024-01-31", "north", "42", "of", "the"]
    ),
    max_size=12,
).map(" ".join)


@given(row=st.sampled_from(CLASSES), before=NEUTRAL, after=NEUTRAL)
@settings(max_examples=200, deadline=None)
def test_neutral_words_around_change_nothing(
    classifier: Classifier, row: tuple[str, str, str], before: str, after: str
) -> None:
    system, text, _ = row
    plain = classifier.classify([EvidenceLine(system, "", text)])
    around = classifier.classify([EvidenceLine(system, "", f"{before} . {text} . {after}")])
    assert (around.error_type, around.hands_off) == (plain.error_type, plain.hands_off)


# Which of several wins


def test_a_cause_in_a_later_line_beats_wrapper_and_planned_end(classifier: Classifier) -> None:
    lines = [
        EvidenceLine("cluster c", "INACTIVITY", ""),
        EvidenceLine("task a", "RUN_EXECUTION_ERROR", "Workload failed, see run output"),
        EvidenceLine("task b output", "", "java.lang.OutOfMemoryError"),
    ]
    found = classifier.classify(lines)
    assert found.error_type == "DatabricksResourceExhausted"
    assert found.lines == (lines[2],)


def test_the_innermost_of_a_chain(classifier: Classifier) -> None:
    text = (
        "java.io.FileNotFoundException: x\n Caused by: y: read timed out\n"
        " Caused by: ConcurrentAppendException: Files were added"
    )
    assert classifier.classify([EvidenceLine("task", "", text)]).error_type == "ConcurrencyLimit"


def test_a_repair_and_a_case_for_a_person_give_low_confidence(
    catalog: Catalog, classifier: Classifier
) -> None:
    line = EvidenceLine("task", "DRIVER_NOT_RESPONDING", "PERMISSION_DENIED: no MODIFY")
    found = classifier.classify([line])
    assert found.confidence < ACT_CONFIDENCE
    assert action_of(catalog, found) == "escalate"


@pytest.mark.parametrize(
    ("code", "message", "expected"),
    [
        ("3204", "", "DatabricksJobExecutionError"),
        ("CLOUD_PROVIDER_LAUNCH_FAILURE", "", "DatabricksClusterStartFailure"),
        ("CLOUD_PROVIDER_LAUNCH_FAILURE", "exceeding quota limits of Core", "QuotaExceeded"),
        ("2108", "Error calling the endpoint '%url;'", "HttpConnectionFailed"),
        ("2108", "HttpStatusCode - '401 : Unauthorized'", "AuthenticationError"),
        ("4125", "failed with http status code '401'", "InternalServerError"),
        ("2200 - UserErrorSourceBlobNotExist", "", "UserErrorSourceBlobNotExists"),
        ("UserErrorSourceBlobNotExists", "", "UserErrorSourceBlobNotExists"),
    ],
)
def test_codes_decide_yield_or_wrap(
    classifier: Classifier, code: str, message: str, expected: str
) -> None:
    found = classifier.classify([EvidenceLine("activity a", code, message)])
    assert found.error_type == expected


def test_the_class_of_a_failure_alone_is_a_guess(classifier: Classifier) -> None:
    found = classifier.classify([EvidenceLine("cluster c", "NEW_CODE", "", "SERVICE_FAULT")])
    assert found.error_type == "InternalServerError"
    assert found.confidence < ACT_CONFIDENCE


@pytest.mark.parametrize("code", ["JOB_FINISHED", "INACTIVITY", "SUCCESS", "EXCLUDED", "DISABLED"])
def test_a_planned_end_needs_nothing(catalog: Catalog, classifier: Classifier, code: str) -> None:
    found = classifier.classify([EvidenceLine("databricks_job", code, "")])
    assert action_of(catalog, found) == "none"


def test_systems_of_sources() -> None:
    known = {"activity Copy": "adf", "task t output": "databricks_job", "library": ""}
    known["library"] = "databricks_library"
    known["databricks_dlt"] = "databricks_dlt"
    known["alert"] = ""
    assert {source: system_of(source) for source in known} == known


# Hostile input


def hostile() -> Iterator[str]:
    yield "A" * 1_000_000
    yield "A_" * 500_000
    yield "Caused by: " * 100_000
    yield "[A_B.C_D] code: 'X' " * 50_000
    yield "\0" * 1_000_000
    yield "(" * 100_000 + ")" * 100_000
    yield "the file " * 100_000 + "is missin"
    yield "\ud800 \u202e \U0001f4a5" * 100_000
    yield "ErrorCode=" * 100_000
    yield "{" * 200_000


@pytest.mark.parametrize("text", list(hostile()))
def test_hostile_text_takes_no_long_time(classifier: Classifier, text: str) -> None:
    classifier.classify([EvidenceLine("x", "", "warm")])
    started = time.perf_counter()
    classifier.classify([EvidenceLine("x", text, text)])
    assert time.perf_counter() - started < 1.0


def test_the_end_of_a_long_trace_is_read(classifier: Classifier) -> None:
    text = "org.apache.spark.SparkException: x\n" + "\tat a.b.C.d(E.java:1)\n" * 50_000
    found = classifier.classify([EvidenceLine("task", "", text + "OutOfMemoryError")])
    assert found.error_type == "DatabricksResourceExhausted"


@given(st.text(max_size=300), st.text(max_size=300))
@settings(deadline=None)
def test_any_code_and_text_is_classified(classifier: Classifier, code: str, text: str) -> None:
    found = classifier.classify([EvidenceLine(code[:10], code, text, text[:9])])
    assert 0 <= found.confidence <= 1


def test_no_memory_to_compile_is_an_error(catalog: Catalog) -> None:
    with pytest.raises(ConfigurationError, match="matcher"):
        Classifier(catalog, max_mem=1 << 12).classify([EvidenceLine("x", "", "timed out")])


def test_no_memory_to_match_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Exhausted:
        def Match(self, _text: str) -> list[int]:  # noqa: N802 - RE2's name
            return []  # what RE2 answers when its automaton outgrows its memory

    matcher = Matcher(["timed out"])
    assert matcher.hits("it timed out") == [0]
    assert matcher.hits("it did not") == []
    monkeypatch.setattr(matcher, "_filter", Exhausted())
    with pytest.raises(ConfigurationError, match="out of memory"):
        matcher.hits("it timed out")


def test_a_pattern_that_is_none_is_an_error() -> None:
    with pytest.raises(ConfigurationError, match="pattern"):
        Matcher(["(unclosed"])


# The command line


def run_cli(stdin: bytes) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "shared.diagnosis"]
    return subprocess.run(  # noqa: S603 - our own module
        command, input=stdin, capture_output=True, cwd=ROOT, timeout=60, check=False
    )


def test_the_command_answers_line_by_line(catalog: Catalog, classifier: Classifier) -> None:
    rows = corpus()
    asked = b"\n".join(msgspec.json.encode(row) for row in rows)
    done = run_cli(asked)
    assert done.returncode == 0, done.stderr
    said = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(said) == len(rows)
    for row, answer in zip(rows, said, strict=True):
        found = diagnose(classifier, row)
        assert answer == {
            "error_type": found.error_type,
            "category": found.category,
            "transient": found.transient,
            "action": action_of(catalog, found),
            "confidence": found.confidence,
            "rule": found.rule,
        }


def test_bad_lines_are_named_and_the_rest_goes_on() -> None:
    bad = [b"{", b"[1]", b'{"message": 5}', b"\xff\xfe", b"[" * 100_000, b'"\\ud800"']
    good = b'{"source_system": "adf", "code": 504, "message": null, "more": [1]}'
    done = run_cli(b"\n".join([*bad, b"", good]))
    said = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 1
    assert [list(answer) for answer in said[:-1]] == [["error"]] * len(bad)
    assert said[0]["error"].startswith("line 1: ")
    assert said[-1]["error_type"] == "GatewayTimeout"
    assert len(done.stderr.splitlines()) == len(bad)


def test_no_input_is_no_answer() -> None:
    assert list(answers([])) == []
