"""Structured codes: which rules know one, and which codes a text carries."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path

import msgspec

from shared.catalog.loader import Rule
from shared.diagnosis.matcher import Matcher, regex

_CONDITIONS = Path(__file__).parent.parent / "catalog" / "spark_conditions.json"

# What may hold a code in a text: ADF's `ErrorCode=X`, JSON's `"code": "X"`, Databricks' `Reason: X
# (TYPE)`, `[DLT ERROR CODE: X]` and `ErrorClass=X.Y`, Spark's `[CLASS.SUB]`.
_LABELLED = (
    r"(?i)\b(?:error[_ ]?code|azure_error_code|error class|errorclass|error_class"
    r"|dlt error code|status_?code|code)['\"]?\s{0,2}[=:]\s{0,2}\\?['\"]?"
    r"([A-Za-z_][A-Za-z0-9_.-]{2,80}|\d{4})\b"
    r"|\[([A-Z][A-Z0-9_]{3,90}(?:\.[A-Z0-9_]{1,60})?)\]"
)
# Names that no prose has: capitals joined by underscores, data flow's `DF-X-Y`, AADSTS and ORA.
_BARE = (
    r"\b(?:_?[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+(?:\.[A-Z][A-Z0-9_]+)?"
    r"|DF-[A-Za-z0-9]+-[A-Za-z0-9]+|AADSTS\d{5,8}|ORA-\d{5})\b"
)
# Spark's form; other engines write `SQLSTATE=51002` and mean other things by it.
# Data Factory's names, written without `ErrorCode=`.
_JOINED = r"\b[A-Z][a-z0-9]+(?:[A-Z][a-z0-9]+){2,}\b"
_SQLSTATE = r"\[[A-Z][A-Z0-9_.]{2,150}\][^\[]{0,900}\bSQLSTATE: ?([0-9A-Z]{5})\b"
# Names of classes that are codes in another spelling: those of the Databricks SDK and of gRPC, and
# the code in brackets with which the SDKs of Azure and AWS begin.
_CLASSES = (
    r"\berrors\.platform\.([A-Za-z]{3,60})\b|\bStatusCode\.([A-Z_]{3,40})\b"
    r"|\b(?:HttpResponseError:|An error occurred) \(([A-Za-z.]{3,80})\)"
)
_HUMP = r"([a-z])([A-Z])"
# A code that is written in words: "Reason: Metastore Component Unhealthy".
_SPOKEN = r"\bReason: ?([A-Z][A-Za-z-]{0,30}(?: [A-Za-z][A-Za-z-]{0,30}){1,7})"
_PARTS = r"\s+-\s+|[,;|]\s*"
_MOST = 24  # codes of one text that are looked up


class CodeTable:
    """Codes by rule: exact names first, then families, then the SQLSTATE of a Spark condition."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = rules
        self._exact: dict[str, list[int]] = {}
        self._states: dict[str, int] = {}
        families: list[str] = []
        self._family_owners: list[int] = []
        for index, rule in enumerate(rules):
            for code in rule.codes:
                if "*" in code:
                    family = ".*".join(re.escape(part) for part in code.split("*"))
                    families.append(f"^{family}\n")
                    self._family_owners.append(index)
                else:
                    self._exact.setdefault(code.lower(), []).append(index)
            for state in rule.sqlstates:
                self._states.setdefault(state.upper(), index)
        self._families = Matcher(families)

    def exact(self, code: str, system: str) -> int | None:
        """The rule that lists this very code for the system."""
        return self._first(self._exact.get(code.lower(), ()), system)

    def field(self, code: str, system: str) -> int | None:
        """The rule that knows the platform's code; `code` may join several."""
        known = (self._one(name, system) for name in _names(code))
        return min((index for index in known if index is not None), default=None)

    def inside(self, text: str, system: str) -> list[int]:
        """The rules that know a code which the text carries, most specific first."""
        found = set()
        for name in _labelled(text):
            found.add(self._one(name, system))
        for name in _classes(text):
            found.add(self._one(name, system))
        for name in _bare(text):
            found.add(self._known(name, system))
        for name in list(dict.fromkeys(regex(_JOINED).findall(text)))[:_MOST]:
            found.add(self.exact(name, system))
        if not found - {None}:
            found.update(self.by_state(state) for state in regex(_SQLSTATE).findall(text)[:_MOST])
        return sorted(index for index in found if index is not None)

    def written(self, text: str) -> str:
        """The text in which codes that are spoken as reasons are written as codes."""
        return str(regex(_SPOKEN).sub(lambda found: self._reason(found.group(1)), text))

    def _reason(self, said: str) -> str:
        """A reason that begins with a code of two words or more: that code, then the rest."""
        words = said.split()
        for count in range(len(words), 1, -1):
            name = "_".join(words[:count]).upper().replace("-", "_")
            if name.lower() in self._exact:
                return " ".join(("Reason:", name, *words[count:]))
        return f"Reason: {said}"

    def by_state(self, state: str) -> int | None:
        """The rule for a SQLSTATE: the longest prefix that is listed."""
        for length in (5, 4, 3, 2):
            index = self._states.get(state[:length].upper())
            if index is not None:
                return index
        return None

    def _one(self, name: str, system: str) -> int | None:
        """The rule for one name: as it stands, without its subclass, by family, by SQLSTATE."""
        main = name.partition(".")[0]
        for spelling in dict.fromkeys((name, main)):
            index = self.exact(spelling, system)
            if index is not None:
                return index
        hits = self._families.hits(name) or self._families.hits(main)
        index = self._first(sorted(self._family_owners[hit] for hit in hits), system)
        return index if index is not None else self._by_condition(main)

    def _known(self, name: str, system: str) -> int | None:
        """As `_one`, but for a name that may be anybody's: only what is listed or a condition."""
        main = name.partition(".")[0]
        index = self.exact(name, system)
        if index is None:
            index = self.exact(main, system)
        if index is None and main.upper() in conditions():
            index = self._one(name, system)
        return index

    def _by_condition(self, name: str) -> int | None:
        state = conditions().get(name.upper())
        return self.by_state(state) if state else None

    def _first(self, indexes: Iterable[int], system: str) -> int | None:
        return next((i for i in indexes if applies(self._rules[i], system)), None)


