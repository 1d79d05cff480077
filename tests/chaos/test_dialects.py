"""Every dialect of alerts, from mutated payloads: understood or refused, and no garbage kept."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import re
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

from shared.delivery.builder.reading import read as read_specification
from shared.delivery.bundle_zip import read_zip
from shared.delivery.markdown import read_markdown
from shared.delivery.plan import read_plan
from shared.errors import InputError
from shared.intake.parse import Parsed, decode, parse
from shared.intake.shapes import clean
from shared.ledger.alerts import alert_id
from shared.models import Alert, Subject
from shared.redaction import Redactor
from shared.targets import DataFactory, Targets, Workspace
from tests.chaos.sizes import Chaos

PAYLOADS = [
    json.loads(file.read_text("utf-8"))
    for file in sorted((Path(__file__).parents[1] / "data" / "payloads").glob("*.json"))
]
OTHERS: list[Any] = [
    {"event": "cluster.terminated", "cluster": {"cluster_id": "a-1"}, "termination_reason": {}},
    {"event": "library.install_failed", "cluster": "a-1", "library": "pandas==2.2.0"},
    {"failures": [{"kind": "job_run", "target": "ws", "run_id": "5"}], "dedupe_key": "k"},
    {"failures": [{"kind": "library", "target": "ws", "cluster_id": "c", "library": {"whl": "x"}}]},
    {"dataFactory": "adf-prod", "runId": "r-1", "pipeline": "p", "error": {"message": "m"}},
]
TARGETS = Targets(
    [
        DataFactory(name="adf-prod", subscription_id="<subscription ID>", resource_group="rg-data"),
        Workspace(name="ws", host="http://127.0.0.1:1", workspace_id="12345"),
    ]
)
LISTED = {"adf-prod", "ws", ""}
REDACTOR = Redactor(["planted-secret-1"])
LONGEST_SECONDS = 5.0  # of computing on one body

HOSTILE = st.sampled_from(
    [
        *(
            "",
            " ",
            "\x00",
            "a\nb",
            "run-1\n",
            "5\n",
            "\u2028",
            "\u202egnp",
            "\ufeff",
            "\x7f",
            "\x85",
        ),
        *("a/b", "a\\b", "a#b", "a?b", "../..", "%2e%2e", "=1+1", "+1", "-1", "@SUM(A1)", "\t=1"),
        *("<script>alert(1)</script>", "'; DROP TABLE x; --", "[a](http://b)", "{{7*7}}", "${x}"),
        *("x" * 2001, "ä" * 40_000, "𝄞" * 3000, "²", "٣", "1e999", "NaN", "0x10", "9" * 5000),
        *("9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00", "2026-02-30T00:00:00Z"),
        *("planted-secret-1", "Fired", "Resolved", "adf-prod", "ws", "jobs.on_failure"),
    ]
)
VALUES = st.one_of(
    HOSTILE,
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=12),
    st.sampled_from([10**400, -(2**63), 2**64, 1e308, [], {}, [[]], {"": ""}, [None], [{}] * 200]),
    st.recursive(st.none(), lambda inner: st.lists(inner, max_size=2), max_leaves=5),
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all values in a payload."""
    found = [path]
    pairs: Any = ()
    if isinstance(value, dict):
        pairs = value.items()
    elif isinstance(value, list):
        pairs = enumerate(value)
    for key, inner in pairs:
        found += places(inner, (*path, key))
    return found


@st.composite
def mutated(draw: st.DrawFn) -> Any:
    """A real payload after one to four changes: replaced, left out, renamed, doubled, swapped."""
    value = copy.deepcopy(draw(st.sampled_from(PAYLOADS + OTHERS)))
    for _ in range(draw(st.integers(1, 4))):
        path = draw(st.sampled_from(places(value)))
        if not path:
            value = draw(st.one_of(st.just([value] * 3), st.just({"records": [value]}), VALUES))
            value = copy.deepcopy(value)
            continue
        around = value
        for key in path[:-1]:
            around = around[key]
        _change(draw, around, path[-1])
    return value


def _change(draw: st.DrawFn, around: Any, key: Any) -> None:
    how = draw(st.sampled_from(["replace", "replace", "replace", "drop", "rename", "double"]))
    if how == "replace":
        around[key] = copy.deepcopy(draw(VALUES))
    elif how == "drop":
        del around[key]
    elif how == "double":
        around[key] = [around[key], around[key]]
    elif isinstance(around, dict):
        around[draw(HOSTILE)] = around.pop(key)


def taken_in(body: bytes) -> Parsed | InputError:
    try:
        return parse(decode(body), TARGETS)
    except InputError as error:
        return error


def check(value: Any) -> None:
    # As a sender writes it: surrogates and NaN too.
    check_body(json.dumps(value).encode())


def check_body(body: bytes) -> None:
    start = time.process_time()
    found = taken_in(body)
    if isinstance(found, InputError):
        assert found.field.startswith("$"), found.field
        assert found.expected
        found.field.encode()
        return
    for alert in found.alerts:
        check_alert(clean(alert, REDACTOR))
    assert time.process_time() - start < LONGEST_SECONDS


ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
NAME = re.compile(r"[^\x00-\x1f\x7f/\\?#%]{1,260}")
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def check_alert(alert: Alert) -> None:
    """What is stored can be stored, and holds nothing that a later step would trip over."""
    assert re.fullmatch("[0-9a-f]{32}", alert_id(alert))
    for text in (alert.rule, alert.reason, alert.severity, alert.dialect):
        check_text(text)
    for subject in alert.subjects:
        check_subject(subject)


