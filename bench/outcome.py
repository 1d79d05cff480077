"""A replay of scripted failures: what heals without a person, beside fixed retries and none.

The product's own classifier, catalog and `decide()` run against a model of the world on a
simulated clock. What the world needs is taken from the labels of two readers of the corpus, who
have not seen the catalog; its mix and its times are in `bench.world`, drawn from a seed, and the
same for all strategies.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import fmean, median

import msgspec

from bench.classifier import CATALOG
from bench.model import Aim, Figure, Measured, Options, Target
from bench.world import MIX, SEED, Failure, scripted
from shared.catalog import loader
from shared.catalog.loader import ACTIONS, Catalog
from shared.diagnosis.classifier import Classifier
from shared.healing.assess import REMEDY_RISKS
from shared.models import Diagnosis
from shared.policy.decide import Option, Situation, decide
from shared.policy.loader import load as load_policy
from shared.policy.loader import ready
from shared.policy.model import Policy
from shared.vocabulary import DecisionKind, Mode, RunState

_FIXED_TRIES = 3
_FIXED_PAUSE = 30.0  # seconds: Data Factory's own default between retries
_OWN = 1.0  # seconds that Lakemend takes for a step, generously
_NO_WRONG = Target(Aim.AT_MOST, 0)
_MORE = Target(Aim.RATIO_AT_LEAST, 1.0)
_LESS = Target(Aim.RATIO_AT_MOST, 1.0)
_MOST_STEPS = 500


class Ending(msgspec.Struct):
    """What came of one failure. Times in seconds since it failed."""

    recovered: float = 0.0
    person: bool = False
    actions: int = 0
    wasted: int = 0
    wrong: int = 0
    computed: float = 0.0  # seconds of runs

    def act(self, failure: Failure, at: float, action: str) -> tuple[bool, float]:
        """Run it again, after a repair: whether it is good then, and when that is known."""
        self.actions += 1
        self.wrong += failure.untouchable
        good, end = failure.attempt(at, action)
        self.wasted += not good
        self.computed += end - at
        return good, end

    def hand_over(self, failure: Failure, at: float) -> Ending:
        """From now on a person has it."""
        self.person = True
        self.recovered = at + failure.person_seconds
        self.computed += failure.run_seconds
        return self

    @property
    def usd(self) -> float:
        """What it has cost: runs, and a person's time."""
        return self.computed / 3600 * USD_COMPUTE + self.person * HOURS_PERSON * USD_PERSON


USD_COMPUTE, USD_PERSON, HOURS_PERSON = 4.0, 60.0, 0.5

Strategy = Callable[[Failure], Ending]


class Product:
    """Lakemend's own parts, without their I/O."""

    def __init__(self) -> None:
        self._catalog: Catalog = loader.load(CATALOG, frozenset(ACTIONS))
        self._classifier = Classifier(self._catalog)
        types = frozenset(self._catalog.error_types)
        self._policy: Policy = load_policy(ready(Mode.PRODUCTION), types)

    def heal(self, failure: Failure) -> Ending:
        """Diagnose, decide, wait the backoff, act, look; again until it is good or a person's."""
        ending, at, waited = Ending(), 0.0, 0.0
        tries: dict[tuple[str, str], int] = {}
        for _ in range(_MOST_STEPS):
            at += _OWN
            diagnosis = self._classifier.classify([failure.line(at)])
            decision = decide(self._situation(failure, diagnosis, tries, waited, ending.actions))
            if decision.kind in {DecisionKind.WAIT, DecisionKind.HOLD}:
                at, waited = at + decision.delay, waited + decision.delay
                continue
            if decision.kind is not DecisionKind.ACT:
                break
            at, waited = at + decision.delay, 0.0
            action = ACTIONS[decision.remedy]
            key = (diagnosis.error_type, decision.remedy)
            tries[key] = tries.get(key, 0) + 1
            if action == "wait_upstream":
                at = failure.upstream(at, self._catalog.timings.wait_interval)
            good, end = ending.act(failure, at, action)
            at = self._seen(at, end)
            if good:
                ending.recovered = at
                return ending
        return ending.hand_over(failure, at)

    def _seen(self, begin: float, end: float) -> float:
        """When verifying sees the end: it looks at growing intervals."""
        timings = self._catalog.timings
        look, pause = begin + timings.verify_first, timings.verify_first
        while look < end:
            pause = min(pause * timings.verify_growth, timings.verify_ceiling)
            look += pause
        return look

    def _situation(
        self,
        failure: Failure,
        diagnosis: Diagnosis,
        tries: dict[tuple[str, str], int],
        waited: float,
        actions: int,
    ) -> Situation:
        timings, policy = self._catalog.timings, self._policy
        listed = self._catalog.remedies(
            diagnosis.error_type, diagnosis.prefer, hands_off=diagnosis.hands_off
        )
        options = tuple(
            Option(
                spec,
                tries.get((diagnosis.error_type, spec.remedy), 0),
                refusal="" if failure.allows(ACTIONS[spec.remedy]) else "does not apply here",
                risk=REMEDY_RISKS.get(spec.remedy, ""),
            )
            for spec in listed
        )
        return Situation(
            paused="",
            mode=Mode.PRODUCTION,
            production=True,
            out_of_scope="",
            window="",
            window_left=0.0,
            grace_left=0.0,
            rerunnable=failure.rerunnable,
            permits=policy.permits.production,
            storm="",
            storm_over=False,
            storm_delay=0.0,
            budget_left=None,
            approved="",
            refused="",
            expired="",
            state=RunState.FAILED,
            platform_retrying=False,
            diagnosis=diagnosis,
            spec=self._catalog.spec(diagnosis.error_type),
            options=options,
            tries_in_all=actions,
            max_retries=policy.attempts.overall,
            waited=waited,
            wait_ceiling=timings.wait_ceiling,
            wait_interval=timings.wait_interval,
            hold_ceiling=timings.hold_ceiling,
            hold_interval=timings.hold_interval,
        )


