"""docs/api.md names every route of the app with its methods, and none that is not there."""

from __future__ import annotations

import json
import re
from pathlib import Path

from devstack.openapi import description

# An app tells its functions once.
from tests.unit.test_host_rules import FUNCTIONS

TITLE = re.compile(r"^### (.+)$", re.MULTILINE)
ROUTE = re.compile(r"`([A-Z]+) /([^`?]*)`")


def documented() -> list[tuple[str, str]]:
    text = Path("docs/api.md").read_text("utf-8")
    return [pair for title in TITLE.findall(text) for pair in ROUTE.findall(title)]


def served() -> set[tuple[str, str]]:
    found = set()
    for function in FUNCTIONS:
        trigger = function.get_trigger()
        if trigger is not None and trigger.get_binding_name() == "httpTrigger":
            properties = trigger.get_dict_repr()
            found |= {(m.value, properties["route"]) for m in properties["methods"]}
    return found


def test_every_route_is_documented_once() -> None:
    listed = documented()
    missing = served() - set(listed)
    assert not missing, f"add to docs/api.md as '### `METHOD /route`': {sorted(missing)}"
    assert set(listed) <= served()
    assert len(listed) == len(set(listed))


def test_each_section_names_its_scope_and_its_errors() -> None:
    sections = re.split(r"^### ", Path("docs/api.md").read_text("utf-8"), flags=re.MULTILINE)[1:]
    assert len(sections) == len({section.partition("\n")[0] for section in sections})
    for section in sections:
        name = section.partition("\n")[0]
        scope = r"^(Scope `(sender|reader|approver|deployer)`|No key: )"
        assert re.search(scope, section, re.MULTILINE), name
        assert re.search(r"[Ee]rrors( as above|: \d)", section), name


def test_the_openapi_description_is_current_and_knows_every_body() -> None:
    written = json.loads(Path("docs/openapi.json").read_text("utf-8"))
    assert written == json.loads(json.dumps(description(FUNCTIONS))), "run make openapi"
    operations = {
        (method.upper(), path.removeprefix("/")): operation
        for path, methods in written["paths"].items()
        for method, operation in methods.items()
    }
    assert set(operations) == served()
    empty = {
        "api/selftest",
        "api/messages/test",
        "api/pipelines/{name}/baseline",
        "api/findings/{finding_id}/proposal",
    }
    for (method, route), operation in operations.items():
        takes_body = method == "POST" and route not in empty
        assert ("requestBody" in operation) is takes_body, f"{method} {route}"
        assert "400" in operation["responses"] or not takes_body, f"{method} {route}"
