"""What a delivery delivers: its kept source, resolved for the present stage and version."""

from __future__ import annotations

from shared.decoding import decode
from shared.delivery.builder.names import ascii_name
from shared.delivery.builder.spec import Specification
from shared.delivery.bundle_zip import read_zip
from shared.delivery.resolved import Resolved, from_bundle, from_specification
from shared.delivery.work import Work


def specification(work: Work) -> Specification:
    """The specification in the present version."""
    name = f"spec-{work.delivery.version}"
    content = work.context.deliveries.source(work.delivery.delivery_id, name)
    return decode(content, Specification)


def load(work: Work, target: str = "") -> Resolved:
    """The bundle for the present stage, or for another target."""
    wanted = target or work.stage.target
    if work.plan.source == "specification":
        return from_specification(specification(work), wanted)  # type: ignore[arg-type]  # checked
    content = work.context.deliveries.source(work.delivery.delivery_id, "bundle")
    return from_bundle(read_zip(content), wanted, work.plan.target)


def folder(work: Work) -> str:
    """Where the sources of this delivery's present version go; never used twice."""
    name = ascii_name(work.plan.name)
    return f"{work.plan.root}/{name}/{work.stage.target}/{work.version}"


def validation_name(work: Work, version: int) -> str:
    """The name of the pipeline that is made only to validate a version."""
    return f"{work.stage.pipeline_name} (validation {work.delivery.delivery_id}.{version})"
