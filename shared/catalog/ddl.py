"""DDL files that the catalog names: each makes exactly one table and does nothing else."""

from __future__ import annotations

import re
from pathlib import Path

_CREATES = re.compile(
    r"^(?:\s*--[^\n]*\n)*\s*create\s+table\s+if\s+not\s+exists\s+([`\w.-]+)", re.IGNORECASE
)


def ddl_mistake(folder: Path, file: str, table: str) -> str:
    """What is wrong with a DDL file, empty if it makes exactly `table` and nothing else."""
    path = (folder / file).resolve()
    if not path.is_relative_to(folder.resolve()) or not path.is_file():
        return f"the DDL file {file} of {table} is not there"
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return f"{file} cannot be read as UTF-8 text"
    match = _CREATES.match(text)
    if match is None:
        return f"{file} does not begin with CREATE TABLE IF NOT EXISTS"
    if match.group(1).replace("`", "").lower() != table.lower():
        return f"{file} makes {match.group(1)}, not {table}"
    return f"{file} holds more than one statement" if ";" in text.strip().rstrip(";") else ""
