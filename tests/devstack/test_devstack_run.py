import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from devstack.client import answers

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.e2e


def command(folder: Path, *arguments: str) -> list[str]:
    ports = ("azurite-blob", "azurite-queue", "azurite-table", "sandbox", "lakemend")
    anywhere = [f"--{name}-port=0" for name in ports]
    return [sys.executable, "-m", "devstack", "--directory", str(folder), *anywhere, *arguments]


def processes(folder: Path) -> dict[str, int]:
    paths = Path("/proc").glob("[0-9]*/cmdline")
    lines = {read(path): int(path.parent.name) for path in paths}
    return {line: pid for line, pid in lines.items() if f" {folder}" in line}


def read(path: Path) -> str:
    try:
        return path.read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def test_the_demonstration_heals(tmp_path: Path) -> None:
    environment = os.environ | {"TIME_SCALE": "20"}
    ended = subprocess.run(  # noqa: S603 - our own command
        command(tmp_path, "--once"),
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "POST /azure-monitor -> 202" in ended.stdout
    assert re.search(r"\d\d:\d\d:\d\d +\+\d+\.\d s +Auto-Remediation Attempted", ended.stdout)
    summary = (
        r"healed after [\d.]+ s, 1 rerun seen by the sandbox, audit chain of \d+ entries whole"
    )
    assert re.search(summary, ended.stdout)
    assert ended.stdout.endswith("\nstopped\n")
    assert ended.stderr == ""
    assert processes(tmp_path) == {}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_stays_up_until_told_to_stop(tmp_path: Path, number: signal.Signals) -> None:
    with subprocess.Popen(  # noqa: S603 - our own command
        command(tmp_path, "--no-demo"), cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout
        lines = iter(running.stdout.readline, "")
        address = next(line.split()[1] for line in lines if line.startswith("Lakemend "))
        next(line for line in lines if line.startswith("Ctrl-C"))
        assert answers(f"{address}/admin/host/status")
        assert processes(tmp_path)
        running.send_signal(number)
        assert list(lines)[-1] == "stopped\n"
    assert running.returncode == 0
    assert processes(tmp_path) == {}


def test_a_service_that_dies_is_told(tmp_path: Path) -> None:
    with subprocess.Popen(  # noqa: S603 - our own command
        command(tmp_path, "--no-demo"), cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout
        lines = iter(running.stdout.readline, "")
        next(line for line in lines if line.startswith("Ctrl-C"))
        (devhost,) = (pid for line, pid in processes(tmp_path).items() if "-m devhost" in line)
        os.kill(devhost, signal.SIGKILL)
        assert any("devhost ended with exit code -9" in line for line in lines)
    assert running.returncode == 1
    assert processes(tmp_path) == {}
