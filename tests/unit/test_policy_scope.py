"""Scope, rerunnable: which work a selector means."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.policy.loader import effective, load, ready
from shared.policy.model import Policy, Rerunnable, Scoping, Selector
from shared.policy.scope import Work, in_scope, matches, rerunnable
from shared.vocabulary import FailureKind, Mode

PIPELINE = Work("adf-prod", "prod", FailureKind.PIPELINE_RUN, "pl_sales", "pl_sales")
JOB = Work("dbx-prod", "prod", FailureKind.JOB_RUN, "4711", "Load Sales", {"Team": "Finance"})
CLUSTER = Work("dbx-prod", "prod", FailureKind.CLUSTER, "0601-abc", "shared")
LIBRARY = Work("dbx-prod", "prod", FailureKind.LIBRARY, "0601-abc", "shared")
UPDATE = Work("dbx-prod", "prod", FailureKind.UPDATE, "8f-1", "pl_bronze")
STORM = Work("dbx-prod", "prod", FailureKind.STORM)
EVERY = [PIPELINE, JOB, CLUSTER, LIBRARY, UPDATE, STORM]


@pytest.mark.parametrize(
    ("selector", "meant"),
    [
        (Selector(), EVERY),
        (Selector(targets=("ADF-*",)), [PIPELINE]),
        (Selector(targets=("adf-dev", "DBX-prod")), [JOB, CLUSTER, LIBRARY, UPDATE, STORM]),
        (Selector(environments=("pro?",)), EVERY),
        (Selector(environments=("prod", "x"), targets=("nowhere",)), []),
        (Selector(jobs=("load*",)), [JOB]),
        (Selector(jobs=("4711",)), [JOB]),
        (Selector(jobs=("*",)), [JOB]),
        (Selector(pipelines=("PL_*",)), [PIPELINE, UPDATE]),
        (Selector(pipelines=("8f-[0-9]",)), [UPDATE]),
        (Selector(pipelines=("sales",)), []),
        (Selector(clusters=("0601*",)), [CLUSTER, LIBRARY]),
        (Selector(pipelines=("pl_sales",), jobs=("load*",)), [PIPELINE, JOB]),
        (Selector(jobs=("load*",), targets=("adf*",)), []),
        (Selector(tags={"team": "fin*"}), [JOB]),
        (Selector(tags={"team": "finance", "tier": "*"}), []),
        (Selector(tags={"team": "sales"}), []),
    ],
)
def test_a_selector_means_what_all_its_fields_match(selector: Selector, meant: list[Work]) -> None:
    assert [work for work in EVERY if matches(selector, work)] == meant


def scoped(*, include: tuple[Selector, ...] = (), exclude: tuple[Selector, ...] = ()) -> Policy:
    return Policy(scope=Scoping(include, exclude))


def tagged(value: str) -> Work:
    return Work("t", "prod", FailureKind.JOB_RUN, "1", "j", {"lakemend": value} if value else {})


def test_opting_in() -> None:
    policy = scoped(include=(Selector(tags={"lakemend": "on"}),))
    assert in_scope(policy, tagged("On")) == ""
    assert in_scope(policy, tagged("off")) == "no entry of scope.include takes it in"
    assert in_scope(policy, tagged("")) == "no entry of scope.include takes it in"


def test_opting_out() -> None:
    policy = scoped(exclude=(Selector(jobs=("x",)), Selector(tags={"lakemend": "off"})))
    assert in_scope(policy, tagged("on")) == ""
    assert in_scope(policy, tagged("")) == ""
    expected = "scope.exclude.1 leaves it out (tag lakemend=off)"
    assert in_scope(policy, tagged("OFF")) == expected


names = st.text("ab*?[]-_1", max_size=5)
lists = st.lists(names.filter(bool), max_size=2).map(tuple)
selectors = st.builds(
    Selector,
    targets=lists,
    environments=lists,
    pipelines=lists,
    jobs=lists,
    clusters=lists,
    tags=st.dictionaries(names, names, max_size=1),
)
works = st.builds(
    Work,
    target=names,
    environment=names,
    kind=st.sampled_from(FailureKind),
    resource=names,
    name=names,
    tags=st.dictionaries(names, names, max_size=2),
)


@given(selectors, st.lists(selectors, max_size=3).map(tuple), works)
def test_exclusion_is_the_stronger_word(
    excluded: Selector, include: tuple[Selector, ...], work: Work
) -> None:
    policy = scoped(include=include, exclude=(excluded,))
    if matches(excluded, work):
        assert in_scope(policy, work)
    else:
        taken = not include or any(matches(selector, work) for selector in include)
        assert (in_scope(policy, work) == "") == taken


@given(selectors, works)
def test_case_makes_no_difference(selector: Selector, work: Work) -> None:
    loud = Work(
        work.target.upper(),
        work.environment.upper(),
        work.kind,
        work.resource.upper(),
        work.name.upper(),
        {k.upper(): v.upper() for k, v in work.tags.items()},
    )
    assert matches(selector, work) == matches(selector, loud)


@given(works, selectors)
def test_another_field_never_makes_a_selector_mean_more(work: Work, selector: Selector) -> None:
    if matches(selector, work):
        assert matches(Selector(targets=selector.targets), work)
        assert matches(Selector(tags=selector.tags), work)


def test_the_first_entry_that_matches_decides() -> None:
    policy = Policy(
        rerunnable=(
            Rerunnable(Selector(jobs=("load *",)), rerunnable=False),
            Rerunnable(Selector(jobs=("*",)), rerunnable=True),
        )
    )
    assert rerunnable(policy, JOB) is False
    assert rerunnable(policy, tagged("")) is True
    assert rerunnable(policy, PIPELINE) is None
    assert rerunnable(effective(policy, None, None, None, ["*"]), PIPELINE) is True
    assert rerunnable(effective(policy, None, None, None, ["*"]), JOB) is False


def test_nothing_is_declared_by_itself() -> None:
    assert [rerunnable(Policy(), work) for work in EVERY] == [None] * len(EVERY)


@pytest.mark.parametrize("environment", ["prod", "production", "PROD-EU", "prd", "live"])
def test_the_pilot_that_comes_with_it_leaves_production_alone(environment: str) -> None:
    policy = load(ready(Mode.PILOT), ())
    work = Work("adf", environment, FailureKind.PIPELINE_RUN, "pl", "pl")
    assert "leaves it out" in in_scope(policy, work)
    assert in_scope(policy, Work("adf", "test", FailureKind.PIPELINE_RUN, "pl", "pl")) == ""


def test_one_tag_opts_out_of_the_production_that_comes_with_it() -> None:
    policy = load(ready(Mode.PRODUCTION), ())
    assert "leaves it out" in in_scope(policy, tagged("off"))
    assert in_scope(policy, tagged("")) == ""
    yes, no = ({"rerunnable": word} for word in ("yes", "no"))
    assert rerunnable(policy, Work("t", "prod", FailureKind.JOB_RUN, "1", "j", yes)) is True
    assert rerunnable(policy, Work("t", "prod", FailureKind.JOB_RUN, "1", "j", no)) is False
    assert rerunnable(policy, tagged("")) is None