def applies(rule: Rule, system: str) -> bool:
    """Whether the rule is for that system; one that is not known could be any."""
    return not rule.systems or not system or system.startswith(rule.systems)


@cache
def conditions() -> dict[str, str]:
    """Every error condition of Spark and Delta with its SQLSTATE, empty where it has none."""
    listed = msgspec.json.decode(_CONDITIONS.read_bytes())["conditions"]
    return {name: state for state, names in listed.items() for name in names}


def _names(code: str) -> Iterator[str]:
    if code:
        yield code
        yield from (part for part in regex(_PARTS).split(code) if part and part != code)


def _labelled(text: str) -> list[str]:
    found = (m.group(1) or m.group(2) for m in regex(_LABELLED).finditer(text))
    return list(dict.fromkeys(found))[:_MOST]


def _classes(text: str) -> list[str]:
    if "errors.platform" not in text and "StatusCode." not in text and " (" not in text:
        return []
    found = (m.group(1) or m.group(2) or m.group(3) for m in regex(_CLASSES).finditer(text))
    names = dict.fromkeys(list(found)[:_MOST])
    # `PermissionDenied` is PERMISSION_DENIED; a name of AWS or Azure stays known as it stands.
    return [*names, *(str(regex(_HUMP).sub(r"\1_\2", name)).upper() for name in names)]


def _bare(text: str) -> list[str]:
    if "_" not in text and "DF-" not in text and "AADSTS" not in text and "ORA-" not in text:
        return []  # most prose has none of them
    return list(dict.fromkeys(regex(_BARE).findall(text)))[:_MOST]
