"""Estimates: by the formula, never negative, never less for more."""

from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.policy import cost
from shared.policy.cost import Load, estimate
from shared.policy.model import Prices
from shared.remedies import increase_timeout, scale_up
from shared.remedies.registry import NAMES
from shared.vocabulary import ComputeKind

PRICES = Prices(
    dbu_price=0.5,
    dbu_per_node_hour=1.0,
    vm_per_node_hour=0.5,
    node_dbu={"Standard_E8": 3.0},
    node_vm={"Standard_E8": 2.5},
    adf_activity_run=0.001,
    adf_integration_runtime_hour=0.25,
)
JOB = Load(ComputeKind.JOB_CLUSTER, "Standard_DS3_v2", nodes=5, seconds=7200)
PIPELINE = Load(seconds=3600, activity_runs=10)


def changed(load: Load, **fields: object) -> Load:
    return msgspec.structs.replace(load, **fields)


@pytest.mark.parametrize(
    ("remedy", "load", "usd"),
    [
        ("rerun", JOB, 10.0),  # 5 nodes, 2 h, 0.5 + 0.5
        ("rerun", changed(JOB, node_type="standard_e8"), 40.0),  # 5 x 2 x (3 x 0.5 + 2.5)
        ("rerun", changed(JOB, compute=ComputeKind.SERVERLESS), 5.0),  # no machines
        ("rerun", changed(JOB, nodes=0), 2.0),  # at least the driver
        ("restart_cluster", JOB, 10.84),  # and ten minutes: 5/6
        ("scale_up", JOB, 15.17),  # 1 + 6 nodes, 2 h 10 min
        ("increase_timeout", JOB, 15.0),  # 3 h
        ("refresh_credential", JOB, 0.0),
        ("wait_for_upstream", JOB, 10.0),
        ("rerun", PIPELINE, 1.01),  # 10 x 0.001 + 4 x 0.25
        ("rerun", changed(PIPELINE, seconds=61), 0.05),  # two minutes: 0.01 + 0.0333
        ("rerun", changed(PIPELINE, integration_units=0), 0.01),
        ("rerun", changed(JOB, activity_runs=10), 12.01),  # a pipeline over a cluster: both
        ("rerun", Load(), 0.0),
        ("rerun", changed(JOB, seconds=-5), 0.0),
        ("rerun", changed(JOB, seconds=1), 0.01),  # a fraction of a cent is a cent
    ],
)
def test_by_the_formula(remedy: str, load: Load, usd: float) -> None:
    assert estimate(PRICES, remedy, load) == usd


def test_every_remedy_has_its_recipe() -> None:
    assert cost.KNOWN == NAMES


def test_growth_is_that_of_the_remedies() -> None:
    assert scale_up.FACTOR == increase_timeout.FACTOR == 1.5
    workers = 10
    before, after = Load(ComputeKind.JOB_CLUSTER, nodes=11), scale_up.grown(workers, 1000) + 1
    hour = Prices(dbu_price=0, vm_per_node_hour=1)
    start = estimate(hour, "scale_up", before)
    assert start == math.ceil(after * cost.START_UP / 3600 * 100) / 100


prices = st.builds(
    Prices,
    dbu_price=st.floats(0, 10),
    dbu_per_node_hour=st.floats(0, 100),
    vm_per_node_hour=st.floats(0, 100),
    node_dbu=st.dictionaries(st.sampled_from(["a", "b"]), st.floats(0, 100)),
    node_vm=st.dictionaries(st.sampled_from(["a", "b"]), st.floats(0, 100)),
    adf_activity_run=st.floats(0, 1),
    adf_integration_runtime_hour=st.floats(0, 10),
)
loads = st.builds(
    Load,
    compute=st.sampled_from(ComputeKind),
    node_type=st.sampled_from(["a", "A", "c", ""]),
    nodes=st.integers(-1, 1000),
    seconds=st.floats(-10, 1e6),
    activity_runs=st.integers(-1, 1000),
    integration_units=st.floats(-1, 256),
)
remedies = st.sampled_from(sorted(NAMES)) | st.just("one of tomorrow")


@given(prices, remedies, loads)
def test_never_negative_and_in_whole_cents(listed: Prices, remedy: str, load: Load) -> None:
    usd = estimate(listed, remedy, load)
    assert usd >= 0
    assert usd == round(usd, 2)


@given(prices, remedies, loads, st.integers(0, 50), st.floats(0, 1e5), st.integers(0, 50))
def test_never_less_for_more(
    listed: Prices, remedy: str, load: Load, nodes: int, seconds: float, runs: int
) -> None:
    usd = estimate(listed, remedy, load)
    assert estimate(listed, remedy, changed(load, nodes=load.nodes + nodes)) >= usd
    assert estimate(listed, remedy, changed(load, seconds=load.seconds + seconds)) >= usd
    assert estimate(listed, remedy, changed(load, activity_runs=load.activity_runs + runs)) >= usd


@given(prices, loads)
def test_a_restart_costs_no_less_than_a_rerun_and_the_unknown_most(
    listed: Prices, load: Load
) -> None:
    by_remedy = {name: estimate(listed, name, load) for name in NAMES}
    assert by_remedy["rerun"] <= by_remedy["restart_cluster"] <= by_remedy["scale_up"]
    assert max(by_remedy.values()) <= estimate(listed, "one of tomorrow", load)


@given(prices, loads, st.floats(0, 10))
def test_rounding_adds_less_than_a_cent(listed: Prices, load: Load, usd: float) -> None:
    assert 0 <= cost._cents(usd) - usd + 1e-9 < 0.01 + 1e-8
    assert estimate(listed, "refresh_credential", load) == 0
