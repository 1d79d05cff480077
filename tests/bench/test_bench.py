"""The benchmarks run, in their short form; what their figures say is not judged here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench import report
from bench.__main__ import NAMES, main
from bench.load import percentile
from bench.machine import describe
from bench.model import Aim, Figure, Result, Target

# Those that start a stack of their own take longer than all others together.
QUICK = ("cold_start", "classifier", "ledger", "outcome", "medallion")


@pytest.mark.parametrize("name", QUICK)
def test_a_benchmark_gives_figures_with_their_references(name: str, tmp_path: Path) -> None:
    main([name, "--short", "--out", str(tmp_path)])
    found = json.loads((tmp_path / f"{name}.json").read_text("utf-8"))
    assert found["form"] == "short"
    assert found["machine"]["azurite"] != "none"
    assert all(figure["value"] >= 0 for figure in found["figures"])
    judged = [figure for figure in found["figures"] if figure["target"]]
    assert judged
    assert all(figure["reached"] in {True, False} for figure in judged)


@pytest.mark.parametrize("name", ["intake"])
def test_a_benchmark_on_the_stack_runs(name: str, tmp_path: Path) -> None:
    main([name, "--short", "--out", str(tmp_path)])
    found = report.load(tmp_path / f"{name}.json")
    refused = next(f for f in found.figures if f.name == "not answered 202")
    assert refused.value == 0


def test_every_module_is_listed() -> None:
    folder = Path(report.__file__).parent
    own = {
        path.stem for path in folder.glob("*.py") if "def run(options: Options)" in path.read_text()
    }
    assert own == set(NAMES)


@pytest.mark.parametrize(
    ("value", "reference", "target", "reached"),
    [
        (2.0, 1.0, Target(Aim.RATIO_AT_MOST, 2.0), True),
        (2.1, 1.0, Target(Aim.RATIO_AT_MOST, 2.0), False),
        (2.0, 1.0, Target(Aim.RATIO_AT_LEAST, 2.0), True),
        (1.0, None, Target(Aim.RATIO_AT_LEAST, 0.1), False),
        (0.0, None, Target(Aim.AT_MOST, 0), True),
        (1.0, None, Target(Aim.AT_LEAST, 2), False),
        (1.0, 1.0, None, None),
    ],
)
def test_a_target_is_reached_or_not(
    value: float, reference: float | None, target: Target | None, *, reached: bool | None
) -> None:
    assert Figure("f", value, "ms", reference, "r", target).reached is reached


def test_the_document_holds_what_was_measured(tmp_path: Path) -> None:
    figure = Figure("rows", 1234.0, "1/s", 617.0, "raw", Target(Aim.RATIO_AT_LEAST, 1.0))
    result = Result("intake", "standard", "2026-01-01T00:00:00", 3.0, describe(), [figure], ["why"])
    document = tmp_path / "performance.md"
    document.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n", "utf-8")
    report.write(document, [report.load(report.save(result, tmp_path))])
    text = document.read_text("utf-8")
    assert "| rows | 1,234 1/s | 617 1/s (raw) | 2.00 | ratio ≥ 1 | yes |" in text
    assert "- why" in text
    assert "old" not in text
    assert text.startswith("before\n")
    assert text.endswith("after\n")


def test_a_document_without_a_place_for_figures_is_refused(tmp_path: Path) -> None:
    document = tmp_path / "other.md"
    document.write_text("nothing here", "utf-8")
    with pytest.raises(ValueError, match="expected the lines"):
        report.write(document, [])


def test_percentiles() -> None:
    assert percentile([3.0, 1.0, 2.0], 50) == 2.0
    assert percentile([float(n) for n in range(100)], 99) == 99.0
