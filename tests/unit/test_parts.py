"""Small pure parts: redaction, authentication, versions, job settings, sizes, settings."""

from __future__ import annotations

import base64
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.auth import authenticate
from shared.catalog.ddl import ddl_mistake
from shared.catalog.loader import load as load_catalog
from shared.composition import Composition
from shared.diagnosis import libraries
from shared.diagnosis.classifier import Classifier
from shared.errors import ConfigurationError, PlatformRefused
from shared.models import EvidenceLine
from shared.redaction import Redactor
from shared.remedies import job_settings
from shared.remedies.refresh_credential import is_own_expired
from shared.remedies.registry import NAMES
from shared.remedies.scale_up import grown, grown_size
from shared.remedies.wait_for_upstream import upstream_names
from shared.settings import load
from shared.vocabulary import Mode, Scope

KEY = "sender-key-0123456789"
ENV = {
    "ADF_NAME": "adf",
    "AZURE_SUBSCRIPTION_ID": "s",
    "AZURE_RESOURCE_GROUP": "rg",
    "API_KEYS": json.dumps([{"name": "monitor", "key": KEY, "scopes": ["sender"]}]),
}


# Redaction


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer abc.def-ghi_123456789",
        "password=hunter2hunter2;Server=x",
        "https://user:hunter2@host/path",
        "token dapi0123456789abcdef0123456789abcdef rejected",
        "https://x.blob.core.windows.net/c?sv=1&sig=hunter2%2Fabc&se=2",
        "AccountKey=hunter2abc==;EndpointSuffix=core.windows.net",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJodW50ZXIyIn0.c2lnbmF0dXJl",
        '{"client_secret": "hunter2hunter2"}',
        'Output record: \'{"name": "hunter2"}\'. Missing input data: true',
    ],
)
def test_secrets_are_taken_out_of_texts(text: str) -> None:
    cleaned = Redactor().text(text)
    assert "[redacted]" in cleaned
    for secret in ("hunter2", "abc.def", "dapi0123", "c2lnbmF0"):
        assert secret not in cleaned


def test_our_own_secrets_are_taken_out_wherever_they_are() -> None:
    redactor = Redactor(["topsecret-1", "x"])
    cleaned = redactor.tree({"a": ["so topsecret-1 it is"], "password": "p", "x": 1})
    assert cleaned == {"a": ["so [redacted] it is"], "password": "[redacted]", "x": 1}


@given(st.text())
def test_redacting_twice_changes_nothing_more(text: str) -> None:
    redactor = Redactor(["topsecret-1"])
    assert redactor.text(redactor.text(text)) == redactor.text(text)


# Authentication


def test_keys_in_header_query_and_basic() -> None:
    settings = load(ENV)
    basic = base64.b64encode(f"x:{KEY}".encode()).decode()
    for headers, query in (
        ({"x-api-key": KEY}, {}),
        ({}, {"api_key": KEY}),
        ({"Authorization": f"Basic {basic}"}, {}),
    ):
        caller = authenticate(settings, headers, query)
        assert caller is not None
        assert caller.name == "monitor"
        assert caller.scopes == {Scope.SENDER}


@pytest.mark.parametrize(
    "headers",
    [{}, {"X-API-Key": ""}, {"X-API-Key": KEY + "x"}, {"Authorization": "Basic ???"},
     {"Authorization": f"Bearer {KEY}"}],
)  # fmt: skip
def test_everybody_else_is_unknown(headers: dict[str, str]) -> None:
    assert authenticate(load(ENV), headers, {}) is None


def test_a_principal_counts_only_with_a_role_that_is_listed() -> None:
    settings = load(ENV | {"APP_SERVICE_AUTH": '{"LakemendSender": ["sender"]}'})

    def principal(role: str) -> dict[str, str]:
        document = json.dumps({"claims": [{"typ": "roles", "val": role}]})
        return {"X-MS-CLIENT-PRINCIPAL": base64.b64encode(document.encode()).decode()}

    known = authenticate(settings, principal("LakemendSender"), {})
    assert known is not None
    assert known.scopes == {Scope.SENDER}
    assert authenticate(settings, principal("Other"), {}) is None
    assert authenticate(load(ENV), principal("LakemendSender"), {}) is None


# Settings


def test_observe_is_the_default() -> None:
    policy = Composition({}).policy
    assert policy.mode is Mode.OBSERVE
    assert policy.attempts.overall == 5


