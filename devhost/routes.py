"""Route templates as the Functions host knows them."""

import re
from collections.abc import Iterable

import msgspec

from devhost.loader import Function
from devhost.settings import SettingsError

# What a constraint lets through, of those that a template of this app may use.
CONSTRAINTS = {
    "": r"[^/]+",
    "guid": r"[0-9a-fA-F]{8}(?:-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12}",
    "int": r"-?\d+",
    "long": r"-?\d+",
    "alpha": r"[A-Za-z]+",
    "bool": r"(?i:true|false)",
}
PARAMETER = re.compile(r"\{(?P<star>\**)(?P<name>\w+)(?::(?P<constraint>\w+))?(?P<optional>\?)?\}")
# The order in which segments win: a literal, a constrained parameter, a parameter, the rest.
LITERAL, CONSTRAINED, PLAIN, REST = range(4)


class Route(msgspec.Struct, frozen=True):
    """A compiled template of an HTTP function."""

    function: Function
    pattern: re.Pattern[str]
    order: tuple[int, ...]
    methods: frozenset[str]

    def accepts(self, method: str) -> bool:
        """Whether the function answers this method; without a list it answers all."""
        return not self.methods or method in self.methods


def compile_routes(functions: Iterable[Function], prefix: str) -> list[Route]:
    """Compile the templates of HTTP functions, the most specific first."""
    return sorted((_compile(each, prefix) for each in functions), key=lambda route: route.order)


def find(routes: Iterable[Route], method: str, path: str) -> tuple[Route, dict[str, str]] | None:
    """Find the function for a request; a wrong method is no match, as on the real host."""
    trimmed = path.strip("/")
    target = f"/{trimmed}" if trimmed else ""
    for route in routes:
        match = route.pattern.fullmatch(target) if route.accepts(method) else None
        if match:
            groups = match.groupdict()
            return route, {name: value for name, value in groups.items() if value is not None}
    return None


def _compile(function: Function, prefix: str) -> Route:
    template = f"{prefix}/{function.properties['route']}"
    segments = [_segment(function.name, each) for each in template.split("/") if each]
    methods = function.properties.get("methods") or ()
    return Route(
        function=function,
        pattern=re.compile("".join(text for text, _ in segments), re.IGNORECASE),
        order=tuple(order for _, order in segments),
        methods=frozenset(str(getattr(each, "value", each)).upper() for each in methods),
    )


def _segment(function: str, segment: str) -> tuple[str, int]:
    """Translate one segment; the slash before it belongs to it, so that it can be optional."""
    whole = PARAMETER.fullmatch(segment)
    if not whole:
        return f"/{_inner(function, segment)}", PLAIN if "{" in segment else LITERAL
    group = _group(function, whole)
    if whole["star"]:
        return f"(?:/(?P<{whole['name']}>.*))?", REST
    text = f"(?:/{group})?" if whole["optional"] else f"/{group}"
    return text, CONSTRAINED if whole["constraint"] else PLAIN


def _inner(function: str, segment: str) -> str:
    text, position = "", 0
    for match in PARAMETER.finditer(segment):
        text += re.escape(segment[position : match.start()]) + _group(function, match)
        position = match.end()
    return text + re.escape(segment[position:])


def _group(function: str, match: re.Match[str]) -> str:
    constraint = match["constraint"] or ""
    if constraint not in CONSTRAINTS:
        raise SettingsError(f"function '{function}' has an unknown route constraint: {match[0]}")
    return f"(?P<{match['name']}>{CONSTRAINTS[constraint]})"
