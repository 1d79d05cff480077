"""Each error type, from alert to closed incident: its remedy works, fails, and is refused.

`ENDINGS` says for every type of the catalog how each of the three comes about, or why it cannot;
the table itself is checked. All scenarios run side by side on one host.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from devstack.processes import Stack
from shared.catalog import loader
from shared.catalog.loader import NEVER_AUTOMATED, load
from shared.remedies.registry import NAMES
from shared.settings import SHIPPED_CATALOG
from tests.e2e.examples import EXAMPLES
from tests.e2e.hosts import Host, running
from tests.e2e.quick_policy import write_policy
from tests.e2e.test_databricks import NOTEBOOK, OUT_OF_MEMORY, job_failed, terminated
from tests.e2e.world import Json, World

CATALOG = load(SHIPPED_CATALOG, NAMES)
TAG = uuid.uuid4().hex[:8]  # names in the catalog must be known before the host starts
ALWAYS = 9  # more failures than there are attempts
FROZEN = f"frozen_{TAG}"  # what policy declares not rerunnable
CLUSTER_SPEC = {"spark_version": "15.4.x-scala2.12", "node_type_id": "Standard_DS3_v2"}
WORKS, FAILS, REFUSED = "works", "fails", "refused"
Start = Callable[[World], str]


class Ending(msgspec.Struct, frozen=True):
    """How an ending comes about, and how it shows in the incident.

    `tried` are the remedies of its attempts in order, `note` stands in its decision or outcome.
    """

    start: Start
    tried: tuple[str, ...] = ()
    note: str = ""


class Never(msgspec.Struct, frozen=True):
    """An ending that a type cannot have, and why."""

    why: str


# Ways to break something


def pipeline(
    name: str, failures: int = 1, prefix: str = "", parameters: Json | None = None
) -> Start:
    """A pipeline that fails with a type's example, `failures` times in all."""
    return lambda world: _pipeline(world, error_of(name), failures, prefix, parameters)


def activity(code: str, message: str) -> Start:
    """A pipeline one of whose activities fails once with these words."""
    error = {"errorCode": code, "message": message, "failureType": "UserError"}
    return lambda world: _pipeline(world, error, 1)


def error_of(name: str) -> Json:
    example = EXAMPLES[name]
    return {"errorCode": example.code, "message": example.message, "failureType": "UserError"}


def _pipeline(
    world: World, error: Json, failures: int, prefix: str = "", parameters: Json | None = None
) -> str:
    name = f"{prefix or 'pl'}_{uuid.uuid4().hex[:8]}"
    if parameters:
        name = prefix  # the catalog knows it by its whole name
    again = {"status": "Failed", "activity": "Load", "error": error}
    body = {"factory": world.factory, "name": name, "duration_seconds": 1}
    declared = {key: {"type": "String", "defaultValue": "1000"} for key in parameters or {}}
    world.script("adf/pipelines", activities=ACTIVITIES, parameters=declared, **body)
    outcomes = [again] * (failures - 1)
    world.script("adf/outcomes", factory=world.factory, pipeline=name, outcomes=outcomes)
    run = world.failed_run(name, error, parameters=parameters or {})
    return world.send("/azure-monitor", world.alert_on((name, run)))


ACTIVITIES = [
    {"name": "Extract", "type": "Copy"},
    {"name": "Load", "type": "Copy", "depends_on": ["Extract"]},
]


def downstream(upstream: str) -> Start:
    """A pipeline whose file is missing, after an upstream that ends as `upstream` later on."""

    def start(world: World) -> str:
        tag = uuid.uuid4().hex[:8]
        for step in (1, 2):
            made: Json = {"factory": world.factory, "name": f"pl_{tag}_Step{step}"}
            world.script("adf/pipelines", activities=ACTIVITIES, duration_seconds=1, **made)
        ours = f"pl_{tag}_Step2"
        run = world.failed_run(ours, error_of("UserErrorSourceBlobNotExists"))
        outcome: Json = {"status": upstream, "activity": "Load", "duration_seconds": 10}
        outcome |= {"error": error_of("GatewayTimeout")} if upstream == "Failed" else {}
        body: Json = {"factory": world.factory, "pipeline": f"pl_{tag}_Step1", "outcome": outcome}
        world.script("adf/runs", **body)
        return world.send("/azure-monitor", world.alert_on((ours, run)))

    return start


