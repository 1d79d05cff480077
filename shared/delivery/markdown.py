"""A plan as a Markdown document: three sections, and a fenced block that carries the fields."""

from __future__ import annotations

import re
from typing import Any

from shared.delivery.plan import PlanRefused

SECTIONS = ("All Needed Context", "Implementation Blueprint", "Validation Loop")
_HEADING = re.compile(r"^#{1,6}[ \t]+(.+?)[ \t#]*$", re.MULTILINE)
_FENCE = re.compile(r"^```(?:ya?ml|json)[ \t]*\n(.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL)
_TODO = re.compile(r"\b(?:TODO|TBD|FIXME|PLACEHOLDER|CHANGE_?ME)\b|<(?:your|insert|fill)\b[^>\n]*>")
_MOST_NAMED = 50


def read_markdown(text: str) -> dict[str, Any]:
    """The fields that a document's fenced blocks hold, later blocks adding to earlier ones.

    Raises:
        PlanRefused: a section is missing or empty, a placeholder is left, or no block has fields.
    """
    problems = [*_sections(text), *_placeholders(text)]
    fields: dict[str, Any] = {}
    for block in _FENCE.findall(text):
        found = _load(block, problems)
        twice = fields.keys() & found.keys()
        problems += [{"field": str(n), "expected": "is given in two blocks"} for n in twice]
        fields |= found
    if not fields and not problems:
        problems.append({"field": "plan", "expected": "missing: a fenced yaml or json block"})
    if problems:
        raise PlanRefused(problems)
    return fields


def _sections(text: str) -> list[dict[str, str]]:
    bodies = _bodies(text)
    problems = []
    for section in SECTIONS:
        body = bodies.get(section.lower())
        if body is None:
            problems.append({"field": section, "expected": "missing: a section with this heading"})
        elif not body.strip():
            problems.append({"field": section, "expected": "expected some content, it is empty"})
    return problems


def _bodies(text: str) -> dict[str, str]:
    """What stands below each section's heading, up to the next section's."""
    known = {section.lower() for section in SECTIONS}
    plain = _FENCE.sub(lambda match: " " * len(match.group(0)), text)  # a # in code is no heading
    found = [m for m in _HEADING.finditer(plain) if m.group(1).strip("*_ ").lower() in known]
    ends = [match.start() for match in found[1:]] + [len(text)]
    return {
        match.group(1).strip("*_ ").lower(): text[match.end() : end]
        for match, end in zip(found, ends, strict=True)
    }


def _placeholders(text: str) -> list[dict[str, str]]:
    lines = enumerate(text.splitlines(), start=1)
    found = [(number, match) for number, line in lines if (match := _TODO.search(line))]
    return [
        {"field": f"line {number}", "expected": f"still holds the placeholder {match.group(0)!r}"}
        for number, match in found[:_MOST_NAMED]
    ]


def _load(block: str, problems: list[dict[str, str]]) -> dict[str, Any]:
    from shared.delivery.builder import reading
    from shared.errors import InputError

    try:
        return reading.load(block)
    except InputError as error:
        problems.append({"field": "fenced block", "expected": error.expected})
        return {}
