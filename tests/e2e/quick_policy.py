"""A policy for tests: everything may be done at once; a test narrows what it is about."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

Json = dict[str, Any]

OPEN: Json = {
    "mode": "production",
    "permits": {"production": {"low": "act", "medium": "act", "high": "act"}},
    "rerunnable": [{"match": {}, "rerunnable": True}],
    "blast_radius": {"actions_per_hour": 2000, "actions_per_hour_per_target": 500},
    "breaker": {"failures": 1000, "ineffective": 1000},
    "storm": {"failures": 1000},
    "approval": {"look": 2},
}


def write_policy(path: Path, **changes: Any) -> Path:
    """Write a policy that differs from the open one by `changes`, key by key."""
    content = {key: changes.pop(key, value) for key, value in OPEN.items()} | changes
    path.write_text(yaml.safe_dump(content), "utf-8")
    return path