def job(  # noqa: PLR0913 - what makes a job's failure
    error: str,
    failures: int = 1,
    task: Json | None = None,
    condition: Json | None = None,
    *,
    code: str = "RUN_EXECUTION_ERROR",
    run_type: str = "JOB_RUN",
    node_type: str = "",
) -> Start:
    """A job whose task fails `failures` times; on serverless unless a node type is named."""

    def start(world: World) -> str:
        settings: Json = {}
        own: Json = {"task_key": "load"} | NOTEBOOK | (task or {})
        if node_type:
            spec = CLUSTER_SPEC | {"node_type_id": node_type, "num_workers": 1}
            settings["job_clusters"] = [{"job_cluster_key": "main", "new_cluster": spec}]
            own["job_cluster_key"] = "main"
        else:
            own["environment_key"] = "default"
        made = world.job(own, **settings)
        failure: Json = OUT_OF_MEMORY | {"error": error, "termination_code": code}
        failure |= {"condition": condition} if condition else {}
        then = {"then": failure} if condition else {}
        world.script("databricks/outcomes", job_id=made, outcomes=[failure] * failures, **then)
        run = world.job_run(made, run_type=run_type)
        world.until(lambda: world.run_ended(run))
        return world.send("/databricks-monitor", job_failed(run, made))

    return start


def cluster(code: str, failures: int = 1, name: str = "shared", **spec: object) -> Start:
    """A cluster that ends with `code`, `failures` times in all."""

    def start(world: World) -> str:
        reason = {"code": code, "type": "CLOUD_FAILURE", "parameters": {}}
        ends = [{"state": "TERMINATED", "termination_reason": reason}] * (failures - 1)
        label = f"{name} {uuid.uuid4().hex[:6]}"
        made = world.cluster(on_start=[*ends, "RUNNING"], cluster_name=label, **spec)
        world.terminate(made, code)
        return world.send("/databricks-monitor", terminated(made, code))

    return start


def our_token(times: int | None) -> Start:
    """A pipeline's failure that we may not read `times` times, as our token has expired."""

    def start(world: World) -> str:
        name = world.pipeline()
        run = world.failed_run(name)
        error = {
            "code": "ExpiredAuthenticationToken",
            "message": "The access token expiry is past.",
        }
        path = f"pipelineruns/{run}/queryActivityruns"
        fault: Json = {"method": "POST", "path": path, "times": times, "status": 401}
        world.script("faults", name=f"expired-{run}", body={"error": error}, **fault)
        return world.send("/azure-monitor", world.alert_on((name, run)))

    return start


def frozen_pipeline(name: str) -> Ending:
    """Refused: policy declares the pipeline not rerunnable."""
    return Ending(pipeline(name, 1, FROZEN), note=TWICE)


TWICE = "not rerunnable"
ONCE = "one-time run"


def reran(name: str, times: int) -> dict[str, Ending | Never]:
    """The endings of a type whose pipelines are just rerun."""
    return {
        WORKS: Ending(pipeline(name), ("rerun",)),
        FAILS: Ending(pipeline(name, ALWAYS), ("rerun",) * times),
        REFUSED: frozen_pipeline(name),
    }


def left(*ways: Start, why: str) -> dict[str, Ending | Never]:
    """The endings of a type that always goes to a person, by each way in."""
    found: dict[str, Ending | Never] = {WORKS: Never(why), FAILS: Never(why)}
    for number, way in enumerate(ways):
        found[f"{REFUSED} {number}" if number else REFUSED] = Ending(way)
    return found


