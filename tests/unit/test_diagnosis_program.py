"""`python -m shared.diagnosis`: every line is answered or refused, whatever stands on it."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from shared.diagnosis.__main__ import MAX_LINE

ARGV = [sys.executable, "-m", "shared.diagnosis"]
TIMEOUT = "504 Gateway Timeout"


def run(*lines: bytes | str | dict[str, Any]) -> tuple[int, list[dict[str, Any]]]:
    """Exit code and answers for these lines."""
    texts = [json.dumps(x).encode() if isinstance(x, dict) else x for x in lines]
    data = b"\n".join(x if isinstance(x, bytes) else x.encode() for x in texts)
    done = subprocess.run(  # noqa: S603 - our own program
        ARGV, input=data, capture_output=True, timeout=60, check=False
    )
    assert b"Traceback" not in done.stderr, done.stderr.decode()
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


def test_a_code_may_be_a_number_and_null_is_missing() -> None:
    base = {"source_system": "adf", "message": TIMEOUT}
    code, answers = run(
        base | {"code": "2200"},
        base | {"code": 2200},
        base | {"code": None},
        base,
        {"source_system": "adf", "code": "4121"},
        {"source_system": "adf", "code": 4121, "message": None},
        {"source_system": "adf", "code": 4121, "message": ""},
        {"source_system": None, "failure_type": None, "code": "4121", "message": None},
    )
    assert code == 0
    types = [answer["error_type"] for answer in answers]
    assert types == ["GatewayTimeout"] * 4 + ["CredentialExpired"] * 4


FIELDS = ("source_system", "code", "message", "failure_type")


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        *((field, wrong) for field in FIELDS for wrong in (1.5, True, ["x"], {"a": 1})),
        *((field, 5) for field in FIELDS if field != "code"),
    ],
)
def test_a_field_of_another_type_is_refused_by_name(field: str, wrong: Any) -> None:
    code, answers = run({"message": TIMEOUT}, {field: wrong}, {"message": TIMEOUT})
    assert code == 1
    assert [answer.get("error_type") for answer in answers] == [
        "GatewayTimeout",
        None,
        "GatewayTimeout",
    ]
    types = "a text, a whole number or null" if field == "code" else "a text or null"
    expected = f"line 2: {field}: expected {types}, got `"
    assert answers[1]["error"].startswith(expected)


def test_whatever_stands_on_a_line_gives_one_line() -> None:
    lines: list[bytes | str] = [
        "{",
        "[]",
        "5",
        "null",
        '"text"',
        b"\xff\xfe{}",
        "[" * 100_000,
        '{"code": ' + "9" * 10_000 + "}",
        '{"message": "' + "a" * MAX_LINE + '"}',
        '{"message": "\\ud800"}',
        b"\xef\xbb\xbf{}",
        '{"message": "' + "a" * 900_000 + '"}',
        "{}",
    ]
    code, answers = run(*lines)
    assert code == 1
    assert len(answers) == len(lines)
    refused = [n for n, answer in enumerate(answers, 1) if "error" in answer]
    assert refused[:7] == [1, 2, 3, 4, 5, 6, 7]
    assert all(answers[n - 1]["error"].startswith(f"line {n}: ") for n in refused)
    assert f"line 9: longer than {MAX_LINE} bytes" in answers[8]["error"]
    assert [answer.get("error_type") for answer in answers[10:]] == ["Unknown"] * 3


def test_blank_lines_are_counted_and_give_nothing() -> None:
    code, answers = run("", "  ", "{", "")
    assert code == 1
    assert [answer["error"][:7] for answer in answers] == ["line 3:"]


def test_a_reader_that_goes_away_is_no_error() -> None:
    lines = (json.dumps({"message": TIMEOUT}) + "\n").encode() * 100
    with subprocess.Popen(  # noqa: S603 - our own program
        ARGV, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write(lines)
        process.stdin.flush()
        process.stdout.readline()
        process.stdout.close()
        process.stdin.close()
        said = process.stderr.read()
        assert process.wait(60) == 0
    assert b"Traceback" not in said
    assert b"BrokenPipe" not in said
