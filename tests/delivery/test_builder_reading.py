"""What a specification may say, and how it is told what is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from shared.delivery.builder import reading
from shared.delivery.builder.reading import read
from shared.delivery.builder.schema import schema
from shared.errors import InputError

SMALL: dict[str, Any] = {
    "name": "small",
    "catalog": "main",
    "schema": "small",
    "tables": [
        {
            "name": "things",
            "format": "json",
            "path": "/Volumes/main/landing/things",
            "key": ["id"],
            "columns": [{"name": "id", "type": "long"}, {"name": "size", "type": "double"}],
        }
    ],
}


def changed(**changes: Any) -> str:
    return json.dumps(SMALL | changes)


def table(**changes: Any) -> str:
    return changed(tables=[SMALL["tables"][0] | changes])


def columns(*found: dict[str, Any]) -> str:
    return table(columns=[{"name": "id", "type": "long"}, *found])


def rule(**parts: Any) -> str:
    return table(expectations=[{"name": "rule", **parts}])


def test_the_published_schema_is_current_and_takes_the_example() -> None:
    published = Path("docs/medallion.schema.json").read_text("utf-8")
    assert published == schema()
    body = json.loads(published)
    jsonschema.Draft202012Validator.check_schema(body)
    validator = jsonschema.Draft202012Validator(body)
    validator.validate(SMALL)
    for path in Path("examples").iterdir():
        read(path.read_bytes())
        validator.validate(reading.load(path.read_bytes()))
    with pytest.raises(jsonschema.ValidationError):
        validator.validate(SMALL | {"colour": "blue"})


def test_yaml_keeps_words_times_and_dates_as_text() -> None:
    text = """
    name: no
    catalog: main
    schema: on
    schedule: {daily_at: 17:00, timezone: America/New_York}
    date_dimension: {first: 2024-01-01, last: 2024-12-31}
    tables:
      - name: yes
        format: csv
        path: /landing/yes
        columns: [{name: off}]
    """
    spec = read(text)
    assert (spec.name, spec.schema, spec.tables[0].columns[0].name) == ("no", "on", "off")
    assert spec.schedule is not None
    assert spec.schedule.daily_at == "17:00"
    assert spec.date_dimension.first == "2024-01-01"


def test_the_older_word_target_means_schema() -> None:
    spec = read(json.dumps({**{k: v for k, v in SMALL.items() if k != "schema"}, "target": "old"}))
    assert spec.home == "old"
    _refused(changed(target="old"), "target", "not both")


def _refused(text: str | bytes, field: str, *parts: str) -> None:
    with pytest.raises(InputError) as refused:
        read(text)
    assert refused.value.field == field, refused.value
    for part in parts:
        assert part in refused.value.expected


def endless() -> str:
    return changed(quality={"max_age_hours": 4711}).replace("4711", "1e999")


def pointing(to: str, *own: str) -> str:
    return table(foreign_keys=[{"columns": own, "references": to}])


def clustered(kind: str) -> str:
    return table(columns=[{"name": "id", "type": kind}], cluster_by=["id"])


@pytest.mark.parametrize(
    ("text", "field", "part"),
    [
        ("", "specification", "an object"),
        ("[]", "specification", "an object"),
        ("a: [", "specification", "expected YAML or JSON: line"),
        ("name: a\nname: b\n", "specification", "line 2: the key 'name' is given twice"),
        ("a: &x 1\nb: *x\n", "specification", "no anchors"),
        ("a: !!python/object/apply:os.system [true]", "specification", "no tags"),
        ("a: " + "[" * 40 + "]" * 40, "specification", "less nesting"),
        (b"\xff\xfe", "specification", "UTF-8"),
        ("x" * 1_048_577, "specification", "at most"),
        ('{"name": "a"}', "specification", "missing required field `catalog`"),
        (changed(colour="blue"), "specification", "unknown field `colour`"),
        (changed(name=1), "name", "expected `str`, got `int`"),
        (changed(name=" "), "name", "not blank"),
        (changed(name="a\u202eb"), "name", "invisible"),
        (changed(name="a${var.b}"), "name", "taken for a variable"),
        (changed(catalog="a.b"), "catalog", "letters"),
        (changed(catalog="{{x}}"), "catalog", "letters"),
        (changed(schema=""), "schema", "length"),
        (changed(tables=[]), "tables", "length"),
        (changed(tables=SMALL["tables"] * 2), "tables[1].name", "given twice"),
        (changed(mode="continuous", schedule={"daily_at": "17:00"}), "schedule", "never ends"),
        (changed(checks_schedule={"daily_at": "17:00"}), "checks_schedule", "follow it"),
        (changed(mode="continuous", collection={"job_id": 1}), "collection", "nothing comes"),
        (changed(schedule={}), "schedule", "daily_at or cron"),
        (changed(schedule={"daily_at": "25:00"}), "schedule.daily_at", "HH:MM"),
        (changed(schedule={"daily_at": "17:00:01"}), "schedule.daily_at", "HH:MM"),
        (changed(schedule={"cron": "0 17 * * *"}), "schedule.cron", "six or seven"),
        *(
            (changed(schedule={"cron": cron}), "schedule.cron", part)
            for cron, part in (
                ("a b c d e f", "the seconds"),
                ("0 60 17 * * ?", "the minutes"),
                ("0 0 99 * * ?", "the hours"),
                ("0 0 17 32 * ?", "the day of the month"),
                ("0 0 17 * 13 ?", "the month"),
                ("0 0 17 ? * 8", "the day of the week"),
                ("0 0 17 ? * MON#6", "the day of the week"),
                ("0 0 17 * * ? 1969", "the year"),
                ("0 0/0 17 * * ?", "the minutes"),
                ("? 0 17 * * ?", "the seconds"),
                ("0 0 17 * * *", "exactly one"),
                ("0 0 17 ? * ?", "exactly one"),
            )
        ),
        (changed(schedule={"daily_at": "17:00", "timezone": "Mars"}), "schedule.timezone", "IANA"),
        (changed(targets={"test": {}}), "targets", "test"),
        (changed(targets={"dev": {"host": "http://x"}}), "targets.dev.host", "https://"),
        (changed(targets={"dev": {"photon": False}}), "targets.dev.photon", "serverless"),
        (changed(compute={}), "compute", "serverless"),
        (changed(notify=["nobody"]), "notify[0]", "e-mail"),
        (changed(profile="a b"), "profile", "letters"),
        (changed(tags={"a": "{{x}}"}), "tags.a", "value"),
        (changed(date_dimension={"first": "x"}), "date_dimension.first", "yyyy-mm-dd"),
        (
            changed(date_dimension={"first": "2030-01-01", "last": "2020-01-01"}),
            "date_dimension.last",
            "after first",
        ),
        (changed(quality={"max_orphaned": 2}), "quality.max_orphaned", "<= 1"),
        (endless(), "quality.max_age_hours", "finite"),
        (table(options={"rescuedDataColumn": "x"}), ".options.rescuedDataColumn", "follows"),
        (table(name="a\nb"), ".name", "control"),
        (table(name="x" * 256), ".name", "length"),
        (table(format="xml"), ".format", "xml"),
        (table(path="landing"), ".path", "absolute"),
        (table(path="/a/../b"), ".path", "without .."),
        (table(format="delta", path="a.b.c.d"), ".path", "catalog.schema.table"),
        (table(format="kafka", path="a b"), ".path", "topic"),
        (table(format="kafka", path="a"), ".options", "kafka.bootstrap.servers"),
        (table(options={"ssl.password": "x"}), ".options.ssl.password", "secrets"),
        (table(options={"path": "x"}), ".options.path", "follows"),
        (table(options={"a b": "x"}), ".options.a b", "letters"),
        (table(secrets={"a": "nokey"}), ".secrets.a", "scope/key"),
        (table(key=["nothing"]), ".key[0]", "no column 'nothing'"),
        (table(key=["id", "id"]), ".key[1]", "twice"),
        (table(key=[], role="dimension"), ".key", "needs a key"),
        (table(key=[], sequence_by="id"), ".sequence_by", "key"),
        (pointing("x", "id"), ".foreign_keys[0].references", "no table"),
        (pointing("things", "size"), ".foreign_keys[0].columns", "'size' is double"),
        (pointing("things", "id", "size"), ".foreign_keys[0].columns", "as many"),
        (table(measures=["colour"]), ".measures[0]", "no column"),
        (columns({"name": "a"}, {"name": "A"}), ".columns[2].name", "ignores case"),
        (columns({"name": "_rescued_data"}), ".columns[1].name", "adds a column"),
        (columns({"name": "a", "type": "money"}), ".columns[1].type", "decimal"),
        (columns({"name": "a", "type": "decimal(40,2)"}), ".columns[1].type", "38"),
        (columns({"name": "a", "format": "dd"}), ".columns[1].format", "only a date"),
        (columns({"name": "a", "type": "int", "default": 1.5}), ".columns[1].default", "int"),
        (columns({"name": "a", "type": "int", "default": 2**31}), ".columns[1].default", "int"),
        (columns({"name": "a", "type": "double", "default": "nan"}), ".columns[1].default", "doub"),
        (columns({"name": "a", "type": "date", "unknown": "soon"}), ".columns[1].unknown", "date"),
        (clustered("boolean"), ".cluster_by[0]", "boolean"),
        (rule(), ".expectations[0]", "exactly one"),
        (rule(column="size", min=1, not_null=True), ".expectations[0]", "exactly one"),
        (rule(column="size", min="x"), ".expectations[0].min", "double"),
        (rule(column="nothing", min=1), ".expectations[0].column", "column of this table"),
        (rule(column="size", matches="x"), ".expectations[0].matches", "string"),
        (rule(condition="1 = 1; DROP TABLE x"), ".expectations[0].condition", "no ;"),
        (rule(condition="1 = 1 -- x"), ".expectations[0].condition", "comments"),
        (rule(condition="size > 1) OR (TRUE"), ".expectations[0].condition", "brackets"),
        (rule(condition="size > 'a"), ".expectations[0].condition", "quotes"),
        (rule(condition="size IN (SELECT 1)"), ".expectations[0].condition", "own columns"),
        (rule(condition="${spark.x} > 1"), ".expectations[0].condition", "variable"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_the_field(text: str | bytes, field: str, part: str) -> None:
    _refused(text, f"tables[0]{field}" if field.startswith(".") else field, part)


@pytest.mark.parametrize(
    "cron",
    [
        "0 0 17 * * ?",
        "0 0/15 8-18 ? * MON-FRI",
        "0 0 0 L-3 * ?",
        "0 0 0 LW JAN,jul ? 2030/2",
        "0 0 0 15W 1/3 ?",
        "0 30 6 ? * 6#3",
        "0 30 6 ? * FRIL 2026-2030",
        "*/10 0 22-2 1,15 * ?",
    ],
)
def test_quartz_expressions(cron: str) -> None:
    read(changed(schedule={"cron": cron}))


@pytest.mark.parametrize(
    ("condition", "part"),
    [
        (r"size > r'\' OR size IN (SELECT 1) OR size > '", "plain texts"),
        ('size > R"\\" OR 1 > (SELECT 1) OR size > "', "plain texts"),
        ("id IN (TABLE main.hr.salaries)", "own columns"),
        ("EXISTS(TABLE main.hr.salaries)", "own columns"),
        ("size > (VALUES 1)", "own columns"),
        ("size > secret('s', 'k')", "own columns"),
        ("size > `secret` ('s', 'k')", "own columns"),
        ("size > reflect('a', 'b')", "own columns"),
        ("size > java_method('a', 'b')", "own columns"),
        ("size > IDENTIFIER('secret')('s', 'k')", "own columns"),
    ],
)
def test_a_condition_reads_nothing_but_its_row(condition: str, part: str) -> None:
    _refused(rule(condition=condition), "tables[0].expectations[0].condition", part)


def test_joiners_of_a_script_are_no_invisible_characters() -> None:
    assert read(changed(name="\u0915\u094d\u200d\u0937")).name


def test_conditions_may_hold_quotes_and_brackets_that_close() -> None:
    read(rule(condition="`a;b` IS NULL OR (upper('it\\'s --') = \"x;y\" AND size > 1)"))


@pytest.mark.parametrize("word", ["IS DISTINCT FROM", "is  not distinct from"])
def test_conditions_may_compare_with_nulls(word: str) -> None:
    read(rule(condition=f"`table` = 'from' OR size {word} id"))
