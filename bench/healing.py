"""What Lakemend itself adds to a healing: from the alert to the first remedy, less the backoff."""

from __future__ import annotations

import time
import uuid
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import yaml

from bench import history
from bench import stack as stacks
from bench.load import percentile, post_all
from bench.model import Aim, Figure, Measured, Options, Target
from bench.stack import alert, failed_run, pipeline, processor
from devstack.client import call
from devstack.processes import Stack

_SHIPPED = Path(__file__).parents[1] / "shared" / "catalog" / "catalog.yaml"
_DURABLE = "/runtime/webhooks/durabletask"
_REMEDY = r"/createRun$"
_LOOK = 0.2
_PATIENCE = 240.0
_REFERENCE = "one durable activity"
_HALF = Target(Aim.RATIO_AT_MOST, 0.5)

Json = dict[str, Any]


class Run(msgspec.Struct, frozen=True):
    """A failed run, and how to tell its remedy among the requests that the factory saw."""

    pipeline: str
    run_id: str


def run(options: Options) -> Measured:
    """Heal one after another, then 200 at once; count storage requests of those alone."""
    alone, together = options.pick(30, 2), 10 if options.short else 200
    with _stack(options) as stack:
        _heal(stack, _failures(stack, 3))
        activity = _activities(stack, alone)
        crowd_activity = _activities(stack, together, together)
        single, requests, used = [], [], []
        for failure in _failures(stack, alone):
            before, was = _storage_requests(stack), processor(stack.devhost)
            single += _heal(stack, [failure])
            requests.append(_storage_requests(stack) - before)
            used.append(processor(stack.devhost) - was)
        failures, was = _failures(stack, together), processor(stack.devhost)
        crowd = _heal(stack, failures)
        each = (processor(stack.devhost) - was) / together
    first = history.figures("healing")
    figures = [
        _overhead("alone", 50, single, activity),
        _overhead("alone", 99, single, activity),
        _overhead(f"{together} at once", 50, crowd, crowd_activity),
        _overhead(f"{together} at once", 99, crowd, crowd_activity),
        Figure("storage requests until the remedy", min(requests), ""),
        Figure("processor time of the host, alone", percentile(used, 50) * 1000, "ms"),
        Figure("processor time of the host, at once", each * 1000, "ms"),
    ]
    compared = [
        Figure(
            f"{f.name}, beside the first",
            f.value,
            f.unit,
            first[f.name].value,
            "first",
            _HALF if f.unit else None,
        )
        for f in figures
        if f.name in first
    ]
    return Measured(
        figures + compared,
        [
            (
                "an alert that names a failed run, posted; until the factory is asked for the "
                "rerun. The catalog's backoff is set to nothing, its other times are as shipped"
            ),
            "storage requests are those of the healing that made the fewest",
            (
                "the first figures are those of bench/history/healing.json; they are to be "
                "measured on the same machine"
            ),
        ],
    )


def _overhead(name: str, percent: int, times: list[float], reference: list[float]) -> Figure:
    return Figure(
        f"{name}, p{percent}",
        percentile(times, percent) * 1000,
        "ms",
        percentile(reference, percent) * 1000,
        _REFERENCE,
    )


def _stack(options: Options) -> Stack:
    catalog = yaml.safe_load(_SHIPPED.read_text("utf-8"))
    for spec in catalog["error_types"].values():
        for remedy in spec["remedies"]:
            remedy["backoff"] = [0 for _ in remedy["backoff"]]
    options.directory.mkdir(parents=True, exist_ok=True)
    path = options.directory / "catalog.yaml"
    path.write_text(yaml.safe_dump(catalog), "utf-8")
    stack = stacks.stack(options.directory, CATALOG_PATH=str(path))
    # Its access log is where requests are counted.
    stack.azurite.argv = [word for word in stack.azurite.argv if word != "--silent"]
    return stack


def _failures(stack: Stack, count: int) -> list[Run]:
    names = [pipeline(stack, f"pl_{uuid.uuid4().hex[:10]}") for _ in range(count)]
    return [Run(name, failed_run(stack, name)) for name in names]


def _heal(stack: Stack, failures: list[Run]) -> list[float]:
    """Seconds from sending each alert to its remedy."""
    bodies = [
        msgspec.json.encode(alert(uuid.uuid4().hex, each.run_id, each.pipeline))
        for each in failures
    ]
    wanted = {each.pipeline for each in failures}
    since = _last(stack)
    begin = time.time()
    load = post_all(f"{stack.base_url}/api/alerts", stack.keys["sender"], bodies, len(bodies))
    if set(load.statuses) != {202}:
        raise AssertionError(f"alerts were answered {sorted(set(load.statuses))}")
    end = begin + _PATIENCE
    seen: dict[str, float] = {}
    while time.time() < end and wanted - seen.keys():
        time.sleep(_LOOK)
        seen = {_pipeline_of(row): _moment(row) for row in _remedies(stack, since)}
    missing = wanted - seen.keys()
    if missing:
        raise AssertionError(f"{len(missing)} of {len(wanted)} failures saw no remedy")
    return [seen[name] - begin for name in wanted]


def _remedies(stack: Stack, since: int) -> list[Json]:
    url = f"{stack.sandbox_url}/_sandbox/requests?method=POST&path={_REMEDY}&since={since}"
    return list(call("GET", url).body["requests"])


def _last(stack: Stack) -> int:
    url = f"{stack.sandbox_url}/_sandbox/requests?method=POST&path={_REMEDY}"
    rows = call("GET", url).body["requests"]
    return int(rows[-1]["n"]) if rows else 0


def _pipeline_of(row: Json) -> str:
    return str(row["path"]).split("/pipelines/")[1].split("/")[0]


def _moment(row: Json) -> float:
    return datetime.fromisoformat(row["at"]).timestamp()


def _storage_requests(stack: Stack) -> int:
    return stack.azurite.log.read_bytes().count(b"HTTP/1.1")


def _activities(stack: Stack, count: int, at_once: int = 1) -> list[float]:
    """Seconds from start to end of orchestrations of one activity: an alert that is not there."""
    times: list[float] = []
    for _ in range(0, count, at_once):
        started = [_start(stack) for _ in range(at_once)]
        times += [_seconds(stack, instance) for instance in started]
    return times


def _start(stack: Stack) -> str:
    instance = uuid.uuid4().hex
    given = {"alert_id": "0" * 32}
    reply = call("POST", f"{stack.base_url}{_DURABLE}/orchestrators/heal_alert/{instance}", given)
    if reply.status != 202:
        raise AssertionError(f"an orchestration was not started: {reply.status}")
    return instance


def _seconds(stack: Stack, instance: str) -> float:
    while True:
        status = call("GET", f"{stack.base_url}{_DURABLE}/instances/{instance}").body
        if status["runtimeStatus"] not in {"Pending", "Running"}:
            break
        time.sleep(0.01)
    if status["runtimeStatus"] != "Completed":
        raise AssertionError(f"the reference ended {status['runtimeStatus']}")
    created, ended = (status[name] for name in ("createdTime", "lastUpdatedTime"))
    return (datetime.fromisoformat(ended) - datetime.fromisoformat(created)).total_seconds()