def check_subject(subject: Subject) -> None:
    assert subject.target in LISTED
    for identity in (subject.run_id, subject.cluster_id):
        assert not identity or ID.fullmatch(identity), repr(identity)
    assert not subject.pipeline or NAME.fullmatch(subject.pipeline), repr(subject.pipeline)
    for text in (subject.message, subject.code, subject.cluster_name, subject.library):
        check_text(text)
    assert len(subject.library) <= 4000
    subject.library.encode()


def check_text(text: str) -> None:
    text.encode()  # no lone surrogate
    assert len(text) <= 20_000  # cut at 2000, and masks may be longer than what they hide
    assert not CONTROL.search(text), repr(text)
    assert "planted-secret-1" not in text


def test_mutated_payloads(chaos: Chaos) -> None:
    chaos.explore(chaos.of(250, 50_000), check, mutated())


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """The bytes of a payload: cut, with bytes changed, in another encoding."""
    text = json.dumps(draw(st.sampled_from(PAYLOADS + OTHERS)))
    body = text.encode(draw(st.sampled_from(["utf-8", "utf-16", "utf-8-sig", "utf-32-le"])))
    at = draw(st.integers(0, len(body)))
    junk = draw(st.binary(max_size=6))
    return draw(
        st.sampled_from([body[:at], body[:at] + junk + body[at + len(junk) :], body + junk])
    )


def test_damaged_bytes(chaos: Chaos) -> None:
    chaos.explore(chaos.of(100, 10_000), check_body, damaged())


def _criteria(count: int, criterion: str, resources: int, resource: str) -> str:
    essentials = f'{{"alertTargetIDs":[{",".join([resource] * resources)}]}}'
    context = f'{{"condition":{{"allOf":[{",".join([criterion] * count)}]}}}}'
    return f'{{"data":{{"essentials":{essentials},"alertContext":{context}}}}}'


LARGE = {
    "deep": "[" * 400_000,
    "deep objects": '{"a":' * 150_000,
    "wide": "[" + ",".join(["[]"] * 300_000) + "]",
    "many keys": "{" + ",".join(f'"k{n}":0' for n in range(60_000)) + "}",
    "criteria by resources": _criteria(
        14_000, '{"metricName":"PipelineFailedRuns"}', 120_000, '"a"'
    ),
    "dimensions": _criteria(
        1, '{"dimensions":[' + ",".join(['{"name":"RunId","value":"x"}'] * 30_000) + "]}", 1, '"a"'
    ),
    "one long text": '{"event":"' + "cluster." * 120_000 + '"}',
    "one long number": '{"event":' + "9" * 900_000 + "}",
    "secrets": '{"event":"cluster.terminated","cluster":"a","error_message":"'
    + "password=x " * 80_000
    + '"}',
    "bad batch": "[" + ",".join(['{"event":"cluster.terminated"}'] * 5000) + "]",
}


@pytest.mark.parametrize("name", LARGE)
def test_large_bodies_take_bounded_time(name: str) -> None:
    body = LARGE[name].encode()[:1_048_576]
    start = time.process_time()
    check_body(body)
    assert time.process_time() - start < LONGEST_SECONDS


# What a delivery brings: a zip whose bytes are damaged, a specification, a plan in Markdown.


def _zipped(method: int) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as bundle:
        bundle.writestr("databricks.yml", "bundle:\n  name: sales\n" * 40)
        bundle.writestr("src/a.py", "print(1)\n" * 40)
    return packed.getvalue()


ZIPS = [_zipped(m) for m in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2)]
ZIPS.append(_zipped(zipfile.ZIP_LZMA))
SPECIFICATION = Path("examples/sales.yaml").read_bytes()
PLAN = (
    b"# All Needed Context\nx\n# Implementation Blueprint\ny\n# Validation Loop\nz\n"
    b"```yaml\ntarget: dev\nname: sales\npipeline_id: abc\n```\n"
)


@st.composite
def damaged_file(draw: st.DrawFn) -> tuple[Callable[[bytes], object], bytes]:
    """A reader, and the bytes of something that it reads after one to five changes."""
    reader, whole = draw(
        st.sampled_from(
            [(read_zip, content) for content in ZIPS]
            + [(read_specification, SPECIFICATION), (read_document, PLAN)]
        )
    )
    body = bytearray(whole)
    for _ in range(draw(st.integers(1, 5))):
        at = draw(st.integers(0, len(body)))
        body[at : at + draw(st.integers(0, 4))] = draw(st.binary(max_size=4))
    return reader, bytes(body)


def read_document(content: bytes) -> object:
    return read_plan(read_markdown(content.decode(errors="replace")))


def check_file(drawn: tuple[Callable[[bytes], object], bytes]) -> None:
    reader, content = drawn
    with contextlib.suppress(InputError):
        reader(content)


def test_damaged_files_of_a_delivery(chaos: Chaos) -> None:
    chaos.explore(chaos.of(60, 20_000), check_file, damaged_file())
