"""A bad night: 10,000 alerts about 50 failures, then 10,000 about 10,000."""

from __future__ import annotations

import time
from collections.abc import Iterator

import msgspec

from bench import stack as stacks
from bench.load import CLIENTS, Load, post_all
from bench.model import Aim, Figure, Measured, Options, Target
from bench.stack import alert, failed_run, memory, pipeline
from devstack.processes import Stack
from shared.ledger.alerts import SHARDS
from shared.ledger.groups import is_group
from shared.ledger.tables import ALERTS, INCIDENTS, Storage

_FAILURES = 50
_PREFIX = "lakemend"
_PATIENCE = 90.0  # seconds until the incidents of the first night have to be there
_NONE = Target(Aim.AT_MOST, 0)
_SMALL = Target(Aim.AT_MOST, 512)
_QUICK = Target(Aim.AT_MOST, 250)


def run(options: Options) -> Measured:
    """Send both nights; count answers, stored alerts, incidents and memory."""
    count = options.pick(10_000, 200)
    failures = min(_FAILURES, count // 4)
    with stacks.stack(options.directory, {"storm": {"failures": 10}}) as stack:
        names = [pipeline(stack, f"load{n}") for n in range(failures)]
        runs = [(name, failed_run(stack, name)) for name in names]
        _post(stack, [_body("warm", 0, runs[0])])
        before = memory(stack.devhost)
        first = _post(stack, [_body("few", n, runs[n % failures]) for n in range(count)])
        after_first = memory(stack.devhost)
        second = _post(stack, [_body("many", n, ("load0", f"run-{n}")) for n in range(count)])
        after_second = memory(stack.devhost)
        stored = _stored(stack)
        incidents, seconds = _incidents(stack, failures)
    figures = [
        *_answers(f"{count:,} alerts of {failures} failures", first),
        Figure("their incidents", incidents, "", failures, "failures"),
        Figure("incidents too many or missing", abs(incidents - failures), "", target=_NONE),
        *_answers(f"{count:,} alerts of {count:,} failures", second),
        Figure("alerts lost", 2 * count + 1 - stored, "", target=_NONE),
        Figure("memory of the host after the first", after_first, "MiB", before, "before", _SMALL),
        Figure(
            "memory of the host after the second", after_second, "MiB", before, "before", _SMALL
        ),
    ]
    notes = [
        f"{CLIENTS} clients; every alert is stored before it is answered, its healing starts later",
        f"the incidents of the first were there {seconds:.0f} s after the last answer",
        (
            "the failures of the second are runs that the factory does not know: all are stored "
            "and looked up"
        ),
    ]
    return Measured(figures, notes)


def _answers(name: str, load: Load) -> Iterator[Figure]:
    refused = len(load.statuses) - load.statuses.count(202)
    yield Figure(f"{name}: not answered 202", refused, "", target=_NONE)
    yield Figure(f"{name}: answer, p50", load.percentile(50) * 1000, "ms")
    yield Figure(f"{name}: answer, p99", load.percentile(99) * 1000, "ms", target=_QUICK)
    yield Figure(f"{name}: rate", load.rate, "1/s")


def _body(word: str, number: int, failed: tuple[str, str]) -> bytes:
    return msgspec.json.encode(alert(f"{word}-{number}", failed[1], failed[0]))


def _post(stack: Stack, bodies: list[bytes]) -> Load:
    return post_all(f"{stack.base_url}/api/alerts", stack.keys["sender"], bodies)


def _stored(stack: Stack) -> int:
    """Alerts in the ledger, read past the app."""
    table = Storage(_PREFIX, stack.connection).table(ALERTS)
    rows = (row for shard in SHARDS for row in table.range(shard))
    return sum(1 for row in rows if not is_group(row))


def _incidents(stack: Stack, wanted: int) -> tuple[int, float]:
    """Incidents about the named failures, once they are there, and the seconds until then."""
    table = Storage(_PREFIX, stack.connection).table(INCIDENTS)
    begin = time.monotonic()
    while True:
        seconds = time.monotonic() - begin
        rows = table.partitions_between("2", "3")
        found = sum(1 for row in rows if str(row.get("resource", "")).startswith("load"))
        if found >= wanted or seconds > _PATIENCE:
            return found, seconds
        time.sleep(1)
