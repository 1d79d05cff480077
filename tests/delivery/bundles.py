"""Bundles on disk."""

from __future__ import annotations

from pathlib import Path

from shared.delivery.build import write
from shared.delivery.builder.reading import read
from shared.delivery.builder.render import render


def build(text: str, folder: Path) -> Path:
    """The bundle of a specification, in `folder`."""
    write(render(read(text)), folder)
    return folder