NO_REMEDY = "it has no remedy"
NEVER_TOUCHED = "it is never automated"
SOMEBODY = "nothing is broken"
MISSING = "[TABLE_OR_VIEW_NOT_FOUND] The table or view `main`.`{0}`.`{1}` cannot be found."
FETCH = "org.apache.spark.shuffle.FetchFailedException: Failed to connect"
INDEX = "NewConnectionError: Failed to establish a new connection: /simple/pandas/"
PREFERRED = f"the team's own word {TAG} for try again"
NO_PANDAS = "No matching distribution found for pandas==2.2.3"
PANDAS = {"libraries": [{"pypi": {"package": "pandas==2.2.3"}}]}
SLOW, HEAP = "RUN_DURATION_EXCEEDED", "java.lang.OutOfMemoryError: Java heap space"
EXPIRED = "The access token expiry UTC time is earlier than current UTC time."
NODE, ALONE = "Standard_DS3_v2", "Standard_F8s"  # the second has no alternative that is offered
TIMEOUT_60 = {"timeout_seconds": 60}


def table(name: str, *, comes: bool) -> Start:
    full = f"main.{TAG}.{name}"
    condition = {"table_exists": full if comes else f"{full}_other"}
    return job(MISSING.format(TAG, name), 1, condition=condition)


