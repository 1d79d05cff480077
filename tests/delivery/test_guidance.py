"""What a person is told to do about a failed delivery."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.catalog import loader
from shared.delivery.guidance import AGAIN, for_check, for_error
from shared.remedies.registry import NAMES


@pytest.mark.parametrize(
    ("message", "category", "step"),
    [
        (
            "[TABLE_OR_VIEW_NOT_FOUND] The table or view `main`.`hr`.`pay` cannot be found.",
            "configuration",
            "whether main.hr.pay is there",
        ),
        ("[PARSE_SYNTAX_ERROR] Syntax error at or near ','", "configuration", "does not parse"),
        ("[DIVIDE_BY_ZERO] Division by zero.", "data quality", "nullif(b, 0)"),
        (
            "[FAILED_READ_FILE.NO_HINT] Error while reading file abfss://a@b/c/d.parquet.",
            "data quality",
            "Look at abfss://a@b/c/d.parquet:",
        ),
        ("[CAST_INVALID_INPUT] The value", "data quality", "cast: try"),
        ("NameError: name 'x' is not defined", "configuration", "line that is named"),
    ],
)
def test_a_failure_that_is_known_has_steps_of_its_own(
    message: str, category: str, step: str
) -> None:
    advice = for_error(message, "resource", ["Rerun from the failed activity."])
    assert advice.category == category
    assert any(step in each for each in advice.steps)
    assert advice.steps[-1] == AGAIN


def test_no_type_of_the_catalog_sends_a_pipelines_owner_to_data_factory() -> None:
    shipped = Path(loader.__file__).parent / "catalog.yaml"
    catalog = loader.load(shipped, NAMES)
    for name, spec in catalog.error_types.items():
        steps = " ".join(for_error("", "configuration", spec.guidance).steps)
        assert len(steps) > len(AGAIN), name
        for word in ("activity", "data-factory", "linked service", "Rerun"):
            assert word not in steps, name


def test_a_check_that_is_not_known_has_steps_too() -> None:
    assert len(for_check("something new")) > 1
