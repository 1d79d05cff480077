"""Which versions of a package the team's package index offers (simple repository API, PEP 691)."""

from __future__ import annotations

from shared.clock import Clock
from shared.errors import NothingChanged, PlatformError, PlatformMissing, PlatformUnavailable
from shared.platforms.calls import read
from shared.platforms.observed import observed

_JSON = "application/vnd.pypi.simple.v1+json"
_MISSING, _ERROR = 404, 400


@observed("package_index")
class PackageIndex:
    """One index, by the address under which the packages stand (…/simple)."""

    def __init__(self, url: str, clock: Clock, timeout: float) -> None:
        self._url = url.rstrip("/")
        self._clock = clock
        self._timeout = timeout

    def versions(self, package: str) -> tuple[str, ...]:
        """Versions that are offered and not yanked; none if the index cannot be asked."""
        try:
            return read(lambda: self._ask(package), _translate, self._clock)
        except NothingChanged:
            return ()

    def _ask(self, package: str) -> tuple[str, ...]:
        import msgspec
        import requests
        from packaging.utils import canonicalize_name

        answer = requests.get(
            f"{self._url}/{canonicalize_name(package)}/",
            headers={"Accept": _JSON},
            timeout=(5, self._timeout),
        )
        if answer.status_code == _MISSING:
            raise PlatformMissing(f"the package index does not know {package}", _MISSING)
        if answer.status_code >= _ERROR:
            raise PlatformUnavailable(f"the package index answered {answer.status_code}")
        return _offered(msgspec.json.decode(answer.content))


def _offered(project: dict[str, object]) -> tuple[str, ...]:
    versions = project.get("versions")
    files = project.get("files")
    listed = [str(v) for v in versions] if isinstance(versions, list) else []
    if not isinstance(files, list) or not listed:
        return tuple(listed)
    alive = [str(f.get("filename")) for f in files if isinstance(f, dict) and not f.get("yanked")]
    return tuple(v for v in listed if any(f"-{v}-" in n or f"-{v}." in n for n in alive))


def _translate(error: Exception, *, changing: bool) -> PlatformError | None:
    import requests

    del changing
    if isinstance(error, PlatformError):
        return error
    if isinstance(error, requests.RequestException | ValueError):
        return PlatformUnavailable(f"the package index did not answer: {type(error).__name__}")
    return None
