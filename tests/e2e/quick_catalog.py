"""The shipped catalog with short times, so that the same tests run on any host in real time.

`python -m tests.e2e.quick_catalog PATH` writes it.
"""

from __future__ import annotations

import sys
from pathlib import Path

import yaml

_SHIPPED = Path(__file__).parents[2] / "shared" / "catalog" / "catalog.yaml"
_TIMES = {
    "verify_first": 0.2,
    "verify_ceiling": 1.0,
    "doubt_interval": 0.4,
    "wait_interval": 0.5,
    "hold_interval": 0.5,
    "expand_retry": 0.4,
    "dispatch_after": 0.5,
    "orphan_after": 5.0,
    "look_again_after": 3.0,
    "ready_timeout": 120.0,
}
FASTER = 20  # backoffs are divided by this


def write_quick_catalog(path: Path) -> Path:
    catalog = yaml.safe_load(_SHIPPED.read_text("utf-8"))
    catalog["timings"] |= _TIMES
    for spec in catalog["error_types"].values():
        for remedy in spec["remedies"]:
            remedy["backoff"] = [seconds / FASTER for seconds in remedy["backoff"]]
    path.write_text(yaml.safe_dump(catalog), "utf-8")
    return path


if __name__ == "__main__":
    print(write_quick_catalog(Path(sys.argv[1])))  # noqa: T201 - tells where it is
