"""Delivery plans: what is missing is told at once, placeholders and unsafe zips are refused."""

from __future__ import annotations

import contextlib
import io
import json
import zipfile
from typing import Any

import pytest

from shared.delivery.bundle_zip import MAX_FILES, read_zip
from shared.delivery.markdown import SECTIONS, read_markdown
from shared.delivery.plan import PlanRefused, read_plan
from shared.delivery.resolved import (
    from_bundle,
    from_specification,
    open_references,
    placed,
    stamp_of,
    stamped,
    tables_of,
)
from shared.errors import InputError
from tests.delivery.test_patches import spec

SPEC = {
    "name": "Shop",
    "catalog": "main",
    "schema": "shop",
    "tables": [
        {"name": "Orders", "format": "json", "path": "/Volumes/a/b/c", "columns": [{"name": "id"}]}
    ],
}


def problems(value: Any) -> dict[str, str]:
    with pytest.raises(PlanRefused) as refused:
        read_plan(value)
    return {p["field"]: p["expected"] for p in refused.value.problems}


def test_a_plan_with_all_defaults() -> None:
    asked = read_plan({"target": "dev", "specification": SPEC})
    assert (asked.plan.name, asked.plan.source) == ("Shop", "specification")
    assert (asked.plan.timeout_minutes, asked.plan.retry_attempts) == (30.0, 3)
    assert asked.plan.quality.min_pass_rate == 0.95


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"target": "moon"}, "target"),
        ({"timeout_minutes": 0}, "timeout_minutes"),
        ({"retry_attempts": -1}, "retry_attempts"),
        ({"quality": {"min_pass_rate": 2}}, "quality.min_pass_rate"),
        ({"promote_to": {"target": "dev"}}, "promote_to.target"),
        ({"workspace_root": "/Workspace/../etc"}, "workspace_root"),
        ({"workspace_root": "/tmp/x"}, "workspace_root"),  # noqa: S108 - a path that is refused
        ({"rollback": "never"}, "rollback"),
        ({"pipeline_id": "abc"}, "specification"),
        ({"name": "<your pipeline>"}, "name"),
        ({"access": [{"principal": "x", "level": "IS_OWNER"}]}, "access[0].level"),
        ({"specification": SPEC | {"description": "FIXME"}}, "specification.description"),
        ({"specification": SPEC | {"schema": None}}, "specification.schema"),
        ({"bundle": "no zip"}, "specification"),
        ({"unheard": 1}, "unheard"),
    ],
)
def test_each_mistake_is_named(change: dict[str, Any], field: str) -> None:
    assert field in problems({"target": "dev", "specification": SPEC} | change)


@pytest.mark.parametrize("value", [None, [], "x", 3])
def test_what_is_no_object_is_refused(value: Any) -> None:
    assert list(problems(value)) == ["plan"]


def test_a_bundle_that_is_no_zip_is_refused() -> None:
    assert problems({"target": "dev", "name": "x", "bundle": "AAAA"})["bundle"]
    assert problems({"target": "dev", "name": "x", "bundle": "%"})["bundle"]


DOCUMENT = """# Plan

## All Needed Context

The orders of the shop.

## Implementation Blueprint

```yaml
target: dev
schedule: 17:00
```

## Validation Loop

```json
{"retry_attempts": 2}
```
"""


def test_blocks_of_a_document_add_up_by_the_rules_of_yaml_1_2() -> None:
    found = read_markdown(DOCUMENT)
    assert found == {"target": "dev", "schedule": "17:00", "retry_attempts": 2}


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ("## Validation Loop", "## Other", "Validation Loop"),
        ("The orders of the shop.", "", "All Needed Context"),
        ("The orders of the shop.", "TODO", "line 5"),
        ("target: dev", "target: &a dev", "fenced block"),
        ('{"retry_attempts": 2}', '{"target": "prod"}', "target"),
    ],
)
def test_an_incomplete_document_is_refused(old: str, new: str, field: str) -> None:
    with pytest.raises(PlanRefused) as refused:
        read_markdown(DOCUMENT.replace(old, new))
    assert field in [p["field"] for p in refused.value.problems]


@pytest.mark.parametrize("ends", ["\r\n", "\r"])
def test_a_documents_line_ends_do_not_matter(ends: str) -> None:
    assert read_markdown(DOCUMENT.replace("\n", ends)) == read_markdown(DOCUMENT)


def test_a_document_may_fence_with_tildes_and_hold_other_code() -> None:
    shell = "~~~sh\n# Validation Loop\n```yaml\nno: 1\n```\n~~~\n"
    assert read_markdown(DOCUMENT.replace("```", "~~~") + shell) == read_markdown(DOCUMENT)


def test_an_empty_document_and_an_open_fence_are_told() -> None:
    with pytest.raises(PlanRefused) as refused:
        read_markdown("")
    assert [p["field"] for p in refused.value.problems] == list(SECTIONS)
    with pytest.raises(PlanRefused) as open_fence:
        read_markdown(DOCUMENT + "~~~yaml\na: 1\n")
    assert "nothing closes" in str(open_fence.value.problems)


