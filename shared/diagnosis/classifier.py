"""Names a failure from what the platform said: the catalog's rules over the lines of evidence.

Structured codes decide before words; inner causes before wrappers. All patterns are matched in one
pass by RE2, which cannot backtrack; running out of its memory is an error, never "no match".
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from shared.catalog.loader import UNKNOWN, Catalog, Rule
from shared.diagnosis.codes import CodeTable, applies
from shared.diagnosis.matcher import PATTERN_BYTES, Matcher, regex
from shared.diagnosis.text import aside, foreign, parts, sound, tidy, unread
from shared.models import Diagnosis, EvidenceLine

_MAX_CODE = 200

# How sure a recognition is. Policy acts from ACT_CONFIDENCE on.
CODE_CONFIDENCE = 0.95  # the platform's own code, and nothing in the line speaks against it
PATTERN_CONFIDENCE = 0.85  # words that one class of errors uses
GENERIC_CONFIDENCE = 0.75  # words that a family uses: an HTTP status, an exception's name
WRAPPER_CONFIDENCE = 0.5  # only that something inside failed
DISAGREEMENT_CONFIDENCE = 0.5  # a repair was recognised, and beside it a case for a person
WORDS_UNKNOWN = 0.5  # a code that stands for several causes, beside words that no rule knows
WEAK_CONFIDENCE = 0.3  # words that several causes share
ACT_CONFIDENCE = 0.7  # below this policy does not act

# What the platform puts around any reason: names of codes and fields, ids, the frame of a sentence.
_NAMES = (
    r"\b_?[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b|\b[a-z]+(?:_[a-z]+)*_(?:id|code|type|name)\b|[\w-]*\d[\w-]*"
    r"|\bCluster (?:[\w-]+ )?(?:was |is )?terminated\b|\bReason:|\b[Tt]ermination (?:code|reason)\b"
)
_WORD = r"\pL{3}"
# The systems of lines whose source the gatherer names.
_SYSTEMS = {
    "activity": "adf",
    "pipeline": "adf",
    "task": "databricks_job",
    "job": "databricks_job",
    "cluster": "databricks_cluster",
    "library": "databricks_library",
    "flow": "databricks_dlt",
}


class _Clause(msgspec.Struct, frozen=True):
    """One way to say it: all of `wanted` in the text and none of `unwanted`."""

    rule: int
    wanted: frozenset[int]
    unwanted: frozenset[int]


class _Reading(msgspec.Struct, frozen=True):
    """What one stretch of text holds: rules by code and rules by words, most specific first."""

    codes: list[int]
    words: list[int]


class _Match(msgspec.Struct, frozen=True):
    rule: Rule
    confidence: float
    line: EvidenceLine


class Classifier:
    """Classifies evidence by one catalog. Build once: the patterns compile on first use."""

    def __init__(self, catalog: Catalog, max_mem: int = PATTERN_BYTES) -> None:
        self._catalog = catalog
        self._rules = catalog.rules
        self._codes = CodeTable(catalog.rules)
        self._first = {rule.id: _first_remedy(catalog, rule) for rule in catalog.rules}
        self._kinds = {kind: i for i, r in enumerate(catalog.rules) for kind in r.kinds}
        self._atoms: dict[str, int] = {}
        self._clauses = [self._clause(i, p) for i, r in enumerate(self._rules) for p in r.patterns]
        self._by_atom = _by_atom(self._clauses)
        self._matcher = Matcher(self._atoms, max_mem)

    def classify(self, lines: Sequence[EvidenceLine]) -> Diagnosis:
        """The diagnosis that the lines support, the most inner cause first; Unknown if none."""
        found = [match for line in lines if (match := self._line(line)) is not None]
        if not found:
            return self._unknown(lines[:3])
        chosen = min(found, key=_rank)
        rule = chosen.rule
        spec = self._catalog.spec(rule.error_type)
        return Diagnosis(
            error_type=rule.error_type,
            category=spec.category,
            transient=spec.transient,
            confidence=chosen.confidence,
            rule=rule.id,
            because=rule.because,
            lines=(chosen.line,),
            prefer=rule.prefer,
            hands_off=rule.hands_off,
        )

    def decided(self, code: str, system: str = "") -> bool:
        """Whether a rule lists this very code, for a system."""
        return self._codes.exact(code, system) is not None

    def _unknown(self, lines: Sequence[EvidenceLine]) -> Diagnosis:
        spec = self._catalog.spec(UNKNOWN)
        because = "no rule knows these words"
        return Diagnosis(UNKNOWN, spec.category, spec.transient, 0.0, "none", because, tuple(lines))

    def _line(self, line: EvidenceLine) -> _Match | None:
        system = system_of(line.source)
        message = sound(line.message)
        text = self._codes.written(tidy(message))
        code = tidy(sound(line.code[:_MAX_CODE]))
        outer = self._codes.field(code, system)
        readings = self._readings(text, system)
        stopped = self._stopped(readings)
        if stopped is not None:
            return self._match(stopped, PATTERN_CONFIDENCE, (), line)
        match = self._recognised(outer, readings, line, text)
        veto = self._veto(match, readings)
        if veto is not None:
            return self._match(veto, PATTERN_CONFIDENCE, (), line)
        return match if match is None else self._cautious(match, readings, message, text)

    def _recognised(
        self, outer: int | None, readings: list[_Reading], line: EvidenceLine, text: str
    ) -> _Match | None:
        """What the code and the words name, before caution."""
        if outer is not None and self._decides(outer):
            beside = [i for each in readings for i in each.words if self._decides(i)]
            return self._match(outer, CODE_CONFIDENCE, beside, line)
        cause = self._cause(readings)
        if cause is None:
            return self._remainder(outer, readings, line, text)
        index, reading = cause
        by_code = index in reading.codes
        sure = CODE_CONFIDENCE if by_code else self._by_words(index)
        around = [i for each in readings for i in each.codes]
        return self._match(index, sure, [*reading.words, *around], line)

    def _stopped(self, readings: list[_Reading]) -> int | None:
        """A rule that decides wherever in the message its words stand."""
        said = (i for reading in readings for i in reading.words if self._rules[i].overrules)
        return next(said, None)

    def _veto(self, match: _Match | None, readings: list[_Reading]) -> int | None:
        """A rule for a person that takes the place of a repair or of what is not certain."""
        if match is not None and not self._gives_way(match.rule):
            return None
        said = (i for reading in readings for i in reading.words if self._rules[i].vetoes)
        return next(said, None)

    def _gives_way(self, rule: Rule) -> bool:
        return rule.weak or rule.wrapper or rule.generic or rule.yields or self._repairs(rule)

    def _cause(self, readings: list[_Reading]) -> tuple[int, _Reading] | None:
        """The innermost rule that decides by itself, those of whole families last.

        A code outside that is for a person beats words inside that ask for a repair: the platform
        says what is wrong, and a time-out below it is only how that came to light.
        """
        found = self._innermost(readings)
        if found is None or found[0] in found[1].codes or not self._repairs(self._rules[found[0]]):
            return found
        for reading in readings:
            for index in reading.codes:
                if self._decides(index) and not self._repairs(self._rules[index]):
                    return index, reading
        return found

    def _innermost(self, readings: list[_Reading]) -> tuple[int, _Reading] | None:
        for generic in (False, True):
            for reading in readings:
                for index in (*reading.codes, *reading.words):
                    if self._decides(index) and self._rules[index].generic is generic:
                        return index, reading
        return None

    def _remainder(
        self, outer: int | None, readings: list[_Reading], line: EvidenceLine, text: str
    ) -> _Match | None:
        """What is left where nothing decides: codes that yield, weak words, wrappers, the kind."""
        codes = [] if outer is None else [outer]
        codes += [i for reading in readings for i in reading.codes]
        yields = (i for i in codes if self._rules[i].yields)
        yielding = min(yields, key=self._repaired, default=None)
        words = [i for reading in readings for i in reading.words]
        if yielding is not None:
            told = self._told(self._rules[yielding], text, words, line.code)
            return self._match(yielding, CODE_CONFIDENCE if told else WORDS_UNKNOWN, words, line)
        rest = [i for i in (*codes, *words) if not self._hints(i)]
        kind = self._kinds.get(line.kind)
        rest.sort(key=lambda i: (self._rules[i].planned, self._rules[i].wrapper))
        chosen = rest[0] if rest else kind
        return None if chosen is None else self._match(chosen, CODE_CONFIDENCE, (), line)

    def _match(self, index: int, sure: float, beside: Sequence[int], line: EvidenceLine) -> _Match:
        rule = self._rules[index]
        if rule.weak:
            return _Match(rule, WEAK_CONFIDENCE, line)
        if rule.wrapper:
            return _Match(rule, WRAPPER_CONFIDENCE, line)
        objected = self._repairs(rule) and any(self._objects(i, rule) for i in beside)
        return _Match(rule, min(sure, DISAGREEMENT_CONFIDENCE) if objected else sure, line)

    def _told(self, rule: Rule, text: str, words: Sequence[int], code: str) -> bool:
        """Whether an ambiguous code may be acted on: nothing beside it, or what reassures."""
        if not rule.ambiguous or not regex(_WORD).search(regex(_NAMES).sub(" ", text)):
            return True
        heard = (*words, *self._words(tidy(sound(code[:_MAX_CODE])), ""))
        return any(self._rules[i].reassures for i in heard)

    def _cautious(self, match: _Match, readings: list[_Reading], message: str, text: str) -> _Match:
        """Less sure of a repair where words forbid it or much of the message could not be read."""
        if not self._repairs(match.rule):
            return match
        words = (i for reading in readings for i in reading.words)
        if (
            any(self._rules[i].forbids for i in words)
            or unread(message)
            or (match.confidence < CODE_CONFIDENCE and foreign(text))
        ):
            return msgspec.structs.replace(
                match, confidence=min(match.confidence, DISAGREEMENT_CONFIDENCE)
            )
        return match

    def _hints(self, index: int) -> bool:
        rule = self._rules[index]
        return rule.doubt or rule.forbids or rule.reassures or rule.vetoes

    def _repaired(self, index: int) -> bool:
        """Puts what is for a person before what would be repaired."""
        return self._repairs(self._rules[index])

    def _objects(self, index: int, rule: Rule) -> bool:
        """Whether what rule `index` knows speaks against a repair of what `rule` knows."""
        if self._rules[index].doubt:
            return rule.generic or rule.yields or self._only_retried(rule)
        return self._decides(index) and not self._repairs(self._rules[index])

    def _only_retried(self, rule: Rule) -> bool:
        """Whether all that would be done is to run it again as it is."""
        return self._first[rule.id] == "rerun"

    def _decides(self, index: int) -> bool:
        rule = self._rules[index]
        told = not (rule.weak or rule.wrapper or rule.yields or rule.planned)
        return told and not self._hints(index)

    def _repairs(self, rule: Rule) -> bool:
        """Whether something would be done about it."""
        return bool(self._first[rule.id])

    def _by_words(self, index: int) -> float:
        return GENERIC_CONFIDENCE if self._rules[index].generic else PATTERN_CONFIDENCE

    def _readings(self, text: str, system: str) -> list[_Reading]:
        """What the text holds, its innermost part first; a log's noise last, never as a repair."""
        noise, text = aside(text)
        if noise:
            heard = self._reading(noise, system)
            persons = (
                [i for i in each if not self._repairs(self._rules[i])]
                for each in (heard.codes, heard.words)
            )
            return [*self._readings(text, system), _Reading(*persons)]
        whole = self._reading(text, system)
        if not whole.codes and not whole.words:
            return []
        causes = parts(text)
        if len(causes) == 1:
            return [whole]
        inner = [self._reading(part, system) for part in reversed(causes)]
        # Words that span two parts, and a part before the last ones, still count: outermost.
        return [*inner, whole]

    def _reading(self, text: str, system: str) -> _Reading:
        if not text:
            return _Reading([], [])
        return _Reading(self._codes.inside(text, system), self._words(text, system))

    def _words(self, text: str, system: str) -> list[int]:
        hits = frozenset(self._matcher.hits(text))
        if not hits:
            return []
        found = {
            clause.rule
            for hit in hits
            for clause in self._by_atom.get(hit, ())
            if clause.wanted <= hits and not clause.unwanted & hits
        }
        return sorted(i for i in found if applies(self._rules[i], system))

    def _clause(self, rule: int, pattern: str) -> _Clause:
        parts = [part.strip() for part in pattern.split("&&")]
        wanted = frozenset(self._atom(part) for part in parts if not part.startswith("!"))
        unwanted = frozenset(self._atom(part[1:]) for part in parts if part.startswith("!"))
        return _Clause(rule, wanted, unwanted)

    def _atom(self, pattern: str) -> int:
        return self._atoms.setdefault(pattern, len(self._atoms))


def _first_remedy(catalog: Catalog, rule: Rule) -> str:
    """What would be done first about what a rule knows, empty if nothing would."""
    fitting = catalog.remedies(rule.error_type, rule.prefer, hands_off=rule.hands_off)
    return fitting[0].remedy if fitting else ""


def system_of(source: str) -> str:
    """The system a line comes from, empty where its source does not tell."""
    word = source.partition(" ")[0].lower()
    return word if word.startswith(("adf", "databricks")) else _SYSTEMS.get(word, "")


def _by_atom(clauses: Sequence[_Clause]) -> dict[int, list[_Clause]]:
    table: dict[int, list[_Clause]] = {}
    for clause in clauses:
        table.setdefault(min(clause.wanted), []).append(clause)
    return table


def _rank(match: _Match) -> int:
    """Causes first, then guesses, wrappers and ends that are no failures."""
    rule = match.rule
    return 3 if rule.planned else 2 if rule.wrapper else 1 if rule.weak else 0
