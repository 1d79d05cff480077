"""The nightly look at pipelines: odd and large specifications, loops and parent jobs, secrets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import requests

from shared.errors import LedgerRefused, PlatformUnavailable
from shared.monitoring.pipelines import Baseline, Deployed, Report
from shared.platforms.calls import as_promised
from tests.monitoring.conftest import Watch

Make = Callable[..., Watch]


def deployed(one: Watch, name: str, **spec: Any) -> str:
    body = {"name": name, "catalog": "main", **spec}
    return str(one.sandbox.script("databricks/pipelines", **body)["pipeline_id"])


def named(one: Watch, name: str) -> Deployed:
    return one.parts.pipelines.named(name)[0]


def report(one: Watch, name: str) -> Report:
    return one.parts.pipelines.report(named(one, name))


def verdict(one: Watch, name: str, check: str) -> bool | None:
    return next(c.passed for c in report(one, name).checks if c.name == check)


def test_odd_specifications_do_not_hold_up_the_others(watch: Make) -> None:
    one = watch()
    deployed(one, "a", configuration=["a"])
    deployed(one, "b", clusters=[None])
    size = {"min_workers": 1, "max_workers": "x"}
    deployed(one, "c", clusters=[{"label": "default", "autoscale": size}])
    last = deployed(one, "d", development=True)
    (look,) = one.parts.pipelines.sweep()
    assert [seen.resource for seen in look.seen] == [last]
    assert look.resources == frozenset({last})  # of the others nothing is known to be gone
    for name in ("a", "b", "c"):
        with pytest.raises(PlatformUnavailable, match="not what the API promises"), as_promised():
            report(one, name)


def test_what_is_too_large_to_be_kept_is_checked_all_the_same(watch: Make) -> None:
    one = watch()
    large = deployed(one, "large", configuration={f"k{n}": "v" * 900 for n in range(1500)})
    (look,) = one.parts.pipelines.sweep()
    assert [seen.resource for seen in look.seen] == [large]
    with pytest.raises(LedgerRefused, match="too large"):
        one.parts.pipelines.accept(named(one, "large"), "me")


def test_no_secret_is_kept_and_none_is_told(watch: Make) -> None:
    one = watch()
    identity = deployed(one, "s", configuration={"db.password": "OldSecretValue1", "n": "1"})
    assert list(one.parts.pipelines.sweep())
    kept = one.parts.documents.read("baseline", f"{named(one, 's').target}|{identity}", Baseline)
    assert kept.spec["configuration"]["n"] == "1"
    assert "OldSecretValue1" not in str(kept)
    assert report(one, "s").drift == ()
    body = {"name": "s", "catalog": "main", "pipeline_id": identity}
    changed = body | {"configuration": {"db.password": "NewSecretValue2", "n": "1"}}
    url = f"{one.sandbox.host}/api/2.0/pipelines/{identity}"
    headers = {"Authorization": "Bearer sandbox-token"}
    assert requests.put(url, json=changed, headers=headers, timeout=10).ok
    line = "configuration.db.password (secret): [redacted] → [redacted]"
    assert report(one, "s").drift == (line,)
    for swept in one.parts.pipelines.sweep():
        one.parts.notes.take([swept])
    told = {f.kind.value: f.evidence for f in one.parts.findings.standing()}
    assert told["drift"] == (line,)


def test_loops_and_parents_start_a_pipeline_too(watch: Make) -> None:
    one = watch()
    identity = deployed(one, "p")
    inner = {"task_key": "t", "pipeline_task": {"pipeline_id": identity}}
    each = {"task_key": "each", "for_each_task": {"inputs": "[1]", "task": inner}}
    child = one.sandbox.script("databricks/jobs", name="child", tasks=[each])
    assert verdict(one, "p", "mode") is True
    assert verdict(one, "p", "schedule") is False
    assert verdict(one, "p", "identity") is False  # of a job that does not say: its creator
    schedule = {"quartz_cron_expression": "0 0 3 * * ?", "timezone_id": "UTC"}
    start = {"task_key": "c", "run_job_task": {"job_id": child["job_id"]}}
    one.sandbox.script("databricks/jobs", name="parent", tasks=[start], schedule=schedule)
    assert verdict(one, "p", "schedule") is True
