"""What the real Functions host demands of a function app, checked where there is no such host."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import types
import typing
from pathlib import Path

import pytest

import function_app
from functions import healing

FUNCTIONS = function_app.app.get_functions()


def user_function(function: typing.Any) -> typing.Any:
    """The Python function that the worker loads, below what the durable decorators add."""
    code = function.get_user_function()
    while hasattr(code, "__wrapped__"):
        code = code.__wrapped__
    return getattr(code, "orchestrator_function", code)


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: str(f.get_function_name()))
def test_annotations_are_what_the_worker_takes(function: typing.Any) -> None:
    """The worker takes a class or a generic of `typing`; the built-in generics are refused."""
    code = user_function(function)
    named = {binding.name for binding in function.get_bindings()}
    hints = {k: v for k, v in typing.get_type_hints(code).items() if k in named}
    for name, annotation in hints.items():
        assert not isinstance(annotation, types.GenericAlias), f"{name}: {annotation}"


def test_names_are_unique() -> None:
    names = [function.get_function_name() for function in FUNCTIONS]
    assert len(names) == len(set(names))


def test_every_route_is_authenticated_by_us_and_open_to_the_host() -> None:
    triggers = [f.get_trigger() for f in FUNCTIONS]
    routes = [t for t in triggers if t is not None and t.get_binding_name() == "httpTrigger"]
    assert len(routes) >= 6
    assert {str(route.auth_level) for route in routes} == {"ANONYMOUS"}


def test_a_catalog_mistake_is_refused_when_the_app_starts(tmp_path: Path) -> None:
    shipped = Path("shared/catalog/catalog.yaml").read_text("utf-8")
    path = tmp_path / "catalog.yaml"
    path.write_text(shipped.replace("remedy: rerun,", "remedy: rerunn,", 1), "utf-8")
    answer = subprocess.run(
        [sys.executable, "-c", "import function_app"],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"CATALOG_PATH": str(path)},
    )
    assert answer.returncode != 0
    assert "catalog.yaml, line" in answer.stderr
    assert "no such remedy 'rerunn'" in answer.stderr


def test_starting_loads_no_heavy_sdk() -> None:
    heavy = (
        "('azure.mgmt', 'azure.data', 'azure.identity', 'databricks', 're2', 'yaml', 'jinja2', "
        "'opentelemetry.sdk', 'opentelemetry.exporter', 'azure.monitor')"
    )
    code = f"import sys, function_app; print([m for m in sys.modules if m.startswith({heavy})])"
    answer = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"APPLICATIONINSIGHTS_CONNECTION_STRING": "InstrumentationKey=x"},
    )
    assert answer.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("given", "name", "read"),
    [
        ("a1", "alert_id", {"alert_id": "a1", "traceparent": ""}),
        ({"incident_id": "i1"}, "incident_id", {"incident_id": "i1", "traceparent": ""}),
        (
            {"incident_id": "i1", "next": "verify", "traceparent": "00-a"},
            "incident_id",
            {"incident_id": "i1", "traceparent": "00-a"},
        ),
    ],
)
def test_what_earlier_versions_hand_on_is_read(
    given: object, name: str, read: dict[str, str]
) -> None:
    """Orchestrations that began before traces were handed on end on this code."""
    assert healing._given(given, name) == read


def test_types_are_decoded_where_threads_cannot_meet() -> None:
    """See shared/decoding.py: msgspec's own functions, given a type, may crash the process."""
    found = [
        f"{path}:{node.lineno}"
        for folder in ("functions", "shared")
        for path in Path(folder).rglob("*.py")
        if path.name not in {"decoding.py", "__main__.py"}
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and decodes_a_type(node)
    ]
    assert found == []


def decodes_a_type(call: ast.Call) -> bool:
    name = ast.unparse(call.func)
    typed = any(keyword.arg == "type" for keyword in call.keywords)
    plain = typed and ast.unparse(call.keywords[0].value) == "dict"
    return name == "msgspec.convert" or (name == "msgspec.json.decode" and typed and not plain)
