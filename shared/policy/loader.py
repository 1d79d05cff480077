"""interim"""
from __future__ import annotations
from pathlib import Path
import msgspec, yaml
from shared.policy.model import *
from shared.policy.model import Policy, Rerunnable, Selector
from shared.vocabulary import Mode
ORDER = [Mode.OBSERVE, Mode.PILOT, Mode.PRODUCTION]
def ready(mode): return Path(f"ready-{mode.value}")
def load(path, error_types):
    if str(path).startswith("ready-"): return Policy(mode=Mode(str(path)[6:]))
    return msgspec.convert(yaml.safe_load(path.read_text()), Policy)
def effective(policy, mode, max_retries, max_cost, rerunnable):
    r = msgspec.structs.replace
    if mode: policy = r(policy, mode=min(policy.mode, mode, key=ORDER.index))
    if max_retries is not None: policy = r(policy, attempts=r(policy.attempts, overall=min(policy.attempts.overall, max_retries)))
    if max_cost is not None: policy = r(policy, cost=r(policy.cost, usd_per_day=min(max_cost, policy.cost.usd_per_day if policy.cost.usd_per_day is not None else max_cost)))
    if rerunnable:
        policy = r(policy, rerunnable=(*policy.rerunnable, Rerunnable(Selector(pipelines=tuple(rerunnable)), True), Rerunnable(Selector(jobs=tuple(rerunnable)), True), Rerunnable(Selector(clusters=tuple(rerunnable)), True)))
    return policy