ENDINGS: dict[str, dict[str, Ending | Never]] = {
    "GatewayTimeout": {
        WORKS: Ending(pipeline("GatewayTimeout"), ("rerun",)),
        FAILS: Ending(
            pipeline("GatewayTimeout", ALWAYS, f"pl_batch_{TAG}", {"batch_size": "1000"}),
            ("rerun", "rerun", "rerun", "reduce_batch"),
        ),
        REFUSED: frozen_pipeline("GatewayTimeout"),
    },
    "HttpConnectionFailed": reran("HttpConnectionFailed", 3),
    "ThrottlingError": reran("ThrottlingError", 5),
    "InternalServerError": reran("InternalServerError", 2),
    "ConcurrencyLimit": reran("ConcurrencyLimit", 3),
    "UserErrorSourceBlobNotExists": {
        WORKS: Ending(downstream("Succeeded"), ("wait_for_upstream",)),
        FAILS: Ending(downstream("Failed"), ("wait_for_upstream",)),
        REFUSED: Ending(pipeline("UserErrorSourceBlobNotExists"), note="neither an upstream nor"),
    },
    "UserErrorInvalidDataType": {
        WORKS: Ending(pipeline("UserErrorInvalidDataType"), ("playbook",)),
        FAILS: Ending(pipeline("UserErrorInvalidDataType", ALWAYS), ("playbook",)),
        REFUSED: frozen_pipeline("UserErrorInvalidDataType"),
    },
    "UserErrorColumnNameInvalid": left(
        pipeline("UserErrorColumnNameInvalid"),
        activity("2200", "Message=Invalid column name 'qty'.,SqlErrorNumber=207,Class=16"),
        why=NEVER_TOUCHED,
    ),
    "AuthenticationError": left(
        pipeline("AuthenticationError"), job("Login failed for user 'etl'"), why=NEVER_TOUCHED
    ),
    "CredentialExpired": {
        WORKS: Ending(our_token(1)),
        FAILS: Ending(our_token(None), note="our own credential"),
        REFUSED: Ending(activity("ExpiredAuthenticationToken", EXPIRED), note="not our own"),
        f"{REFUSED} 1": Ending(pipeline("CredentialExpired"), note="for a person"),
    },
    "DatabricksPermissionDenied": left(
        job(EXAMPLES["DatabricksPermissionDenied"].message),
        activity("2200", "PERMISSION_DENIED: User does not have MODIFY on Table 'a.b.c'."),
        why=NEVER_TOUCHED,
    ),
    "SchemaMismatch": left(
        pipeline("SchemaMismatch"),
        job("[DELTA_SCHEMA_CHANGED] schema mismatch detected when writing to the Delta table"),
        why=NEVER_TOUCHED,
    ),
    "DataCorruption": left(
        pipeline("DataCorruption"),
        job("[FAILED_READ_FILE] Could not read footer for file: x; it is not a Parquet file"),
        why=NEVER_TOUCHED,
    ),
    "DataQualityExpectationFailed": left(
        job(EXAMPLES["DataQualityExpectationFailed"].message), why=NO_REMEDY
    ),
    "DatabricksClusterStartFailure": {
        WORKS: Ending(cluster("BOOTSTRAP_TIMEOUT"), ("restart_cluster",)),
        FAILS: Ending(
            cluster("BOOTSTRAP_TIMEOUT", ALWAYS),
            ("restart_cluster", "restart_cluster", "change_node_type"),
        ),
        REFUSED: Ending(cluster("BOOTSTRAP_TIMEOUT", 1, FROZEN), note=TWICE),
    },
    "ClusterUnexpectedTermination": {
        WORKS: Ending(cluster("CLOUD_PROVIDER_SHUTDOWN"), ("restart_cluster",)),
        FAILS: Ending(cluster("CLOUD_PROVIDER_SHUTDOWN", ALWAYS), ("restart_cluster",) * 2),
        REFUSED: Ending(cluster("CLOUD_PROVIDER_SHUTDOWN", 1, FROZEN), note=TWICE),
    },
    "DatabricksDriverNotResponding": {
        WORKS: Ending(cluster("DRIVER_UNRESPONSIVE"), ("restart_cluster",)),
        FAILS: Ending(cluster("DRIVER_UNRESPONSIVE", ALWAYS), ("restart_cluster",)),
        REFUSED: Ending(cluster("DRIVER_UNRESPONSIVE", 1, FROZEN), note=TWICE),
    },
    "DatabricksResourceExhausted": {
        WORKS: Ending(job(HEAP, node_type=NODE), ("scale_up",)),
        FAILS: Ending(
            job(HEAP, ALWAYS, node_type=NODE),
            ("scale_up", "scale_up", "change_node_type", "change_node_type"),
        ),
        REFUSED: Ending(job(HEAP)),
    },
    "DatabricksTimeoutError": {
        WORKS: Ending(job("", code=SLOW), ("rerun",)),
        FAILS: Ending(
            job("", ALWAYS, TIMEOUT_60, code=SLOW), ("rerun", "rerun", "increase_timeout")
        ),
        REFUSED: Ending(job("", code=SLOW, run_type="SUBMIT_RUN"), note=ONCE),
    },
    "DatabricksLibraryInstallationError": {
        WORKS: Ending(
            job(NO_PANDAS, 1, PANDAS, {"library": "pandas==2.2.0"}, node_type=NODE),
            ("library_fallback",),
        ),
        FAILS: Ending(
            job(NO_PANDAS, 1, PANDAS, {"library": "pandas==0.1"}, node_type=NODE),
            ("library_fallback",) * 3,
        ),
        REFUSED: Ending(
            job("No matching distribution found for other==1", 1, PANDAS, node_type=NODE),
            note="names other",
        ),
    },
    "DatabricksTableNotFound": {
        WORKS: Ending(table("orders", comes=True), ("create_table",)),
        FAILS: Ending(table("events", comes=False), ("create_table",)),
        REFUSED: Ending(table("unknown", comes=False)),
    },
    "DatabricksSparkException": {
        WORKS: Ending(job(FETCH), ("rerun",)),
        FAILS: Ending(job(FETCH, ALWAYS), ("rerun",)),
        REFUSED: Ending(job(FETCH, run_type="SUBMIT_RUN"), note=ONCE),
    },
    "DatabricksJobExecutionError": {
        WORKS: Ending(job(PREFERRED), ("rerun",)),
        FAILS: Ending(job(PREFERRED, ALWAYS), ("rerun",)),
        REFUSED: Ending(job(EXAMPLES["DatabricksJobExecutionError"].message)),
    },
    "NetworkUnreachable": {
        WORKS: Ending(job(INDEX), ("rerun",)),
        FAILS: Ending(job(INDEX, ALWAYS), ("rerun",) * 2),
        REFUSED: Ending(pipeline("NetworkUnreachable")),
    },
    "ConfigurationError": {
        WORKS: Ending(cluster("UNSUPPORTED_INSTANCE_TYPE"), ("change_node_type",)),
        FAILS: Ending(cluster("UNSUPPORTED_INSTANCE_TYPE", ALWAYS), ("change_node_type",)),
        REFUSED: Ending(
            cluster("UNSUPPORTED_INSTANCE_TYPE", node_type_id=ALONE),
            note="no other node type with cores left",
        ),
    },
    "QuotaExceeded": left(
        pipeline("QuotaExceeded"), cluster("AZURE_QUOTA_EXCEEDED_EXCEPTION"), why=NO_REMEDY
    ),
    "Cancelled": left(
        cluster("USER_REQUEST"), activity("2200", "canceled by user x@y"), why=SOMEBODY
    ),
    "Unknown": left(pipeline("Unknown"), activity("", "It frobnicated."), why=NO_REMEDY),
}
CASES = [
    (name, ending)
    for name, endings in ENDINGS.items()
    for ending, entry in endings.items()
    if isinstance(entry, Ending)
]


