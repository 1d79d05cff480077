"""Which tables are facts and which are dimensions: declared, or inferred from the keys, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from shared.delivery.builder.spec import Specification, Table

GoldRole = Literal["fact", "dimension", "none"]


@dataclass(frozen=True)
class Inference:
    """A table's part in the star schema.

    Attributes:
        role: fact, dimension, or none where it ends in silver.
        declared: whether the specification says so itself.
        because: the reason, for people.
    """

    role: GoldRole
    declared: bool
    because: str


def infer(spec: Specification) -> dict[str, Inference]:
    """The part of every table, by its name, in the specification's order."""
    referring: dict[str, list[str]] = {table.name: [] for table in spec.tables}
    for table in spec.tables:
        for key in table.foreign_keys:
            if key.references != table.name:
                referring[key.references].append(table.name)
    return {table.name: _role(table, referring) for table in spec.tables}


def _role(table: Table, referring: Mapping[str, list[str]]) -> Inference:
    if table.role != "auto":
        return Inference(table.role, declared=True, because="declared in the specification")
    referred = bool(referring[table.name])
    points = any(key.references != table.name for key in table.foreign_keys)
    if table.measures:
        return _inferred("fact", "has measures")
    if not table.key:
        return _inferred("fact", "has no key, so nothing can point at it")
    if referred:
        return _inferred("dimension", "others point at its key, and it has no measures")
    if points:
        return _inferred("fact", "points at others, and nothing points at it")
    return _inferred("dimension", "has a key and points at nothing")


def _inferred(role: GoldRole, because: str) -> Inference:
    return Inference(role, declared=False, because=because)
