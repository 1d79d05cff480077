"""DDL files that the catalog names: each makes exactly one empty table and does nothing else.

What reads other data is refused: it would run as us, past the rights of who wrote the failed work,
cost what it reads, and fill a table that nobody has looked at.
"""

from __future__ import annotations

import re
from pathlib import Path

_CREATES = re.compile(r"^\s*create\s+table\s+if\s+not\s+exists\s+([`\w.-]+)", re.IGNORECASE)
_PIECES = re.compile(
    r"--[^\n]*|/\*.*?\*/|`(?:[^`]|``)*`|'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"", re.DOTALL
)
# What a statement must not hold, in the text without comments, strings and quoted names.
_READS = tuple(
    (re.compile(pattern, re.IGNORECASE), reason)
    for pattern, reason in (
        (r"^\s*(?:(?:shallow|deep)\s+)?clone\b", "copies another table (CLONE)"),
        (r"\bselect\b", "reads other data (AS SELECT)"),
        (r"\bas\s+\(?\s*(?:table|values|from|with)\b", "fills the table from a query (AS …)"),
        (r"\blocation\s+''", "lays the table over data that is there (LOCATION)"),
        (r"\boptions\s*\(", "may read data from elsewhere (OPTIONS)"),
        (r"\busing\s+(?!delta\b|iceberg\b)", "reads data from elsewhere (USING, not of Delta)"),
    )
)
_MANAGED = "expected the columns of a new, empty table"


def ddl_mistake(folder: Path, file: str, table: str) -> str:
    """What is wrong with a DDL file, empty if it makes exactly `table`, empty, and nothing else."""
    path = (folder / file).resolve()
    if not path.is_relative_to(folder.resolve()) or not path.is_file():
        return f"the DDL file {file} of {table} is not there"
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return f"{file} cannot be read as UTF-8 text"
    statement = _PIECES.sub(_without_words, text)
    match = _CREATES.match(statement)
    if match is None:
        return f"{file} does not begin with CREATE TABLE IF NOT EXISTS"
    if match.group(1).replace("`", "").lower() != table.lower():
        return f"{file} makes {match.group(1)}, not {table}"
    if ";" in statement.strip().rstrip(";"):
        return f"{file} holds more than one statement"
    reason = _reads(re.sub(r"`[^`]*`", "``", statement[match.end() :]))
    return f"{file} {reason}: {_MANAGED}" if reason else ""


def _without_words(piece: re.Match[str]) -> str:
    """Comments as a blank, strings empty; quoted names stay as they are."""
    text = piece.group()
    if text.startswith("`"):
        return text
    return " " if text.startswith(("--", "/*")) else "''"


def _reads(clauses: str) -> str:
    """Why the rest of a statement is refused, empty if it is not."""
    if clauses.replace("''", "").count("'") or '"' in clauses or "/*" in clauses:
        return "holds a string or a comment that does not end"
    return next((reason for pattern, reason in _READS if pattern.search(clauses)), "")
