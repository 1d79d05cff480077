"""Results for people: a table on the terminal, and the measured part of docs/performance.md."""

from __future__ import annotations

from pathlib import Path

import msgspec

from bench.model import Figure, Result

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
_HEADER = ("figure", "measured", "reference", "ratio", "target", "reached")


def save(result: Result, directory: Path) -> Path:
    """Write a result as JSON, with the ratios and verdicts that a reader would compute."""
    directory.mkdir(parents=True, exist_ok=True)
    content = msgspec.to_builtins(result)
    for figure, plain in zip(result.figures, content["figures"], strict=True):
        plain["ratio"], plain["reached"] = figure.ratio, figure.reached
    path = directory / f"{result.name}.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n")
    return path


def load(path: Path) -> Result:
    """Read a result that `save` wrote."""
    return msgspec.json.decode(path.read_bytes(), type=Result)


def table(result: Result) -> str:
    """A result for the terminal."""
    rows = [_HEADER, *(_cells(figure) for figure in result.figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADER))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    title = f"{result.name} ({result.form}, {result.seconds:.0f} s)"
    return "\n".join(["", title, "-" * len(title), *lines, *(f"  {n}" for n in result.notes)])


def write(document: Path, results: list[Result]) -> None:
    """Put the measured tables between the markers of a document.

    Raises:
        ValueError: the document has no markers.
    """
    text = document.read_text("utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{document}: expected the lines {BEGIN} and {END}")
    document.write_text(f"{before}{BEGIN}\n{_measured(results)}\n{END}{after}", "utf-8")


def _measured(results: list[Result]) -> str:
    return "\n\n".join([_machine(results), *(_section(result) for result in results)])


def _machine(results: list[Result]) -> str:
    machine = results[0].machine
    return (
        f"Measured on {results[0].started_at[:10]}: {machine.cpu}, {machine.cores} cores, "
        f"{machine.memory_gib:g} GiB, {machine.system}, Python {machine.python}, "
        f"Azurite {machine.azurite}."
    )


def _section(result: Result) -> str:
    lines = [
        f"### {result.name}",
        "",
        f"{result.form} form, {result.seconds:.0f} s, load before: {result.machine.load:g}",
        "",
        "| " + " | ".join(_HEADER) + " |",
        "|---|" + "---:|" * 3 + "---|---|",
        *("| " + " | ".join(_cells(figure)) + " |" for figure in result.figures),
    ]
    return "\n".join([*lines, *([""] if result.notes else []), *(f"- {n}" for n in result.notes)])


def _cells(figure: Figure) -> tuple[str, ...]:
    reference = _number(figure.reference, figure.unit) if figure.reference is not None else ""
    return (
        figure.name,
        _number(figure.value, figure.unit),
        f"{reference} ({figure.of})" if figure.of else reference,
        f"{figure.ratio:.2f}" if figure.ratio is not None else "",
        figure.target.words() if figure.target else "",
        {None: "", True: "yes", False: "NO"}[figure.reached],
    )


def _number(value: float, unit: str) -> str:
    if value and abs(value) < 10:  # three figures that count
        return f"{value:.3g} {unit}".strip()
    return f"{value:,.0f} {unit}".strip()
