"""Loads the catalog: what each type of error is, how it is recognised, how it is repaired.

A mistake in the data is refused when the program starts, with the file, the line and the reason.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from shared.yaml_lines import YamlFile

# Never automated, whatever the data says: permissions and access, schema, corrupted data, failed
# sign-ins. In code on purpose, so that no edited file can lift it.
NEVER_AUTOMATED = frozenset(
    {
        "UserErrorColumnNameInvalid",
        "DatabricksPermissionDenied",
        "DataCorruption",
        "SchemaMismatch",
        "AuthenticationError",
    }
)
# The field's words for the first step of a repair, by remedy.
ACTIONS = {
    "rerun": "retry_with_backoff",
    "wait_for_upstream": "wait_upstream",
    "restart_cluster": "restart_cluster",
    "change_node_type": "change_node_type",
    "scale_up": "scale_up",
    "library_fallback": "library_fallback",
    "increase_timeout": "increase_timeout",
    "reduce_batch": "retry_with_backoff",
    "refresh_credential": "refresh_token",
    "create_table": "wait_upstream",
    "full_refresh": "full_refresh",
    "playbook": "retry_with_backoff",
}
UNKNOWN = "Unknown"
PROPOSED = "ProposedChange"  # no error: what an approved proposal is decided as
CANCELLED = "Cancelled"


class RemedySpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One remedy for an error type: how often, and the seconds of backoff before each try.

    `only_if_preferred`: not for the type as such, only where the rule that recognised it names it.
    """

    remedy: str
    attempts: int
    backoff: tuple[float, ...]
    honor_retry_after: bool = False
    only_if_preferred: bool = False

    def delay(self, tries: int, retry_after: float | None) -> float:
        """Seconds to wait before the next try after `tries` tries were made."""
        if self.honor_retry_after and retry_after is not None:
            return retry_after
        return self.backoff[min(tries, len(self.backoff) - 1)]


class ErrorSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One row of the matrix."""

    title: str
    category: str
    transient: bool | None
    risk: str
    remedies: tuple[RemedySpec, ...]
    guidance: tuple[str, ...]
    playbooks: tuple[str, ...] = ()


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One way to recognise an error type; the head of `rules.yaml` explains the fields.

    `prefer` names the remedy that fits this recognition best and is tried first; `hands_off` says
    that what is recognised here is for a person, although the type has remedies.
    """

    id: str
    error_type: str
    because: str
    codes: tuple[str, ...] = ()
    sqlstates: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    systems: tuple[str, ...] = ()
    generic: bool = False
    yields: bool = False
    ambiguous: bool = False
    planned: bool = False
    overrules: bool = False
    vetoes: bool = False
    doubt: bool = False
    forbids: bool = False
    reassures: bool = False
    weak: bool = False
    wrapper: bool = False
    prefer: str = ""
    hands_off: bool = False


class Timings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All waiting times, in seconds, and the counts that go with them."""

    verify_first: float
    verify_growth: float
    verify_ceiling: float
    run_timeout: float
    ready_timeout: float
    doubt_interval: float
    doubt_looks: int
    wait_interval: float
    wait_ceiling: float
    hold_interval: float
    hold_ceiling: float
    expand_retry: float
    expand_tries: int
    lock_margin: float
    dispatch_after: float
    orphan_after: float
    look_again_after: float
    give_back_tries: int
    timeout_ceiling: float

    @property
    def lease(self) -> float:
        """Seconds that a lock is taken for: longer than the longest pause between two looks."""
        return self.verify_ceiling + self.lock_margin

    def look_after(self, looks: int) -> float:
        """Seconds until the next look after `looks` looks were made."""
        return min(self.verify_first * self.verify_growth**looks, self.verify_ceiling)


class BatchParameter(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The parameter of a pipeline or job that sets its batch, and the least it may be."""

    parameter: str
    floor: int


class TableDdl(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How exactly one table is made where it is missing: a DDL file and a SQL warehouse."""

    ddl: str
    warehouse_id: str


class _CatalogFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    timings: Timings
    error_types: dict[str, Any]
    libraries: dict[str, Any] = {}
    upstreams: dict[str, Any] = {}
    node_types: dict[str, Any] = {}
    batch_parameters: dict[str, Any] = {}
    tables: dict[str, Any] = {}
    refreshable_tables: dict[str, Any] = {}


class _RulesFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    rules: tuple[Rule, ...]


class Catalog(msgspec.Struct, frozen=True):
    """The whole matrix."""

    timings: Timings
    error_types: dict[str, ErrorSpec]
    rules: tuple[Rule, ...]
    libraries: dict[str, tuple[str, ...]]
    upstreams: dict[str, str]
    node_types: dict[str, tuple[str, ...]]
    batch_parameters: dict[str, BatchParameter]
    tables: dict[str, TableDdl]
    refreshable_tables: dict[str, tuple[str, ...]]
    folder: Path

    def remedies(self, error_type: str, prefer: str, *, hands_off: bool) -> list[RemedySpec]:
        """The remedies for a recognition, the one that fits it best first."""
        if hands_off or error_type in NEVER_AUTOMATED:
            return []
        listed = self.spec(error_type).remedies
        fitting = [r for r in listed if not r.only_if_preferred or r.remedy == prefer]
        return sorted(fitting, key=lambda remedy: remedy.remedy != prefer)

    def spec(self, error_type: str) -> ErrorSpec:
        """The row of `error_type`, or of Unknown where the catalog has none by that name."""
        if error_type == PROPOSED:
            return _PROPOSED
        return self.error_types.get(error_type, self.error_types[UNKNOWN])


_PROPOSED = ErrorSpec(
    title="A change that a finding proposes",
    category="capacity",
    transient=False,
    risk="medium",
    remedies=(),
    guidance=("Look at the finding and make the change by hand, or silence it.",),
)


def load(path: Path, remedies: frozenset[str]) -> Catalog:
    """The catalog at `path`, with `rules.yaml` beside it.

    Args:
        path: the matrix file.
        remedies: names of the remedies that exist.

    Raises:
        ConfigurationError: a mistake, with file, line and reason.
    """
    from shared.catalog import checks  # it needs the shapes that are defined here

    matrix = YamlFile(path)
    listed = matrix.document(_CatalogFile)
    error_types = matrix.entries(["error_types"], listed.error_types, ErrorSpec)
    rules_path = path.with_name("rules.yaml")
    recognition = YamlFile(rules_path if rules_path.exists() else _DEFAULT_RULES)
    rules = recognition.document(_RulesFile).rules
    lists = tuple[str, ...]
    catalog = Catalog(
        timings=listed.timings,
        error_types=error_types,
        rules=rules,
        libraries=matrix.entries(["libraries"], listed.libraries, lists),
        upstreams=matrix.entries(["upstreams"], listed.upstreams, str),
        node_types=matrix.entries(["node_types"], listed.node_types, lists),
        batch_parameters=matrix.entries(
            ["batch_parameters"], listed.batch_parameters, BatchParameter
        ),
        tables=matrix.entries(["tables"], listed.tables, TableDdl),
        refreshable_tables=matrix.entries(["refreshable_tables"], listed.refreshable_tables, lists),
        folder=path.parent,
    )
    checks.check(catalog, matrix, recognition, remedies)
    return catalog


_DEFAULT_RULES = Path(__file__).parent / "rules.yaml"
