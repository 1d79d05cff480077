"""The catalog: the retry table as it was promised, and mistakes refused with their line."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from shared.catalog import loader
from shared.clock import SystemClock
from shared.errors import ConfigurationError
from shared.remedies.registry import NAMES, Phases

SHIPPED = Path(loader.__file__).parent / "catalog.yaml"


@pytest.fixture(scope="module")
def catalog() -> loader.Catalog:
    return loader.load(SHIPPED, NAMES)


@pytest.mark.parametrize(
    ("error_type", "tries", "backoff"),
    [
        ("GatewayTimeout", 3, (10, 30, 60)),
        ("HttpConnectionFailed", 3, (5, 15, 30)),
        ("ThrottlingError", 5, (30, 60, 120, 300, 600)),
        ("InternalServerError", 2, (30, 60)),
        ("DatabricksClusterStartFailure", 2, (60, 120)),
        ("DatabricksTimeoutError", 2, (30, 60)),
        ("DatabricksDriverNotResponding", 1, (60,)),
    ],
)
def test_the_retry_table(
    catalog: loader.Catalog, error_type: str, tries: int, backoff: tuple[int, ...]
) -> None:
    remedy = catalog.spec(error_type).remedies[0]
    assert (remedy.attempts, remedy.backoff) == (tries, backoff)
    assert remedy.honor_retry_after is (error_type == "ThrottlingError")


def test_what_is_never_automated_has_no_remedy(catalog: loader.Catalog) -> None:
    for name in loader.NEVER_AUTOMATED:
        assert catalog.spec(name).remedies == ()


def changed(tmp_path: Path, old: str, new: str) -> Path:
    text = SHIPPED.read_text("utf-8")
    assert old in text
    path = tmp_path / "catalog.yaml"
    path.write_text(text.replace(old, new, 1), "utf-8")
    return path


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("{remedy: rerun, attempts: 3", "{remedy: pray, attempts: 3", "no such remedy 'pray'"),
        ("attempts: 3, backoff: [10", "attempts: 0, backoff: [10", "expected 1 or more"),
        ("attempts: 3, backoff: [10", "attempts: x, backoff: [10", "Expected `int`, got `str`"),
        ("backoff: [10, 30, 60]", "backoff: []", "at least one time"),
        ("    risk: low", "    risk: none at all", "expected low, medium or high"),
        ("  verify_growth: 1.5", "  verify_grow: 1.5", "verify_grow"),
        ("error_types:\n", "error_types: [\n", "not YAML"),
        ("  GatewayTimeout:\n", "  HttpConnectionFailed:\n", "stands there twice"),
        ("    category: network", "    category: nettwork", "expected one of"),
        ("backoff: [10, 30, 60]", "backoff: [.nan]", "from 0 s to a day"),
        ("  verify_first: 10 ", "  verify_first: -1 ", "expected 0.01 or more"),
    ],
)
def test_a_mistake_is_refused_with_file_line_and_reason(
    tmp_path: Path, old: str, new: str, complaint: str
) -> None:
    path = changed(tmp_path, old, new)
    with pytest.raises(ConfigurationError) as caught:
        loader.load(path, NAMES)
    assert complaint in str(caught.value)
    assert "catalog.yaml" in str(caught.value)


@pytest.mark.parametrize("mistake", ["remedy: pray, attempts: 3", "remedy: rerun, attempts: w"])
def test_the_line_is_the_line_of_the_mistake(tmp_path: Path, mistake: str) -> None:
    path = changed(tmp_path, "remedy: rerun, attempts: 3", mistake)
    line = 1 + path.read_text("utf-8")[: path.read_text("utf-8").index(mistake)].count("\n")
    with pytest.raises(ConfigurationError, match=f"line {line}:"):
        loader.load(path, NAMES)


@pytest.mark.parametrize("name", sorted(loader.NEVER_AUTOMATED))
def test_no_data_can_automate_what_is_never_automated(tmp_path: Path, name: str) -> None:
    data = yaml.safe_load(SHIPPED.read_text("utf-8"))
    data["error_types"][name]["remedies"] = [{"remedy": "rerun", "attempts": 1, "backoff": [1]}]
    path = tmp_path / "catalog.yaml"
    path.write_text(yaml.safe_dump(data), "utf-8")
    with pytest.raises(ConfigurationError, match="never automated"):
        loader.load(path, NAMES)


def test_an_unknown_phase_is_a_bug() -> None:
    with pytest.raises(KeyError):
        Phases(SystemClock())["dance"]
