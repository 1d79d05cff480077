"""What a message about bad data says: which column it is about, and which value. Pure.

The words are those of Data Factory's copy and data flow activities, of Spark, and of the databases
behind them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

import msgspec

_LONGEST_MESSAGE = 20_000
_LONGEST_NAME, _LONGEST_VALUE = 128, 80
_OPEN, _CLOSE = "[\"'`\\[]", "[\"'`\\]]"
_QUOTED = rf"{_OPEN}([^\"'`\[\]\n]{{1,300}}){_CLOSE}"
_TICKED = r"((?:`[^`\n]{1,300}`\.?)+)"


def _compiled(*patterns: str) -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile(pattern, re.IGNORECASE) for pattern in patterns)


_COLUMNS = _compiled(
    rf"\b(?:invalid|unknown) column(?: name)?:? {_QUOTED}",
    rf"\bcolumn(?: name)?[:=]? ?{_QUOTED}",
    r"\bcolumn name:\s*'([^'\n]{1,300})'",
    rf"\bwith name {_TICKED} cannot be resolved",
    r"\bcolumn ([\w.]{1,128}) (?:does not exist|is not found|cannot be found|was not found)\b",
    rf"\binvalid identifier {_QUOTED}",
    rf"{_QUOTED}: invalid identifier",
)
_VALUES = _compiled(
    rf"\bconverting (?:the )?value {_QUOTED}",
    rf"\binvalid value {_QUOTED}",
    rf"\bthe value {_QUOTED} of the type\b",
    rf"\bthe value {_QUOTED} of type\b",
    rf"\bcannot convert (?:the )?(?:value )?{_QUOTED} to type\b",
    rf"\bnumeric value {_QUOTED} is not recognized",
    rf"\binvalid input syntax for [\w ]{{1,60}}: {_QUOTED}",
    rf"\bfor input string: {_QUOTED}",
    rf"\btext {_QUOTED} could not be parsed",
    rf"\bconverting the \w{{1,20}} value {_QUOTED}",
)
DATA_TYPE, COLUMN_NAME = "UserErrorInvalidDataType", "UserErrorColumnNameInvalid"


class DataFacts(msgspec.Struct, frozen=True):
    """What a message names; each empty where it names none."""

    column: str = ""
    value: str = ""


def data_facts(messages: Iterable[str]) -> DataFacts:
    """The column and the value that messages name, from the first one that names either.

    >>> data_facts(["converting value 'x' for column name 'amount' from type 'String'"])
    DataFacts(column='amount', value='x')
    """
    for message in messages:
        text = message[:_LONGEST_MESSAGE]
        found = DataFacts(_first(_COLUMNS, text), _first(_VALUES, text))
        if found.column or found.value:
            return found
    return DataFacts()


def first_step(error_type: str, messages: Iterable[str], redact: Callable[[str], str]) -> str:
    """The first step of the guidance for an error of bad data, empty where nothing is named.

    Args:
        error_type: of the diagnosis; others than the two about columns and values have none.
        messages: the evidence, root causes first.
        redact: takes secrets out of a text; what a column holds may be one.
    """
    if error_type not in {DATA_TYPE, COLUMN_NAME}:
        return ""
    found = data_facts(redact(message) for message in messages)
    column = _bounded(redact(found.column), _LONGEST_NAME)
    value = _bounded(redact(found.value), _LONGEST_VALUE)
    if error_type == COLUMN_NAME:
        return f"Column '{column}' is missing or its name is not allowed." if column else ""
    if column and value:
        return f"Column '{column}' has the value '{value}', which cannot be converted."
    if column:
        return f"Column '{column}' has a value or a type that cannot be converted."
    return f"The value '{value}' cannot be converted." if value else ""


def _first(patterns: tuple[re.Pattern[str], ...], text: str) -> str:
    found = (match.group(1) for pattern in patterns if (match := pattern.search(text)))
    names = (name.strip("`").strip() for name in found)
    return next((name for name in names if name and not name.startswith("%")), "")


def _bounded(text: str, longest: int) -> str:
    plain = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return plain if len(plain) <= longest else f"{plain[:longest]}…"