def test_of_policy_and_settings_the_more_cautious_word_holds() -> None:
    settings = {
        "AUTO_REMEDIATION_MODE": "production",
        "AUTO_REMEDIATION_MAX_RETRIES": "3",
        "AUTO_REMEDIATION_MAX_COST_USD": "12.5",
    }
    policy = Composition(settings).policy
    assert (policy.mode, policy.attempts.overall) == (Mode.PRODUCTION, 3)
    assert policy.cost.usd_per_day == 12.5


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"AUTO_REMEDIATION_MODE": "wild"}, "AUTO_REMEDIATION_MODE: expected one of observe"),
        ({"AUTO_REMEDIATION_ENABLED": "maybe"}, "AUTO_REMEDIATION_ENABLED: expected true or false"),
        ({"AUTO_REMEDIATION_MAX_RETRIES": "-1"}, "AUTO_REMEDIATION_MAX_RETRIES: expected a whole"),
        ({"DATABRICKS_HOST": "http://example.com"}, "expected an https:// URL"),
        ({"AZURE_RESOURCE_MANAGER_ENDPOINT": "ftp://x"}, "expected an https:// URL"),
        ({"AZURE_RESOURCE_GROUP": ""}, "AZURE_RESOURCE_GROUP: missing, needed by ADF_NAME"),
        ({"API_KEYS": "[{}]"}, "API_KEYS: Object missing required field `name`"),
        ({"API_KEYS": '[{"name":"a","key":"short","scopes":[]}]'}, "API_KEYS[0].key"),
        ({"TARGETS": '[{"kind":"bakery","name":"x"}]'}, "TARGETS: Invalid value 'bakery'"),
        ({"TARGETS": '[{"kind":"databricks","name":"x","host":"http://h"}]'}, "host of x"),
        ({"PLAYBOOK_RETRY_JOB": "http://a.logic.azure.com/x"}, "expected an https:// URL"),
        ({"PLAYBOOK_RETRY_JOB": "https://example.com/x"}, "host example.com is not among"),
        ({"PLAYBOOK_RETRY_JOB": "https://notlogic.azure.com.example.com"}, "is not among"),
        ({"PLAYBOOK_RETRY_JOB": "https://xlogic.azure.com/x"}, "is not among PLAYBOOK_HOSTS"),
        ({"PLAYBOOK_RETRY_JOB": "https://a@logic.azure.com"}, "without user name"),
        ({"PLAYBOOK_RETRY_JOB": "https://b.example.com\\@logic.azure.com"}, "without user name"),
        ({"PLAYBOOK_RETRY_JOB": "https://[logic.azure.com"}, "expected an https:// URL"),
    ],
)
def test_a_wrong_setting_is_named(changes: dict[str, str], complaint: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(ENV | changes)
    assert complaint in str(caught.value)


@pytest.mark.parametrize("host", ["http://prod-1.logic.azure.com", "https://example.com"])
def test_a_refused_playbook_does_not_tell_its_signature(host: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load({**ENV, "PLAYBOOK_RETRY_JOB": f"{host}/workflows/w?sig=hunter2"})
    assert "hunter2" not in str(caught.value)


def test_several_targets() -> None:
    listed = [
        {"kind": "data_factory", "name": "a", "subscription_id": "s", "resource_group": "r"},
        {
            "kind": "databricks",
            "name": "w",
            "host": "https://adb-123.4.azuredatabricks.net",
            "token_setting": "W_TOKEN",
            "environment": "dev",
        },
    ]
    settings = load({"TARGETS": json.dumps(listed), "W_TOKEN": "t"})
    workspace = settings.targets.workspace("123")
    assert workspace is not None
    assert workspace.environment == "dev"
    assert settings.workspace_tokens == {"w": "t"}
    assert settings.targets.workspace("124") is None


# Libraries


def pypi(package: str) -> dict[str, dict[str, str]]:
    return {"pypi": {"package": package}}


@pytest.mark.parametrize(
    ("library", "failed", "expected"),
    [
        ("pandas==2.2.0", [], "2.1.4"),
        ("pandas==2.2.0", ["2.1.4"], "2.0.3"),
        ("pandas[excel]==2.1.4", [], "2.0.3"),
        ("pandas", [], "2.2.3"),
        ("pandas==0.1", [], None),
        ("pandas==2.0.3", [], "1.5.3"),
        ("pandas===2.2.0", [], "2.1.4"),
        ("pandas>=2.0,<2.2", [], "2.1.4"),
        ("pandas>=2.0,<2.2", ["2.1.4"], "2.0.3"),
        ("pandas>=2.0,<2.2", ["2.1.4", "2.0.3"], None),
        ("pandas>=2.0.3,!=2.1.4,<2.2.0", [], "2.0.3"),
        ("pandas~=2.1.0", [], "2.1.4"),
        ("pandas~=2.1.0", ["2.1.4"], None),
        ("pandas~=2.0", [], "2.2.3"),
        ("pandas==2.2.*", ["2.2.3"], "2.2.0"),
        ("pandas==2.2.*", ["2.2.3", "2.2.0"], None),
        ("pandas<2.0", [], "1.5.3"),
        ("pandas>=3", [], None),
        ("pandas @ https://example.com/pandas-2.2.0-py3-none-any.whl", [], None),
        ("https://example.com/pandas-2.2.0-py3-none-any.whl", [], None),
        ("git+https://example.com/pandas.git@v2.2.0", [], None),
        ("not a requirement !", [], None),
    ],
)
def test_the_version_in_its_place(library: str, failed: list[str], expected: str | None) -> None:
    known = ["1.5.3", "2.2.3", "2.2.0", "2.1.4", "2.0.3"]
    assert libraries.older(pypi(library), known, failed) == expected


@pytest.mark.parametrize(
    ("library", "expected"),
    [("pandas==2.0.3", None), ("pandas==2.1.4", "2.0.3"), ("pandas", "2.1.4")],
)
def test_a_pin_is_not_left_for_another_major_version(library: str, expected: str | None) -> None:
    known = ["1.5.3", "2.0.3", "2.1.4"]
    assert libraries.older(pypi(library), known, [], across=False) == expected


@pytest.mark.parametrize(
    ("library", "name", "known", "fallback"),
    [
        (
            {"maven": {"coordinates": "com.microsoft.azure:synapseml_2.12:0.9.3"}},
            "com.microsoft.azure:synapseml_2.12",
            ["1.0.0", "0.9.3", "0.9.2", "0.9.1"],
            {"maven": {"coordinates": "com.microsoft.azure:synapseml_2.12:0.9.2"}},
        ),
        (
            {"whl": "dbfs:/libs/etl-1.2-py3-none-any.whl"},
            "dbfs:/libs/etl-1.2-py3-none-any.whl",
            ["dbfs:/libs/etl-1.1-py3-none-any.whl"],
            {"whl": "dbfs:/libs/etl-1.1-py3-none-any.whl"},
        ),
        (
            {"cran": {"package": "geojson"}},
            "cran:geojson",
            ["https://packages.example.com/2025-01-01"],
            {"cran": {"package": "geojson", "repo": "https://packages.example.com/2025-01-01"}},
        ),
    ],
)
def test_maven_wheels_and_cran(
    library: dict[str, object], name: str, known: list[str], fallback: dict[str, object]
) -> None:
    assert libraries.package_of(library) == name
    version = libraries.older(library, known, [])
    assert version is not None
    assert libraries.at_version(library, version) == fallback


def test_extras_markers_and_index_are_kept() -> None:
    library = {"pypi": {"package": 'a[x,b]==2 ; python_version > "3"', "repo": "https://r"}}
    assert libraries.at_version(library, "1.9") == {
        "pypi": {"package": 'a[b,x]==1.9 ; python_version > "3"', "repo": "https://r"}
    }


def test_the_same_package_whatever_its_version_and_spelling() -> None:
    assert libraries.same_package(pypi("Scikit_Learn==1"), json.dumps(pypi("scikit-learn==2")))
    assert not libraries.same_package(pypi("a==1"), json.dumps(pypi("b==1")))


# Our own token


@pytest.mark.parametrize(
    ("status", "code", "message", "expired"),
    [
        (401, "ExpiredAuthenticationToken", "The access token expiry UTC time is past.", True),
        (401, "401", "Databricks answered Unauthenticated 401: Token is expired.", True),
        (403, "403", "Databricks answered PermissionDenied 403: Access token has expired", True),
        (401, "InvalidAuthenticationTokenTenant", "The access token has the wrong issuer.", False),
        (401, "401", "Credential was not sent or was of an unsupported type.", False),
        (403, "403", "Invalid access token.", False),
        (403, "AuthorizationFailed", "The client does not have authorization.", False),
        (403, "403", "The subscription of the workspace has expired.", False),
        (400, "", "The token is expired.", False),
    ],
)
def test_when_our_own_token_has_expired(
    status: int, code: str, message: str, *, expired: bool
) -> None:
    assert is_own_expired(PlatformRefused(message, status, code)) is expired


# Job settings


SETTINGS = {
    "name": "etl",
    "job_clusters": [
        {"job_cluster_key": "x", "new_cluster": {"num_workers": 9}},
        {"job_cluster_key": "main", "new_cluster": {"num_workers": 4, "spark_version": "15"}},
    ],
    "tasks": [{"task_key": "load", "libraries": [pypi("a==2")]}, {"task_key": "other"}],
}
PATH = ["job_clusters", "main", "new_cluster", "num_workers"]


def test_an_edit_changes_one_value_and_its_way_back_restores_it() -> None:
    edits = [job_settings.edit(PATH, 4, 6)]
    after = job_settings.changed(SETTINGS, edits, back=False)
    assert set(after) == {"job_clusters"}
    assert after["job_clusters"][1]["new_cluster"] == {"num_workers": 6, "spark_version": "15"}
    assert after["job_clusters"][0] == SETTINGS["job_clusters"][0]
    assert job_settings.changed(SETTINGS | after, edits, back=True) == {
        "job_clusters": SETTINGS["job_clusters"]
    }


def test_what_somebody_else_has_set_meanwhile_is_left_alone() -> None:
    edits = [job_settings.edit(PATH, 4, 6)]
    theirs = json.loads(json.dumps(SETTINGS))
    theirs["job_clusters"][1]["new_cluster"]["num_workers"] = 8
    assert job_settings.changed(theirs, edits, back=True)["job_clusters"] == theirs["job_clusters"]


def test_a_value_that_was_not_there_is_taken_out_again() -> None:
    edits = [job_settings.edit(["tasks", "other", "timeout_seconds"], None, 90)]
    after = job_settings.changed(SETTINGS, edits, back=False)
    assert after["tasks"][1]["timeout_seconds"] == 90
    assert job_settings.changed(SETTINGS | after, edits, back=True)["tasks"] == SETTINGS["tasks"]


# Sizes


@given(st.integers(0, 500), st.integers(1, 500))
def test_growing_never_shrinks_and_never_passes_the_ceiling(workers: int, ceiling: int) -> None:
    after = grown(workers, ceiling)
    assert after >= workers
    assert after <= max(workers, ceiling)


@pytest.mark.parametrize(
    ("size", "after"),
    [
        ({"num_workers": 4}, {"num_workers": 6}),
        ({"num_workers": 1}, {"num_workers": 2}),
        ({"num_workers": 0}, None),
        ({"num_workers": 16}, None),
        ({"num_workers": 40}, None),
        (
            {"autoscale": {"min_workers": 2, "max_workers": 8}},
            {"autoscale": {"min_workers": 3, "max_workers": 12}},
        ),
        (
            {"autoscale": {"min_workers": 2, "max_workers": 14}},
            {"autoscale": {"min_workers": 3, "max_workers": 16}},
        ),
    ],
)
def test_sizes(size: dict[str, object], after: dict[str, object] | None) -> None:
    assert grown_size(size, 16) == after


# Classifier


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return Classifier(load_catalog(load({}).catalog_path, NAMES))


@pytest.mark.parametrize(
    ("code", "message", "expected"),
    [
        ("DRIVER_NOT_RESPONDING", "", "DatabricksDriverNotResponding"),
        ("2200", "ErrorCode=UserErrorSourceBlobNotExist,'Type=X", "UserErrorSourceBlobNotExists"),
        ("", "A task was canceled.", "GatewayTimeout"),
        ("RUN_EXECUTION_ERROR", "java.lang.OutOfMemoryError", "DatabricksResourceExhausted"),
        ("RUN_EXECUTION_ERROR", "Workload failed, see run output", "DatabricksJobExecutionError"),
        ("", "PERMISSION_DENIED: User does not have MODIFY on Table", "DatabricksPermissionDenied"),
        ("", "nobody knows this", "Unknown"),
        ("", "", "Unknown"),
    ],
)
def test_causes_before_wrappers(
    classifier: Classifier, code: str, message: str, expected: str
) -> None:
    assert classifier.classify([EvidenceLine("x", code, message)]).error_type == expected


def test_an_inner_cause_wins_over_the_line_before_it(classifier: Classifier) -> None:
    lines = [
        EvidenceLine("task", "RUN_EXECUTION_ERROR", "Workload failed, see run output"),
        EvidenceLine("output", "", "504 Gateway Timeout"),
    ]
    diagnosis = classifier.classify(lines)
    assert diagnosis.error_type == "GatewayTimeout"
    assert diagnosis.lines == (lines[1],)


@given(st.text(max_size=500))
def test_any_text_is_classified(classifier: Classifier, text: str) -> None:
    diagnosis = classifier.classify([EvidenceLine("x", text[:20], text)])
    assert 0 <= diagnosis.confidence <= 1


def test_a_huge_text_is_cut_not_refused(classifier: Classifier) -> None:
    text = "Caused by: " * 200_000
    assert classifier.classify([EvidenceLine("x", "", text)]).error_type == "Unknown"


def test_many_threads_may_ask_a_new_classifier_at_once() -> None:
    fresh = Classifier(load_catalog(load({}).catalog_path, NAMES))
    lines = [EvidenceLine("x", "", "504 Gateway Timeout")]
    with ThreadPoolExecutor(16) as pool:
        found = set(pool.map(lambda _: fresh.classify(lines).error_type, range(64)))
    assert found == {"GatewayTimeout"}


MAKES = "CREATE TABLE IF NOT EXISTS a.b.c"


@pytest.mark.parametrize(
    ("ddl", "wrong"),
    [
        ("-- ours\nCREATE TABLE IF NOT EXISTS a.b.c (id INT);\n", ""),
        ("create table if not exists `a`.`b`.`c` (id int)", ""),
        ("CREATE TABLE IF NOT EXISTS a.b.other (id INT)", "makes a.b.other"),
        ("CREATE TABLE a.b.c (id INT)", "does not begin"),
        ("CREATE TABLE IF NOT EXISTS a.b.c (id INT); DROP TABLE a.b.d", "more than one statement"),
        (f"{MAKES} AS SELECT 1 AS id", "reads other data"),
        (f"{MAKES}\n-- a comment\nUSING delta AS (SELECT 1 AS id)", "reads other data"),
        (f"{MAKES} AS VALUES (1)", "from a query"),
        (f"{MAKES} AS TABLE x.y.z", "from a query"),
        (f"{MAKES} SHALLOW CLONE x.y.z", "CLONE"),
        (f"{MAKES} CLONE x.y.z", "CLONE"),
        (f"{MAKES} (id INT) LOCATION 'abfss://raw@x/in'", "LOCATION"),
        (f"{MAKES} (id INT) USING csv", "USING"),
        (f"{MAKES} (id INT) USING delta OPTIONS (path '/x')", "OPTIONS"),
        (f"{MAKES} (id INT) /* ' */ AS /* ' */ SELECT 1", "reads other data"),
        (f"{MAKES} (id INT COMMENT 'it\\'s') AS SELECT 1", "reads other data"),
        (f"{MAKES} (id INT) COMMENT 'open", "does not end"),
        (f"{MAKES} (location STRING, clone INT, `select` INT)", ""),
        (f"{MAKES} (a INT, b INT GENERATED ALWAYS AS (a + 1)) COMMENT 'as; SELECT'", ""),
        (f"/* x */ {MAKES} (id BIGINT GENERATED ALWAYS AS IDENTITY) USING DELTA", ""),
    ],
)
def test_a_ddl_file_makes_exactly_its_table(tmp_path: Path, ddl: str, wrong: str) -> None:
    (tmp_path / "x.sql").write_text(ddl, "utf-8")
    assert wrong in ddl_mistake(tmp_path, "x.sql", "a.b.c")
    assert bool(wrong) is bool(ddl_mistake(tmp_path, "x.sql", "a.b.c"))
    assert "not there" in ddl_mistake(tmp_path / "sub", "../x.sql", "a.b.c")


@pytest.mark.parametrize(
    ("name", "upstream"),
    [
        ("Daily_Step3", "Daily_Step2"),
        ("Daily_Step02", "Daily_Step01"),
        ("pl_Transform_Sales", "pl_Extract_Sales"),
        ("CopyOrders", "LoadOrders"),
        ("Sales_From_Lake", "Load_To_Lake"),
    ],
)
def test_upstreams_by_habit(name: str, upstream: str) -> None:
    assert upstream_names(name, {})[0] == upstream
    assert upstream_names(name, {name: "other"}) == ["other"]
