"""The specification's JSON schema, and `python -m shared.delivery.builder.schema <file>`."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from shared.delivery.builder.spec import Specification


def schema() -> str:
    """The JSON schema, as text."""
    body = msgspec.json.schema(Specification)
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Medallion specification of Lakemend",
    }
    text = msgspec.json.encode(head | body, order="deterministic")
    return msgspec.json.format(text, indent=2).decode() + "\n"


def main(arguments: list[str]) -> int:
    """Write the file, or with --check say whether it is current; returns the exit code."""
    path = Path(next(a for a in arguments if not a.startswith("--")))
    if "--check" not in arguments:
        path.write_text(schema(), "utf-8")
        return 0
    if path.exists() and path.read_text("utf-8") == schema():
        return 0
    sys.stderr.write(f"{path.name} is not current: run make catalog\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
