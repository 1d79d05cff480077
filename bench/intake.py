"""Alerts taken in: stored, then answered, through HTTP, beside raw inserts of single entities."""

from __future__ import annotations

import msgspec

from bench import inserts
from bench import stack as stacks
from bench.load import CLIENTS, Load, post_all
from bench.model import Aim, Figure, Measured, Options, Target
from bench.stack import alert, failed_run, pipeline, processor
from devstack.processes import Stack

_TARGET = Target(Aim.RATIO_AT_LEAST, 1.0)
_REFERENCE = "inserts with azure-data-tables"
_RUNS = 20  # failures that the distinct alerts are about


def run(options: Options) -> Measured:
    """Post distinct alerts from 64 clients; insert into the same Azurite before and after."""
    count = options.pick(4000, 100)
    with stacks.stack(options.directory) as stack:
        runs = [failed_run(stack, pipeline(stack, f"load{n}")) for n in range(_RUNS)]
        warm, bodies = _bodies(runs, 64, "warm"), _bodies(runs, count, "alert")
        _post(stack, warm)
        first = inserts.by_sdk(stack.connection, count // 2)
        plain = inserts.by_http(stack.connection, count // 2)
        before = _processor(stack)
        ours = _post(stack, bodies)
        used = [after - was for after, was in zip(_processor(stack), before, strict=True)]
        second = inserts.by_sdk(stack.connection, count // 2)
    raw = max(first.rate, second.rate)
    return Measured(
        [
            Figure("alerts", ours.rate, "1/s", raw, _REFERENCE, _TARGET),
            Figure("alerts, the other reference", ours.rate, "1/s", plain.rate, "bare inserts"),
            Figure("answer, p50", ours.percentile(50) * 1000, "ms"),
            Figure("answer, p99", ours.percentile(99) * 1000, "ms"),
            Figure("not answered 202", count - ours.statuses.count(202), "", None, "", _NONE),
        ],
        [
            (
                f"{count:,} distinct alerts about {_RUNS} failures, {CLIENTS} clients; those of "
                "one moment share a transaction, and their healings are started too"
            ),
            (
                f"processor time an alert: devhost {used[0] / count * 1000:.2f} ms, "
                f"Azurite {used[1] / count * 1000:.2f} ms"
            ),
            (
                f"inserts with azure-data-tables {first.rate:,.0f}/s before and "
                f"{second.rate:,.0f}/s after; with a bare HTTP client {plain.rate:,.0f}/s: the "
                f"difference is what that client costs on {CLIENTS} threads of one interpreter"
            ),
        ],
    )


_NONE = Target(Aim.AT_MOST, 0)


def _post(stack: Stack, bodies: list[bytes]) -> Load:
    return post_all(f"{stack.base_url}/api/alerts", stack.keys["sender"], bodies)


def _bodies(runs: list[str], count: int, word: str) -> list[bytes]:
    return [
        msgspec.json.encode(alert(f"{word}-{n}", runs[n % len(runs)], f"load{n % len(runs)}"))
        for n in range(count)
    ]


def _processor(stack: Stack) -> list[float]:
    return [processor(stack.devhost), processor(stack.azurite)]
