"""What to know while the stack is up: addresses, keys, and what to try next."""

import json
from collections.abc import Iterator
from dataclasses import asdict

from devstack.client import Json
from devstack.processes import Stack
from devstack.story import CLUSTER
from devstack.view import View

_REASON = {
    "code": "DRIVER_NOT_RESPONDING",
    "type": "SERVICE_FAULT",
    "parameters": {"databricks_error_message": "The driver did not answer its health checks"},
}
_NOW = "'$(date +%s000)'"  # leaves the quotes around the JSON, for the shell to put the time in


def moved_ports(stack: Stack) -> list[str]:
    """One line for each port that was taken."""
    pairs = asdict(stack.wanted), asdict(stack.ports)
    return [
        f"port {wanted} is taken, {name} listens on {pairs[1][name]}"
        for name, wanted in pairs[0].items()
        if wanted not in (0, pairs[1][name])
    ]


def pace(time_scale: float) -> str:
    """What a time scale means for the times that are shown."""
    how = "compressed" if time_scale > 1 else "stretched"
    return f"time is {how} {time_scale:g} to 1: a pause of 10 s takes {10 / time_scale:g} s here"


def tell(stack: Stack, view: View, *, time_scale: float) -> None:
    """Print it all."""
    view.say()
    for name, value in _addresses(stack):
        view.say(f"{name:<14}{value}")
    view.say()
    view.say(f"Try next: a cluster dies; it is healed {_how_long(time_scale)}. Paste this:", "bold")
    view.say()
    for line in _commands(stack):
        view.say(line)
    view.say()
    view.say("Or deliver a pipeline and watch it, from another terminal:", "bold")
    view.say()
    view.say("make deliver")
    view.say()
    view.say("Ctrl-C stops everything.", "bold")


def _addresses(stack: Stack) -> Iterator[tuple[str, str]]:
    yield "Lakemend", stack.base_url
    yield "Sandbox", f"{stack.sandbox_url}/_sandbox/state"
    yield "Storage", f"tables on port {stack.ports.table}, blobs {stack.ports.blob}"
    yield "Logs", str(stack.directory)
    for scope, key in stack.keys.items():
        yield f"Key {scope}", key


def _how_long(time_scale: float) -> str:
    return f"in about {60 / time_scale + 20:.0f} s"


def _commands(stack: Stack) -> list[str]:
    sender, reader = (f"-H 'X-API-Key: {stack.keys[s]}'" for s in ("sender", "reader"))
    fatal = {"termination_reason": _REASON}
    broken = f"{stack.sandbox_url}/_sandbox/databricks/clusters/{CLUSTER}/break"
    return [
        f"curl -sS {broken} -d '{json.dumps(fatal)}'",
        f"curl -sS {stack.base_url}/databricks-monitor {sender} -d '{_event()}'",
        f"curl -sS '{stack.base_url}/api/incidents?limit=1' {reader}",
    ]


def _event() -> str:
    event: Json = {
        "event": "cluster.terminated",
        "workspace": "databricks",
        "timestamp": 0,
        "cluster": {"cluster_id": CLUSTER, "cluster_name": "shared-etl"},
        "termination_reason": _REASON,
    }
    return json.dumps(event).replace('"timestamp": 0', f'"timestamp": {_NOW}')