def adapt(catalog: Json) -> None:
    """What the scenarios need of a team's own catalog."""
    for name, spec in catalog["error_types"].items():
        if name != "UserErrorInvalidDataType":
            spec["playbooks"] = []
    catalog["batch_parameters"] = {f"pl_batch_{TAG}": {"parameter": "batch_size", "floor": 100}}
    ddl = {name: f"{name}.sql" for name in ("orders", "events")}
    catalog["tables"] = {
        f"main.{TAG}.{name}": {"ddl": file, "warehouse_id": f"wh{TAG}"}
        for name, file in ddl.items()
    }
    catalog["node_types"][ALONE] = ["Standard_Nowhere"]


def prepare(directory: Path) -> None:
    """The files beside the catalog: the tables' DDL and the rules with one of our own."""
    for name in ("orders", "events"):
        text = f"CREATE TABLE IF NOT EXISTS main.{TAG}.{name} (id BIGINT)"
        (directory / f"{name}.sql").write_text(text, "utf-8")
    rules = (Path(loader.__file__).parent / "rules.yaml").read_text("utf-8")
    rule = "  - id: our-own\n    error_type: DatabricksJobExecutionError\n    because: we know it\n"
    own = f"    patterns: ['own word {TAG}']\n    prefer: rerun\n"
    (directory / "rules.yaml").write_text(f"{rules.rstrip()}\n{rule}{own}", "utf-8")


@pytest.fixture(scope="module")
def host(
    stack: Stack | None, world: World, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Host]:
    directory = tmp_path_factory.mktemp("endings")
    prepare(directory)
    world.script("databricks/warehouses", warehouse_id=f"wh{TAG}")
    (directory / "token").write_text("sandbox-token\n", "utf-8")
    frozen = [{"match": {kind: [f"{FROZEN}*"]}, "rerunnable": False} for kind in KINDS]
    rerunnable = [*frozen, {"match": {}, "rerunnable": True}]
    made = world.script("playbooks", id=f"wf{TAG}", sig="s3cret-sig", effect={"adf_rerun": True})
    settings = {
        "POLICY_PATH": str(write_policy(directory / "policy.yaml", rerunnable=rerunnable)),
        "RERUNNABLE": "",
        "AZURE_ACCESS_TOKEN": f"file:{directory / 'token'}",
        "PLAYBOOK_RETRY_PIPELINE": f"{world.sandbox_url}{made['path']}",
        "PLAYBOOK_HOSTS": "127.0.0.1",
    }
    with running(stack, world, directory, adapt, settings) as host:
        yield host


