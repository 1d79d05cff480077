"""The pipeline's settings as this delivery left them: what tells our work from somebody's edit."""

from __future__ import annotations

import json

from shared.delivery.resolved import stamp_of
from shared.delivery.work import Work
from shared.delivery_models import Delivery
from shared.ledger.tables import digest
from shared.models import Json


def remember(work: Work) -> None:
    """Keep a digest of the settings as the platform tells them, right after we set them."""
    spec = (work.api.pipeline(work.stage.pipeline_id) or {}).get("spec") or {}
    number, seen = work.delivery.stage_number, _seen(spec)

    def note(fresh: Delivery) -> None:
        fresh.stages[number].deployed = seen

    work.change(note)


def untouched(work: Work, spec: Json) -> bool:
    """Whether the settings are ours, and nobody has edited them since: an edit keeps the tags.

    A version that was not yet read back is known by its stamp alone.
    """
    version, _, _ = work.stage.deployed.partition(" ")
    stamp = stamp_of(spec)
    if version == (stamp or "-"):
        return work.stage.deployed == _seen(spec)
    return stamp.startswith(f"{work.delivery.delivery_id}.")


def _seen(spec: Json) -> str:
    """Stamp (or a dash: not deployed from here) and digest; the id is no setting."""
    settings = {name: value for name, value in spec.items() if name != "id"}
    text = json.dumps(settings, sort_keys=True, default=str)
    return f"{stamp_of(spec) or '-'} {digest(text)}"
