"""The medallion builder over HTTP."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import pytest
import requests

from tests.e2e.world import World

EXAMPLE = Path(__file__).parents[2] / "examples" / "sales.yaml"


def post(world: World, body: bytes, scope: str = "deployer") -> requests.Response:
    headers = {"X-API-Key": world.keys[scope], "Content-Type": "application/yaml"}
    return requests.post(f"{world.base_url}/api/medallion", body, headers=headers, timeout=30)


def test_a_deployer_gets_the_bundle_as_a_zip_with_the_same_bytes_each_time(world: World) -> None:
    answer = post(world, EXAMPLE.read_bytes())
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"].startswith("application/zip")
    assert answer.headers["Content-Disposition"] == 'attachment; filename="sales.zip"'
    with zipfile.ZipFile(io.BytesIO(answer.content)) as packed:
        assert {"databricks.yml", "README.md", "resources/sales.job.yml"} <= set(packed.namelist())
    assert post(world, EXAMPLE.read_bytes()).content == answer.content


def test_nobody_else_does(world: World) -> None:
    url = f"{world.base_url}/api/medallion"
    assert requests.post(url, b"{}", timeout=10).status_code == 401
    assert post(world, b"{}", scope="reader").status_code == 403


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        (b"", 400, "specification"),
        (b"name: [", 400, "specification"),
        (json.dumps({"name": 1}).encode(), 400, "name"),
        (EXAMPLE.read_bytes().replace(b"type: long}", b"type: lang}", 1), 400, ""),
        (b"x" * 1_048_577, 413, None),
    ],
)
def test_what_is_wrong_is_told_with_the_field(
    world: World, body: bytes, status: int, field: str | None
) -> None:
    answer = post(world, body)
    assert answer.status_code == status
    if field is not None:
        assert answer.json()["field"] == (field or "tables[0].columns[0].type")
