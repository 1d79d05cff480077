"""What is written about the policy is what the program does."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from shared.policy import document
from shared.policy.loader import load, ready
from shared.policy.meanings import MEANINGS
from shared.policy.model import Policy
from shared.vocabulary import Mode, Reason

DOCS = Path("docs")
PAGE = (DOCS / "policy.md").read_text("utf-8")
BLOCKS = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
SCHEMA = json.loads((DOCS / "policy.schema.json").read_text("utf-8"))


def test_the_page_and_the_schema_are_current() -> None:
    assert document.main(["--check", str(DOCS)]) == 0


def test_a_stale_page_is_noticed_and_mended(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "policy.md").write_text(PAGE.replace("| `4h` |", "| `5h` |", 1), "utf-8")
    shutil.copy(DOCS / "policy.schema.json", tmp_path)
    assert document.main(["--check", str(tmp_path)]) == 1
    assert "policy.md is not current" in capsys.readouterr().err
    assert document.main([str(tmp_path)]) == 0
    assert (tmp_path / "policy.md").read_text("utf-8") == PAGE


def test_every_setting_has_its_words_and_no_word_is_left_over() -> None:
    paths = [setting.path for setting in document.settings()]
    assert sorted(paths) == sorted(MEANINGS)
    for meaning, because in MEANINGS.values():
        assert meaning.endswith(".")
        assert because.endswith(".")


def at(path: str) -> Any:
    """The default at `path`, read off the policy that nothing was said about."""
    value: Any = Policy()
    for name in path.split("."):
        value = getattr(value, name)
    return value


@pytest.mark.parametrize(
    ("path", "default"),
    [
        ("mode", "`observe`"),
        ("permits.pilot.low", "`ask`"),
        ("permits.production.low", "`act`"),
        ("attempts.overall", "`5`"),
        ("breaker.ineffective_window", "`4h`"),
        ("cost.usd_per_day", "`null`"),
        ("cost.prices.dbu_price", "`0.55`"),
        ("storm.probes", "`5m`, `10m`, `20m`, `40m`"),
        ("scope.include", "none"),
    ],
)
def test_defaults_are_written_as_a_reader_would(path: str, default: str) -> None:
    setting = next(s for s in document.settings() if s.path == path)
    assert setting.default == default
    assert f"| `{path}` |" in PAGE


def test_the_defaults_of_parts_are_those_of_the_whole() -> None:
    """The table shows each part's own defaults; the whole must not have others."""
    for path in ("scope", "permits", "attempts", "blast_radius", "breaker", "cost", "cost.prices"):
        assert at(path) == type(at(path))()
    for path in ("permits.pilot", "permits.production", "approval", "storm"):
        assert at(path) == type(at(path))()


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_every_example_loads(tmp_path: Path, block: str) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(block, "utf-8")
    assert load(path, ()) != Policy() or block == ready(Mode.OBSERVE).read_text("utf-8")


@pytest.mark.parametrize("mode", list(Mode))
def test_the_page_shows_the_phases_as_they_come(mode: Mode) -> None:
    assert ready(mode).read_text("utf-8") in BLOCKS


def test_the_reasons_of_the_order_exist() -> None:
    rows = re.findall(r"^\| \d+ \|.*\|(.*)\|$", PAGE, re.MULTILINE)
    named = {word for row in rows for word in re.findall(r"`(\w+)`", row)}
    # Those that come after a decision, not from its checks.
    later = {"waited_too_long", "change_in_doubt"}
    assert named == set(Reason) - later


def test_the_schema_takes_spans_and_ids_as_the_loader_does() -> None:
    defined = SCHEMA["$defs"]
    assert defined["Policy"]["properties"]["grace"]["type"] == ["number", "string"]
    probes = defined["StormTerms"]["properties"]["probes"]
    assert probes["items"]["type"] == ["number", "string"]
    jobs = defined["Selector"]["properties"]["jobs"]
    assert (jobs["minItems"], jobs["items"]) == (1, {"type": ["string", "integer"]})
    assert defined["PilotPermits"]["properties"]["low"]["enum"] == ["ask", "observe"]
    assert all(d.get("additionalProperties") is not True for d in defined.values())


def test_every_field_of_the_schema_is_described() -> None:
    for setting in document.settings():
        field = SCHEMA["$defs"][setting.owner]["properties"][setting.field]
        assert field["description"] == MEANINGS[setting.path][0]
