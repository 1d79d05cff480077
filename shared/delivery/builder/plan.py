"""Every name and type decided, once: what all templates and resources go by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from shared.delivery.builder import names
from shared.delivery.builder.datatypes import DataType, data_type
from shared.delivery.builder.infer import Inference, infer
from shared.delivery.builder.literals import identifier
from shared.delivery.builder.names import Taken
from shared.delivery.builder.spec import Column, Measure, Specification, Table

UNKNOWN_KEY = -1  # of the member that takes orphaned foreign keys
DATE_DIMENSION = "dim_date"


@dataclass(frozen=True)
class Field:
    """A column on its way: as the source calls it, as silver and gold call it."""

    column: Column
    name: str
    kind: DataType

    @property
    def source(self) -> str:
        """Quoted, as bronze has it."""
        return identifier(self.column.name)

    @property
    def quoted(self) -> str:
        """Quoted, as silver and gold have it."""
        return identifier(self.name)


@dataclass(frozen=True)
class Lookup:
    """A foreign key in gold: which columns find which table, and what the surrogate is called."""

    columns: tuple[Field, ...]
    references: str
    name: str


@dataclass(frozen=True)
class DateKey:
    """A date's key into the date dimension."""

    field: Field
    name: str


@dataclass(frozen=True)
class Figure:
    """A computed measure."""

    measure: Measure
    operands: tuple[Field, Field]
    name: str
    kind: DataType


@dataclass(frozen=True)
class TablePlan:
    """A source table and everything made from it."""

    table: Table
    stem: str
    inference: Inference
    fields: tuple[Field, ...]
    key: tuple[Field, ...]
    gold: str
    surrogate: str
    lookups: tuple[Lookup, ...]
    dates: tuple[DateKey, ...]
    figures: tuple[Figure, ...]

    @property
    def bronze(self) -> str:
        """As it came."""
        return f"bronze_{self.stem}"

    @property
    def typed(self) -> str:
        """A view: typed and cleaned, every row."""
        return f"typed_{self.stem}"

    @property
    def valid(self) -> str:
        """A view: what keeps the rules."""
        return f"valid_{self.stem}"

    @property
    def silver(self) -> str:
        """Typed, valid, one row a key."""
        return f"silver_{self.stem}"

    @property
    def quarantine(self) -> str:
        """Rows that break a rule, with the rules' names."""
        return f"quarantine_{self.stem}"

    @property
    def by_source(self) -> Mapping[str, Field]:
        """The columns by the names that the source has for them."""
        return {field.column.name: field for field in self.fields}

    @property
    def ordered(self) -> tuple[Field, ...]:
        """What is clustered by comes first: Delta keeps statistics of the first 32 columns."""
        sources = self.by_source
        first = dict.fromkeys((*self.key, *(sources[name] for name in self.table.cluster_by)))
        return tuple(dict.fromkeys((*first, *self.fields)))


@dataclass(frozen=True)
class Plan:
    """A specification with everything decided."""

    spec: Specification
    resource: str
    by_name: Mapping[str, TablePlan]

    @property
    def tables(self) -> tuple[TablePlan, ...]:
        """In the specification's order."""
        return tuple(self.by_name.values())

    @property
    def dimensions(self) -> tuple[TablePlan, ...]:
        """In the specification's order."""
        return tuple(t for t in self.tables if t.inference.role == "dimension")

    @property
    def facts(self) -> tuple[TablePlan, ...]:
        """In the specification's order."""
        return tuple(t for t in self.tables if t.inference.role == "fact")


def plan(spec: Specification) -> Plan:
    """Decide all names of `spec`, which has been checked."""
    roles = infer(spec)
    stems, gold = Taken(), Taken(DATE_DIMENSION)
    by_name = {
        table.name: stems.claim(names.ascii_name(table.alias or table.name))
        for table in spec.tables
    }
    tables = {table.name: _table(table, roles[table.name], by_name, gold) for table in spec.tables}
    return Plan(spec, names.ascii_name(spec.name), tables)


def _table(table: Table, inference: Inference, stems: Mapping[str, str], gold: Taken) -> TablePlan:
    taken, stem = Taken(*names.AUDIT), stems[table.name]
    fields = tuple(_field(column, taken) for column in table.columns)
    by_source = {field.column.name: field for field in fields}
    prefix = {"fact": "fact", "dimension": "dim", "none": ""}[inference.role]
    surrogate = taken.claim(f"{stem}_key") if prefix and table.key else ""
    return TablePlan(
        table=table,
        stem=stem,
        inference=inference,
        fields=fields,
        key=tuple(by_source[name] for name in table.key),
        gold=gold.claim(f"{prefix}_{stem}") if prefix else "",
        surrogate=surrogate,
        lookups=_lookups(table, by_source, stems, taken) if prefix else (),
        dates=_dates(fields, taken) if prefix == "fact" else (),
        figures=_figures(table, by_source, taken) if prefix == "fact" else (),
    )


def _field(column: Column, taken: Taken) -> Field:
    name = taken.claim(names.column_name(column.name))
    return Field(column, name, data_type(column.type, column.name))


def _lookups(
    table: Table, fields: Mapping[str, Field], stems: Mapping[str, str], taken: Taken
) -> tuple[Lookup, ...]:
    """One key to a table is called after it, several are called after their columns."""
    targets = [key.references for key in table.foreign_keys]
    found = []
    for key in table.foreign_keys:
        columns = tuple(fields[name] for name in key.columns)
        alone = targets.count(key.references) == 1 and key.references != table.name
        stem = stems[key.references] if alone else "_".join(field.name for field in columns)
        if key.role:
            stem = names.ascii_name(key.role)
        found.append(Lookup(columns, key.references, taken.claim(f"{stem}_key")))
    return tuple(found)


def _dates(fields: tuple[Field, ...], taken: Taken) -> tuple[DateKey, ...]:
    return tuple(
        DateKey(field, taken.claim(f"{field.name}_date_key"))
        for field in fields
        if field.kind.temporal
    )


def _figures(table: Table, fields: Mapping[str, Field], taken: Taken) -> tuple[Figure, ...]:
    return tuple(
        Figure(
            measure,
            (fields[measure.columns[0]], fields[measure.columns[1]]),
            taken.claim(names.column_name(measure.name)),
            data_type(measure.type, measure.name),
        )
        for measure in table.measures
        if isinstance(measure, Measure)
    )
