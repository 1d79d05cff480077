"""The page of a pipeline's readiness: what was found, why it matters, what helps."""

from __future__ import annotations

from html import escape
from typing import Any

_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Lakemend: readiness</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
  color: #1b1f24; background: #fff; }
h1 { font-size: 1.3rem; } table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .4rem .6rem; overflow-wrap: anywhere;
  border-bottom: 1px solid #d0d7de; }
.failed { color: #a40e26; font-weight: 600; } .passed { color: #116329; }
.skipped { color: #57606a; }
</style></head><body>
"""
_WORDS = {True: "passed", False: "failed", None: "skipped"}
_ORDER = {False: 0, True: 1, None: 2}
_SHOWN = {"passed": "passed", "failed": "failed", "skipped": "does not apply"}


def readiness(report: dict[str, Any]) -> str:
    """The report as it is in JSON, already redacted, as a page."""
    verdict = "fit for production" if report["ready"] else "not fit for production"
    title = escape(f"{report['name']} in {report['target']}: {verdict}")
    heads = "".join(f"<th>{name}</th>" for name in ("Check", "Result", "Found", "Why", "To do"))
    # What is to be done comes first, what does not apply last.
    ordered = sorted(report["checks"], key=lambda check: _ORDER[check["passed"]])
    rows = "".join(_row(check) for check in ordered)
    table = f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"
    return f"{_HEAD}<h1>{title}</h1><p>{_baseline(report)}</p>{table}</body></html>\n"


def _row(check: dict[str, Any]) -> str:
    word = _WORDS[check["passed"]]
    cells = [check["found"], check["reason"], check["remedy"]]
    rest = "".join(f"<td>{escape(str(cell))}</td>" for cell in cells)
    shown = f'<td class="{word}">{_SHOWN[word]}</td>'
    return f"<tr><td>{escape(str(check['name']))}</td>{shown}{rest}</tr>"


def _baseline(report: dict[str, Any]) -> str:
    kept = report["baseline"]
    if kept is None:
        return "Nothing was delivered or accepted yet: drift cannot be told."
    return escape(f"Compared with what was accepted at {kept['at']} ({kept['by']}).")
