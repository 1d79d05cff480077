"""The little SQL that is understood: CREATE TABLE, DESCRIBE HISTORY, SELECT from one table.

Everything else does nothing.
"""

import re
from dataclasses import dataclass

DEFAULT_CATALOG = "main"
DEFAULT_SCHEMA = "default"

_COMMENT = re.compile(r"\s*(?:--[^\n]*(?:\n|$)|/\*.*?\*/)", re.DOTALL)
_PART = r"(?:`[^`]+`|[\w-]+)"
_CREATE = re.compile(
    r"\s*CREATE\s+(?P<replace>OR\s+REPLACE\s+)?TABLE\s+(?P<tolerant>IF\s+NOT\s+EXISTS\s+)?"
    rf"(?P<name>{_PART}(?:\s*\.\s*{_PART}){{0,2}})",
    re.IGNORECASE,
)
_SELECT_1 = re.compile(r"\s*SELECT\s+1\s*;?\s*", re.IGNORECASE)


_HISTORY = re.compile(
    rf"\s*DESCRIBE\s+HISTORY\s+(?P<name>{_PART}(?:\s*\.\s*{_PART}){{2}})"
    r"(?:\s+LIMIT\s+(?P<limit>\d+))?\s*;?\s*",
    re.IGNORECASE,
)
_READ = re.compile(
    rf"\s*SELECT\s+\S+.*?\s+FROM\s+(?P<name>{_PART}(?:\s*\.\s*{_PART}){{2}})(?:\s+LIMIT\s+\d+)?\s*;?\s*",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class CreateTable:
    """What a CREATE TABLE asks for."""

    full_name: str
    replace: bool
    tolerant: bool


def parse_create(text: str, catalog: str | None, schema: str | None) -> CreateTable | None:
    """Read a CREATE TABLE; None if it is another statement."""
    found = _CREATE.match(without_comments(text))
    if found is None:
        return None
    parts = [part.strip().strip("`") for part in re.findall(_PART, found["name"])]
    home = [catalog or DEFAULT_CATALOG, schema or DEFAULT_SCHEMA]
    full = ".".join([*home[: 3 - len(parts)], *parts])
    return CreateTable(full, found["replace"] is not None, found["tolerant"] is not None)


def parse_history(text: str) -> tuple[str, int | None] | None:
    """Read a DESCRIBE HISTORY: the table and the limit; None if it is another statement."""
    found = _HISTORY.fullmatch(without_comments(text))
    if found is None:
        return None
    return plain_name(found["name"]), int(found["limit"]) if found["limit"] else None


def parse_read(text: str) -> str | None:
    """Return the one table that a SELECT reads; None if it is another statement."""
    found = _READ.fullmatch(without_comments(text))
    return plain_name(found["name"]) if found else None


def plain_name(text: str) -> str:
    """Write a name without its quotes."""
    return ".".join(part.strip().strip("`") for part in re.findall(_PART, text))


def is_select_1(text: str) -> bool:
    """Say whether a statement is the one that only asks for a sign of life."""
    return _SELECT_1.fullmatch(without_comments(text)) is not None


def without_comments(text: str) -> str:
    """Leave out what stands before the statement itself."""
    while found := _COMMENT.match(text):
        text = text[found.end() :]
    return text
