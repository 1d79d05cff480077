"""`python -m devstack.deliver examples/sales.yaml`: deliver a pipeline, and watch it.

To the local stack that is running (`make run`), to the one that `--url` names, or to one that is
started for this and stopped at the end. The exit code is 0 if the pipeline is green.
"""

import argparse
import json
import os
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.request import ProxyHandler, Request, build_opener

from devstack.client import Json, answers, call
from devstack.processes import ServiceError, Stack
from devstack.service import ROOT
from devstack.view import View

FILE = "stack.json"
URL_HELP = (
    "of a running Lakemend, as of a stack started with --directory, which is not found by itself; "
    "its key is taken from LAKEMEND_KEY"
)
_ACCEPTED = 202
_INTENDED = "Action Intended"
_LOOK = 0.5  # seconds between looks
_CLOSED = frozenset({"succeeded", "rolled_back", "cancelled", "failed"})


@dataclass(frozen=True)
class Place:
    """Where to deliver to; `sandbox_url` is empty where there is none to prepare."""

    base_url: str
    key: str
    sandbox_url: str = ""


def note(stack: Stack) -> Path:
    """Write down where a stack is and its keys, for nobody but its owner to read."""
    path = stack.directory / FILE
    path.unlink(missing_ok=True)
    told = {"base_url": stack.base_url, "sandbox_url": stack.sandbox_url, "keys": stack.keys}
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, stat.S_IRUSR | stat.S_IWUSR)
    with os.fdopen(handle, "w") as file:
        json.dump(told, file)
    return path


def running() -> Place | None:
    """The local stack that was started last and answers, None if there is none."""
    files = sorted(ROOT.glob(f".run/*/{FILE}"), key=lambda p: p.stat().st_mtime, reverse=True)
    for path in files:
        told = json.loads(path.read_text("utf-8"))
        if answers(f"{told['base_url']}/admin/host/status"):
            return Place(told["base_url"], told["keys"]["deployer"], told["sandbox_url"])
    return None


def main(arguments: list[str] | None = None) -> int:
    """Deliver and follow; returns the exit code."""
    options = _parse(arguments)
    view = View()
    try:
        plan = _plan(options)
        with _place(options, view) as place:
            return 0 if _deliver(place, plan, options, view) else 1
    except (OSError, ValueError, ServiceError) as error:
        view.say(str(error), "red")
        return 1


def _plan(options: argparse.Namespace) -> Json:
    text = options.specification.read_text("utf-8")
    plan: Json = {"target": options.target, "specification": text}
    if options.promote:
        plan["promote_to"] = {"target": options.promote}
    return plan


@contextmanager
def _place(options: argparse.Namespace, view: View) -> Iterator[Place]:
    if options.url:
        yield Place(options.url.rstrip("/"), options.key)
        return
    found = running()
    if found is not None:
        yield found
        return
    view.say("no local stack is running, starting one for this ...")
    view.say("(one that runs elsewhere, as with --directory, is named by --url, LAKEMEND_KEY)")
    with Stack(time_scale=options.time_scale) as stack:
        yield Place(stack.base_url, stack.keys["deployer"], stack.sandbox_url)


def _deliver(place: Place, plan: Json, options: argparse.Namespace, view: View) -> bool:
    if place.sandbox_url:
        _furnish(place, options.specification)
    reply = call("POST", f"{place.base_url}/api/deliveries", plan, place.key)
    if reply.status != _ACCEPTED:
        for problem in reply.body.get("problems") or [{"field": "error", "expected": reply.body}]:
            view.say(f"{problem['field']}: {problem['expected']}", "red")
        return False
    url = str(reply.body["status_url"])
    view.say(f"delivery {reply.body['delivery_id']}", "bold")
    view.say(f"follow it at {url}")
    view.say()
    found = _follow(place, url, view)
    view.say()
    view.say(_summary(f"{url}/summary", place.key))
    return bool(found["state"] == "succeeded")


def _furnish(place: Place, specification: Path) -> None:
    """Give the sandbox the schemas and warehouses that the specification goes by."""
    from shared.delivery.builder.reading import read
    from shared.delivery.builder.resources import home, settings
    from shared.delivery.builder.spec import TARGETS

    spec = read(specification.read_bytes())
    for target in TARGETS:
        catalog, schema = home(spec, target)
        body: Json = {"full_name": f"{catalog}.{schema}"}
        call("POST", f"{place.sandbox_url}/_sandbox/databricks/schemas", body)
        warehouse = settings(spec, target).warehouse or spec.warehouse
        if warehouse:
            url = f"{place.sandbox_url}/_sandbox/databricks/warehouses"
            call("POST", url, {"warehouse_id": warehouse})


def _follow(place: Place, url: str, view: View) -> Json:
    told = 0
    begun = time.monotonic()
    with view.progress():
        while True:
            found = call("GET", url, key=place.key).body
            entries = found.get("timeline") or []
            since = datetime.fromisoformat(str(found["opened_at"]))
            for entry in entries[told:]:
                if entry["action"] != _INTENDED:  # what became of it follows
                    view.entry(entry, since)
            told = len(entries)
            if found["state"] in _CLOSED:
                return found
            view.waiting(_doing(found), time.monotonic() - begun)
            time.sleep(_LOOK)


def _doing(found: Json) -> str:
    progress = found.get("progress")
    words = f"{found['gate'] or 'beginning'}: {found['waiting_for'] or 'under way'}"
    if not progress or found["gate"] != "L3 execution":
        return words
    done = f"{progress['flows_done']} of {progress['tables_expected']} tables"
    return f"{words}, {done}, {progress['rows']} rows"


def _summary(url: str, key: str) -> str:
    request = Request(url, headers={"X-API-Key": key})  # noqa: S310 - the address is the stack's
    with build_opener(ProxyHandler({})).open(request, timeout=30) as answer:
        return str(answer.read().decode())


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m devstack.deliver", description=__doc__)
    parser.add_argument("specification", type=Path, help="a YAML or JSON file")
    parser.add_argument("--target", default="dev", choices=("dev", "staging", "prod"))
    parser.add_argument("--promote", choices=("staging", "prod"), help="where it goes when green")
    parser.add_argument("--url", help=URL_HELP)
    parser.add_argument("--key", default=os.environ.get("LAKEMEND_KEY", ""), help=argparse.SUPPRESS)
    parser.add_argument("--time-scale", type=float, default=10.0, help="of a stack started here")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
