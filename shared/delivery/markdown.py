"""A plan as a Markdown document: three sections, and a fenced block that carries the fields."""

from __future__ import annotations

import re
from typing import Any

from shared.delivery.plan import PlanRefused

Span = tuple[int, int]
Problem = dict[str, str]

SECTIONS = ("All Needed Context", "Implementation Blueprint", "Validation Loop")
# Each is asked about one line only: over a whole document they could take hours.
_HEADING = re.compile(r"#{1,6}[ \t]")
_FENCE = re.compile(r" {0,3}(?P<fence>`{3,}|~{3,})[ \t]*(?P<kind>[^\s`]*)(?P<more>[^`]*)")
_FIELDS = frozenset({"yaml", "yml", "json"})
_TODO = re.compile(
    r"\b(?:TODO|TBD|FIXME|PLACEHOLDER|CHANGE_?ME)\b|<(?:your|insert|fill)\b[^<>\n]*>"
)
# A line that says nothing: alone in a section, it is one nobody has written yet.
_NOTHING = re.compile(
    r"(?:[-*+>][ \t]*)?(?:\[[ \t]?\][ \t]*)?[*_]{0,2}"
    r"(?:todo|tbd|tba|fixme|placeholder|none yet|n/a|\?)?[*_]{0,2}[ \t:.\u2026?*_-]*",
    re.IGNORECASE,
)
_MOST_NAMED = 50


def read_markdown(text: str) -> dict[str, Any]:
    """The fields that a document's fenced blocks hold, later blocks adding to earlier ones.

    Raises:
        PlanRefused: a section is missing or empty, a placeholder is left, or no block has fields.
    """
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    blocks, problems = _blocks(lines)
    problems = [*problems, *_sections(lines, [span for span, _ in blocks]), *_placeholders(lines)]
    fields: dict[str, Any] = {}
    for (start, end), kind in blocks:
        if kind not in _FIELDS:
            continue
        found = _load("\n".join([*lines[start + 1 : end], ""]), problems)
        twice = fields.keys() & found.keys()
        problems += [{"field": str(n), "expected": "is given in two blocks"} for n in twice]
        fields |= found
    if not fields and not problems:
        problems.append({"field": "plan", "expected": "missing: a fenced yaml or json block"})
    if problems:
        raise PlanRefused(problems)
    return fields


def _blocks(lines: list[str]) -> tuple[list[tuple[Span, str]], list[Problem]]:
    """The fenced blocks, each with what it says it holds; and the fence that is left open."""
    blocks: list[tuple[Span, str]] = []
    opened: tuple[int, re.Match[str]] | None = None
    for number, line in enumerate(lines):
        found = _FENCE.fullmatch(line)
        if found is None:
            continue
        if opened is None:
            opened = (number, found)
        elif found["fence"].startswith(opened[1]["fence"]) and not found["kind"]:
            blocks.append(((opened[0], number), opened[1]["kind"].lower()))
            opened = None
    if opened is None:
        return blocks, []
    where = f"line {opened[0] + 1}"
    return blocks, [{"field": where, "expected": "a fence begins here that nothing closes"}]


def _sections(lines: list[str], spans: list[Span]) -> list[Problem]:
    bodies = _bodies(lines, spans)
    problems = []
    for section in SECTIONS:
        body = bodies.get(section.lower())
        if body is None:
            problems.append({"field": section, "expected": "missing: a section with this heading"})
        elif not body.strip():
            problems.append({"field": section, "expected": "expected some content, it is empty"})
        elif all(_NOTHING.fullmatch(line.strip()) for line in _bare(body).split("\n")):
            problems.append({"field": section, "expected": "expected more than a placeholder"})
    return problems


def _bare(body: str) -> str:
    """A section without its comments; one that is left open goes to the end."""
    shown = []
    for number, part in enumerate(body.split("<!--")):
        shown.append(part if number == 0 else part.partition("-->")[2])
    return "".join(shown)


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


def _placeholders(lines: list[str]) -> list[Problem]:
    numbered = enumerate(lines, start=1)
    found = [(number, match) for number, line in numbered if (match := _TODO.search(line))]
    return [
        {"field": f"line {number}", "expected": f"still holds the placeholder {match.group(0)!r}"}
        for number, match in found[:_MOST_NAMED]
    ]


def _load(block: str, problems: list[Problem]) -> dict[str, Any]:
    from shared.delivery.builder import reading
    from shared.errors import InputError

    try:
        return reading.load(block)
    except InputError as error:
        problems.append({"field": "fenced block", "expected": error.expected})
        return {}
