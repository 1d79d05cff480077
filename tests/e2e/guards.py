"""A host under a policy of its own, and what a test of the limits asks it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import requests

from tests.e2e.hosts import Host
from tests.e2e.world import TIMEOUT_ERROR, Json, World

Guarded = Callable[..., Host]
ASKED: Json = {"rerunnable": []}  # nothing is declared, so production asks
STILL_FAILS = {"status": "Failed", "activity": "Load", "error": TIMEOUT_ERROR}


def fail(world: World, pipeline: str = "", **more: Any) -> tuple[str, str]:
    """A failed run of a pipeline (a new one) with an alert about it: pipeline and alert."""
    name = pipeline or world.pipeline()
    return name, world.send(
        "/azure-monitor", world.alert_on((name, world.failed_run(name, **more)))
    )


def asked(world: World, alert: str) -> Json:
    """The alert's incident once it waits for somebody."""

    def ready() -> Json | None:
        listed = world.get(f"/api/alerts/{alert}").json()["incidents"]
        incident = world.incident(listed[0]["incident_id"]) if listed else {}
        return incident if incident.get("state") == "awaiting_approval" else None

    found: Json = world.until(ready)
    return found


def say(world: World, incident: Json, scope: str = "approver", **body: Any) -> requests.Response:
    content = {"question_id": incident["question"]["question_id"], "approve": True} | body
    return world.post(f"/api/incidents/{incident['incident_id']}/approval", content, scope)


def decided(incident: Json) -> list[tuple[str, str]]:
    """Kind and reason of every decision."""
    rows = [e for e in incident["timeline"] if e["action"] == "Decision Made"]
    return [(row.get("result", ""), row.get("reason", "")) for row in rows]
