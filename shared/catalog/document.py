"""Writes the whole matrix for a reader: `python -m shared.catalog.document docs/catalog.md`.

With `--check` nothing is written; the exit code is 1 if the file is not current.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from shared.catalog.loader import NEVER_AUTOMATED, Catalog, ErrorSpec, RemedySpec, Rule, load
from shared.remedies.registry import NAMES
from shared.vocabulary import PLAYBOOKS

_SHIPPED = Path(__file__).parent / "catalog.yaml"
_MOST_CODES = 40  # listed per rule; the file has them all

_HEAD = """# Catalog

What Lakemend recognises, what it does about it, and what a person should do when it does not.
Generated from `shared/catalog/catalog.yaml` and `rules.yaml` by `make catalog`; do not edit.

Remedies are tried in order; tries are counted per incident and error type, and the seconds are
waited before each try. "Never automated" is in code and cannot be lifted by editing the catalog.
"""

REMEDIES = {
    "rerun": "rerun what failed from where it failed (ADF recovery run, trigger run of a tumbling "
    "window, repair of a job run, new update)",
    "restart_cluster": "start or restart the shared cluster, then rerun; job clusters and "
    "serverless get fresh compute with the rerun",
    "scale_up": "workers times 1.5 up to the ceiling, then rerun; given back",
    "change_node_type": "the next node type of the list that the workspace offers and whose family "
    "has cores left, then rerun; given back",
    "library_fallback": "another version that installs and that was asked for (a range), or an "
    "older one (a pin; another major version only if the catalog lists it), then rerun; a job's "
    "settings are restored",
    "wait_for_upstream": "wait until the missing file is there or, where nobody can look for it, "
    "the upstream's last run since our own last good run succeeded, then rerun",
    "increase_timeout": "the time-outs of the failed tasks and of the job, where set, times 1.5 up "
    "to the ceiling, then rerun; given back",
    "reduce_batch": "halve the batch parameter that the catalog names, down to its floor, for this "
    "run only",
    "refresh_credential": "another token in place of our own expired one, once",
    "create_table": "make a table for which the catalog names a DDL file, then rerun",
    "full_refresh": "reset the checkpoint of named tables, the second time compute them anew, "
    "then rerun",
    "playbook": "call the team's Logic App in place of the remedies",
}


def document(catalog: Catalog) -> str:
    """The matrix as Markdown. The same catalog gives the same text."""
    parts = [_HEAD, *_overview(catalog), "\n## Remedies\n", *_remedies(), *_playbooks()]
    for name, spec in catalog.error_types.items():
        rules = [rule for rule in catalog.rules if rule.error_type == name]
        parts += _type(name, spec, rules)
    return "\n".join(parts).rstrip() + "\n"


def _overview(catalog: Catalog) -> Iterator[str]:
    yield "## Overview\n"
    yield "| error type | what it is | category | transient | risk | remedies |"
    yield "|---|---|---|---|---|---|"
    for name, spec in catalog.error_types.items():
        remedies = " · ".join(_short(r) for r in spec.remedies) or _none(name)
        cells = (_link(name), spec.title, spec.category, _yes(spec.transient), spec.risk, remedies)
        yield f"| {' | '.join(cells)} |"


def _link(name: str) -> str:
    return f"[{name}](#{name.lower()})"


def _none(name: str) -> str:
    return "never automated" if name in NEVER_AUTOMATED else "a person"


def _yes(transient: bool | None) -> str:  # noqa: FBT001 - a cell of the table
    return {True: "yes", False: "no", None: "unclear"}[transient]


def _short(remedy: RemedySpec) -> str:
    return f"`{remedy.remedy}` {remedy.attempts} times"


def _remedies() -> Iterator[str]:
    yield "| remedy | what it does |"
    yield "|---|---|"
    for name in sorted(NAMES):
        yield f"| `{name}` | {REMEDIES[name]} |"


def _playbooks() -> Iterator[str]:
    yield "\nA playbook whose setting holds a URL takes the place of the remedies of every error"
    yield "type that names it:\n"
    for name, data_factory in PLAYBOOKS.items():
        yield f"- `{name}` ({'Data Factory' if data_factory else 'Databricks'})"


def _type(name: str, spec: ErrorSpec, rules: list[Rule]) -> Iterator[str]:
    yield f"\n## {name}\n"
    facts = f"{spec.title}. Category {spec.category}, risk {spec.risk}, transient: "
    yield f"{facts}{_yes(spec.transient)}.\n"
    yield from _tries(name, spec)
    yield "\nWhen it goes to a person:\n"
    yield from (f"{number}. {step}" for number, step in enumerate(spec.guidance, start=1))
    if rules:
        yield "\nRecognised by:\n"
    for rule in rules:
        yield from _rule(rule)


def _tries(name: str, spec: ErrorSpec) -> Iterator[str]:
    if not spec.remedies:
        yield "Never automated." if name in NEVER_AUTOMATED else "No remedy: goes to a person."
    for remedy in spec.remedies:
        waits = "/".join(f"{seconds:g}" for seconds in remedy.backoff)
        told = ", or the platform's own Retry-After" if remedy.honor_retry_after else ""
        tries = "try" if remedy.attempts == 1 else "tries"
        only = "; only where the rule names it" if remedy.only_if_preferred else ""
        yield f"- `{remedy.remedy}`: {remedy.attempts} {tries}, after {waits} s{told}{only}"
    if spec.playbooks:
        yield f"- playbooks: {', '.join(f'`{p}`' for p in spec.playbooks)}"


def _rule(rule: Rule) -> Iterator[str]:
    notes = [note for note, on in _notes(rule) if on]
    suffix = f" ({', '.join(notes)})" if notes else ""
    yield f"- `{rule.id}`: {rule.because}{suffix}"
    if rule.codes:
        shown = ", ".join(f"`{code}`" for code in rule.codes[:_MOST_CODES])
        more = len(rule.codes) - _MOST_CODES
        yield f"  - codes: {shown}" + (f" and {more} more" if more > 0 else "")
    if rule.patterns:
        words = "pattern" if len(rule.patterns) == 1 else "patterns"
        yield f"  - {len(rule.patterns)} {words} in the text"


def _notes(rule: Rule) -> tuple[tuple[str, bool], ...]:
    return (
        (f"first `{rule.prefer}`", bool(rule.prefer)),
        ("always for a person", rule.hands_off),
        ("too weak to act on", rule.weak),
        ("only where nothing inside is known", rule.wrapper),
        ("before everything else", rule.overrules),
        ("before any repair", rule.vetoes),
        ("acted on only if nothing unknown stands beside it", rule.ambiguous),
        ("only holds back repairs", rule.doubt or rule.forbids),
        ("only reassures", rule.reassures),
    )


def main(arguments: list[str]) -> int:
    """Write or check the file; returns the exit code."""
    check = "--check" in arguments
    path = Path(next(a for a in arguments if not a.startswith("--")))
    text = document(load(_SHIPPED, NAMES))
    if check:
        current = path.exists() and path.read_text("utf-8") == text
        if not current:
            sys.stderr.write(f"{path.name} is not current: run make catalog\n")
        return 0 if current else 1
    path.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
