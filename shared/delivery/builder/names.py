"""Names: of tables, columns, files and functions, from names of any script.

Tables, files and functions get ASCII names, because the metastores that Unity Catalog stands beside
take nothing else. A letter of another script is written with the name that Unicode gives it, which
never changes: "Größe" becomes grosse, "Заказ" becomes zeakazeaka. An `alias` in the specification
says it better. Columns keep their script.
"""

from __future__ import annotations

import hashlib
import keyword
import re
import unicodedata

from shared.errors import InputError

_MOST = 35  # characters of a table: bronze_, _2 and the code around it still fit in a line
_MOST_COLUMN = 80
_NOT_WORD = re.compile(r"[^0-9a-z]+")
_NOT_COLUMN = re.compile(r"[^\w]+")
_KEY = re.compile(r"[^0-9A-Za-z]+")
_RESERVED_STEMS = frozenset({"con", "prn", "aux", "nul"})  # file names that Windows refuses
_FOLDED = {"ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "đ": "d", "þ": "th"}
_INVISIBLE = frozenset({"Cc", "Cf", "Zl", "Zp", "Cs", "Cn", "Co"})
_JOINERS = frozenset({"\u200c", "\u200d"})  # Persian, Hindi and others are written with them
AUDIT = ("_source_file", "_source_modified_at", "_ingested_at", "_rescued_data")
_OWN = frozenset(
    {*AUDIT, "_metadata", "_message", "_offset", "_source_row", "_wrong_types", "_broken_rules"}
)


def checked(name: str, field: str) -> str:
    """`name`, if it may be one at all.

    Raises:
        InputError: it has characters that no table, column, YAML or SQL file takes unharmed.
    """
    if not name.strip():
        raise InputError(field, "expected a name that is not blank")
    if any(unicodedata.category(c) in _INVISIBLE and c not in _JOINERS for c in name):
        raise InputError(field, "expected a name without control or invisible characters")
    return no_substitution(name, field)


def no_substitution(text: str, field: str) -> str:
    """`text`, if neither Spark nor the bundle would replace a part of it.

    Raises:
        InputError: it holds `${`, which both take for a variable.
    """
    if "${" in text:
        raise InputError(field, "expected no ${: it would be taken for a variable")
    return text


def free_of_audit(name: str, field: str) -> str:
    """`name`, if it is not one of the columns that bronze and silver add.

    Raises:
        InputError: it is.
    """
    if name.casefold() in _OWN:
        raise InputError(field, f"expected another name: the pipeline adds a column {name} itself")
    return checked(name, field)


def ascii_name(text: str) -> str:
    """A name of lower-case ASCII letters, digits and underscores that starts with a letter."""
    words = "".join(_ascii(character) for character in unicodedata.normalize("NFKD", text))
    stem = _NOT_WORD.sub("_", words.lower()).strip("_")
    if not stem or not stem[0].isalpha() or keyword.iskeyword(stem) or stem in _RESERVED_STEMS:
        stem = f"t_{stem}".rstrip("_")
    if len(stem) > _MOST:
        stem = f"{stem[: _MOST - 9]}_{_digest(text)}"
    return stem


def _ascii(character: str) -> str:
    if character.isascii():
        return character
    if unicodedata.combining(character):
        return ""
    folded = _FOLDED.get(character.lower())
    if folded:
        return folded
    if not character.isalnum():
        return "_"
    return _spelled(unicodedata.name(character, ""))


def _spelled(name: str) -> str:
    """`CYRILLIC SMALL LETTER ZHE` is zhe, `CJK UNIFIED IDEOGRAPH-8BA2` is 8ba2."""
    last = name.replace("-", " ").split(" WITH ")[0].split(" ")[-1]
    return last.lower() or "_"


def column_name(text: str) -> str:
    """A column's name in silver and gold: one word, lower case, in its own script."""
    word = _NOT_COLUMN.sub("_", unicodedata.normalize("NFKC", text).lower()).strip("_")
    if not word:
        word = f"column_{_digest(text)}"
    return word if len(word) <= _MOST_COLUMN else f"{word[: _MOST_COLUMN - 9]}_{_digest(text)}"


def tag(text: str) -> str:
    """A value that job tags take."""
    return _KEY.sub("-", ascii_name(text)).strip("-")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


class Taken:
    """Names that are given out once, without regard to case, as the platform compares them."""

    def __init__(self, *names: str) -> None:
        self._taken = {name.casefold() for name in names}

    def claim(self, wanted: str) -> str:
        """`wanted`, or with the first number that is free: order_id, order_id_2, order_id_3."""
        name, number = wanted, 1
        while name.casefold() in self._taken:
            number += 1
            name = f"{wanted}_{number}"
        self._taken.add(name.casefold())
        return name
