"""Breaks a pipeline, sends the alert, and follows its healing as an operator would: over HTTP."""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeVar

from devstack.client import Json, Reply, call
from devstack.processes import Stack
from devstack.story import FailedRun, fail_once, log_alert
from devstack.view import View

T = TypeVar("T")

_OK, _ACCEPTED = 200, 202
_LOOK = 0.25  # seconds between looks
_PATIENCE = 300.0  # seconds for the whole healing
_CLOSED = frozenset({"healed", "escalated", "observed", "cancelled"})
_REFUSED = frozenset({"ignored", "refused", "nothing_found", "poison"})
_WAITS_FOR = {
    "received": "its turn",
    "diagnosing": "the platform to tell what failed",
    "awaiting_approval": "somebody's approval",
    "remediating": "the pause before the action, then the platform",
    "verifying": "the new run to end",
    "waiting": "the pause before the next action to pass",
}


class NotHealed(Exception):
    """The demonstration did not go as it should; the text says why."""


class Demonstration:
    """One failure from its alert to its end."""

    def __init__(self, stack: Stack, view: View) -> None:
        self._stack = stack
        self._view = view
        self._begun = time.monotonic()
        self._sent = datetime.now(UTC)
        self._told = 0  # entries of the timeline that were shown

    def run(self) -> bool:
        """Play it; say whether it was healed."""
        try:
            incident = self._play()
        except (NotHealed, OSError) as error:
            self._view.say(f"not healed: {error}", "bold red")
            return False
        self._sum_up(incident)
        return bool(incident["state"] == "healed")

    def _play(self) -> Json:
        run = fail_once(self._stack)
        self._view.say(f"Data Factory: run {run.run_id} of {run.pipeline} failed (504)", "bold")
        alert_id = self._send(run)
        self._view.say()
        with self._view.progress():
            incident_id = self._until(lambda: self._incident_of(alert_id))
            return self._until(lambda: self._closed(incident_id))

    def _send(self, run: FailedRun) -> str:
        self._begun, self._sent = time.monotonic(), datetime.now(UTC)
        address, key = f"{self._stack.base_url}/azure-monitor", self._stack.keys["sender"]
        reply = call("POST", address, log_alert(run), key)
        took = 1000 * (time.monotonic() - self._begun)
        self._view.say(f"Azure Monitor: POST /azure-monitor -> {reply.status} in {took:.0f} ms")
        self._view.say(json.dumps(reply.body, indent=2))
        if reply.status != _ACCEPTED:
            raise NotHealed(f"the alert was answered {reply.status}")
        return str(reply.body["alert_id"])

    def _incident_of(self, alert_id: str) -> str | None:
        reply = self._read(f"api/alerts/{alert_id}", "sender")
        if reply.body.get("disposition") in _REFUSED:
            raise NotHealed(f"{reply.body['disposition']}: {reply.body.get('reason')}")
        incidents = reply.body.get("incidents", [])
        self._wait_for(reply, "alert stored; waits for its failure to be looked up")
        return str(incidents[0]["incident_id"]) if incidents else None

    def _closed(self, incident_id: str) -> Json | None:
        reply = self._read(f"api/incidents/{incident_id}", "reader")
        self._tell(reply.body.get("timeline", []))
        state = str(reply.body.get("state", ""))
        if state in _CLOSED:
            return reply.body
        usual = f"waits for {_WAITS_FOR.get(state, 'the next step')}"
        self._wait_for(reply, f"{state}: {reply.body.get('waiting_for') or usual}")
        return None

    def _tell(self, timeline: list[Json]) -> None:
        for entry in timeline[self._told :]:
            self._view.entry(entry, self._sent)
        self._told = max(self._told, len(timeline))

    def _wait_for(self, reply: Reply, what: str) -> None:
        shown = what if reply.status == _OK else f"the service answers {reply.status}"
        self._view.waiting(shown, time.monotonic() - self._begun)

    def _until(self, look: Callable[[], T | None]) -> T:
        while time.monotonic() - self._begun < _PATIENCE:
            found = look()
            if found is not None:
                return found
            self._stack.check()
            time.sleep(_LOOK)
        raise NotHealed(f"no end within {_PATIENCE:.0f} s")

    def _read(self, path: str, scope: str) -> Reply:
        return call("GET", f"{self._stack.base_url}/{path}", key=self._stack.keys[scope])

    def _sum_up(self, incident: Json) -> None:
        closed = datetime.fromisoformat(str(incident["closed_at"]))
        seconds = (closed - self._sent).total_seconds()
        parts = [f"{incident['state']} after {seconds:.1f} s", self._reruns(), _chain(incident)]
        style = "bold green" if incident["state"] == "healed" else "bold red"
        self._view.say()
        self._view.say(", ".join(parts), style)

    def _reruns(self) -> str:
        seen = call(
            "GET", f"{self._stack.sandbox_url}/_sandbox/requests?method=POST&path=createRun"
        )
        count = len(seen.body.get("requests", []))
        return f"{count} rerun{'' if count == 1 else 's'} seen by the sandbox"


def _chain(incident: Json) -> str:
    audit = incident["audit"]
    whole = "whole" if audit["whole"] else f"broken: {audit.get('problem')}"
    return f"audit chain of {audit['count']} entries {whole}"
