"""The first figures, measured before anything was made faster: JSON files as the runs gave them."""

from __future__ import annotations

from pathlib import Path

from bench import report
from bench.model import Figure


def figures(name: str) -> dict[str, Figure]:
    """A benchmark's first figures by their names; empty where there are none."""
    path = Path(__file__).with_name(f"{name}.json")
    return {f.name: f for f in report.load(path).figures} if path.exists() else {}
