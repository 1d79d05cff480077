"""How a person takes data back: the versions are looked up and named, nothing is restored."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from shared.delivery.tables import Version, full_name, history, quoted, warehouse_of
from shared.delivery.work import Work
from shared.delivery_models import Run, Stage
from shared.errors import NothingChanged

_MOST_TABLES = 20  # each one is a statement on the warehouse
_SKEW = timedelta(minutes=1)  # between our clock and the platform's
# A materialized view has no earlier versions to go back to; it is computed anew by an update.
_COMPUTED = frozenset({"MATERIALIZED_VIEW", "VIEW"})


def restore_guide(work: Work) -> list[str]:
    """What was written by the updates of stages that were taken back, and how to restore it."""
    here, found = work.delivery.stage_number, []
    for number, stage in enumerate(work.delivery.stages):
        started = next((_begun(run) for run in stage.runs if _begun(run)), None)
        if stage.rolled_back_at is not None and started is not None:
            work.delivery.stage_number = number  # only this copy of the record
            found += list(_stage(work, stage, started))
    work.delivery.stage_number = here
    return found


def _begun(run: Run) -> datetime | None:
    """When an update began by the platform's clock, which also counts the versions."""
    return run.created_at or (run.started_at - _SKEW if run.started_at else None)


def _stage(work: Work, stage: Stage, started: datetime) -> Iterator[str]:
    moment = started.strftime("%Y-%m-%d %H:%M:%S")
    yield (
        f"{stage.target}: data written since {moment} UTC was not rewound. Restore a table only "
        "where that is wanted, with the pipeline stopped, and look at what reads it first."
    )
    warehouse = warehouse_of(work) or _of_settings(work)
    if not warehouse:
        tables = ", ".join(full_name(work, name) for name in stage.tables[:5]) or "each table"
        more = " and the others" if len(stage.tables) > 5 else ""  # noqa: PLR2004 - as above
        yield (
            f"{stage.target}: no SQL warehouse is named (quality.warehouse), so the versions were "
            f"not looked up. DESCRIBE HISTORY of {tables}{more}, find the last version before that "
            "time, then RESTORE TABLE … TO VERSION AS OF that version."
        )
        return
    yield from _tables(work, warehouse, started)


def _tables(work: Work, warehouse: str, started: datetime) -> Iterator[str]:
    """One step for each table that can go back, one line for all others of a kind."""
    names, others = work.stage.tables, dict[str, list[str]]()
    for name in names[:_MOST_TABLES]:
        try:
            step, kind = _table(work, warehouse, full_name(work, name), started)
        except NothingChanged as error:
            said = work.context.redactor.text(str(error))
            yield f"{work.stage.target}: the tables' versions could not be read: {said}"
            return
        if step:
            yield step
        else:
            others.setdefault(kind, []).append(name)
    for kind, listed in others.items():
        yield f"{work.stage.target}: {kind}: {', '.join(listed)}"
    if len(names) > _MOST_TABLES:
        yield f"{work.stage.target}: {len(names) - _MOST_TABLES} more tables were not looked up."


def _of_settings(work: Work) -> str:
    """The warehouse of the settings, where it is of the stage's workspace."""
    from shared.monitoring.usage import warehouse_of as configured

    settings = work.context.settings
    found = configured(settings.system_tables_warehouse, settings.targets)
    return found[1] if found and found[0].name == work.stage.workspace else ""


def _table(work: Work, warehouse: str, full: str, started: datetime) -> tuple[str, str]:
    row = work.api.table(full)
    if row is None:
        return "", "not there"
    if row.get("table_type") in _COMPUTED:
        return "", "computed from others, and computed anew by an update"
    return words(full, history(work, warehouse, full), started)


def words(full: str, versions: list[Version], started: datetime) -> tuple[str, str]:
    """One table's step, or why it needs none; `versions` newest first."""
    if not versions:
        return "", "without a history"
    before = next((version for version in versions if version.at < started), None)
    after = versions[0]
    if after.at < started:
        return "", "not written since"
    if before is None:
        return "", "made by this delivery, so there is nothing to go back to"
    return (
        f"{full}: version {before.number} before, {after.number} after. To go back: "
        f"RESTORE TABLE {quoted(full)} TO VERSION AS OF {before.number}"
    ), ""
