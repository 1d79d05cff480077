"""What was delivered is what drift is measured against from now on."""

from __future__ import annotations

from shared.delivery.work import Work
from shared.errors import LedgerRefused, NothingChanged


def accept(work: Work) -> str:
    """Take the stage's pipeline as it is now for its baseline; what went wrong, empty if nothing.

    A delivery does not fail for it: without a baseline the pipeline is only seen to have changed.
    """
    from shared.monitoring.pipelines import Pipelines

    context, stage = work.context, work.stage
    targets = context.settings.targets
    pipelines = Pipelines(
        context.platforms, targets, context.documents, context.redactor, context.clock
    )
    by = f"delivery {work.delivery.delivery_id}, {work.delivery.by}"
    try:
        for deployed in pipelines.named(stage.pipeline_id, stage.workspace):
            pipelines.accept(deployed, by)
    except (NothingChanged, LedgerRefused, ValueError) as error:  # or larger than is kept
        said = context.redactor.text(str(error))
        return f"{stage.target}: accept {stage.pipeline_name} as its own baseline by hand: {said}"
    return ""
