"""Library coordinates: which package, which version, which one is older. Pure.

Versions and requirements are PEP 440 and PEP 508, by the `packaging` library.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from shared.models import Json


def decode(library: str) -> Json:
    """A library from its JSON text, as alerts and failures carry it."""
    return msgspec.json.decode(library, type=dict) if library else {}


def label(library: Json) -> str:
    """What a person would call a library: `pandas==2.2.0`, a Maven coordinate, a path."""
    kind, content = next(iter(library.items()), ("", ""))
    if isinstance(content, dict):
        return str(content.get("package") or content.get("coordinates") or kind)
    return str(content)


def requirement(library: Json) -> Requirement | None:
    """The PyPI requirement of a library, None if it is not from PyPI or not a requirement."""
    package = (library.get("pypi") or {}).get("package")
    if not package:
        return None
    try:
        return Requirement(str(package))
    except InvalidRequirement:
        return None


def same_package(library: Json, other: str) -> bool:
    """Whether a library and one given as JSON text are the same package, of any version."""
    wanted = decode(other)
    return set(library) == set(wanted) and package_of(library) == package_of(wanted)


def direct_reference(library: Json) -> bool:
    """Whether a PyPI library is asked for by a place (an address, a file, a commit), not a name."""
    if not (library.get("pypi") or {}).get("package"):
        return False
    wanted = requirement(library)
    return wanted is None or wanted.url is not None


def pinned(library: Json) -> Version | None:
    """The one version that a library is asked for at; None if it leaves more than one open.

    The least of the versions that `==` or `===` name (not `==2.*`), or that of a Maven coordinate.
    """
    coordinates = (library.get("maven") or {}).get("coordinates")
    if coordinates:
        parts = str(coordinates).split(":")
        return _version(parts[-1]) if len(parts) > _GROUP_AND_ARTIFACT else None
    wanted = requirement(library)
    exact = [s for s in (wanted.specifier if wanted else ()) if s.operator in {"==", "==="}]
    return min((v for s in exact if (v := _version(s.version))), default=None)


_GROUP_AND_ARTIFACT = 2


def at_version(library: Json, version: str) -> Json:
    """The same library at exactly `version`; extras, markers and index are kept."""
    wanted = requirement(library)
    if "maven" in library:
        coordinates = f"{package_of(library)}:{version}"
        return {"maven": {**library["maven"], "coordinates": coordinates}}
    if wanted is None:
        return _from_elsewhere(library, version)
    extras = f"[{','.join(sorted(wanted.extras))}]" if wanted.extras else ""
    marker = f" ; {wanted.marker}" if wanted.marker else ""
    source = library["pypi"]
    return {"pypi": {**source, "package": f"{wanted.name}{extras}=={version}{marker}"}}


def _from_elsewhere(library: Json, place: str) -> Json:
    """A library whose list holds places, not versions: a file's path, a CRAN snapshot's address."""
    kind, content = next(iter(library.items()))
    return {"cran": {**content, "repo": place}} if kind == "cran" else {kind: place}


def older(
    library: Json, known: Sequence[str], failed: Sequence[str], *, across: bool = True
) -> str | None:
    """The newest of `known` versions that may be taken in the library's place and has not `failed`.

    What was asked for is respected: a range (`>=2.0,<2.2`, `~=2.1.0`, `==2.1.*`) is not left. One
    version (`==2.2.0`, a Maven coordinate) gives way to an older one.

    Args:
        library: the library that cannot be installed.
        known: versions to choose from, in any order.
        failed: versions that were tried and failed.
        across: whether one version may give way to one of another major version.

    Returns:
        The version, None if there is none. Where the library names no version, the newest known
        one that has not failed.
    """
    if direct_reference(library):
        return None
    if not is_versioned(library):
        return next((path for path in known if path not in failed), None)
    candidates = {text: v for text in known if text not in failed and (v := _version(text))}
    fitting = [t for t, v in candidates.items() if _may_be_taken(library, v, across=across)]
    return max(fitting, key=candidates.__getitem__, default=None)


def _may_be_taken(library: Json, version: Version, *, across: bool) -> bool:
    if version.is_prerelease:
        return False
    one = pinned(library)
    if one is not None:
        return version < one and (across or version.major == one.major)
    wanted = requirement(library)
    return wanted is None or wanted.specifier.contains(version)


def is_versioned(library: Json) -> bool:
    """Whether a library is asked for by package and version, not by the path of a file."""
    return requirement(library) is not None or "maven" in library


def package_of(library: Json) -> str:
    """What a library is called without its version: the key of the catalog's list.

    A PyPI package by its canonical name, Maven by `group:artifact`, CRAN by `cran:<package>` (its
    list holds snapshots' addresses: CRAN installs no version by name), a file by its path.
    """
    wanted = requirement(library)
    if wanted is not None:
        return str(canonicalize_name(wanted.name))
    coordinates = (library.get("maven") or {}).get("coordinates")
    if coordinates:
        return ":".join(str(coordinates).split(":")[:_GROUP_AND_ARTIFACT])
    if "cran" in library:
        return f"cran:{label(library)}"
    return label(library)


def listed_versions(library: Json, catalog: dict[str, tuple[str, ...]]) -> tuple[str, ...]:
    """The catalog's list for a library, none if it has no entry."""
    name = package_of(library)
    for key, versions in catalog.items():
        if name in (key, str(canonicalize_name(key))):
            return versions
    return ()


def _version(text: str) -> Version | None:
    try:
        return Version(text)
    except InvalidVersion:
        return None
