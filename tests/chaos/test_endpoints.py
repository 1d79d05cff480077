"""Every endpoint, by requests from its OpenAPI description and by ones that no description has.

A request may be refused; it may not crash anything, take for ever, or be answered in a way that
docs/openapi.json does not say.
"""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import requests
import schemathesis
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks

from devstack.processes import Stack
from tests.chaos.sizes import Chaos
from tests.chaos.test_dialects import HOSTILE, PAYLOADS, mutated
from tests.e2e.world import World

DESCRIPTION = json.loads(Path("docs/openapi.json").read_text("utf-8"))
OPERATIONS = [
    (path, method) for path, methods in DESCRIPTION["paths"].items() for method in methods
]
LONGEST_LINE = 8190  # what the web server reads of a request line
LONGEST_SECONDS = 20.0  # an answer on a busy machine
load_all_checks()
CONFORMS = [
    CHECKS.get_one(name)
    for name in (
        "status_code_conformance",
        "content_type_conformance",
        "response_headers_conformance",
        "response_schema_conformance",
    )
]


@pytest.fixture(scope="module")
def described() -> Any:
    schema = schemathesis.openapi.from_dict(DESCRIPTION)
    schema.config.generation.update(modes=[GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
    return schema


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    with requests.Session() as kept:
        yield kept


@pytest.fixture(scope="module", autouse=True)
def nothing_crashed(stack: Stack) -> Iterator[None]:
    yield
    log = (stack.directory / "devhost.log").read_text("utf-8")
    crashed = re.search(r"function '\w+' failed\nTraceback", log)
    assert crashed is None, log[crashed.start() :][:3000]


def key_of(world: World, path: str, method: str) -> dict[str, str]:
    scopes = DESCRIPTION["paths"][path][method].get("x-scopes", ["reader"])
    return {"X-API-Key": world.keys[scopes[0]]}


@pytest.mark.parametrize(("path", "method"), OPERATIONS, ids=lambda part: part)
def test_what_the_description_allows_and_what_it_does_not(
    described: Any, world: World, session: requests.Session, chaos: Chaos, path: str, method: str
) -> None:
    operation = described[path][method]
    answers: Counter[int] = Counter()

    def check(case: Any) -> None:
        answer = case.call(
            base_url=world.base_url,
            session=session,
            headers=key_of(world, path, method),
            timeout=LONGEST_SECONDS,
        )
        answers[answer.status_code] += 1
        if not reached(path, case):
            return
        case.validate_response(answer, checks=CONFORMS)
        assert answer.status_code != 503, "storage is up"

    chaos.explore(chaos.of(3, 400), check, operation.as_strategy())
    chaos.note(f"answers {dict(sorted(answers.items()))}")


def reached(path: str, case: Any) -> bool:
    """Whether the request is for this route: `.` and an empty part of a path make another one."""
    return all(str(value) not in {"", ".", ".."} for value in (case.path_parameters or {}).values())


PARTS = [path for path in DESCRIPTION["paths"] if "{" in path]
HOSTILE_IDS = st.one_of(
    HOSTILE.filter(lambda text: len(text) < 1000),
    st.text(min_size=1, max_size=40),
    st.sampled_from(
        [
            *("0" * 32 + "\n", "0" * 32, "²0260101-235959999-abc", "20260101-²35959999-abc"),
            *("20260101-999999999-abc", "00000000-000000000-0", "20260101-235959999-ä", "open"),
            *("d-20260101-235959999-abc\n", "d-²0260101-235959999-a", "head", "a.b.c", "%00"),
        ]
    ),
)


def test_ids_that_no_description_has(world: World, session: requests.Session, chaos: Chaos) -> None:
    def check(drawn: tuple[str, str]) -> None:
        path, identity = drawn
        if identity in {"", ".", ".."}:
            return  # another route
        name = path[path.index("{") : path.index("}") + 1]
        url = world.base_url + path.replace(name, quote(identity, safe=""))
        for method in DESCRIPTION["paths"][path]:
            headers = key_of(world, path, method)
            answer = session.request(method, url, headers=headers, json={}, timeout=LONGEST_SECONDS)
            assert answer.status_code in {400, 404, 405}, (method, url, answer.status_code)

    chaos.explore(chaos.of(25, 2000), check, st.tuples(st.sampled_from(PARTS), HOSTILE_IDS))


QUERIES = [
    path for path, methods in DESCRIPTION["paths"].items() if "get" in methods and "{" not in path
]
NAMES = ["limit", "state", "since", "until", "cursor", "window", "format", "target", "kind", "x"]
QUERY_VALUES = st.one_of(
    HOSTILE.filter(lambda text: len(text) < 6000),
    st.text(max_size=20),
    st.sampled_from(
        ["²", "0" * 8 + "1" + "9" * 4400, "000000001999", "7", "1d", "٣d", "open", "json"]
    ),
)


def test_queries_that_no_description_has(
    world: World, session: requests.Session, chaos: Chaos
) -> None:
    def check(drawn: tuple[str, list[tuple[str, str]]]) -> None:
        path, query = drawn
        answer = session.get(
            world.base_url + path,
            params=query,
            headers=key_of(world, path, "get"),
            timeout=LONGEST_SECONDS,
        )
        assert answer.status_code in {200, 400, 404}, (query, answer.status_code, answer.text)
        if answer.status_code == 400 and len(answer.request.url or "") < LONGEST_LINE:
            assert answer.json()["field"]

    pairs = st.lists(st.tuples(st.sampled_from(NAMES), QUERY_VALUES), min_size=1, max_size=4)
    chaos.explore(chaos.of(25, 4000), check, st.tuples(st.sampled_from(QUERIES), pairs))


KEYS = [
    b"\xff\xfe",
    b"\x80" * 20,
    "ключ".encode(),
    b"Basic \xff",
    b"a" * 7000,
    b"Basic " + b"=" * 50,
    b"Basic OmFiYw==",
]


@pytest.mark.parametrize("header", ["X-API-Key", "Authorization", "X-MS-CLIENT-PRINCIPAL"])
def test_keys_in_no_encoding(world: World, session: requests.Session, header: str) -> None:
    for key in KEYS:
        answer = session.get(
            f"{world.base_url}/api/incidents", headers={header: key}, timeout=LONGEST_SECONDS
        )
        assert answer.status_code in {400, 401}, (key, answer.status_code)


def deep(levels: int) -> Any:
    value: Any = "end"
    for _ in range(levels):
        value = {"a": value}
    return value


BODIES: list[tuple[str, bytes]] = [
    ("application/json", json.dumps({"target": "dev", "specification": deep(levels)}).encode())
    for levels in (60, 400, 900)
] + [
    ("application/json", b"[" * 50_000),
    ("application/json", b'{"a":' * 900 + b"1" + b"}" * 900),
    ("application/json", b"\xff\xfe{\x00}\x00"),
    ("application/json", b'{"why": "\\ud800"}'),
    ("application/json", b'{"why": "x", "until": "9999-12-31T23:59:59-14:00"}'),
    ("application/json", b'{"why": "x", "until": "0001-01-01T00:00:00+14:00"}'),
    ("application/json", b'{"why": "x", "minutes": ' + b"9" * 5000 + b"}"),
    ("application/json", b'{"why": "x", "minutes": 1e400}'),
    ("multipart/form-data", b"plan"),
    ("multipart/form-data; boundary=x", b"--x\r\n\r\n"),
    (
        "multipart/form-data; boundary=x",
        b'--x\r\nContent-Disposition: form-data; name="plan"\r\n\r\n{}\r\n--x--',
    ),
    ("multipart/form-data; boundary=\xff".encode("latin-1").decode("latin-1"), b"--\xff"),
    ("text/markdown", b"# \xff"),
    ("text/markdown", b"# All Needed Context\n\n```yaml\n" + b"a: " * 40_000 + b"\n```\n"),
    ("text/markdown", b"```yaml\n" * 30_000),
    ("text/markdown", b"#" * 200_000 + b" x" + b" \t#" * 100_000 + b"x\n"),
    ("text/markdown", b"<your " * 100_000),
    ("application/yaml", b"a: &a [*a, *a]"),
    ("application/yaml", b"? {a: b}\n: c"),
    ("application/yaml", b"{" * 30_000),
    ("application/yaml", b"a: !!python/object:os.system x"),
    ("application/yaml", b"- " * 100_000),
    ("application/x-www-form-urlencoded", b"answer=approve&name=" + b"%ff" * 300),
    ("application/x-www-form-urlencoded", b"a=&" * 6000),
]
WRITING = [path for path, methods in DESCRIPTION["paths"].items() if "post" in methods]


@pytest.mark.parametrize("path", WRITING)
def test_bodies_that_no_description_has(world: World, session: requests.Session, path: str) -> None:
    url = world.base_url + path.replace("{", "").replace("}", "")
    for kind, body in BODIES:
        headers = key_of(world, path, "post") | {"Content-Type": kind.encode("latin-1")}
        answer = session.post(url, data=body, headers=headers, timeout=LONGEST_SECONDS)
        assert answer.status_code < 500, (kind, body[:60], answer.status_code)


INTAKE = ("/azure-monitor", "/databricks-monitor", "/api/alerts")


def test_mutated_alerts_are_stored_as_they_were_understood(
    world: World, session: requests.Session, chaos: Chaos
) -> None:
    answers: Counter[int] = Counter()

    def check(drawn: tuple[str, Any]) -> None:
        path, value = drawn
        headers = key_of(world, path, "post")
        answer = session.post(
            world.base_url + path,
            data=json.dumps(value).encode(),
            headers=headers,
            timeout=LONGEST_SECONDS,
        )
        answers[answer.status_code] += 1
        assert answer.status_code in {200, 202, 400, 413}, answer.status_code
        if answer.status_code == 202:
            for receipt in answer.json().get("alerts", [answer.json()])[:3]:
                told = session.get(
                    f"{world.base_url}/api/alerts/{receipt['alert_id']}",
                    headers=headers,
                    timeout=LONGEST_SECONDS,
                )
                assert told.status_code == 200
                assert told.json()["alert_id"] == receipt["alert_id"]

    chaos.explore(chaos.of(25, 3000), check, st.tuples(st.sampled_from(INTAKE), mutated()))
    chaos.note(f"answers {dict(sorted(answers.items()))}")


def test_what_was_kept_can_be_read(world: World, session: requests.Session, chaos: Chaos) -> None:
    dice = random.Random(chaos.seed)  # noqa: S311 - dice that can be thrown again
    for path in ("/azure-monitor", "/databricks-monitor"):
        for payload in dice.sample(PAYLOADS, 5):
            world.post(path, payload)
    for path in (
        "/api/incidents",
        "/api/findings",
        "/api/pause",
        "/api/deliveries",
        "/api/metrics",
    ):
        answer = world.get(path)
        assert answer.status_code == 200, answer.text
        assert not set(answer.text) & set("\x00\x0b\x1b\x7f")
