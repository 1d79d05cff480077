"""Composition of the Functions app: registers the blueprints, nothing else."""

from __future__ import annotations

import azure.functions as func
from azure.durable_functions import DFApp

from functions import (
    approvals,
    delivery,
    delivery_api,
    findings,
    healing,
    intake,
    medallion,
    messages,
    metrics,
    operations,
    proposals,
    readiness,
    selftest,
    sweeps,
    watching,
)
from shared.composition import current

# A mistake in the settings or in a catalog of one's own is refused here, not at the first alert.
current().check()

# Callers are known by our own keys and scopes (shared/auth.py), which the host's keys do not have.
app = DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)
for blueprint in (
    intake.bp,
    healing.bp,
    approvals.bp,
    operations.bp,
    metrics.bp,
    findings.bp,
    proposals.bp,
    readiness.bp,
    medallion.bp,
    delivery.bp,
    delivery_api.bp,
    sweeps.bp,
    watching.bp,
    selftest.bp,
    messages.bp,
):
    app.register_functions(blueprint)
