"""`python -m shared.delivery.build spec.yaml out/`: a bundle from a specification.

`out/` must be new, empty, or hold a bundle that was built before: a bundle's files that are no
longer made are removed, nothing else is touched. `DATABRICKS_HOST` and `DATABRICKS_HOST_PROD`,
where set, become the workspaces of dev and staging, and of prod.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from shared.delivery.builder.fields import host
from shared.delivery.builder.infer import infer
from shared.delivery.builder.reading import read
from shared.delivery.builder.render import render
from shared.delivery.builder.spec import Specification
from shared.errors import InputError

MANIFEST = ".bundle-files"
_HOSTS = {
    "dev": "DATABRICKS_HOST",
    "staging": "DATABRICKS_HOST",
    "prod": "DATABRICKS_HOST_PROD",
}
_LISTED = re.compile(r"^[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*$")


def main(arguments: Sequence[str] | None = None) -> int:
    """Build; returns the exit code: 0 built, 1 the specification or the folder is wrong."""
    parser = argparse.ArgumentParser(prog="python -m shared.delivery.build", description=__doc__)
    parser.add_argument("specification", type=Path, help="a YAML or JSON file")
    parser.add_argument("folder", type=Path, nargs="?", help="where the bundle goes")
    parser.add_argument("--explain", action="store_true", help="only say what is fact, what is not")
    given = parser.parse_args(arguments)
    if given.folder is None and not given.explain:
        parser.error("the folder is missing")
    try:
        spec = read(given.specification.read_bytes())
        sys.stdout.write(explanation(spec))
        if not given.explain:
            files = render(spec, _hosts(os.environ))
            write(files, given.folder)
            sys.stdout.write(f"{len(files)} files in {given.folder}\n")
    except (InputError, OSError) as error:
        sys.stderr.write(f"{given.specification}: {error}\n")
        return 1
    return 0


def explanation(spec: Specification) -> str:
    """What each table is in the star schema, and why."""
    lines = (
        f"{name}: {found.role}, {'' if found.declared else 'inferred: '}{found.because}\n"
        for name, found in infer(spec).items()
    )
    return "".join(lines)


def _hosts(environment: Mapping[str, str]) -> dict[str, str]:
    found = {target: environment[name] for target, name in _HOSTS.items() if environment.get(name)}
    return {target: host(address, _HOSTS[target]) for target, address in found.items()}


def write(files: Mapping[str, str], folder: Path) -> None:
    """Put the bundle into `folder`.

    Raises:
        InputError: the folder holds something that is no bundle of ours.
    """
    before = _listed(folder)
    for path in sorted(before - files.keys()):
        (folder / path).unlink(missing_ok=True)
    for path, text in files.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8", newline="\n")
    (folder / MANIFEST).write_text("".join(f"{path}\n" for path in files), "utf-8", newline="\n")


def _listed(folder: Path) -> set[str]:
    manifest = folder / MANIFEST
    if manifest.is_file():
        lines = manifest.read_text("utf-8").splitlines()
        return {line for line in lines if _LISTED.match(line) and ".." not in line.split("/")}
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(str(folder), "expected a new folder, an empty one, or one built before")
    return set()


if __name__ == "__main__":
    sys.exit(main())
