"""Which of the libraries that were asked for an installer's error is about. Pure.

Only the places where pip, conda, Maven and CRAN name a package count, and there the whole name:
"after 3 requests" is no word about the package `requests`. Names are compared as PEP 503 says.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from packaging.utils import canonicalize_name

from shared.diagnosis import libraries
from shared.models import Json

_LONGEST = 20_000
_QUOTES = "\"'`\u2018\u2019\u201c\u201d"  # R's messages quote with curly ones
_Q = rf"[{_QUOTES}\[]?"
_NAME = r"([a-z0-9](?:[a-z0-9._-]{0,120}[a-z0-9])?)(?![\w-])"
_COORDINATES = r"([a-z0-9][\w.-]{0,150}:[a-z0-9][\w.-]{0,150})"
# Where the package that failed is named.
_PLACES = tuple(
    re.compile(place, re.IGNORECASE)
    for place in (
        # pip
        rf"\bno matching distribution found for\s+{_Q}{_NAME}",
        rf"\bsatisf(?:y|ies) the requirement:?\s+{_Q}{_NAME}",
        rf"\b(?:could not build wheels|failed building wheel) for\s+{_Q}{_NAME}",
        rf"(?<![\w.-]){_NAME} \d[\w.]{{0,40}} (?:requires|depends on)\s",
        r"([\w.+-]{1,200}\.(?:whl|jar|egg|tar\.gz)) is not a (?:supported wheel|valid wheel)",
        # conda
        rf"\b(?:not available from current channels|ResolvePackageNotFound):?\s*-\s*{_NAME}",
        rf"\bnothing provides (?:requested )?{_Q}{_NAME}",
        # Maven
        rf"\bunresolved dependenc(?:y|ies):?\s*{_Q}{_COORDINATES}",
        rf"\b(?:not find|failure to find|missing) (?:artifact |dependency )?{_Q}{_COORDINATES}",
        # CRAN, and pip where it quotes the name
        rf"\bpackages?\s+[{_QUOTES}]{_NAME}[{_QUOTES}]",
        rf"\bno package called\s+{_Q}{_NAME}",
        # Databricks, of files
        r"\b(?:jar|whl|wheel|egg)\s+((?:dbfs|abfss|s3|file|wasbs)?:?/[^\s:,;'\"]{1,300})",
    )
)
# What was asked for, which counts where no place names what failed.
_COMMAND = re.compile(rf"\bpip3?,?\s+install,?\s+(?:--?[\w-]+,?\s+){{0,9}}{_NAME}", re.IGNORECASE)
_FILES = (".whl", ".jar", ".egg", ".tar.gz")


def blamed(listed: Sequence[Json], said: str) -> int | str:
    """The position of the library that an error is about, or why that cannot be told.

    Args:
        listed: the libraries that were asked for.
        said: the installer's words.

    Returns:
        The position in `listed`; else the reason in words. An error that names a package which is
        not listed, or more than one that is, blames none of them. One that names none blames the
        only library that is listed.
    """
    named = named_packages(said)
    if not named:
        named = {_name(lib) for lib in listed if _stands_in(lib, said)}
    if not named and (command := _COMMAND.search(said[:_LONGEST])):
        named = {_key(command.group(1))}
    found = [n for n, lib in enumerate(listed) if _name(lib) in named]
    if len(found) == 1:
        return found[0]
    if found:
        return f"the error names more than one of the libraries: {', '.join(sorted(named))}"
    if named:
        words = ", ".join(sorted(named))
        return f"the error names {words}, which is not among the libraries that were asked for"
    return 0 if len(listed) == 1 else "the error does not name the library that it is about"


def named_packages(said: str) -> set[str]:
    """The packages that an installer's error names as those that failed, in canonical spelling.

    >>> sorted(named_packages("No matching distribution found for Acme_ETL==1.0"))
    ['acme-etl']
    >>> named_packages("gave up after 3 requests")
    set()
    """
    text = said[:_LONGEST]
    return {_key(match.group(1)) for place in _PLACES for match in place.finditer(text)}


def _key(name: str) -> str:
    """How a package is called here: canonical name (a wheel's too), `group:artifact`, file name."""
    name = name.strip().rstrip(".,;")
    if "/" in name or name.lower().endswith(_FILES):
        file = name.rpartition("/")[2].lower()
        return str(canonicalize_name(file.partition("-")[0])) if file.endswith(".whl") else file
    if ":" in name:
        return ":".join(name.split(":")[:2]).lower()
    bare = re.match(r"[\w.-]+", name)
    return str(canonicalize_name(bare.group())) if bare else name.lower()


def _name(library: Json) -> str:
    """The name under which a library may stand in an error."""
    wanted = libraries.requirement(library)
    return _key(wanted.name if wanted else libraries.label(library))


def _stands_in(library: Json, said: str) -> bool:
    """Whether a library stands in the text with its version or its place, as it was asked for."""
    label = libraries.label(library)
    if not re.search(r"[=<>~!:/@]", label):
        return False
    whole = rf"(?<![\w./-]){re.escape(label)}(?![\w*-]|\.\w)"
    return re.search(whole, said[:_LONGEST], re.IGNORECASE) is not None