def fixed(failure: Failure) -> Ending:
    """Retry everything three times, then call a person."""
    ending, at = Ending(), 0.0
    for _ in range(_FIXED_TRIES):
        good, at = ending.act(failure, at + _FIXED_PAUSE, "retry")
        if good:
            ending.recovered = at
            return ending
    return ending.hand_over(failure, at)


def nothing(failure: Failure) -> Ending:
    """Call a person at once."""
    return Ending().hand_over(failure, 0.0)


def run(options: Options) -> Measured:
    """Replay the same failures under all three strategies."""
    count = options.pick(2_000, 100)
    ours = _replay(count, Product().heal)
    theirs = {"fixed retries": _replay(count, fixed), "no retries": _replay(count, nothing)}
    figures = [figure for name, other in theirs.items() for figure in _compare(ours, other, name)]
    figures.insert(0, Figure("wrong actions", _sum(ours, "wrong"), "", target=_NO_WRONG))
    mixed = ", ".join(f"{share:.0%} {kind}" for kind, share in MIX.items())
    return Measured(
        figures,
        [
            f"{count:,} failures, seed {SEED}: {mixed} (bench/world.py)",
            (
                "classifier, catalog and decide() are the product's own; platforms, storage and "
                "orchestrations are simulated, and so is time"
            ),
            (
                f"a run costs {USD_COMPUTE:g} USD an hour, a person {USD_PERSON:g} USD an hour "
                f"and {HOURS_PERSON:g} h a failure"
            ),
            "who retries nothing wastes nothing: there the wasted actions are only written down",
        ],
    )


def _replay(count: int, strategy: Strategy) -> list[Ending]:
    return [strategy(failure) for failure in scripted(count)]


def _compare(ours: Sequence[Ending], other: Sequence[Ending], name: str) -> list[Figure]:
    share = fmean(not e.person for e in ours), fmean(not e.person for e in other)
    wasted = _sum(ours, "wasted"), _sum(other, "wasted")
    minutes = [[e.recovered / 60 for e in each] for each in (ours, other)]
    usd = fmean(e.usd for e in ours), fmean(e.usd for e in other)
    return [
        Figure("healed without a person", share[0] * 100, "%", share[1] * 100, name, _MORE)
        if share[1]
        else Figure("healed without a person", share[0] * 100, "%", 0, name),
        Figure("wrong actions beside", _sum(ours, "wrong"), "", _sum(other, "wrong"), name),
        Figure("wasted actions", wasted[0], "", wasted[1], name, _LESS if wasted[1] else None),
        Figure("time to recovery, mean", *_pair(fmean, minutes, "min"), name, _LESS),
        Figure("time to recovery, median", *_pair(median, minutes, "min"), name, _LESS),
        Figure("cost of a failure", usd[0], "USD", usd[1], name, _LESS),
    ]


def _pair(
    figure: Callable[[list[float]], float], values: list[list[float]], unit: str
) -> tuple[float, str, float]:
    return figure(values[0]), unit, figure(values[1])


def _sum(endings: Sequence[Ending], field: str) -> int:
    return sum(int(getattr(ending, field)) for ending in endings)
