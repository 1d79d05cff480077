"""Classifies errors from standard input: `python -m shared.diagnosis < errors.jsonl`.

Each line of input is a JSON object with `source_system`, `code` and `message`, and optionally
`failure_type` (the failureType or termination type): texts, of which the code may also be a whole
number; null or missing is the empty text. Each line gives one line of output with `error_type`,
`category`, `transient`, `action`, `confidence` and `rule`. A line that is no such object, or longer
than 1 MiB, gives `{"error": ...}` in its place, which names line and field.

Exit codes: 0 all lines were read, 1 some line was not, 2 the catalog or the matcher is at fault.
"""

from __future__ import annotations

import codecs
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec

from shared.catalog import loader
from shared.catalog.loader import ACTIONS, Catalog
from shared.diagnosis.classifier import ACT_CONFIDENCE, Classifier
from shared.errors import ConfigurationError
from shared.models import Diagnosis, EvidenceLine

ESCALATE = "escalate"
NOTHING = "none"
MAX_LINE = 1 << 20  # bytes; the matcher looks at some thousand characters of a message only
_MAX_REASON = 500

_CATALOG = Path(__file__).parent.parent / "catalog" / "catalog.yaml"


class _Asked(msgspec.Struct, frozen=True):
    source_system: str | None = None
    code: str | int | None = None
    message: str | None = None
    failure_type: str | None = None

    def line(self) -> EvidenceLine:
        code = "" if self.code is None else str(self.code)
        kind = self.failure_type or ""
        return EvidenceLine(self.source_system or "", code, self.message or "", kind)


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
    for number, raw in enumerate(lines, 1):
        line = raw.removeprefix(codecs.BOM_UTF8).strip()
        if not line:
            continue
        if len(raw) > MAX_LINE:
            yield _Refused(f"line {number}: longer than {MAX_LINE} bytes")
            continue
        try:
            evidence = decoder.decode(line).line()
        except (ValueError, RecursionError) as error:  # msgspec's errors are ValueErrors
            yield _refusal(number, error)
            continue
        found = classifier.classify([evidence])
        yield _Answer(
            error_type=found.error_type,
            category=found.category,
            transient=found.transient,
            action=action_of(catalog, found),
            confidence=found.confidence,
            rule=found.rule,
        )


def _refusal(number: int, error: Exception) -> _Refused:
    reason, _, path = str(error).partition(" - at `$")
    field = path.rstrip("`").lstrip(".")
    if field:
        expected = "a text, a whole number or null" if field == "code" else "a text or null"
        reason = f"{field}: expected {expected}, {reason.partition(', ')[2]}"
    return _Refused(f"line {number}: {reason[:_MAX_REASON]}")


def bounded(stream: BinaryIO) -> Iterator[bytes]:
    """The lines of `stream`; of one longer than `MAX_LINE` its beginning, still too long."""
    while line := stream.readline(MAX_LINE + 1):
        yield line
        while len(line) > MAX_LINE and not line.endswith(b"\n"):
            line = stream.readline(MAX_LINE + 1)


def main() -> int:
    """Reads standard input, writes standard output, tells of bad lines on standard error."""
    try:
        return _main()
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _main() -> int:
    refused = False
    try:
        for answer in answers(bounded(sys.stdin.buffer)):
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
