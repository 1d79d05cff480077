"""What the example does not show, on Spark: hostile names, Kafka, Delta, circles, typed values."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.delivery.bundles import build

_BACKTICK = "a`b` FROM x; DROP TABLE y --"
_JINJA = "{{ 7*7 }} {% raw %} '\"\\"
_PYTHON = '__import__("os").system("true")'
_SPARK = "select * from `t`, (1)"


def specification(folder: Path) -> dict[str, Any]:
    """A specification with everything that is unusual."""
    return {
        "name": 'Ränder "edges" #1',
        "catalog": "main",
        "schema": "edges",
        "date_dimension": {"first": "2024-01-01", "last": "2024-01-31"},
        "tables": [
            {
                "name": "Заказы",
                "format": "kafka",
                "path": "orders",
                "options": {"kafka.bootstrap.servers": "localhost:9092"},
                "key": [_BACKTICK, "class"],
                "columns": [
                    {"name": _BACKTICK, "type": "int"},
                    {"name": "class"},
                    {"name": "Class Name", "type": "string"},
                    {"name": "class_name"},
                    {"name": _JINJA, "type": "double"},
                    {"name": _PYTHON, "type": "long"},
                    {"name": _SPARK, "type": "date"},
                    {"name": "单价", "type": "decimal(12,3)"},
                    {"name": "boss", "type": "int"},
                ],
                "foreign_keys": [{"columns": ["boss"], "references": "Employés"}],
                "measures": [
                    _JINJA,
                    {
                        "name": "double price",
                        "operation": "add",
                        "columns": ["单价", "单价"],
                        "type": "decimal(13,3)",
                    },
                    {
                        "name": _PYTHON,
                        "operation": "divide",
                        "columns": [_JINJA, _PYTHON],
                        "otherwise": 0,
                    },
                ],
                "expectations": [
                    {
                        "name": 'it\'s a "rule" `of` {{names}}',
                        "column": "class",
                        "matches": r"^[^\s$]+$",
                    },
                    {"name": "one of", "column": "class", "one_of": ["a\\b", 'c"d', "e", "x'y"]},
                ],
            },
            {
                "name": "Employés",
                "format": "delta",
                "path": str(folder / "employees"),
                "key": ["id"],
                "columns": [
                    {"name": "id", "type": "int"},
                    {"name": "manager", "type": "long"},
                    {"name": "salary", "type": "decimal(8,2)", "unknown": 1},
                    {"name": "hired", "type": "timestamp", "unknown": "2000-01-01T00:00:00"},
                    {"name": "active", "type": "boolean", "unknown": False},
                    {"name": "rate", "type": "float", "unknown": 2, "default": 3},
                    {"name": "nickname", "optional": True, "unknown": 'it\'s \\ "nobody"'},
                ],
                "foreign_keys": [
                    {"columns": ["manager"], "references": "Employés", "role": "manager"}
                ],
                "wrong_types": "null",
            },
        ],
    }


class Edges:
    """The pipeline and its tables."""

    def __init__(self, workspace: Any, folder: Path) -> None:
        self.workspace = workspace
        self.bundle = build(json.dumps(specification(folder)), folder / "bundle")
        _messages(workspace.folder / "kafka" / "orders")
        _employees(folder / "employees")
        workspace.update(self.bundle, "edges")

    def rows(self, query: str) -> list[Any]:
        self.workspace.spark.sql("USE edges")
        return [tuple(row) for row in self.workspace.spark.sql(query).collect()]


def _messages(folder: Path) -> None:
    folder.mkdir(parents=True)
    good = {
        _BACKTICK: 1,
        "class": "a\\b",
        "Class Name": "one",
        "class_name": "two",
        _JINJA: 7.5,
        _PYTHON: 0,
        _SPARK: "2024-01-31",
        "单价": "1.2345",
        "boss": 1,
    }
    found = [
        good,
        good | {"class": "x'y", _PYTHON: 2, "boss": 5, _SPARK: "2024-02-01"},
        good | {"class": "not one"},
        good | {_BACKTICK: "x"},
        good | {_BACKTICK: 3, "boss": 2, "offset": 8},
        good | {_BACKTICK: 3, "boss": 3, "offset": 9},
        good | {_BACKTICK: 3, "boss": 1, "offset": 7},
    ]
    lines = [json.dumps(message, ensure_ascii=False) for message in found]
    (folder / "a.txt").write_text("\n".join([*lines, "no json"]) + "\n", "utf-8")


def _employees(folder: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    folder.mkdir()
    rows = {
        "id": [1, 2, 3],
        "manager": ["", "1", "77"],
        "salary": ["10.005", "x", None],
        "hired": ["2024-01-05 10:00:00", "never", None],
        "active": ["yes", "0", "maybe"],
        "rate": ["1.5", "nan", None],
    }
    parquet.write_table(pa.table(rows), folder / "a.parquet")


@pytest.fixture(scope="module")
def edges(workspace: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edges]:
    yield Edges(workspace, tmp_path_factory.mktemp("edges"))
    workspace.spark.sql("USE default")


def test_names_of_any_script_are_columns_and_hostile_ones_are_only_names(edges: Edges) -> None:
    columns = edges.workspace.spark.table("edges.silver_zeakaazeyeru").columns
    assert columns[:9] == [
        "a_b_from_x_drop_table_y",
        "class",
        "class_name",
        "class_name_2",
        "7_7_raw",
        "__import___os_system_true".strip("_"),
        "select_from_t_1",
        "单价",
        "boss",
    ]
    assert edges.rows("SELECT count(*) FROM fact_zeakaazeyeru") == [(3,)]
    assert edges.rows("SELECT class_name, class_name_2 FROM fact_zeakaazeyeru LIMIT 1") == [
        ("one", "two")
    ]


def test_kafka_messages_are_parsed_and_what_is_no_json_is_rescued(edges: Edges) -> None:
    rescued = edges.rows(
        "SELECT _message, _rescued_data FROM bronze_zeakaazeyeru WHERE _rescued_data IS NOT NULL"
    )
    assert rescued == [("no json", "no json")]
    latest = "SELECT boss FROM silver_zeakaazeyeru WHERE a_b_from_x_drop_table_y = 3"
    assert edges.rows(latest) == [(3,)]  # of one millisecond, the greatest offset
    rules = edges.rows(
        "SELECT rule, count(*) FROM quarantine_zeakaazeyeru"
        " LATERAL VIEW explode(_broken_rules) AS rule GROUP BY rule"
    )
    assert dict(rules) == {
        "a_b_from_x_drop_table_y is there": 2,
        "class is there": 1,
        "types are right": 1,
        'it\'s a "rule" `of` {{names}}': 1,
        "one of": 1,
    }


def test_computed_measures_are_guarded_and_typed(edges: Edges) -> None:
    found = edges.rows(
        "SELECT double_price, import___os_system_true_2, employes_key = -1,"
        " select_from_t_1_date_key FROM fact_zeakaazeyeru WHERE a_b_from_x_drop_table_y = 1"
        " ORDER BY class"
    )
    assert [(str(price), ratio) for price, ratio, _, _ in found] == [
        ("2.470", 0.0),
        ("2.470", 3.75),
    ]
    assert [(orphan, day) for _, _, orphan, day in found] == [(False, 20240131), (True, -1)]


def test_the_unknown_member_keeps_to_the_types(edges: Edges) -> None:
    (member,) = edges.rows(
        "SELECT id, manager_key, manager, CAST(salary AS STRING), CAST(hired AS STRING), active,"
        " rate, nickname FROM dim_employes WHERE employes_key = -1"
    )
    assert member == (
        None, -1, None, "1.00", "2000-01-01 00:00:00", False, 2.0, "it's \\ \"nobody\""
    )  # fmt: skip


def test_a_dimension_may_point_at_itself_and_wrong_types_may_be_null(edges: Edges) -> None:
    found = edges.rows(
        "SELECT e.id, m.id, e.manager_key = -1, CAST(e.salary AS STRING), e.active, e.rate,"
        " e.nickname FROM dim_employes e LEFT JOIN dim_employes m"
        " ON e.manager_key = m.employes_key WHERE e.id IS NOT NULL ORDER BY e.id"
    )
    assert found == [
        (1, None, True, "10.01", True, 1.5, None),
        (2, 1, False, None, False, 3.0, None),
        (3, None, True, None, None, 3.0, None),
    ]
    assert edges.rows("SELECT count(*) FROM quarantine_employes") == [(0,)]


@pytest.mark.parametrize(
    ("name", "change", "told"),
    [
        ("failing", {"action": "fail"}, "EXPECTATION_VIOLATION: small"),
        ("strict", {"cast": "strict"}, "CAST_INVALID_INPUT"),
    ],
)
def test_what_must_stop_the_update_stops_it(
    workspace: Any, tmp_path: Path, name: str, change: dict[str, str], told: str
) -> None:
    source = tmp_path / "things"
    source.mkdir()
    (source / "a.json").write_text('{"id": 1, "size": 5}\n{"id": 2, "size": "x"}\n')
    column = {"name": "size", "type": "int", "cast": change.get("cast", "try")}
    rule = {"name": "small", "column": "size", "max": 3, "action": change.get("action", "warn")}
    text = {
        "name": name,
        "catalog": "main",
        "schema": name,
        "tables": [
            {
                "name": "things",
                "format": "json",
                "path": str(source),
                "key": ["id"],
                "columns": [{"name": "id", "type": "int"}, column],
                "expectations": [rule],
                "role": "none",
            }
        ],
    }
    with pytest.raises(Exception, match=told):
        workspace.update(build(json.dumps(text), tmp_path / "bundle"), name)


def test_two_keys_with_one_surrogate_stop_the_update(workspace: Any, tmp_path: Path) -> None:
    """No two keys with one hash are known, so the hash is made to collide."""
    source = tmp_path / "things"
    source.mkdir()
    (source / "a.json").write_text('{"id": 1}\n{"id": 2}\n')
    text = {
        "name": "colliding",
        "catalog": "main",
        "schema": "colliding",
        "tables": [
            {
                "name": "things",
                "format": "json",
                "path": str(source),
                "key": ["id"],
                "columns": [{"name": "id", "type": "int"}],
            }
        ],
    }
    bundle = build(json.dumps(text), tmp_path / "bundle")
    gold = bundle / "src" / "pipeline" / "gold" / "dim_things.py"
    gold.write_text(gold.read_text().replace("xxhash64(f.`id`)", "1L"))
    with pytest.raises(Exception, match="two members share one surrogate key"):
        workspace.update(bundle, "colliding")
