"""What a remedy will cost, in USD: an estimate from list prices, before it is made.

    Databricks      nodes x hours x (DBUs per node and hour x price of a DBU + price of the VM)
    Data Factory    activity runs x price of one + hours x integration units x price of an hour

The number of nodes includes the driver. Serverless compute has no price of machines apart from its
DBUs. Hours of an integration runtime are charged by the minute, rounded up. Formulas:
https://azure.microsoft.com/pricing/details/databricks/ and
https://azure.microsoft.com/pricing/details/data-factory/data-pipeline/

It is an estimate: list prices without discounts, the duration of earlier runs, a whole run even if
only its failed part is repeated. It errs on the dear side, so that the day's ceiling holds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec

from shared.policy.model import Prices
from shared.vocabulary import ComputeKind

START_UP = 600.0  # seconds until a cluster is up: a restart is given up after as long
_GROWTH = 1.5  # what scale_up does to workers and increase_timeout to time
_HOUR = 3600.0
_MINUTE = 60.0
_CENTS = 100
_DUST = 1e-9  # what floating point adds to a whole number of cents


class Load(msgspec.Struct, frozen=True):
    """What the work needs that a remedy runs again.

    `nodes` counts the driver; 0 with a compute other than `NONE` counts as one. `seconds` is the
    expected duration of the whole run. `activity_runs` is 0 for what is not a Data Factory run.
    `integration_units` are those that its copies use at once; Data Factory itself takes 4 for most.
    """

    compute: ComputeKind = ComputeKind.NONE
    node_type: str = ""
    nodes: int = 0
    seconds: float = 0.0
    activity_runs: int = 0
    integration_units: float = 4.0


class _Recipe(msgspec.Struct, frozen=True):
    """What a remedy does with the work: how many runs, on what, how long."""

    runs: bool = True
    start_up: bool = False
    growth: float = 1.0  # of the workers
    stretch: float = 1.0  # of the time


_DEAREST = _Recipe(start_up=True, growth=_GROWTH, stretch=_GROWTH)  # a remedy not listed here
_RECIPES = {
    "rerun": _Recipe(),
    "restart_cluster": _Recipe(start_up=True),
    "change_node_type": _Recipe(start_up=True),
    "scale_up": _Recipe(start_up=True, growth=_GROWTH),
    "library_fallback": _Recipe(start_up=True),
    "wait_for_upstream": _Recipe(),  # waiting is free, the rerun after it is not
    "refresh_credential": _Recipe(runs=False),
    "increase_timeout": _Recipe(stretch=_GROWTH),
    "reduce_batch": _Recipe(),
    "full_refresh": _Recipe(start_up=True),
    "create_table": _Recipe(),
    "playbook": _Recipe(),  # what it does is the team's; most of them rerun
}
KNOWN = frozenset(_RECIPES)


def estimate(prices: Prices, remedy: str, load: Load) -> float:
    """The estimated cost in USD of one try of `remedy`, rounded up to a cent.

    Never negative; never less for more nodes, more time or more activity runs. A remedy that is
    not listed counts as the dearest there is.
    """
    recipe = _RECIPES.get(remedy, _DEAREST)
    if not recipe.runs:
        return 0.0
    return _cents(_databricks(prices, recipe, load) + _data_factory(prices, recipe, load))


def _databricks(prices: Prices, recipe: _Recipe, load: Load) -> float:
    if load.compute is ComputeKind.NONE:
        return 0.0
    seconds = max(load.seconds, 0.0) * recipe.stretch + (START_UP if recipe.start_up else 0.0)
    return _nodes(recipe, load) * seconds / _HOUR * _node_hour(prices, load)


def _nodes(recipe: _Recipe, load: Load) -> int:
    workers = max(load.nodes, 1) - 1  # the driver does not grow
    return 1 + math.ceil(workers * recipe.growth)


def _node_hour(prices: Prices, load: Load) -> float:
    dbus = _listed(prices.node_dbu, load.node_type, prices.dbu_per_node_hour)
    if load.compute is ComputeKind.SERVERLESS:
        return dbus * prices.dbu_price
    return dbus * prices.dbu_price + _listed(
        prices.node_vm, load.node_type, prices.vm_per_node_hour
    )


def _listed(listed: Mapping[str, float], node_type: str, otherwise: float) -> float:
    wanted = node_type.lower()
    return next((price for name, price in listed.items() if name.lower() == wanted), otherwise)


def _data_factory(prices: Prices, recipe: _Recipe, load: Load) -> float:
    if load.activity_runs <= 0:
        return 0.0
    minutes = math.ceil(max(load.seconds, 0.0) * recipe.stretch / _MINUTE)
    units = max(load.integration_units, 0.0)
    runtime = minutes * _MINUTE / _HOUR * units * prices.adf_integration_runtime_hour
    return load.activity_runs * prices.adf_activity_run + runtime


def _cents(usd: float) -> float:
    return max(math.ceil(usd * _CENTS - _DUST), 0) / _CENTS
