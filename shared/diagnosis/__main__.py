"""Classifies errors from standard input: `python -m shared.diagnosis < errors.jsonl`.

Each line of input is a JSON object with `source_system`, `code` and `message`, and optionally
`failure_type` (the failureType or termination type); all may be empty. Each gives one line of
output with `error_type`, `category`, `transient`, `action`, `confidence` and `rule`. A line that is
no such object gives `{"error": ...}` in its place.

Exit codes: 0 all lines were read, 1 some line was not, 2 the catalog or the matcher is at fault.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from shared.catalog import loader
from shared.catalog.loader import ACTIONS, Catalog
from shared.diagnosis.classifier import ACT_CONFIDENCE, Classifier
from shared.errors import ConfigurationError
from shared.models import Diagnosis, EvidenceLine

ESCALATE = "escalate"
NOTHING = "none"

_CATALOG = Path(__file__).parent.parent / "catalog" / "catalog.yaml"


class _Asked(msgspec.Struct, frozen=True):
    source_system: str | None = None
    code: str | int | None = None
    message: str | None = None
    failure_type: str | None = None

    def line(self) -> EvidenceLine:
        code = "" if self.code is None else str(self.code)
        system = self.source_system or ""
        return EvidenceLine(system, code, self.message or "", self.failure_type or "")


class _Answer(msgspec.Struct, frozen=True):
    error_type: str
    category: str
    transient: bool | None
    action: str
    confidence: float
    rule: str


class _Refused(msgspec.Struct, frozen=True):
    error: str


def action_of(catalog: Catalog, diagnosis: Diagnosis) -> str:
    """The first step that fits the diagnosis, in the field's words."""
    rule = next((rule for rule in catalog.rules if rule.id == diagnosis.rule), None)
    if rule is not None and rule.planned:
        return NOTHING
    fitting = catalog.remedies(
        diagnosis.error_type, diagnosis.prefer, hands_off=diagnosis.hands_off
    )
    if not fitting or diagnosis.confidence < ACT_CONFIDENCE:
        return ESCALATE
    return ACTIONS[fitting[0].remedy]


def answers(lines: Iterable[bytes]) -> Iterator[_Answer | _Refused]:
    """One answer for each line that is not blank.

    Raises:
        ConfigurationError: the catalog is wrong, or the matcher ran out of memory.
    """
    path = Path(os.environ.get("CATALOG_PATH") or _CATALOG)
    catalog = loader.load(path, frozenset(ACTIONS))
    classifier = Classifier(catalog)
    decoder = msgspec.json.Decoder(_Asked)
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            asked = decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            yield _Refused(f"line {number}: {error}")
            continue
        found = classifier.classify([asked.line()])
        yield _Answer(
            error_type=found.error_type,
            category=found.category,
            transient=found.transient,
            action=action_of(catalog, found),
            confidence=found.confidence,
            rule=found.rule,
        )


def main() -> int:
    """Reads standard input, writes standard output, tells of bad lines on standard error."""
    refused = False
    try:
        for answer in answers(sys.stdin.buffer):
            sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")
            sys.stdout.buffer.flush()
            if isinstance(answer, _Refused):
                refused = True
                sys.stderr.write(f"{answer.error}\n")
    except ConfigurationError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main())
