"""Sources of old versions in the workspace: the newest stay, and whatever is still used."""

from __future__ import annotations

from functools import partial

from shared.delivery import sources
from shared.delivery.mutations import repeatable
from shared.delivery.work import Work
from shared.errors import LedgerMissing, NothingChanged


def tidy(work: Work) -> str:
    """Remove the folders of old versions; what could not be done, empty if nothing.

    A delivery does not fail for it: a folder too many does no harm.
    """
    if work.plan.source == "pipeline":
        return ""
    try:
        for folder in _old(work):
            words = f"remove the folder {folder}"
            name = f"tidy-{folder.rpartition('/')[2]}"
            repeatable(work, name, words, partial(work.api.remove_folder, folder))
    except NothingChanged as error:
        said = work.context.redactor.text(str(error))
        return f"{work.stage.target}: folders of old versions were not removed: {said}"
    return ""


def _old(work: Work) -> list[str]:
    """Folders of versions that were never good, and of those before the last ones."""
    home = sources.home(work)
    current, previous = sources.folder(work), work.stage.previous
    used = str([previous.pipeline, previous.jobs]) if previous else ""
    never_good = [folder for folder in work.stage.folders if folder != current]
    versions = sorted(filter(None, map(_version, work.api.folders(home))), reverse=True)
    earlier = [f"{home}/{delivery_id}.{number}" for delivery_id, number in versions]
    kept = [folder for folder in earlier if folder not in never_good][: work.plan.keep_versions]
    old = [f for f in earlier if f not in kept and f not in never_good and _ours(work, f)]
    return [folder for folder in [*never_good, *old] if folder != current and folder not in used]


def _version(path: str) -> tuple[str, int] | None:
    """Delivery and version of a folder; an id begins with its time, so ids sort by age."""
    delivery_id, _, number = path.rpartition("/")[2].rpartition(".")
    return (delivery_id, int(number)) if delivery_id and number.isdigit() else None


def _ours(work: Work, folder: str) -> bool:
    """Whether the folder's delivery is known, and was of this pipeline: names may look alike."""
    delivery_id = folder.rpartition("/")[2].rpartition(".")[0]
    try:
        delivery = work.context.deliveries.get(delivery_id)
    except LedgerMissing:
        return False
    here = (work.stage.workspace, work.stage.pipeline_name)
    return any((stage.workspace, stage.pipeline_name) == here for stage in delivery.stages)
