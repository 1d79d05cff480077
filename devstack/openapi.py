"""The HTTP API as OpenAPI 3.1, and `python -m devstack.openapi <file>`.

Nothing is told twice: routes and methods are the app's own; words, parameters, scopes and errors
are those of docs/api.md; bodies are the models that decode them. What only the code of an answer
knows (its success and its media types) stands in `_ANSWERS`.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

Json = dict[str, Any]

_ROOT = Path(__file__).parents[1]
_SECTION = re.compile(r"^### (?P<title>.+)\n\n(?P<text>(?:(?!^##).*\n?)*)", re.MULTILINE)
_OPERATION = re.compile(r"`(?P<method>[A-Z]+) /(?P<route>[^`]*)`")
_PARAMETER = re.compile(r"^\| (?P<names>`\w+`(?:, `\w+`)*) \| (?P<meaning>.+) \|$", re.MULTILINE)
_SCOPES = re.compile(r"^Scope (`\w+`(?: or `\w+`)*)\.", re.MULTILINE)
_ERRORS = re.compile(r"Errors: (?P<list>\d{3}.*?)\.$", re.MULTILINE | re.DOTALL)

_JSON, _HTML, _FORM = "application/json", "text/html", "application/x-www-form-urlencoded"
_INTAKE = ("azure-monitor", "databricks-monitor", "api/alerts")
_PAGE = "api/approvals/{token}"
# Status and media types of success, where they are not those of `_usual`.
_ANSWERS: dict[str, tuple[tuple[int, ...], tuple[str, ...]]] = {
    **{f"POST {route}": ((200, 202), (_JSON,)) for route in _INTAKE},
    **{f"OPTIONS {route}": ((200,), ()) for route in _INTAKE},
    f"GET {_PAGE}": ((200,), (_HTML,)),
    f"POST {_PAGE}": ((202,), (_HTML,)),
    "GET api/metrics": ((200,), (_JSON, "text/csv")),
    "GET api/pipelines/{name}/readiness": ((200,), (_JSON, _HTML)),
    "GET api/deliveries/{delivery_id}/summary": ((200,), (_JSON, "text/markdown")),
    "POST api/medallion": ((200,), ("application/zip",)),
    **{
        f"POST {route}": ((202,), (_JSON,))
        for route in (
            "api/incidents/{incident_id}/approval",
            "api/findings/{finding_id}/approval",
            "api/findings/{finding_id}/reversal",
            "api/messages/test",
            "api/selftest",
            "api/deliveries",
            "api/deliveries/{delivery_id}/cancel",
            "api/deliveries/{delivery_id}/rollback",
        )
    },
}
_VALUES: dict[str, Json] = {
    "limit": {"type": "integer", "minimum": 1, "maximum": 200},
    "since": {"type": "string", "format": "date-time"},
    "until": {"type": "string", "format": "date-time"},
    "window": {"type": "string", "pattern": "^[1-9][0-9]?d$"},
}
_PROBLEM: Json = {
    "type": "object",
    "properties": {
        "error": {"type": "string"},
        "field": {"type": "string"},
        "problems": {"type": "array", "items": {"type": "object"}},
    },
    "required": ["error"],
    "additionalProperties": False,
}
_ANSWER_FORM: Json = {
    "type": "object",
    "properties": {
        "answer": {"enum": ["approve", "refuse"]},
        "name": {"type": "string", "minLength": 1, "maxLength": 200},
        "note": {"type": "string", "maxLength": 1000},
    },
    "required": ["answer", "name"],
}


def description(functions: Iterable[Any]) -> Json:
    """The API, described.

    Args:
        functions: what the app tells of itself; it does so only once.

    Raises:
        ValueError: docs/api.md does not tell of a route, or not of its scope or errors.
    """
    schemas, bodies = _bodies()
    paths: dict[str, Json] = {}
    sections = _sections()
    for method, route in sorted(_routes(functions)):
        paths.setdefault(f"/{route}", {})[method.lower()] = _operation(
            method, route, sections.get((method, route), ""), bodies
        )
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    info = {"title": "Lakemend", "version": project["version"], "description": "See docs/api.md."}
    return {
        "openapi": "3.1.0",
        "info": info | {"license": {"name": "MIT", "identifier": "MIT"}},
        "paths": paths,
        "components": {
            "schemas": {"Problem": _PROBLEM, **schemas},
            "securitySchemes": {
                "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
                "query": {"type": "apiKey", "in": "query", "name": "api_key"},
                "basic": {"type": "http", "scheme": "basic"},
            },
        },
    }


def _routes(functions: Iterable[Any]) -> Iterator[tuple[str, str]]:
    for function in functions:
        trigger = function.get_trigger()
        if trigger is not None and trigger.get_binding_name() == "httpTrigger":
            properties = trigger.get_dict_repr()
            for method in properties["methods"]:
                yield method.value, properties["route"]


def _sections() -> dict[tuple[str, str], str]:
    text = (_ROOT / "docs/api.md").read_text("utf-8")
    found: dict[tuple[str, str], str] = {}
    before = ""
    for section in _SECTION.finditer(text):
        said = section["text"]
        before = said = before if "as above" in said else said
        for operation in _OPERATION.finditer(section["title"]):
            found[operation["method"], operation["route"]] = said
    return found


def _bodies() -> tuple[dict[str, Json], dict[str, Json]]:
    """The schemas of the models, and for each operation with a body its content."""
    from functions.approvals import AnswerBody, _PauseBody
    from functions.delivery_api import _Why
    from functions.findings import _SilenceBody
    from functions.proposals import _ReversalBody
    from shared.delivery.builder.spec import Specification
    from shared.delivery.plan import Body
    from shared.intake.own import OwnAlert

    models = {
        "POST api/alerts": (OwnAlert, (_JSON,)),
        "POST api/incidents/{incident_id}/approval": (AnswerBody, (_JSON,)),
        "POST api/findings/{finding_id}/approval": (AnswerBody, (_JSON,)),
        "POST api/findings/{finding_id}/reversal": (_ReversalBody, (_JSON,)),
        "POST api/pause": (_PauseBody, (_JSON,)),
        "POST api/findings/{finding_id}/silence": (_SilenceBody, (_JSON,)),
        "POST api/deliveries": (Body, (_JSON,)),
        "POST api/deliveries/{delivery_id}/cancel": (_Why, (_JSON,)),
        "POST api/deliveries/{delivery_id}/rollback": (_Why, (_JSON,)),
        "POST api/medallion": (Specification, (_JSON, "application/yaml")),
    }
    references, components = msgspec.json.schema_components(
        [model for model, _ in models.values()], ref_template="#/components/schemas/{name}"
    )
    bodies: dict[str, Json] = {
        operation: {kind: {"schema": reference} for kind in kinds}
        for (operation, (_, kinds)), reference in zip(models.items(), references, strict=True)
    }
    for route in ("azure-monitor", "databricks-monitor"):
        bodies[f"POST {route}"] = {_JSON: {"schema": {"type": ["object", "array"]}}}
    bodies["POST api/deliveries"]["text/markdown"] = {"schema": {"type": "string"}}
    bodies[f"POST {_PAGE}"] = {_FORM: {"schema": _ANSWER_FORM}}
    named = msgspec.json.encode([components, bodies]).decode().replace("schemas/_", "schemas/")
    schemas, content = msgspec.json.decode(named)
    return {name.lstrip("_"): schema for name, schema in schemas.items()}, content


def _operation(method: str, route: str, said: str, bodies: dict[str, Json]) -> Json:
    errors = _ERRORS.search(said)
    scopes = _SCOPES.search(said)
    if errors is None or (scopes is None and route != _PAGE):
        raise ValueError(f"docs/api.md: {method} /{route} has no scope or no errors")
    operation: Json = {
        "operationId": f"{method.lower()}_{re.sub(r'[^a-z]+', '_', route)}".rstrip("_"),
        "description": _words(said),
        "responses": _responses(method, route, re.findall(r"\b[45]\d\d\b", errors["list"])),
        "security": [{"header": []}, {"query": []}, {"basic": []}] if scopes else [],
    }
    if scopes:
        operation["x-scopes"] = re.findall(r"\w+", scopes[1].replace("or", ""))
    parameters = [*_in_path(route), *_in_query(said if method == "GET" else "")]
    if method == "OPTIONS":
        parameters.append(_parameter("WebHook-Request-Origin", "header", {"type": "string"}))
    if parameters:
        operation["parameters"] = parameters
    content = bodies.get(f"{method} {route}")
    if content:
        operation["requestBody"] = {"required": "{delivery_id}" not in route, "content": content}
    return operation


def _words(said: str) -> str:
    """The first paragraph, on one line."""
    return re.sub(r"\s+", " ", said.partition("\n\n")[0]).strip()


def _in_path(route: str) -> Iterator[Json]:
    for name in re.findall(r"{(\w+)}", route):
        yield _parameter(name, "path", {"type": "string", "minLength": 1}) | {"required": True}


def _in_query(said: str) -> Iterator[Json]:
    for row in _PARAMETER.finditer(_table(said)):
        for name in re.findall(r"\w+", row["names"]):
            schema = _VALUES.get(name, {"type": "string"})
            yield _parameter(name, "query", schema) | {"description": row["meaning"]}


def _table(said: str) -> str:
    head, mark, rest = said.partition("| parameter | meaning |\n")
    del head
    return rest.partition("\n\n")[0] + "\n" if mark else ""


def _parameter(name: str, place: str, schema: Json) -> Json:
    return {"name": name, "in": place, "schema": schema}


def _responses(method: str, route: str, errors: list[str]) -> Json:
    statuses, kinds = _ANSWERS.get(f"{method} {route}", ((200,), (_JSON,)))
    found: Json = {}
    for done in statuses:
        found[str(done)] = {"description": "done" if done == 200 else "stored"}  # noqa: PLR2004 - OK
        if kinds:
            found[str(done)]["content"] = {kind: {} for kind in kinds}
    problem: Json = {_JSON: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for status in sorted(set(errors)):
        content = {_HTML: {}} | problem if route == _PAGE else problem
        found[status] = {"description": _MEANINGS[status], "content": content}
        if status == "503":
            again = {"schema": {"type": "integer"}, "required": True}
            found[status]["headers"] = {"Retry-After": again}
    return found


_MEANINGS = {
    "400": "cannot be understood",
    "401": "unknown caller",
    "403": "the key has not the scope",
    "404": "there is none",
    "409": "not as things stand now",
    "413": "too large",
    "502": "the platform could not be asked",
    "503": "storage does not answer; come again",
}


def main(arguments: list[str]) -> int:
    """Write the file, or with --check say whether it is current; returns the exit code."""
    import function_app

    path = Path(next(a for a in arguments if not a.startswith("--")))
    described = description(function_app.app.get_functions())
    text = msgspec.json.format(msgspec.json.encode(described), indent=2).decode() + "\n"
    if "--check" not in arguments:
        path.write_text(text, "utf-8")
        return 0
    if path.exists() and path.read_text("utf-8") == text:
        return 0
    sys.stderr.write(f"{path.name} is not current: run make openapi\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
