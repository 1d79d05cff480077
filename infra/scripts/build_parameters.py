"""Puts infra/env/*.bicepparam together into infra/main.bicepparam, the one file that azd reads.

    python -m infra.scripts.build_parameters

azd compiles that file before any hook runs and again right before it deploys, with the variables of
the chosen environment, so it must be there in a fresh clone and must not belong to one environment.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

INFRA = Path(__file__).resolve().parents[1]
ENVIRONMENTS = ("dev", "staging", "prod")
_PARAMETER = re.compile(r"^param (\w+) = (.*(?:\n(?: .*|[}\]]))*)$", re.MULTILINE)
_HEAD = """\
// What azd reads. infra/scripts/build_parameters.py makes it of env/*.bicepparam: change those, and
// make it again. An environment that is not in the table below does not compile.

using 'main.bicep'
"""


def build(infra: Path) -> str:
    """The text of main.bicepparam: what all environments share, and a table of what they do not.

    Raises:
        ValueError: the environments do not give the same parameters.
    """
    given = {name: _parameters(infra / "env" / f"{name}.bicepparam") for name in ENVIRONMENTS}
    first, *others = given.values()
    for name, parameters in zip(ENVIRONMENTS[1:], others, strict=True):
        if parameters.keys() != first.keys():
            odd = ", ".join(sorted(parameters.keys() ^ first.keys()))
            raise ValueError(f"env/{name}.bicepparam: expected what dev gives; not so: {odd}")
    own = [key for key in first if any(other[key] != first[key] for other in others)]
    lines = [_HEAD, "var environments = {"]
    for name, parameters in given.items():
        lines += [f"  {name}: {{", *(_entry(key, parameters[key]) for key in own), "  }"]
    lines += ["}", "var chosen = environments[readEnvironmentVariable('AZURE_ENV_NAME')]", ""]
    lines += [
        f"param {key} = {f'chosen.{key}' if key in own else value}" for key, value in first.items()
    ]
    return "\n".join(lines) + "\n"


def _parameters(path: Path) -> dict[str, str]:
    found: list[tuple[str, str]] = _PARAMETER.findall(path.read_text("utf-8"))
    return dict(found)


def _entry(key: str, value: str) -> str:
    return f"    {key}: " + value.replace("\n", "\n    ")


if __name__ == "__main__":
    (INFRA / "main.bicepparam").write_text(build(INFRA), "utf-8")
    sys.stdout.write("wrote infra/main.bicepparam\n")
