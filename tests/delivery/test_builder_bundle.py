"""The bundle: its files, that they are stable and formatted, and what the platform's types say."""

from __future__ import annotations

import ast
import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from databricks.bundles.jobs import Job
from databricks.bundles.pipelines import Pipeline

from shared.delivery import build
from shared.delivery.builder.archive import archive
from shared.delivery.builder.infer import infer
from shared.delivery.builder.reading import read
from shared.delivery.builder.render import render
from tests.delivery.test_builder_reading import SMALL
from tests.delivery.test_spark_edges import specification

EXAMPLE = Path("examples/sales.yaml").read_text("utf-8")
HOSTILE = json.dumps(specification(Path("/landing")))
CLUSTERS = SMALL | {
    "serverless": False,
    "photon": True,
    "compute": {"node_type": "Standard_E8ds_v5", "min_workers": 2, "max_workers": 8},
    "collection": {"notebook": "/Shared/collect"},
    "webhooks": ["0481e838"],
    "notify": ["a@example.com"],
    "targets": {
        "dev": {"photon": False},
        "prod": {
            "host": "https://prod.azuredatabricks.net",
            "run_as": "0c7f",
            "profile": "PROD",
        },
    },
}
CONTINUOUS = SMALL | {
    "mode": "continuous",
    "checks_schedule": {"cron": "0 0/30 * * * ?", "timezone": "Europe/Berlin"},
    "profile": "TEAM",
    "table_settings": {"clustering": "auto", "auto_compact": False},
}
SECRET = SMALL | {
    "tables": [
        SMALL["tables"][0]
        | {
            "name": "x" * 255,
            "format": "kafka",
            "path": "topic",
            "secrets": {"kafka.bootstrap.servers": "scope/" + "k" * 128},
        },
        SMALL["tables"][0] | {"name": "by name", "format": "delta", "path": "raw.shop.people"},
        SMALL["tables"][0] | {"path": "/landing/" + "订" * 70},
        SMALL["tables"][0]
        | {
            "name": "far",
            "path": "abfss://c@a.dfs.core/x",
            "external_location": "lo`c",
        },
    ]
}
DOCUMENTED = (
    Path("docs/medallion.md").read_text("utf-8").partition("```yaml\n")[2].partition("```")[0]
)
BUNDLES = {
    "example": EXAMPLE,
    "telemetry": Path("examples/telemetry.json").read_text("utf-8"),
    "documented": DOCUMENTED,
    "hostile": HOSTILE,
    "clusters": json.dumps(CLUSTERS),
    "continuous": json.dumps(CONTINUOUS),
    "secret": json.dumps(SECRET),
}


def files(text: str) -> dict[str, str]:
    return render(read(text))