@pytest.mark.parametrize(
    "body",
    [
        "todo:",
        "...",
        "\u2026",
        "<!-- what is needed -->",
        "- [ ]",
        "- [ ] tbd",
        "TBD.",
        "- \n\n...",
    ],
)
def test_a_section_with_nothing_but_a_placeholder_is_refused(body: str) -> None:
    with pytest.raises(PlanRefused) as refused:
        read_markdown(DOCUMENT.replace("The orders of the shop.", body))
    assert "All Needed Context" in [p["field"] for p in refused.value.problems]


KINDS = (zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_zip_is_refused_whatever_its_compression(kind: int) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", kind) as out:
        out.writestr("a.py", bytes(range(128)) * 20)
    whole = buffer.getvalue()
    end = whole.index(b"PK\x01\x02")
    for place in range(30, end):
        damaged = bytearray(whole)
        damaged[place] ^= 0xFF
        with contextlib.suppress(InputError):  # nothing else, whatever is damaged
            read_zip(bytes(damaged))
    with pytest.raises(InputError):
        read_zip(whole[: end // 2])


def packed(*files: tuple[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as out:
        for path, content in files:
            out.writestr(path, content)
    return buffer.getvalue()


def test_a_plain_zip_is_read() -> None:
    assert read_zip(packed(("a/b.py", b"x"), ("c.txt", b"y"))) == {"a/b.py": "x", "c.txt": "y"}


@pytest.mark.parametrize(
    "files",
    [
        [("a.py", b"1"), ("A.py", b"2")],
        [("a.py", b"\xff\xfe\xfa")],
        [("a\\b.py", b"")],
        [("a\nb.py", b"")],
        [(f"{n}.py", b"") for n in range(MAX_FILES + 1)],
        [(f"{n}.py", b"0" * 999_999) for n in range(22)],
    ],
)
def test_a_zip_that_is_not_to_be_trusted_is_refused(files: list[tuple[str, bytes]]) -> None:
    with pytest.raises(InputError):
        read_zip(packed(*files))


def test_a_specification_is_resolved_for_each_target() -> None:
    dev, prod = from_specification(spec(), "dev"), from_specification(spec(), "prod")
    assert (dev.catalog, dev.schema, prod.schema) == ("main", "shop_dev", "shop")
    assert dev.tables == prod.tables
    assert {"bronze_orders", "silver_orders", "quarantine_orders", "dim_date"} <= set(dev.tables)
    assert open_references(dev) == []
    assert placed(dev.pipeline, "/f")["libraries"] == [{"glob": {"include": "/f/src/pipeline/**"}}]


def test_only_our_own_stamp_counts() -> None:
    assert stamp_of(stamped({"tags": {"a": "b"}}, "d-1.1")) == "d-1.1"
    assert stamp_of({"tags": {"lakemend_delivery": "d-1.1"}}) == ""
    assert stamp_of({}) == ""


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"resources": []}',
        '{"resources": {"pipelines": {"a": 1}}, "workspace": {}}',
    ],
)
def test_a_bundle_in_another_form_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        from_bundle({"bundle.json": text}, "dev", "dev")


def test_a_bundle_for_a_further_target_has_a_file_of_its_own() -> None:
    resolved = {"workspace": {"file_path": "/f"}, "resources": {"pipelines": {"a": {"name": "x"}}}}
    files = {"bundle.json": json.dumps(resolved)}
    assert from_bundle(files, "dev", "dev").pipeline == {"name": "x"}
    with pytest.raises(InputError, match=r"bundle\.prod\.json"):
        from_bundle(files, "prod", "dev")


def test_tables_are_read_off_the_sources() -> None:
    text = 'import dlt\n@dlt.table(name="a")\ndef f(): ...\n@dlt.view(name="b")\ndef g(): ...\n'
    assert tables_of([text, "def broken(:"]) == ("a",)


def test_a_specifications_quality_holds_where_the_plan_names_nothing() -> None:
    own = SPEC | {"quality": {"max_quarantined": 0.2, "min_rows": 7, "max_age_hours": 24}}

    taken = read_plan({"target": "dev", "specification": own}).plan.quality
    assert (taken.max_quarantined, taken.min_table_rows, taken.max_age_hours) == (0.2, 7, 24)

    named = {"max_quarantined": 0.5, "max_age_hours": 1, "min_pass_rate": 0.9}
    both = read_plan({"target": "dev", "specification": own, "quality": named}).plan.quality
    assert (both.max_quarantined, both.min_table_rows, both.max_age_hours) == (0.5, 7, 1)
    assert both.min_pass_rate == 0.9


def test_which_tasks_check_a_job_is_known_of_a_specification_only() -> None:
    assert read_plan({"target": "dev", "specification": SPEC}).plan.check_tasks == ("checks",)
    none = read_plan({"target": "dev", "specification": SPEC, "check_tasks": []})
    assert none.plan.check_tasks == ()
    given = {"target": "dev", "name": "x", "pipeline_id": "p"}
    assert read_plan(given).plan.check_tasks == ()
    assert "check_tasks" in problems(given | {"check_tasks": ["checks"]})
