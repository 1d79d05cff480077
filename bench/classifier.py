"""The classifier on the corpus of errors, beside a loop over the same patterns with `re`."""

from __future__ import annotations

import json
import random
import re
import time
import uuid
from collections.abc import Callable, Iterable, Sequence

from bench.machine import ROOT
from bench.model import Aim, Figure, Measured, Options, Target
from shared.catalog import loader
from shared.catalog.loader import ACTIONS, Catalog
from shared.diagnosis.classifier import Classifier
from shared.diagnosis.matcher import PATTERN_BYTES, Matcher
from shared.diagnosis.text import tidy
from shared.models import EvidenceLine

CORPUS = ROOT / "tests" / "data" / "corpus" / "errors.jsonl"
CATALOG = ROOT / "shared" / "catalog" / "catalog.yaml"
_SEED = 20260101
_REFERENCE = "loop with re"
_TARGET = Target(Aim.RATIO_AT_LEAST, 20)
_WORD = re.compile(r"(?<![\\\[(?])\b[A-Za-z]{4,}\b(?![^\[]*\])")


def run(options: Options) -> Measured:
    """Time both on the same messages on one core; then three times as many patterns."""
    catalog = loader.load(CATALOG, frozenset(ACTIONS))
    lines = fresh(corpus(), options.pick(4000, 200))
    begin = time.process_time()
    classifier = Classifier(catalog)
    classifier.classify(lines[:1])
    first = time.process_time() - begin
    texts = [tidy(line.message) for line in lines]
    patterns = atoms(catalog)
    loop = _loop_rate(patterns, texts[: options.pick(200, 10)])
    whole = rate(lines, lambda line: classifier.classify([line]))
    sizes = [(factor, _matcher_rate(grown(patterns, factor), texts)) for factor in (1, 2, 3)]
    figures = [
        Figure("whole diagnosis", whole, "messages/s", loop, _REFERENCE, _TARGET),
        Figure("matching alone", sizes[0][1], "messages/s", loop, _REFERENCE, _TARGET),
        *(
            Figure(
                f"matching, {factor} times the patterns", each, "messages/s", sizes[0][1], "once"
            )
            for factor, each in sizes[1:]
        ),
        Figure("building, and the first message", first * 1000, "ms"),
    ]
    return Measured(figures, _notes(catalog, patterns, texts))


def corpus() -> list[EvidenceLine]:
    """The messages that the recognition is judged by."""
    rows = [json.loads(line) for line in CORPUS.read_text("utf-8").splitlines()]
    return [EvidenceLine(r["source_system"], r.get("code") or "", r["message"]) for r in rows]


def fresh(lines: Sequence[EvidenceLine], count: int) -> list[EvidenceLine]:
    """`count` messages of the corpus, each with ids of its own: no text comes twice, as in life."""
    random_ = random.Random(_SEED)  # noqa: S311 - a repeatable choice, no secret
    chosen = random_.choices(lines, k=count)
    return [
        EvidenceLine(line.source, line.code, f"{line.message} (request {_id(random_)})")
        for line in chosen
    ]


def atoms(catalog: Catalog) -> list[str]:
    """The patterns that the classifier looks for, conjunctions taken apart, each once."""
    parts = (
        part.strip().removeprefix("!")
        for rule in catalog.rules
        for pattern in rule.patterns
        for part in pattern.split("&&")
    )
    return list(dict.fromkeys(parts))


def grown(patterns: Sequence[str], factor: int) -> list[str]:
    """`factor` times as many patterns of the same make: their words' letters are exchanged."""
    more = [
        _WORD.sub(lambda word, turn=turn: _turned(word[0], turn), pattern)  # type: ignore[misc]
        for turn in range(1, factor)
        for pattern in patterns
    ]
    return [*patterns, *more]


def as_re(pattern: str) -> re.Pattern[str]:
    """A pattern of RE2 for `re`, which knows no classes of Unicode."""
    return re.compile(pattern.replace(r"\pL", r"[^\W\d_]"), re.IGNORECASE)


def rate(items: Sequence[EvidenceLine], work: Callable[[EvidenceLine], object]) -> float:
    """Items a second of processor time, all of them once."""
    begin = time.process_time()
    for item in items:
        work(item)
    return len(items) / (time.process_time() - begin)


def _loop_rate(patterns: Iterable[str], texts: Sequence[str]) -> float:
    compiled = [as_re(pattern) for pattern in patterns]
    begin = time.process_time()
    for text in texts:
        [position for position, each in enumerate(compiled) if each.search(text)]
    return len(texts) / (time.process_time() - begin)


def _matcher_rate(patterns: Iterable[str], texts: Sequence[str]) -> float:
    matcher = Matcher(patterns)
    matcher.hits(texts[0])
    begin = time.process_time()
    for text in texts:
        matcher.hits(text)
    return len(texts) / (time.process_time() - begin)


def _notes(catalog: Catalog, patterns: Sequence[str], texts: Sequence[str]) -> list[str]:
    length = sum(map(len, texts)) / len(texts)
    of_what = (
        f"{len(catalog.rules)} rules, {len(patterns)} patterns; {len(texts):,} messages of "
        f"{length:.0f} characters in the mean, no two the same; processor time of one core"
    )
    memory = (
        f"the matcher's memory is bounded: {PATTERN_BYTES >> 10} KiB a pattern and 8 MiB for all; "
        "running out of it is a ConfigurationError (tests/unit/test_classifier.py)"
    )
    return [of_what, memory]


def _turned(word: str, turn: int) -> str:
    """A word that no message holds: vowels and consonants stay what they are."""
    vowels, consonants = "aeiou", "bcdfghjklmnpqrstvwxyz"
    for letters in (vowels, consonants):
        table = {old: letters[(i + turn) % len(letters)] for i, old in enumerate(letters)}
        both = table | {old.upper(): new.upper() for old, new in table.items()}
        word = "".join(both.get(char, char) for char in word)
    return word


def _id(random_: random.Random) -> str:
    return str(uuid.UUID(int=random_.getrandbits(128), version=4))