def values(text: str, kind: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for path, content in files(text).items():
        if path.startswith("resources/"):
            found |= yaml.safe_load(content)["resources"].get(kind, {})
    return found


def only(text: str, kind: str) -> Any:
    (found,) = values(text, kind).values()
    return found


@pytest.mark.parametrize("name", BUNDLES)
def test_the_same_specification_gives_the_same_bytes(name: str) -> None:
    first, second = files(BUNDLES[name]), files(BUNDLES[name])
    assert first == second
    assert archive(first) == archive(dict(reversed(second.items())))
    code = (
        "import sys, hashlib; from shared.delivery.builder.reading import read;"
        "from shared.delivery.builder.render import render;"
        "from shared.delivery.builder.archive import archive;"
        "print(hashlib.sha256(archive(render(read(sys.stdin.buffer.read())))).hexdigest())"
    )
    told = {
        subprocess.run(  # noqa: S603 - our own interpreter
            [sys.executable, "-c", code],
            input=BUNDLES[name].encode(),
            capture_output=True,
            check=True,
            env=os.environ | {"PYTHONHASHSEED": seed, "TZ": zone},
        ).stdout
        for seed, zone in (("1", "UTC"), ("2", "Asia/Tokyo"))
    }
    assert len(told) == 1


@pytest.mark.parametrize("name", BUNDLES)
def test_the_code_is_formatted_clean_and_compiles(name: str, tmp_path: Path) -> None:
    build.write(files(BUNDLES[name]), tmp_path)
    ruff = Path(sys.executable).parent / "ruff"
    for arguments in (["format", "--check"], ["check", "--select", "E4,E7,E9,F,I,W"]):
        told = subprocess.run(  # noqa: S603 - our own tool
            [str(ruff), *arguments, "--isolated", str(tmp_path)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert told.returncode == 0, told.stdout
    sources = list((tmp_path / "src").rglob("*.py"))
    assert len(sources) >= 6
    for source in sources:
        tree = ast.parse(source.read_text("utf-8"))
        if "pipeline" in source.parts:
            assert any(isinstance(n, ast.Import) and n.names[0].name == "dlt" for n in tree.body)


def test_what_the_specification_says_is_only_ever_a_literal() -> None:
    """No name, call or attribute of a hostile specification becomes code."""
    hostile = _calls(files(HOSTILE))
    assert hostile
    for node in hostile:
        names = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
        assert "__import__" not in names
        assert not any(isinstance(n, ast.Attribute) and n.attr == "system" for n in ast.walk(node))


def _calls(found: dict[str, str]) -> list[ast.Call]:
    trees = [ast.parse(text) for path, text in found.items() if path.endswith(".py")]
    return [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)]


@pytest.mark.parametrize("name", BUNDLES)
def test_the_platforms_own_types_take_jobs_and_pipelines(name: str) -> None:
    for body in values(BUNDLES[name], "pipelines").values():
        Pipeline.from_dict(body)
    jobs = values(BUNDLES[name], "jobs")
    assert jobs
    for body in jobs.values():
        Job.from_dict(body)


@pytest.mark.parametrize("name", BUNDLES)
def test_the_bundles_own_json_schema_takes_every_yaml_file(name: str) -> None:
    """Needs the schema: from `databricks bundle schema`, or a file named by BUNDLE_SCHEMA."""
    validator = _bundle_schema()
    found = {p: t for p, t in files(BUNDLES[name]).items() if p.endswith(".yml")}
    assert "databricks.yml" in found
    for text in found.values():
        validator.validate(yaml.safe_load(text))


def _bundle_schema() -> jsonschema.Draft202012Validator:
    named, client = os.environ.get("BUNDLE_SCHEMA"), shutil.which("databricks")
    if named:
        text = Path(named).read_text("utf-8")
    elif client:
        text = subprocess.run(  # noqa: S603 - the platform's own client
            [client, "bundle", "schema"], capture_output=True, text=True, check=True
        ).stdout
    else:
        pytest.skip("no Databricks CLI and no BUNDLE_SCHEMA: the bundle's own schema is not there")
    # Python's patterns know no Unicode classes.
    text = text.replace("\\\\p{L}", "a-zA-Z").replace("\\\\p{N}", "0-9")
    return jsonschema.Draft202012Validator(json.loads(text))


def test_a_triggered_job_orders_collection_pipeline_checks() -> None:
    job = values(EXAMPLE, "jobs")["sales"]
    order = {task["task_key"]: task.get("depends_on") for task in job["tasks"]}
    assert order == {
        "collect": None,
        "pipeline": [{"task_key": "collect"}],
        "checks": [{"task_key": "pipeline"}],
    }
    assert job["schedule"] == {
        "quartz_cron_expression": "0 0 17 * * ?",
        "timezone_id": "America/New_York",
        "pause_status": "UNPAUSED",
    }
    assert all(task["timeout_seconds"] > 0 for task in job["tasks"])
    assert job["tags"]["cost-centre"] == "4711"
    assert job["email_notifications"] == {"on_failure": ["data-team@example.com"]}
    pipeline = only(EXAMPLE, "pipelines")
    assert (pipeline["serverless"], pipeline["continuous"]) == (True, False)
    assert (pipeline["catalog"], pipeline["schema"]) == ("${var.catalog}", "${var.schema}")
    assert "target" not in pipeline


def test_a_continuous_pipeline_is_in_no_job_and_its_checks_run_beside_it() -> None:
    assert only(json.dumps(CONTINUOUS), "pipelines")["continuous"] is True
    job = only(json.dumps(CONTINUOUS), "jobs")
    assert [task["task_key"] for task in job["tasks"]] == ["checks"]
    assert job["schedule"]["quartz_cron_expression"] == "0 0/30 * * * ?"
    assert (
        "cluster_by_auto=True"
        in files(json.dumps(CONTINUOUS))["src/pipeline/silver/silver_things.py"]
    )


def test_targets_differ_where_they_should() -> None:
    targets = yaml.safe_load(files(EXAMPLE)["databricks.yml"])["targets"]
    homes = {n: (t["variables"]["catalog"], t["variables"]["schema"]) for n, t in targets.items()}
    assert homes == {
        "dev": ("main", "sales_dev"),
        "staging": ("main_staging", "sales"),
        "prod": ("main_prod", "sales"),
    }
    assert [targets[n]["mode"] for n in homes] == ["development", "production", "production"]
    clusters = yaml.safe_load(files(json.dumps(CLUSTERS))["databricks.yml"])["targets"]
    photon = {n: t["resources"]["pipelines"]["small"]["photon"] for n, t in clusters.items()}
    assert photon == {"dev": False, "staging": True, "prod": True}
    prod = clusters["prod"]
    assert prod["workspace"]["host"] == "https://prod.azuredatabricks.net"
    assert prod["workspace"]["profile"] == "PROD"
    assert prod["run_as"] == {"service_principal_name": "0c7f"}
    tasks = only(json.dumps(CLUSTERS), "jobs")["tasks"]
    assert [task["task_key"] for task in tasks] == ["fetch", "collect", "pipeline", "checks"]


def test_secrets_are_references_and_a_kafka_table_is_never_reset() -> None:
    found = files(json.dumps(SECRET))
    (path,) = [p for p in found if "bronze_xxx" in p]
    assert 'dbutils.secrets.get(\n    "scope",' in found[path]
    assert '"pipelines.reset.allowed": "false"' in found[path]


def test_permissions_quote_every_name() -> None:
    sql = files(EXAMPLE)["sql/permissions_prod.sql"]
    assert "GRANT USE CATALOG ON CATALOG `main_prod` TO `pipeline-runners`;" in sql
    assert "READ VOLUME ON VOLUME `main`.`landing`.`order lines` TO `pipeline-runners`;" in sql
    assert "GRANT SELECT ON TABLE `main_prod`.`sales`.`fact_orders` TO `analysts`;" in sql
    hostile = SECRET | {"permissions": {"principal": "a`; DROP CATALOG main; --"}}
    sql = files(json.dumps(hostile))["sql/permissions_dev.sql"]
    assert "TO `a``; DROP CATALOG main; --`;" in sql
    assert "GRANT SELECT ON TABLE `raw`.`shop`.`people`" in sql
    assert "GRANT READ FILES ON EXTERNAL LOCATION `lo``c`" in sql
    rest = sql.replace("`a``; DROP CATALOG main; --`", "")
    assert "DROP" not in rest


def test_roles_are_inferred_from_the_keys_and_explained() -> None:
    def one(name: str, *points: str, **more: Any) -> dict[str, Any]:
        keys = [{"columns": ["id"], "references": other} for other in points]
        found: dict[str, Any] = SMALL["tables"][0] | {"name": name, "foreign_keys": keys}
        return found | more

    tables = [
        one("region"),
        one("customer", "region"),
        one("visit", "customer"),
        one("sale", "customer", measures=["size"]),
        one("refund", "sale"),
        one("log", key=[]),
        one("employee", "employee"),
        one("note", "customer", role="none"),
    ]
    found = infer(read(json.dumps(SMALL | {"tables": tables})))
    assert {name: part.role for name, part in found.items()} == {
        "region": "dimension",
        "customer": "dimension",
        "visit": "fact",
        "sale": "fact",
        "refund": "fact",
        "log": "fact",
        "employee": "dimension",
        "note": "none",
    }
    assert found["note"].declared
    assert found["customer"].because == "others point at its key, and it has no measures"
    readme = files(json.dumps(SMALL | {"tables": tables}))["README.md"]
    assert "| `visit` | fact (inferred) | points at others, and nothing points at it |" in readme


def test_work_grows_with_the_tables_and_not_faster() -> None:
    def characters(count: int) -> int:
        tables = [SMALL["tables"][0] | {"name": f"t{n:03}"} for n in range(count)]
        return sum(map(len, files(json.dumps(SMALL | {"tables": tables})).values()))

    assert characters(40) / characters(20) < 2.05


def test_the_zip_holds_plain_files_inside_the_folder() -> None:
    with zipfile.ZipFile(io.BytesIO(archive(files(HOSTILE)))) as packed:
        assert packed.testzip() is None
        for entry in packed.infolist():
            assert entry.filename.isascii()
            assert not entry.filename.startswith("/")
            assert ".." not in entry.filename.split("/")
            assert entry.external_attr >> 16 == 0o100644
        assert packed.read("databricks.yml").decode() == files(HOSTILE)["databricks.yml"]


def test_the_command_builds_explains_and_keeps_what_is_not_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, out = tmp_path / "spec.json", tmp_path / "out"
    source.write_text(json.dumps(SMALL))
    monkeypatch.setenv("DATABRICKS_HOST", "https://dev.azuredatabricks.net")
    monkeypatch.setenv("DATABRICKS_HOST_PROD", "https://prod.azuredatabricks.net")
    assert build.main([str(source), str(out)]) == 0
    assert "things: dimension, inferred: has a key" in capsys.readouterr().out
    targets = yaml.safe_load((out / "databricks.yml").read_text())["targets"]
    hosts = [targets[name]["workspace"]["host"] for name in ("dev", "staging", "prod")]
    assert hosts == [f"https://{name}.azuredatabricks.net" for name in ("dev", "dev", "prod")]
    (out / "notes.txt").write_text("mine")
    source.write_text(json.dumps(SMALL | {"tables": [SMALL["tables"][0] | {"name": "people"}]}))
    assert build.main([str(source), str(out)]) == 0
    assert (out / "notes.txt").read_text() == "mine"
    assert not list(out.rglob("*things*"))
    assert build.main([str(source), str(tmp_path)]) == 1
    assert "expected a new folder" in capsys.readouterr().err
    source.write_text("name: x")
    assert build.main([str(source), "--explain"]) == 1
    assert "missing required field" in capsys.readouterr().err
