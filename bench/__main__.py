"""`python -m bench [name ...]`: run benchmarks, print their tables, keep their figures."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

from bench import machine, report
from bench.model import Benchmark, Options, Result

NAMES = (
    "cold_start",
    "classifier",
    "intake",
    "storm",
    "healing",
    "ledger",
    "outcome",
    "medallion",
)
OUT = machine.ROOT / ".run" / "bench"


def main(arguments: list[str] | None = None) -> int:
    """Run what is named; 1 if a target of the standard form is not reached."""
    given = _parse(arguments)
    if given.write and not given.names:
        _write(given.write, given.out)
        return 0
    results = [measure(name, given) for name in given.names or NAMES]
    if given.write:
        _write(given.write, given.out)
    missed = [f"{r.name}: {f.name}" for r in results for f in r.figures if f.reached is False]
    for each in missed:
        sys.stdout.write(f"not reached: {each}\n")
    return 1 if missed and given.strict else 0


def measure(name: str, given: argparse.Namespace) -> Result:
    """Run one benchmark; print and keep its result."""
    run: Benchmark = import_module(f"bench.{name}").run
    described, started_at = machine.describe(), datetime.now(UTC).isoformat(timespec="seconds")
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix=f"bench-{name}-") as directory:
        measured = run(Options(Path(directory), given.short, given.size))
    result = Result(
        name=name,
        form="short" if given.short else "standard",
        started_at=started_at,
        seconds=round(time.perf_counter() - start, 1),
        machine=described,
        figures=measured.figures,
        notes=measured.notes,
    )
    report.save(result, given.out)
    sys.stdout.write(f"{report.table(result)}\n")
    sys.stdout.flush()
    return result


def _write(document: Path, directory: Path) -> None:
    paths = [directory / f"{name}.json" for name in NAMES]
    report.write(document, [report.load(path) for path in paths if path.exists()])
    sys.stdout.write(f"{document} written from {directory}\n")


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*NAMES, []], metavar="name", help=str(NAMES))
    parser.add_argument("--short", action="store_true", help="a smoke test of a few seconds")
    parser.add_argument("--size", type=int, help="incidents, alerts or failures, where it applies")
    parser.add_argument("--out", type=Path, default=OUT, help="where the JSON files go")
    parser.add_argument("--write", type=Path, help="put the figures into this document")
    parser.add_argument("--strict", action="store_true", help="exit 1 where a target is missed")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
