"""The medallion builder on specifications that grow: reading, planning, rendering, zipping."""

from __future__ import annotations

import time

import yaml
from msgspec.structs import replace

from bench.model import Aim, Figure, Measured, Options, Target
from shared.delivery.builder.archive import archive
from shared.delivery.builder.reading import read
from shared.delivery.builder.render import render
from shared.delivery.builder.spec import MAX_TABLES

_SIZES = (5, 50, 500)
_STAR = 5  # tables of one star: a fact and its four dimensions
_LINEAR = Target(Aim.RATIO_AT_MOST, 1.25)


def run(options: Options) -> Measured:
    """Build bundles of stars of five tables; the cost of one table must not grow."""
    sizes = (5, 25) if options.short else _SIZES
    rounds = options.pick(3, 1)
    parts = {size: specifications(size) for size in sizes}
    build(parts[sizes[0]])  # templates are compiled, modules loaded
    costs = {size: min(_cost(parts[size]) for _ in range(rounds)) for size in sizes}
    figures = [Figure(f"{size} tables", costs[size] * 1000, "ms") for size in sizes]
    small, large = sizes[-2], sizes[-1]
    each = {size: costs[size] / size * 1000 for size in sizes}
    of = f"of {small}"
    figures.append(Figure(f"a table of {large}", each[large], "ms", each[small], of, _LINEAR))
    size_of_zip = len(build(parts[large]))
    how = (
        f"from YAML to the zip of a bundle; processor time, the best of {rounds}; the largest zip "
        f"has {size_of_zip:,} bytes"
    )
    halves = (
        f"a specification of more than {MAX_TABLES} tables is refused, since a pipeline takes no "
        "more files: it is read in parts, then planned, rendered and zipped as one"
    )
    return Measured(figures, [how, halves] if large > MAX_TABLES else [how])


def build(parts: list[bytes]) -> bytes:
    """One bundle of the tables of all parts."""
    read_ = [read(part) for part in parts]
    tables = tuple(table for part in read_ for table in part.tables)
    return archive(render(replace(read_[0], tables=tables)))


def specifications(tables: int) -> list[bytes]:
    """Parts that are read one by one, none larger than may be read."""
    step = MAX_TABLES // _STAR * _STAR
    numbers = range(tables)
    return [_part([*numbers[at : at + step]]) for at in range(0, tables, step)]


def _part(numbers: list[int]) -> bytes:
    """A specification of stars: each a fact of orders with four dimensions."""
    described = [_table(number) for number in numbers]
    content = {"name": "Bench", "catalog": "main", "schema": "bench", "tables": described}
    return yaml.safe_dump(content).encode()


def _table(number: int) -> dict[str, object]:
    star, place = divmod(number, _STAR)
    key = {"name": "id", "type": "long"}
    plain = [{"name": f"column {n}", "type": "string"} for n in range(6)]
    amount = {"name": "amount", "type": "decimal(12,2)"}
    when = {"name": "changed_at", "type": "timestamp", "required": True}
    columns = [key, *plain, amount, when]
    table: dict[str, object] = {
        "name": f"t{star}_{place}",
        "format": "parquet",
        "path": f"/Volumes/main/landing/t{star}_{place}",
        "key": ["id"],
        "sequence_by": "changed_at",
    }
    if place == _STAR - 1:
        others = range(_STAR - 1)
        columns = [*columns, *({"name": f"ref{n}", "type": "long"} for n in others)]
        table["foreign_keys"] = [
            {"columns": [f"ref{n}"], "references": f"t{star}_{n}"} for n in others
        ]
        table["measures"] = ["amount"]
    return {**table, "columns": columns}


def _cost(parts: list[bytes]) -> float:
    begin = time.process_time()
    build(parts)
    return time.process_time() - begin
