"""What makes sense in the catalog, beyond its shape: each mistake with file, line and reason."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

from packaging.version import InvalidVersion, Version

from shared.catalog.ddl import ddl_mistake
from shared.catalog.loader import (
    ACTIONS,
    CANCELLED,
    NEVER_AUTOMATED,
    UNKNOWN,
    Catalog,
    ErrorSpec,
    RemedySpec,
    Rule,
    Timings,
)
from shared.vocabulary import PLAYBOOKS
from shared.yaml_lines import Steps, YamlFile

CATEGORIES = frozenset(
    {
        "data_quality",
        "resource",
        "network",
        "configuration",
        "permission",
        "transient_platform",
        "user_code",
        "unknown",
    }
)
SYSTEMS = frozenset(
    {
        "adf",
        "databricks",
        "databricks_cluster",
        "databricks_dlt",
        "databricks_job",
        "databricks_library",
        "databricks_sql",
    }
)
# Data Factory's failureType; Databricks' types of termination of runs and clusters. An exception
# of the event log has its class in their place.
KINDS = frozenset(
    {
        "UserError",
        "SystemError",
        "CLIENT_ERROR",
        "CLOUD_FAILURE",
        "INTERNAL_ERROR",
        "SERVICE_FAULT",
        "SUCCESS",
    }
)
_MOST_ATTEMPTS = 50
_LONGEST_BACKOFF = 86_400.0
_LONGEST_TIME = 90 * 86_400.0
_MOST_LOOKS = 1_000
_STEEPEST_GROWTH = 10
# Waiting times of which none would be a loop without a pause.
_PAUSES = frozenset(
    {
        "verify_first",
        "verify_ceiling",
        "doubt_interval",
        "wait_interval",
        "hold_interval",
        "expand_retry",
    }
)
_COUNTS = frozenset({"expand_tries", "give_back_tries", "doubt_looks"})
_SHORTEST_PAUSE = 0.01
# Texts that have nothing in common: what finds something in each of them tells nothing.
_PROBES = ("", "~", "0", "Zz")
_SQLSTATE_LENGTHS = range(2, 6)


def check(catalog: Catalog, matrix: YamlFile, rules: YamlFile, remedies: frozenset[str]) -> None:
    """Refuse what has the right shape and makes no sense.

    Raises:
        ConfigurationError: a mistake, with file, line and reason.
    """
    _check_timings(matrix, catalog.timings)
    _check_types(matrix, catalog.error_types, remedies)
    _check_libraries(matrix, catalog.libraries)
    _check_upstreams(matrix, catalog.upstreams)
    _check_node_types(matrix, catalog.node_types)
    _check_batches_and_tables(matrix, catalog)
    _check_rules(rules, catalog.rules, catalog.error_types)
    _check_recognised(matrix, catalog)


def _check_recognised(file: YamlFile, catalog: Catalog) -> None:
    """A type that no rule leads to is a mistake: nothing would ever be of that type."""
    recognised = {rule.error_type for rule in catalog.rules} | {UNKNOWN, CANCELLED}
    for name in catalog.error_types:
        if name not in recognised:
            raise file.mistake(["error_types", name], f"no rule recognises {name}: add one")


def _check_timings(file: YamlFile, timings: Timings) -> None:
    for name in timings.__struct_fields__:
        least, most = _range_of(name)
        if not least <= getattr(timings, name) <= most:
            reason = f"expected {least:.10g} or more, at most {most:.10g}"
            raise file.mistake(["timings", name], reason)


def _range_of(name: str) -> tuple[float, float]:
    if name == "verify_growth":
        return 1, _STEEPEST_GROWTH
    if name in _COUNTS:
        return 1, _MOST_LOOKS
    return (_SHORTEST_PAUSE if name in _PAUSES else 0), _LONGEST_TIME


def _check_types(file: YamlFile, listed: dict[str, ErrorSpec], remedies: frozenset[str]) -> None:
    for name in (UNKNOWN, CANCELLED):
        if name not in listed:
            raise file.mistake(["error_types"], f"the type {name} must be there")
    for name, spec in listed.items():
        _check_type(file, name, spec, remedies)


def _check_type(file: YamlFile, name: str, spec: ErrorSpec, remedies: frozenset[str]) -> None:
    at: Steps = ["error_types", name]
    if spec.remedies and name in NEVER_AUTOMATED:
        raise file.mistake([*at, "remedies"], f"{name} is never automated: remedies must be []")
    if spec.remedies and name in {UNKNOWN, CANCELLED}:
        raise file.mistake([*at, "remedies"], f"{name} takes no remedy: remedies must be []")
    if spec.category not in CATEGORIES:
        raise file.mistake([*at, "category"], f"expected one of {_listed(CATEGORIES)}")
    if spec.risk not in {"low", "medium", "high"}:
        raise file.mistake([*at, "risk"], "expected low, medium or high")
    if not spec.title.strip():
        raise file.mistake([*at, "title"], "expected a title")
    if not spec.guidance or not all(step.strip() for step in spec.guidance):
        raise file.mistake([*at, "guidance"], "expected at least one step for a person")
    _check_playbooks(file, at, name, spec.playbooks)
    for position, entry in enumerate(spec.remedies):
        _check_remedy(file, [*at, "remedies", position], entry, remedies)
    _refuse_twice(file, [*at, "remedies"], [entry.remedy for entry in spec.remedies])


def _check_playbooks(file: YamlFile, at: Steps, name: str, playbooks: Sequence[str]) -> None:
    if playbooks and name in NEVER_AUTOMATED | {UNKNOWN, CANCELLED}:
        raise file.mistake([*at, "playbooks"], f"{name} is never automated: no playbook either")
    for position, playbook in enumerate(playbooks):
        if playbook not in PLAYBOOKS:
            reason = f"no playbook {playbook!r}; known: {', '.join(PLAYBOOKS)}"
            raise file.mistake([*at, "playbooks", position], reason)
    _refuse_twice(file, [*at, "playbooks"], playbooks)


def _check_remedy(file: YamlFile, at: Steps, entry: RemedySpec, remedies: frozenset[str]) -> None:
    if entry.remedy not in remedies:
        reason = f"no such remedy {entry.remedy!r}; known: {_listed(remedies)}"
        raise file.mistake([*at, "remedy"], reason)
    if not 1 <= entry.attempts <= _MOST_ATTEMPTS:
        raise file.mistake([*at, "attempts"], f"expected 1 or more, at most {_MOST_ATTEMPTS}")
    if not entry.backoff or not all(0 <= s <= _LONGEST_BACKOFF for s in entry.backoff):
        raise file.mistake([*at, "backoff"], "expected at least one time from 0 s to a day")


def _check_libraries(file: YamlFile, libraries: dict[str, tuple[str, ...]]) -> None:
    for name, versions in libraries.items():
        at: Steps = ["libraries", name]
        _refuse_empty(file, at, versions, "version")
        for position, version in enumerate(versions):
            # Snapshots' addresses and files' paths stand in the place of versions there.
            if not name.startswith("cran:") and "/" not in name and not _is_version(version):
                reason = f"{version!r} is no version, such as 1.26.4"
                raise file.mistake([*at, position], reason)
        if not name.startswith("cran:") and "/" not in name:
            _refuse_unordered(file, at, [Version(version) for version in versions])


def _refuse_unordered(file: YamlFile, at: Steps, versions: Sequence[Version]) -> None:
    for position, (newer, older) in enumerate(pairwise(versions), 1):
        if newer < older:
            reason = f"{older} is newer than {newer} before it: expected the newest first"
            raise file.mistake([*at, position], reason)


def _is_version(text: str) -> bool:
    try:
        Version(text)
    except InvalidVersion:
        return False
    return True


def _check_upstreams(file: YamlFile, upstreams: dict[str, str]) -> None:
    for name, upstream in upstreams.items():
        if not upstream.strip():
            raise file.mistake(["upstreams", name], "expected the upstream's name")
        if upstream.lower() == name.lower():
            raise file.mistake(["upstreams", name], f"{name} cannot be its own upstream")


def _check_node_types(file: YamlFile, node_types: dict[str, tuple[str, ...]]) -> None:
    for name, alternatives in node_types.items():
        _refuse_empty(file, ["node_types", name], alternatives, "node type")
        if name in alternatives:
            at: Steps = ["node_types", name, alternatives.index(name)]
            raise file.mistake(at, f"{name} cannot take its own place")


def _check_batches_and_tables(file: YamlFile, catalog: Catalog) -> None:
    for name, batch in catalog.batch_parameters.items():
        if not batch.parameter.strip():
            raise file.mistake(["batch_parameters", name, "parameter"], "expected a name")
        if batch.floor < 1:
            raise file.mistake(["batch_parameters", name, "floor"], "expected 1 or more")
    for name, table in catalog.tables.items():
        if wrong := ddl_mistake(catalog.folder, table.ddl, name):
            raise file.mistake(["tables", name, "ddl"], wrong)
        if not table.warehouse_id.strip():
            raise file.mistake(["tables", name, "warehouse_id"], "expected a warehouse's id")
    for pipeline_id, tables in catalog.refreshable_tables.items():
        _refuse_empty(file, ["refreshable_tables", pipeline_id], tables, "table")


def _refuse_empty(file: YamlFile, at: Steps, values: Sequence[str], what: str) -> None:
    if not values or not all(value.strip() for value in values):
        raise file.mistake(at, f"expected at least one {what}, none of them empty")
    _refuse_twice(file, at, values)


def _refuse_twice(file: YamlFile, at: Steps, values: Sequence[str]) -> None:
    for position, value in enumerate(values):
        if value in values[:position]:
            raise file.mistake([*at, position], f"{value} stands there twice")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))


# Rules


def _check_rules(file: YamlFile, rules: Sequence[Rule], listed: dict[str, ErrorSpec]) -> None:
    seen: set[str] = set()
    for position, rule in enumerate(rules):
        at: Steps = ["rules", position]
        if not rule.id.strip() or rule.id in seen:
            taken = f"the id {rule.id!r} is taken" if rule.id.strip() else "expected an id"
            raise file.mistake([*at, "id"], taken)
        seen.add(rule.id)
        if rule.error_type not in listed:
            raise file.mistake([*at, "error_type"], f"no such error type {rule.error_type!r}")
        if not (rule.codes or rule.patterns or rule.sqlstates or rule.kinds):
            raise file.mistake(at, "expected codes, sqlstates, patterns or kinds")
        # A type may have lost the remedy in somebody's own catalog; then it is just not preferred.
        if rule.prefer and rule.prefer not in ACTIONS:
            raise file.mistake([*at, "prefer"], f"no such remedy {rule.prefer!r}")
        _check_names(file, at, rule)
        for number, pattern in enumerate(rule.patterns):
            if wrong := pattern_mistake(pattern):
                raise file.mistake([*at, "patterns", number], f"{pattern!r}: {wrong}")


def _check_names(file: YamlFile, at: Steps, rule: Rule) -> None:
    for number, code in enumerate(rule.codes):
        if not any(letter.isalnum() for letter in code):
            reason = f"{code!r} would be every code; expected a code, or a family such as A_*"
            raise file.mistake([*at, "codes", number], reason)
    for number, state in enumerate(rule.sqlstates):
        if len(state) not in _SQLSTATE_LENGTHS or not state.isalnum():
            reason = f"{state!r} is no SQLSTATE and no prefix of one: 2 to 5 letters and digits"
            raise file.mistake([*at, "sqlstates", number], reason)
    for number, system in enumerate(rule.systems):
        if system not in SYSTEMS:
            reason = f"no such system {system!r}; known: {_listed(SYSTEMS)}"
            raise file.mistake([*at, "systems", number], reason)
    for number, kind in enumerate(rule.kinds):
        if kind not in KINDS and not kind.endswith("Exception"):
            known = f"{_listed(KINDS)}, or the name of an exception's class"
            raise file.mistake([*at, "kinds", number], f"no such kind {kind!r}; known: {known}")


def pattern_mistake(pattern: str) -> str:
    """What is wrong with a rule's pattern, empty if nothing is."""
    parts = [part.strip() for part in pattern.split("&&")]
    if all(part.startswith("!") for part in parts):
        return "expected a part without !: what is not there recognises nothing"
    return next((wrong for part in parts if (wrong := _part_mistake(part.removeprefix("!")))), "")


def _part_mistake(part: str) -> str:
    import re2

    options = re2.Options()
    options.log_errors = False
    options.case_sensitive = False
    try:
        compiled = re2.compile(part, options)
    except re2.error as error:
        said = error.args[0] if error.args else error
        return f"not RE2: {said.decode() if isinstance(said, bytes) else said}"
    if compiled.search("") is not None:
        return f"{part!r} matches the empty text, so every text"
    if all(compiled.search(probe) for probe in _PROBES[1:]):
        return f"{part!r} matches every text"
    return ""