KINDS = ("pipelines", "jobs", "clusters")


@pytest.fixture(scope="module")
def closed(host: Host) -> dict[tuple[str, str], Json]:
    """The closed incident of each scenario."""
    world = msgspec.structs.replace(host.world, deadline=180.0)

    def play(case: tuple[str, str]) -> str:
        entry = ENDINGS[case[0]][case[1]]
        assert isinstance(entry, Ending)
        return entry.start(world)

    with ThreadPoolExecutor(8) as pool:
        alerts = dict(zip(CASES, pool.map(play, CASES), strict=True))
    return {case: world.incident_of(alert) for case, alert in alerts.items()}


def test_every_type_of_the_catalog_has_its_three_endings() -> None:
    assert set(ENDINGS) == set(CATALOG.error_types)
    for name, endings in ENDINGS.items():
        assert {WORKS, FAILS, REFUSED} <= set(endings), name
        assert isinstance(endings[REFUSED], Ending), name
        spec = CATALOG.spec(name)
        repairable = bool(spec.remedies or spec.playbooks) and name not in NEVER_AUTOMATED
        for ending in (WORKS, FAILS):
            assert isinstance(endings[ending], Ending) is repairable, (name, ending)


def test_every_remedy_of_the_catalog_is_seen_to_fail() -> None:
    failing = [e[FAILS] for e in ENDINGS.values() if isinstance(e[FAILS], Ending)]
    tried = {remedy for entry in failing if isinstance(entry, Ending) for remedy in entry.tried}
    listed = {r.remedy for spec in CATALOG.error_types.values() for r in spec.remedies}
    elsewhere = {"full_refresh", "refresh_credential"}  # test_full_refresh; our_token(None)
    assert listed - elsewhere <= tried


@pytest.mark.parametrize(("name", "ending"), CASES)
def test_an_ending(closed: dict[tuple[str, str], Json], name: str, ending: str) -> None:
    incident, entry = closed[name, ending], ENDINGS[name][ending]
    assert isinstance(entry, Ending)
    said = f"{incident['decision'].get('note', '')} {incident.get('outcome') or ''}"
    assert entry.note in said, incident["timeline"]
    tried = tuple(attempt["remedy"] for attempt in incident["attempts"])
    # Our own expired token shows before the failure can be read: there is no attempt at it.
    if name == "CredentialExpired" and ending in {WORKS, FAILS}:
        assert (incident["state"] == "healed") is (ending == WORKS), incident["timeline"]
        attempted = [e for e in incident["timeline"] if e.get("reason") == name]
        assert len([e for e in attempted if "once more" in e["summary"]]) == 1
        return
    assert tried == entry.tried, incident["timeline"]
    if ending == WORKS:
        assert incident["state"] == "healed", incident["timeline"]
        assert incident["attempts"][-1]["verdict"] == "healed"
        return
    assert incident["error_type"] == name, incident["timeline"]
    assert incident["state"] == ("cancelled" if name == "Cancelled" else "escalated")
    shipped = list(CATALOG.spec(name).guidance)
    assert incident["guidance"][-len(shipped) :] == shipped
    assert all(attempt["verdict"] == "failed" for attempt in incident["attempts"])
    if name in NEVER_AUTOMATED:
        assert incident["decision"]["reason"] == "never_automated"


@pytest.mark.parametrize(
    ("name", "ending", "step"),
    [
        ("UserErrorInvalidDataType", FAILS, "Column 'amount' has the value 'x', which cannot"),
        ("UserErrorColumnNameInvalid", REFUSED, "Column 'ordr_id' is missing"),
        ("UserErrorColumnNameInvalid", f"{REFUSED} 1", "Column 'qty' is missing"),
    ],
)
def test_guidance_begins_with_what_the_evidence_names(
    closed: dict[tuple[str, str], Json], name: str, ending: str, step: str
) -> None:
    assert closed[name, ending]["guidance"][0].startswith(step)
