"""A plan as a Markdown document: three sections, and a fenced block that carries the fields."""

from __future__ import annotations

import re
from typing import Any

from shared.delivery.plan import PlanRefused

Span = tuple[int, int]

SECTIONS = ("All Needed Context", "Implementation Blueprint", "Validation Loop")
# Each is asked about one line only: over a whole document they could take hours.
_HEADING = re.compile(r"#{1,6}[ \t]")
_OPENS, _CLOSES = re.compile(r"```(?:ya?ml|json)[ \t]*"), re.compile(r"```[ \t]*")
_TODO = re.compile(
    r"\b(?:TODO|TBD|FIXME|PLACEHOLDER|CHANGE_?ME)\b|<(?:your|insert|fill)\b[^<>\n]*>"
)
_MOST_NAMED = 50


def read_markdown(text: str) -> dict[str, Any]:
    """The fields that a document's fenced blocks hold, later blocks adding to earlier ones.

    Raises:
        PlanRefused: a section is missing or empty, a placeholder is left, or no block has fields.
    """
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    spans = _blocks(lines)
    problems = [*_sections(lines, spans), *_placeholders(text)]
    fields: dict[str, Any] = {}
    for start, end in spans:
        found = _load("\n".join([*lines[start + 1 : end], ""]), problems)
        twice = fields.keys() & found.keys()
        problems += [{"field": str(n), "expected": "is given in two blocks"} for n in twice]
        fields |= found
    if not fields and not problems:
        problems.append({"field": "plan", "expected": "missing: a fenced yaml or json block"})
    if problems:
        raise PlanRefused(problems)
    return fields


def _blocks(lines: list[str]) -> list[Span]:
    """The fenced blocks: the lines that open and close them."""
    spans: list[Span] = []
    opened: int | None = None
    for number, line in enumerate(lines):
        if opened is None and _OPENS.fullmatch(line):
            opened = number
        elif opened is not None and _CLOSES.fullmatch(line):
            spans.append((opened, number))
            opened = None
    return spans


def _sections(lines: list[str], spans: list[Span]) -> list[dict[str, str]]:
    bodies = _bodies(lines, spans)
    problems = []
    for section in SECTIONS:
        body = bodies.get(section.lower())
        if body is None:
            problems.append({"field": section, "expected": "missing: a section with this heading"})
        elif not body.strip():
            problems.append({"field": section, "expected": "expected some content, it is empty"})
    return problems


def _bodies(lines: list[str], spans: list[Span]) -> dict[str, str]:
    """What stands below each section's heading, up to the next section's."""
    known = {section.lower() for section in SECTIONS}
    code = {n for start, end in spans for n in range(start, end + 1)}  # a # there is no heading
    named = [(n, _heading(line)) for n, line in enumerate(lines) if n not in code]
    found = [(number, name) for number, name in named if name in known]
    ends = [number for number, _ in found[1:]] + [len(lines)]
    return {
        name: "\n".join(lines[number + 1 : end])
        for (number, name), end in zip(found, ends, strict=False)
    }


def _heading(line: str) -> str:
    """The words of a heading in lower case, empty if the line is none."""
    return line.strip(" \t#").strip("*_ ").lower() if _HEADING.match(line) else ""


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
