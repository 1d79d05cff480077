"""The shipped catalog and its classifier, read once for all tests that use them."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.catalog import loader
from shared.catalog.loader import ACTIONS, Catalog
from shared.diagnosis.classifier import Classifier

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    return loader.load(ROOT / "shared" / "catalog" / "catalog.yaml", frozenset(ACTIONS))


@pytest.fixture(scope="session")
def classifier(catalog: Catalog) -> Classifier:
    return Classifier(catalog)
