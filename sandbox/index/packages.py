"""What an index offers, and the simple repository API over HTTP (PEP 503, PEP 691, PEP 700)."""

import html
import re

from sandbox.wire import Answer, Call, Json, Route, route

JSON_TYPE = "application/vnd.pypi.simple.v1+json"
HTML_TYPE = "text/html"
ANY_JSON = (JSON_TYPE, "application/vnd.pypi.simple.latest+json")
ANY_HTML = (HTML_TYPE, "application/vnd.pypi.simple.v1+html", "text/*", "*/*")


class Packages:
    """All packages: their versions, oldest first, and which of those were yanked."""

    def __init__(self) -> None:
        self.versions: dict[str, list[str]] = {}
        self.yanked: dict[str, list[str]] = {}

    def load(self, versions: dict[str, list[str]], yanked: dict[str, list[str]]) -> None:
        """Add packages, in the place of any of those names."""
        for name, known in versions.items():
            self.versions[normalized(name)] = list(known)
            self.yanked.pop(normalized(name), None)
        for name, known in yanked.items():
            self.yanked[normalized(name)] = list(known)


class PackagesApi:
    """Answers for packages."""

    def __init__(self, packages: Packages) -> None:
        self._packages = packages

    def routes(self) -> list[Route]:
        """Return what is served here."""
        return [route("GET", "/simple/{name}/?", self._project)]

    def _project(self, call: Call) -> Answer:
        name = normalized(call.params["name"])
        if call.path != f"/simple/{name}/":
            return Answer(301, None, {"Location": f"/simple/{name}/"})
        if name not in self._packages.versions:
            return Answer(404, "404 Not Found")
        kind = chosen_type(call.accept)
        if kind is None:
            return Answer(406, "406 Not Acceptable")
        page = project_view(self._packages, name)
        body = page if kind == JSON_TYPE else project_html(page)
        return Answer(200, body, {"Content-Type": kind})


def normalized(name: str) -> str:
    """Write a name the way addresses do: 'all runs of -, _ and . are a single -' (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def chosen_type(accept: str) -> str | None:
    """Choose what a client understands; quality figures apart, the JSON goes first."""
    wanted = [part.split(";")[0].strip().lower() for part in accept.split(",")]
    if any(kind in ANY_JSON for kind in wanted):
        return JSON_TYPE
    return HTML_TYPE if any(kind in ANY_HTML for kind in wanted) else None


def project_view(packages: Packages, name: str) -> Json:
    """Write a package: one wheel for each version."""
    versions = packages.versions[name]
    yanked = set(packages.yanked.get(name, []))
    return {
        "meta": {"api-version": "1.1"},
        "name": name,
        "versions": versions,
        "files": [wheel(name, version, yanked=version in yanked) for version in versions],
    }


def wheel(name: str, version: str, *, yanked: bool) -> Json:
    """Write one file."""
    filename = f"{name.replace('-', '_')}-{version}-py3-none-any.whl"
    return {
        "filename": filename,
        "url": f"https://files.example.com/{filename}",
        "hashes": {},
        "requires-python": None,
        "size": 1024,
        "yanked": yanked,
    }


def project_html(page: Json) -> str:
    """Write a package for a client that does not ask for JSON."""
    links = [link(file) for file in page["files"]]
    return "\n".join(["<!DOCTYPE html>", "<html><body>", *links, "</body></html>"])


def link(file: Json) -> str:
    """Write one file as an anchor."""
    mark = ' data-yanked=""' if file["yanked"] else ""
    return f'<a href="{html.escape(file["url"])}"{mark}>{html.escape(file["filename"])}</a><br/>'
